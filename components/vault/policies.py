"""The policies of server, rotator, operator and doctor; tests/unit/golden/vault-policies.txt shows all of them.

Server and rotator may list nothing, and their paths have no wildcard. An operator's do: they find what left the stack.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from secretops.manifest import Secret
from secretops.platforms.vault.location import VaultIssuer, VaultLogin

from .names import DOCTOR, LEASE, OPERATOR, PENDING, ROTATOR, SERVER, Names

# On data: the first value of a path is a create, each next one an update.
KEEPS = ("create", "read", "update")
# On metadata: secretops changes its notes of versions by patch, and makes the first by an update.
NOTES = ("create", "read", "update", "patch")


@dataclass(frozen=True, kw_only=True)
class Right:
    """Capabilities on one path, and their reason."""

    path: str
    may: tuple[str, ...]
    why: str


def own_token() -> Iterator[Right]:
    """Yield what a holder needs of its own token. The policy `default` has more, and no token of the stack has it."""
    yield Right(path="auth/token/lookup-self", may=("read",), why="how long its own token is good")
    yield Right(path="auth/token/renew-self", may=("update",), why="renew it")
    yield Right(path="auth/token/revoke-self", may=("update",), why="give it back")


def of_server(names: Names, secrets: Sequence[str], *, polls: bool) -> Iterator[Right]:
    """Yield rights to read current values. `polls`: it checks metadata for a newer version, without a value."""
    for secret in secrets:
        yield Right(path=f"{names.base}/data/{secret}", may=("read",), why=f"the server uses {secret}")
        if polls:
            yield Right(path=f"{names.base}/metadata/{secret}", may=("read",), why="whether there is a newer version")
    yield from own_token()


def of_rotator(names: Names, secrets: Sequence[Secret]) -> Iterator[Right]:
    """Yield rights to read, write and destroy each path by its name, and to hold the lease."""
    yield from _keeping(names, secrets)
    yield from own_token()


def of_operator(names: Names, secrets: Sequence[Secret], logins: Sequence[VaultLogin]) -> Iterator[Right]:
    """Yield the rotator's rights; to purge, to let server and rotator log in, and to check what the stack made."""
    yield from _keeping(names, secrets, purges=True)
    for path in ("", PENDING):
        yield Right(path=f"{names.base}/metadata/{path}", may=("list",), why="what else lies there (secretops doctor)")
        yield Right(path=f"{names.base}/metadata/{path}+", may=("read", "delete"), why="purge what left the stack")
    yield Right(path=f"{names.base}/metadata/{ROTATOR}/", may=("list",), why="what else lies there (secretops doctor)")
    yield Right(path="sys/audit-hash/*", may=("create", "update"), why="secretops audit --given asks who got a value")
    for path, may in (
        (f"sys/mounts/{names.base}", ("read",)),
        (f"{names.base}/config", ("read",)),
        ("sys/audit", ("read", "sudo")),
    ):
        yield Right(path=path, may=may, why="secretops doctor looks at it")
    for who in (SERVER, ROTATOR, OPERATOR, DOCTOR):
        yield Right(path=f"sys/policies/acl/{names.of(who)}", may=("read",), why="secretops doctor compares it")
    for login in logins:
        role = f"auth/{login.mount}/role/{login.role}"
        yield Right(path=role, may=("read",), why="secretops doctor looks at it")
        if login.method == "approle":
            lookup = f"{role}/secret-id-accessor/lookup"
            yield Right(path=f"{role}/secret-id", may=("create", "update", "list"), why="make a secret id")
            yield Right(path=f"{role}/custom-secret-id", may=("create", "update"), why="take one that is there already")
            yield Right(path=lookup, may=("create", "update"), why="until when a secret id is good")
            for gone in ("secret-id/destroy", "secret-id-accessor/destroy"):
                yield Right(path=f"{role}/{gone}", may=("update",), why="take a secret id away")
    generate = f"sys/policies/password/{names.base}/generate"
    yield Right(path=generate, may=("read",), why="make a first password")
    yield from own_token()


def of_doctor() -> Iterator[Right]:
    """Return the right to read every policy of the server, to find those of other teams that reach the mount."""
    for path, may in (("sys/policies/acl", ("list",)), ("sys/policies/acl/*", ("read",))):
        yield Right(path=path, may=may, why="who else may read the stack's secrets (secretops doctor)")


def _keeping(names: Names, secrets: Sequence[Secret], *, purges: bool = False) -> Iterator[Right]:
    mount = names.base
    for secret in secrets:
        for path, what in ((secret.name, "what is current"), (f"{PENDING}{secret.name}", "what is not proven yet")):
            gone = ("delete",) if purges or path.startswith(PENDING) else ()  # what was pending goes whole
            yield Right(path=f"{mount}/data/{path}", may=KEEPS, why=f"{secret.name}: {what}")
            yield Right(path=f"{mount}/metadata/{path}", may=(*NOTES, *gone), why="what secretops notes of versions")
        yield Right(path=f"{mount}/destroy/{secret.name}", may=("update",), why="older versions are destroyed")
        if isinstance(secret.issuer, VaultIssuer):
            path = f"{secret.issuer.mount}/sign/{secret.issuer.role}"
            yield Right(path=path, may=("update",), why=f"{secret.name}: have it signed, by a key that stays here")
    yield Right(path=f"{mount}/data/{LEASE}", may=KEEPS, why="one rotation at a time")
    yield Right(path=f"{mount}/metadata/{LEASE}", may=NOTES, why="the names of the secrets that are kept")


def document(rights: Iterable[Right]) -> str:
    """Return a policy of Vault in HCL. Rights on one path are merged: of two rules for it Vault would take one."""
    found: dict[str, tuple[str, dict[str, None]]] = {}
    for right in rights:
        found.setdefault(right.path, (right.why, {}))[1].update(dict.fromkeys(right.may))
    return "".join(
        f"# {why}\npath {json.dumps(path)} {{\n  capabilities = {json.dumps([*may])}\n}}\n"
        for path, (why, may) in found.items()
    )


# As secretops makes passwords: letters and digits, since they pass through a broker's commands.
PASSWORDS = "length = 40\n\n" + "".join(
    f'rule "charset" {{\n  charset   = "{characters}"\n  min-chars = 1\n}}\n'
    for characters in (string.ascii_lowercase, string.ascii_uppercase, string.digits)
)
