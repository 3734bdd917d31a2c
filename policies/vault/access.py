"""Who may what in Vault: the roles that are taken, and what the policies of a plan say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.matchers import at, each
from policies.plan import Plan, Resource

MOUNT = "vault:index/mount:Mount"
POLICY = "vault:index/policy:Policy"
APPROLE = "vault:appRole/authBackendRole:AuthBackendRole"
JWT = "vault:jwt/authBackendRole:AuthBackendRole"
KUBERNETES = "vault:kubernetes/authBackendRole:AuthBackendRole"
ROLES = (APPROLE, JWT, KUBERNETES)
STORE = "coreflux-mcp-secrets:vault:SecretStore"
"""The component: what belongs to it has to be there, whether or not anything of it is."""

_PATH = re.compile(r'path\s+("(?:[^"\\]|\\.)*")\s*\{\s*capabilities\s*=\s*(\[[^\]]*\])\s*\}')


def in_vault(plan: Plan) -> Iterator[Resource]:
    """Everything that Vault is asked for."""
    return (one for one in plan.resources if one.type.startswith("vault:"))


def taken(plan: Plan) -> list[Any]:
    """The policies that a role gives who logs in. All others a person of Vault's own gives away."""
    return [policy for role in plan.of_type(*ROLES) for policy in each(at(role.properties, "tokenPolicies"))]


def rights(policy: Any) -> Mapping[str, list[str]] | None:
    """Path -> capabilities, all of a path that is there twice. None for a text that says more than that: no rule judges
    what it does not understand."""
    if not isinstance(policy, str):
        return None
    text = re.sub(r"(?m)^\s*#.*$", "", policy)
    if _PATH.sub("", text).strip():
        return None
    found: dict[str, list[str]] = {}
    try:
        for path, may in _PATH.findall(text):
            found.setdefault(json.loads(path), []).extend(str(one) for one in json.loads(may))
    except ValueError:
        return None
    return found


def is_an_address(audience: Any) -> bool:
    """Whether a token for it is for whoever is there, as the API server, and not for Vault alone."""
    return isinstance(audience, str) and "://" in audience


def has_wildcard(path: str) -> bool:
    """Whether it is more than one path: * at its end, + for one part of it."""
    return path.endswith("*") or "+" in path.split("/")
