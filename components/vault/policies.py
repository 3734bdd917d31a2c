"""Who may what in the server: a policy for each of server, rotator, operator and doctor, and one path for each right.

Server and rotator may list nothing, and no path of theirs has a wildcard. An operator's have: who purges what left the
stack has to find it.
tests/unit/golden/vault-policies.txt shows a reviewer all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secretops.manifest import Secret
from secretops.platforms.vault.location import VaultIssuer, VaultLogin

from .names import DOCTOR, LEASE, OPERATOR, PENDING, ROTATOR, SERVER, Names

KEEPS = ("create", "read", "update")
"""Of data. The first value of a path is a create, and each next one an update."""

NOTES = ("create", "read", "update", "patch")
"""Of metadata: what secretops notes of each version is changed by patch, and the first time by an update."""


@dataclass(frozen=True, kw_only=True)
class Right:
    """What one may on one path, and why."""

    path: str
    may: tuple[str, ...]
    why: str


def own_token() -> Iterator[Right]:
    """What a holder needs of its own token. The policy `default` has more: it is on none of the stack's tokens."""
    yield Right(path="auth/token/lookup-self", may=("read",), why="how long its own token is good")
    yield Right(path="auth/token/renew-self", may=("update",), why="renew it")
    yield Right(path="auth/token/revoke-self", may=("update",), why="give it back")


def of_server(names: Names, secrets: Sequence[str], *, polls: bool) -> Iterator[Right]:
    """To read what is current. Whoever `polls` looks whether there is a newer version, and reads no value for it."""
    for secret in secrets:
        yield Right(path=f"{names.mount}/data/{secret}", may=("read",), why=f"the server uses {secret}")
        if polls:
            yield Right(path=f"{names.mount}/metadata/{secret}", may=("read",), why="whether there is a newer version")
    yield from own_token()


def of_rotator(names: Names, secrets: Sequence[Secret]) -> Iterator[Right]:
    """To write, to look back and to destroy, each path by its name; and to hold the lease."""
    yield from _keeping(names, secrets)
    yield from own_token()


def of_operator(names: Names, secrets: Sequence[Secret], logins: Sequence[VaultLogin]) -> Iterator[Right]:
    """As the rotator; to purge for good, to let server and rotator in, and to look at what the stack made."""
    yield from _keeping(names, secrets, purges=True)
    for path in ("", PENDING):
        yield Right(path=f"{names.mount}/metadata/{path}", may=("list",), why="what else lies there (secretops doctor)")
        yield Right(path=f"{names.mount}/metadata/{path}+", may=("read", "delete"), why="purge what left the stack")
    yield Right(path=f"{names.mount}/metadata/{ROTATOR}/", may=("list",), why="what else lies there (secretops doctor)")
    yield Right(path="sys/audit-hash/*", may=("create", "update"), why="secretops audit --value-of: who got a value")
    for path, may in (
        (f"sys/mounts/{names.mount}", ("read",)),
        (f"{names.mount}/config", ("read",)),
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
    generate = f"sys/policies/password/{names.passwords}/generate"
    yield Right(path=generate, may=("read",), why="make a first password")
    yield from own_token()


def of_doctor() -> Iterator[Right]:
    """Return the right to read every policy of the server, to find those of other teams that reach the mount."""
    for path, may in (("sys/policies/acl", ("list",)), ("sys/policies/acl/*", ("read",))):
        yield Right(path=path, may=may, why="who else may read the stack's secrets (secretops doctor)")


def _keeping(names: Names, secrets: Sequence[Secret], *, purges: bool = False) -> Iterator[Right]:
    mount = names.mount
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


def document(rights: Sequence[Right]) -> str:
    """As a policy of Vault, in HCL. A path that is there twice has the rights of both: Vault takes one of them."""
    together: dict[str, list[Right]] = {}
    for right in rights:
        together.setdefault(right.path, []).append(right)
    return (
        "\n".join(
            f"# {all_of[0].why}\npath {json.dumps(path)} {{\n  capabilities = {json.dumps(_may(all_of))}\n}}"
            for path, all_of in together.items()
        )
        + "\n"
    )


def _may(rights: Sequence[Right]) -> list[str]:
    return list(dict.fromkeys(one for right in rights for one in right.may))


PASSWORDS = """\
length = 40

rule "charset" {
  charset   = "abcdefghijklmnopqrstuvwxyz"
  min-chars = 1
}
rule "charset" {
  charset   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
  min-chars = 1
}
rule "charset" {
  charset   = "0123456789"
  min-chars = 1
}
"""
"""As secretops makes passwords: letters and digits, since they pass through a broker's commands."""
