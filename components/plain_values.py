"""Secrets' values in a stack file: what looks like one is refused, and never repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.problems import Problem

_SAYS_SECRET = re.compile(
    r"passw|pass(phrase)?s?$|pwd|secret|token|credential|connection[_-]?string"
    r"|(api|private|client|access|agent|shared)[_-]?keys?$",
    re.IGNORECASE,
)
"""A key whose entry is a value, whatever the entry looks like."""

_IS_SECRET = re.compile(
    r"-----BEGIN "  # PEM
    r"|(?<!\S)(?>\S*?[a-z0-9+.-]://)\S*@"  # somebody's name and password before a host; of a long text looked for once
    r"|\b(do[opr]_v1_|gh[pousr]_|hv[sb]\.|AKIA[0-9A-Z]{12}|eyJ[\w-]{8,4096}\.)",  # tokens by their makers' prefixes
    re.IGNORECASE,
)
"""Text that is a value, wherever it stands."""

_IS_LOGIN = re.compile(r"^[^\s/:@]+:\S+@(?!sha256:)")
"""Somebody's name and password before a host; an image and its digest are not."""

_USERS = "store.operators."
"""Below it a user of the cluster is called oidc:alice@example.com, which reads like a login."""

_SECRET_OF = (
    (re.compile(r"admin", re.IGNORECASE), "broker-admin"),
    (re.compile(r"api|agent|token", re.IGNORECASE), "agent-key"),
    (re.compile(r"private|client|cert|pem", re.IGNORECASE), "client-cert"),
    (re.compile(r"broker|mqtt|pass", re.IGNORECASE), "mqtt"),
)

_OPENS_VAULT = (
    (
        re.compile(r"^store\.(approle|jwt)\."),
        "lay the new one where server or rotator looks for it, as the stack's output next says",
    ),
    (re.compile(r"^store\."), "log in with the new one: bao login or vault login, or VAULT_TOKEN"),
)
"""Where what opens a Vault goes. None of it is a secret of the stack: `secretops put` would hand it to a server."""


_NAMES = frozenset({"pull_secrets"})
"""Keys that say secret, and whose entries are names."""


def secret_meant(text: str) -> str | None:
    """The stack's secret that a key or a place calls otherwise."""
    return next((secret for pattern, secret in _SECRET_OF if pattern.search(text)), None)


def says_secret(key: str) -> bool:
    """Whether what stands at `key` is a secret's value by the name of the key alone."""
    return key not in _NAMES and bool(_SAYS_SECRET.search(key))


def values_in(where: str, entry: Any, *, secret: bool = False, kind: object = None) -> Iterator[Problem]:
    """A problem for each entry below `where` that looks like a secret's value. What it says is never repeated.

    `secret` is what the key above says of it, and `kind` what the whole section is of.
    """
    if isinstance(entry, Mapping):
        kind = kind or entry.get("kind")
        for name, inner in entry.items():
            yield from values_in(f"{where}.{name}", inner, secret=says_secret(name), kind=kind)
    elif isinstance(entry, list):
        for at, inner in enumerate(entry):
            yield from values_in(f"{where}.{at}", inner, secret=secret, kind=kind)
    elif entry not in (None, "") and (
        (secret and not _measures(where, entry)) or (isinstance(entry, str) and _looks_secret(where, entry))
    ):
        yield _value(where, "what looks like a secret's value (not shown)", pem="-----BEGIN " in str(entry), kind=kind)


def _looks_secret(where: str, text: str) -> bool:
    return bool(_IS_SECRET.search(text) or (_IS_LOGIN.search(text) and not where.startswith(_USERS)))


_MEASURE = re.compile(r"_(days|hours|minutes|seconds)$")


def _measures(where: str, entry: Any) -> bool:
    """A number of days is none of a secret, whatever its key calls them: password_days."""
    return isinstance(entry, int) and not isinstance(entry, bool) and bool(_MEASURE.search(where))


def encrypted_entry(section: str) -> Problem:
    """A section with a `secure:` entry."""
    return _value(section, "a secure: entry")


def _value(where: str, found: str, *, pem: bool = False, kind: object = None) -> Problem:
    goes = next((way for pattern, way in _OPENS_VAULT if kind == "vault" and pattern.search(where)), None)
    if goes and pem:
        goes = "name the file that has the new one"
    match where.split("."):
        case ["secrets", declared, _, *_]:
            name = declared
        case _:
            hints = "pem" if pem else where
            name = secret_meant(hints) or "NAME"
    return Problem(
        f"{where}: {found}",
        "no value is configuration, encrypted or not: Pulumi would keep it in its state",
        "take it out, change it if it was ever committed, and "
        + (goes or f"give the new one to: secretops put {name}"),
    )
