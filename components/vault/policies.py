"""Policies of server, rotator, operator and doctor, as in tests/unit/golden/vault-policies.txt.

The policies of server and rotator have no wildcards, and don't allow listing. The operator's allows listing the mount,
and has wildcards for `secretops purge` and `secretops audit --value-of`. Doctor's allows reading every policy.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from secretops.manifest import Secret
from secretops.platforms.vault.location import VaultIssuer, VaultLogin

from .args import DOCTOR, LEASE, OPERATOR, PENDING, ROTATOR, SERVER, Names

# The first write to a path requires create, each further write requires update.
DATA_CAPABILITIES = ("create", "read", "update")
# secretops changes metadata by patch. Writing the first metadata requires create and update.
METADATA_CAPABILITIES = ("create", "read", "update", "patch")


class Right(NamedTuple):
    """Capabilities on one path, and the reason for them."""

    path: str
    may: tuple[str, ...]
    why: str


def own_token() -> Iterator[Right]:
    """Yield a token's rights on itself. They are fewer than those of Vault's policy `default`, which the stack's tokens
    don't have."""
    yield Right("auth/token/lookup-self", ("read",), "look up this token's lifetime")
    yield Right("auth/token/renew-self", ("update",), "renew this token")
    yield Right("auth/token/revoke-self", ("update",), "revoke this token")


def of_server(names: Names, secrets: Sequence[str], *, polls: bool) -> Iterator[Right]:
    """Yield the rights to read current values. With `polls`, also their metadata, which shows new versions without the
    values."""
    for secret in secrets:
        yield Right(f"{names.base}/data/{secret}", ("read",), f"the server uses {secret}")
        if polls:
            yield Right(f"{names.base}/metadata/{secret}", ("read",), "check for a newer version")
    yield from own_token()


def of_rotator(names: Names, secrets: Sequence[Secret]) -> Iterator[Right]:
    yield from _rights_on_secrets(names, secrets)
    yield from own_token()


def of_operator(names: Names, secrets: Sequence[Secret], logins: Sequence[VaultLogin]) -> Iterator[Right]:
    """Yield the rotator's rights, and rights to purge secrets, to create secret ids for logins, and to check the
    stack."""
    yield from _rights_on_secrets(names, secrets, purges=True)
    for path in ("", PENDING):
        yield Right(f"{names.base}/metadata/{path}", ("list",), "list entries (secretops doctor)")
        yield Right(
            f"{names.base}/metadata/{path}+", ("read", "delete"), "purge secrets that are no longer in the stack"
        )
    yield Right(f"{names.base}/metadata/{ROTATOR}/", ("list",), "list entries (secretops doctor)")
    yield Right("sys/audit-hash/*", ("create", "update"), "find who got a value (secretops audit --value-of)")
    yield Right(f"sys/mounts/{names.base}", ("read",), "check it (secretops doctor)")
    yield Right(f"{names.base}/config", ("read",), "check it (secretops doctor)")
    yield Right("sys/audit", ("read", "sudo"), "check it (secretops doctor)")
    for who in (SERVER, ROTATOR, OPERATOR, DOCTOR):
        yield Right(f"sys/policies/acl/{names.of(who)}", ("read",), "compare it (secretops doctor)")
    for login in logins:
        role = f"auth/{login.mount}/role/{login.role}"
        yield Right(role, ("read",), "check it (secretops doctor)")
        if login.method == "approle":
            yield Right(f"{role}/secret-id", ("create", "update", "list"), "create a secret id")
            yield Right(f"{role}/custom-secret-id", ("create", "update"), "register an existing secret id")
            yield Right(f"{role}/secret-id-accessor/lookup", ("create", "update"), "read when a secret id expires")
            for gone in ("secret-id/destroy", "secret-id-accessor/destroy"):
                yield Right(f"{role}/{gone}", ("update",), "revoke a secret id")
    yield Right(f"sys/policies/password/{names.base}/generate", ("read",), "generate a first password")
    yield from own_token()


def of_doctor() -> Iterator[Right]:
    """Yield the rights to read every policy: other teams' policies may grant access to the stack's mount."""
    for path, may in (("sys/policies/acl", ("list",)), ("sys/policies/acl/*", ("read",))):
        yield Right(path, may, "find others who may read the stack's secrets (secretops doctor)")


def _rights_on_secrets(names: Names, secrets: Sequence[Secret], *, purges: bool = False) -> Iterator[Right]:
    mount = names.base
    for secret in secrets:
        for path, what in ((secret.name, "the current version"), (f"{PENDING}{secret.name}", "the pending version")):
            # A pending path is deleted with its metadata.
            gone = ("delete",) if purges or path.startswith(PENDING) else ()
            yield Right(f"{mount}/data/{path}", DATA_CAPABILITIES, f"{secret.name}: {what}")
            yield Right(
                f"{mount}/metadata/{path}", (*METADATA_CAPABILITIES, *gone), "read and write facts about versions"
            )
        yield Right(f"{mount}/destroy/{secret.name}", ("update",), "destroy older versions")
        if purges:
            yield Right(f"{mount}/delete/{secret.name}", ("update",), "undo a change by hand (bao kv delete)")
            yield Right(f"{mount}/undelete/{secret.name}", ("update",), "restore a version (bao kv undelete)")
        if isinstance(secret.issuer, VaultIssuer):
            path = f"{secret.issuer.mount}/sign/{secret.issuer.role}"
            yield Right(path, ("update",), f"{secret.name}: request a signature by Vault's CA")
    yield Right(f"{mount}/data/{LEASE}", DATA_CAPABILITIES, "one rotation at a time")
    yield Right(f"{mount}/metadata/{LEASE}", METADATA_CAPABILITIES, "read and write the list of the stack's secrets")


def document(rights: Iterable[Right]) -> str:
    """Return the policy as HCL. Rights on the same path are merged, because Vault would apply only one of them."""
    found: dict[str, tuple[str, dict[str, None]]] = {}
    for right in rights:
        found.setdefault(right.path, (right.why, {}))[1].update(dict.fromkeys(right.may))
    return "".join(
        f"# {why}\npath {json.dumps(path)} {{\n  capabilities = {json.dumps([*may])}\n}}\n"
        for path, (why, may) in found.items()
    )


# Vault's password policy. Passwords have only letters and digits, since they are part of a broker's commands.
PASSWORDS = "length = 40\n\n" + "".join(
    f'rule "charset" {{\n  charset   = "{characters}"\n  min-chars = 1\n}}\n'
    for characters in (string.ascii_lowercase, string.ascii_uppercase, string.digits)
)
