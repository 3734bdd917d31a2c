"""Validators for the types of settings, each with its rule and remedy."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from .plain_values import looks_random, shown_name

# Name of the attribute of a validator's function that contains its JSON Schema keywords.
KEYWORDS = "keywords"


def refused(rule: str, remedy: str, *, shown: str | None = None, code: str = "invalid-entry") -> PydanticCustomError:
    """Return the error that a validator raises. `shown` is printed in place of the entry."""
    context = {"rule": rule, "remedy": remedy, "code": code} | ({"shown": shown} if shown else {})
    return PydanticCustomError("refused", "{rule}", context)


def no_value(text: str) -> str:
    """Return `text`. Raise an error if it looks like the output of a password generator."""
    if looks_random(text):
        raise refused(
            "a secret value must not be in the stack file: Pulumi would store the value in its state",
            "if the entry is a name, use a name made of words; else remove the entry, create a new secret value if the "
            "entry was committed or Pulumi has read it, and run: secretops put NAME",
            shown="an entry that looks like a secret value (not shown)",
            code="secret-value",
        )
    return text


def validator(check: Callable[[Any], Any], keywords: Mapping[str, Any]) -> AfterValidator:
    """Return a validator that calls `check`. `keywords` express its rule in JSON Schema, as far as possible
    (tools/stack_file_schema.py)."""
    vars(check)[KEYWORDS] = keywords
    return AfterValidator(check)


def parsed(
    parse: Callable[[str], str],
    rule: str,
    remedy: str,
    *,
    meant: Callable[[str], str | None] = lambda _: None,
    is_id: bool = False,
    is_host: bool = False,
    keywords: Mapping[str, Any] = MappingProxyType({}),
) -> AfterValidator:
    """Return a validator that replaces text by `parse(text)`. `parse` raises ValueError for invalid text.

    `meant` returns the remedy for a frequent mistake. With `is_id`, the text may look random, since a machine generates
    it. With `is_host`, an error may print the text if it is the name of a host. `keywords` is as for `validator`.
    """

    def check(text: str) -> str:
        try:
            found = parse(text)
        except ValueError:
            raise refused(rule, meant(text) or remedy, shown=shown_name(text, host=True) if is_host else None) from None
        return found if is_id else no_value(found)

    # A keyword of VS Code. The YAML language server shows its text instead of the pattern.
    message = {"patternErrorMessage": rule} if "pattern" in keywords else {}
    return validator(check, {**keywords, **message})


# Patterns in the JSON Schema for text that a function checks. Each matches all valid text, and some invalid text.
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_NOT_A_NUMBER = r"(?!(?:.*\.)?(?:[0-9]+|0x[0-9A-Fa-f]*)\.?$)"
IPV4, _IPV6 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", "[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*"
HOST = rf"{_NOT_A_NUMBER}(?:{_LABEL}\.)*{_LABEL}\.?|{IPV4}|{_IPV6}"
URL = rf"[Hh][Tt][Tt][Pp][Ss]://(?:{_NOT_A_NUMBER}(?:{_LABEL}\.)*{_LABEL}\.?|{IPV4}|\[{_IPV6}\])(?::[1-9][0-9]{{0,3}}|:[1-6][0-9]{{4}})?/?"
URL_WITH_PATH = rf"{URL}(?:/.*)?"
NETWORK = rf"{IPV4}/(?:[0-9]|[12][0-9]|3[0-2])|{_IPV6}/(?:0|[1-9][0-9]{{0,2}})"
GUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
ONE_LINE = r"\S(?:.*\S)?"

# Groups with flags, which JSON Schema's patterns can't have; and character classes, which JSON Schema may not limit to
# ASCII.
_FLAGS, _CLASSES = re.compile(r"\(\?[a-z]+:"), re.compile(r"\[.*?\]|\\[wd]")


def whole(pattern: str) -> dict[str, str]:
    r"""Return JSON Schema's keyword for text that matches the whole `pattern`, with \d and \w spelled out in ASCII."""

    def spelled(found: re.Match[str]) -> str:
        letters = found[0].replace(r"\w", "A-Za-z0-9_").replace(r"\d", "0-9")
        return letters if letters.startswith("[") else f"[{letters}]"

    return {"pattern": f"^(?:{_CLASSES.sub(spelled, pattern)})$"}


def satisfying(
    good: Callable[[str], object],
    rule: str,
    remedy: str,
    *,
    meant: Callable[[str], str | None] = lambda _: None,
    is_id: bool = False,
    keywords: Mapping[str, Any] = MappingProxyType({}),
) -> AfterValidator:
    """Return a validator that accepts text for which `good` returns a true value."""

    def parse(text: str) -> str:
        if not good(text):
            raise ValueError
        return text

    return parsed(parse, rule, remedy, meant=meant, is_id=is_id, keywords=keywords)


def matching(
    pattern: str,
    rule: str,
    remedy: str,
    *,
    meant: Callable[[str], str | None] = lambda _: None,
    is_id: bool = False,
) -> AfterValidator:
    r"""Return a validator for text that matches the whole `pattern`, in which \d and \w are ASCII."""
    keywords = {} if _FLAGS.search(pattern) else whole(pattern)
    good = lambda text: re.fullmatch(pattern, text, re.ASCII)  # noqa: E731
    return satisfying(good, rule, remedy, meant=meant, is_id=is_id, keywords=keywords)


