"""Detect secret values in a stack file. They are rejected, and never printed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..core import registry
from .problems import Problem

_KEYS = (
    r"(passw(or)?ds?|pass(phrase)?s?|pwd|secrets?|tokens?|credentials?|auths?|dockerconfigjson|connection[_-]?string"
    r"|(api|private|client|access|secret|agent|shared|account)[_-]?keys?([_-]data)?)"
)

# A key whose entry is a secret value, whatever the entry looks like.
_SAYS_SECRET = re.compile(rf"passw|pwd|secret|token|credential|{_KEYS}$", re.IGNORECASE)

# A key of another program's configuration: aws:secretKey, but not aws:skipCredentialsValidation.
_ENDS_AS_SECRET = re.compile(rf"{_KEYS}$", re.IGNORECASE)

# Text that is a secret value under any key.
_IS_SECRET = re.compile(
    r"-----BEGIN "  # PEM
    r"|\b(do[opr]_v1_|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|hv[sb]\.|AKIA[0-9A-Z]{12}|eyJ[\w-]{8,4096}\.)"  # tokens
    rf"|(?<![\w-]){_KEYS}(\s*=|[\"']\s*:|:\s)\s*[^\s&;,]",  # password=..., "auth": "...", token: ...
    re.IGNORECASE,
)

# A URL with a login before its host. The atomic group keeps the search of a long text linear.
_IS_URL_WITH_LOGIN = re.compile(r"(?<!\S)(?>\S*?[a-z0-9+.-]://)\S*@", re.IGNORECASE)
_IS_URL_OF_LOGIN = re.compile(r"[a-z0-9+.-]://([^\s/?#]*@|[^\s/?#@:]*:(?!\d{1,5}([/?#\s]|$)))", re.IGNORECASE)

# A login before a host. An image with its digest does not match.
_IS_LOGIN = re.compile(r"^[^\s/:@]+:\S+@(?!sha256:)")

# Keys whose entries may contain a colon and an @ although they are no logins: users of a cluster
# (oidc:alice@example.com, ISSUER#alice@example.com), contexts, topics, subjects of tokens. In these entries, only an @
# before a URL's path marks a login.
_NAMES_WITH_AT = re.compile(r"^(store\.(operators\.|jwt\.(server|rotator)$)|server\.context$|broker\.topics\.)")

_SECRET_OF = (
    (re.compile(r"admin", re.IGNORECASE), "broker-admin"),
    (re.compile(r"api|agent|token", re.IGNORECASE), "agent-key"),
    (re.compile(r"private|client|cert|pem", re.IGNORECASE), "client-cert"),
    (re.compile(r"broker|mqtt|pass", re.IGNORECASE), "mqtt"),
)

# Keys that contain "secret" although their entries are names.
_NAMES = frozenset({"pull_secrets"})


# Maximum number of characters of a key that an error prints.
_LONGEST_KEY = 60


@lru_cache(maxsize=256)  # 1,000 secrets have the same keys
def shown_key(key: str) -> str:
    """Return a key for an error message; "(not shown)" if it looks like a secret value."""
    if _IS_SECRET.search(key) or _IS_URL_WITH_LOGIN.search(key) or _IS_LOGIN.search(key) or looks_random(key):
        return "(not shown)"
    return key if len(key) <= _LONGEST_KEY else f"{key[:_LONGEST_KEY]}..."


def secret_meant(text: str) -> str | None:
    """Return the name of the secret that a key or its path probably means, or None."""
    return next((secret for pattern, secret in _SECRET_OF if pattern.search(text)), None)


def says_secret(key: str) -> bool:
    """Return whether a key's name shows that its entry is a secret value."""
    return key not in _NAMES and bool(_SAYS_SECRET.search(key))


def values_in(where: str, entry: Any, *, secret: bool = False, kind: object = None) -> Iterator[Problem]:
    """Yield a problem for each entry at or below `where` that looks like a secret value. No problem contains the value.

    `secret` is True if the entry's key shows that the entry is a secret value. `kind` is the kind of the section.
    """
    if isinstance(entry, Mapping):
        kind = kind or entry.get("kind")
        for name, inner in entry.items():
            yield from values_in(f"{where}.{shown_key(name)}", inner, secret=says_secret(name), kind=kind)
    elif isinstance(entry, list):
        for at, inner in enumerate(entry):
            yield from values_in(f"{where}.{at}", inner, secret=secret, kind=kind)
    elif entry not in (None, "") and (
        (secret and not _measures(where, entry)) or (isinstance(entry, str) and _looks_secret(where, entry))
    ):
        yield _value(where, _NOT_SHOWN, pem="-----BEGIN " in str(entry), kind=kind)


def _looks_secret(where: str, text: str) -> bool:
    if _NAMES_WITH_AT.search(where):
        return bool(_IS_SECRET.search(text) or _IS_URL_OF_LOGIN.search(text))
    return bool(_IS_SECRET.search(text) or _IS_URL_WITH_LOGIN.search(text) or _IS_LOGIN.search(text))


# A text with fewer characters, or without a part of this length between separators, is no generated value.
_SHORTEST, _SHORTEST_PART = 20, 12

_SEPARATORS = re.compile(r"[-._:/\s]+")
_WORD = re.compile(r"[a-z]{3,16}|[A-Z]{3,16}|[A-Z][a-z]{2,15}")

