"""Access in Vault: the roles of a plan, and the rights in policies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from policies.matchers import at, each
from policies.plan import Plan

POLICY = "vault:index/policy:Policy"
APPROLE = "vault:appRole/authBackendRole:AuthBackendRole"
JWT = "vault:jwt/authBackendRole:AuthBackendRole"
KUBERNETES = "vault:kubernetes/authBackendRole:AuthBackendRole"
ROLES = (APPROLE, JWT, KUBERNETES)

_PATH = re.compile(r'path\s+("(?:[^"\\]|\\.)*")\s*\{\s*capabilities\s*=\s*(\[[^\]]*\])\s*\}')

_CHANGES = frozenset({"create", "update", "patch", "delete", "sudo", "root"})
# Paths below sys/ where a write changes nothing: this one returns the HMAC of a value that the caller knows.
_HARMLESS = ("sys/audit-hash/",)
# Listing Vault's audit devices requires sudo.
_NEEDS_SUDO = "sys/audit"

_NEVER = frozenset({"list", "sudo", "root"})
# Paths that affect the whole Vault, or its logins.
_FOREIGN = ("sys/", "identity/", "auth/")
# Paths of AppRole's secret ids, which an operator creates. Other paths below auth/ and identity/ can change who has a
# policy.
_SECRET_ID = re.compile(r"/role/[^/+*]+/(custom-)?secret-id")
# Paths with which a token looks up, renews or revokes itself.
_ITS_OWN = frozenset(f"auth/token/{verb}-self" for verb in ("lookup", "renew", "revoke"))


def role_policies(plan: Plan) -> list[Any]:
    """Return the names of the policies that the plan's roles grant. People's policies are not in the plan: Vault's
    operators assign them."""
    return [policy for role in plan.of_type(*ROLES) for policy in each(at(role.properties, "tokenPolicies"))]


def rights(policy: Any) -> Mapping[str, list[str]] | None:
    """Return the capabilities of each path. Repeated paths are merged, and a leading / is dropped, as Vault does.

    Return None for a policy with any other content: a rule must not accept what it can't read.
    """
    if not isinstance(policy, str):
        return None
    text = re.sub(r"(?m)^\s*#.*$", "", policy)
    if _PATH.sub("", text).strip():
        return None
    found: dict[str, list[str]] = {}
    try:
        for path, capabilities in _PATH.findall(text):
            found.setdefault(json.loads(path).removeprefix("/"), []).extend(
                str(one) for one in json.loads(capabilities)
            )
    except ValueError:
        return None
    return found


def changes_no_vault(policy: Any) -> bool:
    """Return whether a policy allows neither changes of Vault itself, nor reads of values by a wildcard."""
    granted = rights(policy)
    return granted is not None and not any(_is_admin(path, {*may}) for path, may in granted.items())


def _is_admin(path: str, may: set[str]) -> bool:
    if path.startswith("sys/"):
        allowed = {"sudo"} if path == _NEEDS_SUDO else set()
        return bool(may & _CHANGES - allowed) and not path.startswith(_HARMLESS)
    if path.startswith(_FOREIGN) and path not in _ITS_OWN and may & _CHANGES and not _SECRET_ID.search(path):
        return True
    reads = _has_wildcard(path) and (path.endswith("*") or "/metadata/" not in path)
    return "sudo" in may or "root" in may or reads


def names_each_path(policy: Any) -> bool:
    """Return whether all of a policy's rights are on named paths, without list or sudo."""
    granted = rights(policy) or {}
    return bool(granted) and not any(
        _has_wildcard(path) or _NEVER & {*may} or (path.startswith(_FOREIGN) and path not in _ITS_OWN)
        for path, may in granted.items()
    )


def _has_wildcard(path: str) -> bool:
    return path.endswith("*") or "+" in path.split("/")


def is_an_address(audience: Any) -> bool:
    """Return whether an audience is a server's address, such as the API server's, and therefore not for Vault alone."""
    return isinstance(audience, str) and "://" in audience