def is_one_line(text: str) -> bool:
    """Return whether `text` is printable, not empty, and without spaces around it."""
    return bool(text) and text.isprintable() and text == text.strip()


def parse_guid(text: str) -> str:
    """Return a GUID in lower case. Raises ValueError for another form of it."""
    if (found := str(uuid.UUID(text))) != text.lower():
        raise ValueError
    return found


def no_number(rule: str, remedy: str) -> BeforeValidator:
    """Return a validator that rejects a number where digits in quotes are required."""

    def check(entry: Any) -> Any:
        if isinstance(entry, int | float) and not isinstance(entry, bool):
            raise refused(rule, remedy, shown="a number")
        return entry

    return BeforeValidator(check)


def between(low: int, high: int, unit: str) -> AfterValidator:
    """Return a validator for a number of `unit` from `low` to `high`, both included."""

    def check(number: int) -> int:
        if not low <= number <= high:
            rule = f"from {low} to {high} {unit}" if unit else f"from {low} to {high}"
            raise refused(rule, f"write a number from {low} to {high}", code="out-of-range")
        return number

    return validator(check, {"minimum": low, "maximum": high})


def one_of(numbers: Sequence[int], unit: str) -> AfterValidator:
    """Return a validator that accepts one of `numbers`, which are in ascending order. The remedy suggests the next
    larger number."""

    def check(number: int) -> int:
        if number not in numbers:
            nearest = next((known for known in numbers if known > number), numbers[-1])
            raise refused(f"one of {', '.join(map(str, numbers))} {unit}", f"write {nearest}", code="out-of-range")
        return number

    return validator(check, {"enum": list(numbers)})


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _parse_network(text: str) -> Network:
    found = ipaddress.ip_network(text)
    if text.partition("/")[2] != str(found.prefixlen) or "%" in text:
        raise ValueError
    if isinstance(found, ipaddress.IPv6Network) and found.network_address.ipv4_mapped:
        raise ValueError
    return found


def parse_network(text: str) -> str:
    """Return `text`, a network in CIDR notation. Raises ValueError for other text."""
    return str(_parse_network(text))


def network_meant(text: str) -> str | None:
    """Return the remedy for a network without prefix length, with a netmask or with host bits; None for other text."""
    try:
        return f"write {ipaddress.ip_interface(text.partition('%')[0]).network}"
    except ValueError:
        return None


# Prefix lengths of the largest networks that one organization may have: /8 for IPv4, /16 for IPv6. Unique local IPv6
# addresses (RFC 4193) always belong to one organization.
_LARGEST_IPV4, _LARGEST_IPV6 = 8, 16
_UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")


def parse_network_of_clients(text: str) -> str:
    """Return a network in CIDR notation. Raises ValueError, also for a network too large for one organization."""
    found = _parse_network(text)
    if isinstance(found, ipaddress.IPv4Network):
        everybody = found.prefixlen < _LARGEST_IPV4
    else:
        everybody = found.prefixlen < _LARGEST_IPV6 and not found.subnet_of(_UNIQUE_LOCAL)
    if everybody:
        raise ValueError
    return str(found)


# Private networks (RFC 1918).
_PRIVATE = tuple(ipaddress.IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))

# Prefix lengths: the shortest and the longest that Azure's firewalls accept for a network (Azure Storage, IP network
# rules), and that of a single address.
_LARGEST, _SMALLEST, _ADDRESS = 8, 30, 32


def public_addresses(text: str) -> str:
    """Return `text` if it is a public IPv4 address, or a network of such addresses without host bits."""
    rule, remedy = (
        "a public IPv4 address, or a network of public IPv4 addresses from /8 to /30",
        "for example 203.0.113.7 or 203.0.113.0/28",
    )
    try:
        found = ipaddress.IPv4Interface(text).network
    except ValueError:
        raise refused(rule, remedy, shown=shown_name(text, host=True)) from None
    meant = str(found.network_address) if found.prefixlen == _ADDRESS else str(found)
    if any(found.subnet_of(private) for private in _PRIVATE):
        rule, remedy = (
            "a public address, and not a private one",
            "remove the entry; write a subnet in network.subnets, or network.private_endpoint",
        )
    elif _LARGEST <= found.prefixlen <= _SMALLEST or found.prefixlen == _ADDRESS:
        if text == meant:
            return text
        rule, remedy = "an address alone, or a network in CIDR notation whose host bits are zero", f"write {meant}"
    raise refused(rule, remedy)


def distinct(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return `entries`. Raise an error if one occurs twice."""
    first: dict[Any, int] = {}
    for at, entry in enumerate(entries):
        if entry in first:
            earlier = first[entry]
            raise refused(
                "each entry must occur only once",
                "remove one of the two",
                shown=f"entries {earlier} and {at} are the same (the first entry is 0)",
                code="duplicate-entry",
            )
        first[entry] = at
    return entries


validator(distinct, {"uniqueItems": True})