# The last character of each run of capital letters, digits, or lower-case letters with a capital before them. In names
# such as PlantBroker2, at most one in four characters ends a run; in generated values, one in two or three.
_CHANGE = re.compile(r"[a-z](?![a-z])|[0-9](?![0-9])|[A-Z](?![A-Za-z])|[^A-Za-z0-9]")

# A GUID is an id, and not a secret value.
_GUID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)


def looks_random(text: str) -> bool:
    """Return whether a text has at least 20 characters, contains few words, and mixes letters and digits."""
    if len(text) < _SHORTEST:
        return False
    parts = _SEPARATORS.split(_GUID.sub("guid", text))
    size = sum(map(len, parts))
    words = sum(len(part) for part in parts if _WORD.fullmatch(part))
    if max(map(len, parts)) < _SHORTEST_PART or 8 * words >= size:
        return False
    changes = sum(len(_CHANGE.findall(part)) - 1 for part in parts if part)
    return 6 * changes >= size


def values_of_others(entries: Mapping[str, str], encrypted: Collection[str]) -> Iterator[Problem]:
    """Yield a problem for each key of a provider, such as aws:secretKey, whose text is a secret value.

    `encrypted` has the keys with a `secure:` entry.
    """
    for key, text in entries.items():
        secret = bool(_ENDS_AS_SECRET.search(key)) and text not in ("", "true", "false")
        if secret or key in encrypted or _looks_secret(key, text):
            yield Problem(
                f"{shown_key(key)}: {_NOT_SHOWN}",
                _NO_VALUE,
                f"{_REPLACE} pass the value to the provider in its environment variables or files",
                code="secret-value",
            )


# Maximum number of characters of an address or a name in an error.
_LONGEST_NAME = 120

_PORT_AND_REST = r"(:\d{1,5})?)(?P<rest>[/?#].*)?"
_URL = re.compile(r"(?P<begin>[a-z][a-z0-9+.-]{1,11}://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])" + _PORT_AND_REST)
# Without a scheme, a host must have a dot and a top-level domain: a single word may be a secret value.
_BARE_HOST = re.compile(r"(?P<begin>([a-z0-9_-]+\.)+[a-z]{2,}" + _PORT_AND_REST)
_IPV4 = r"\d{1,3}(\.\d{1,3}){3}"
_IPV4_NETWORK = re.compile(rf"(?P<begin>{_IPV4}([/-]({_IPV4}|\d{{1,3}})|:\d{{1,5}})?)(?P<rest>)")
# What precedes a name: the service, region and account of an ARN, or the start of an Azure resource id.
_NAMESPACE = re.compile(
    r"(?P<begin>arn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]*:\d{0,12}:|/subscriptions/)(?P<rest>[\w+=,.@:/()-]*)", re.ASCII
)

# Ids of network resources on AWS, which are often confused with one another.
_NETWORK_ID = re.compile(r"(acl|eni|igw|nat|rtb|sg|subnet|vpc|vpce)-([0-9a-f]{8}|[0-9a-f]{17})")


def shown_name(text: str, *, host: bool = False) -> str | None:
    """Return an address, an ARN or a resource id for an error message; None for other text.

    It omits paths and queries of URLs, and parts that look random. With `host`, a host name needs no scheme.
    """
    forms = (_URL, _IPV4_NETWORK, _NAMESPACE, *([_BARE_HOST] if host else []))
    found = next((match for form in forms if (match := form.fullmatch(text))), None)
    if found is None or looks_random(found["begin"]):
        return text if found is None and (_NETWORK_ID.fullmatch(text) or _is_ipv6(text)) else None
    if found["rest"] in (None, "", "/"):
        return text
    if found.re is not _NAMESPACE or looks_random(found["rest"]):
        return f"{found['begin']}..."
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Interface(text)
    except ValueError:
        return False
    return True


_MEASURE = re.compile(r"_(days|hours|minutes|seconds)$")


def _measures(where: str, entry: Any) -> bool:
    # password_days is a number of days, not a password
    return isinstance(entry, int) and not isinstance(entry, bool) and bool(_MEASURE.search(where))


def encrypted_entry(section: str) -> Problem:
    return _value(section, "an encrypted entry (secure:)")


_NO_VALUE = "a secret value must not be in a stack file, even encrypted: Pulumi would store the value in its state"
_REPLACE = "remove the entry; if it was committed, or Pulumi has read it, create a new secret value in its place; then"
_NOT_SHOWN = "an entry that looks like a secret value (not shown)"


def _value(where: str, found: str, *, pem: bool = False, kind: object = None) -> Problem:
    ways = registry.platform_of("store", str(kind)).value_remedies if kind in registry.kinds("store") else {}
    way = next((way for pattern, way in ways.items() if re.search(pattern, where)), None)
    other = "write the path of the file with the new value" if way and pem else way
    section, *keys = where.split(".")
    is_declared = section == "secrets" and len(keys) > 1
    name = keys[0] if is_declared else secret_meant("pem" if pem else where) or "NAME"
    next_step = other or f"supply the value: secretops put {name}"
    return Problem(f"{where}: {found}", _NO_VALUE, f"{_REPLACE} {next_step}", code="secret-value")
