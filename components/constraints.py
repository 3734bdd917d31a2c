"""What a setting's text or number has to be: a validator each, which knows the rule and the remedy."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from components.problems import shown


def matching(
    pattern: str, rule: str, remedy: str, *, meant: Callable[[str], str | None] = lambda _: None
) -> AfterValidator:
    """For a setting's type: text that `pattern` describes to a machine, and `rule` to a person.

    `meant` is the remedy for a text that is wrong in a way that many get it wrong.
    """

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": meant(text) or remedy})
        return text

    return AfterValidator(check)


def no_number(rule: str, remedy: str) -> BeforeValidator:
    """For a setting's type: digits that are text. What YAML made of them without quotes is not what the file says."""

    def check(entry: Any) -> Any:
        if isinstance(entry, int | float) and not isinstance(entry, bool):
            raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": remedy, "shown": "a number"})
        return entry

    return BeforeValidator(check)


def between(low: int, high: int, unit: str) -> AfterValidator:
    """For a setting's type: a number of `unit` from `low` to `high`, both included."""

    def check(number: int) -> int:
        if not low <= number <= high:
            rule = f"from {low} to {high} {unit}".rstrip()
            raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": "name a number in that range"})
        return number

    return AfterValidator(check)


def one_of(numbers: Sequence[int], unit: str) -> AfterValidator:
    """For a setting's type: one of `numbers`, of `unit`, which rise. The remedy never names less than was asked."""

    def check(number: int) -> int:
        if number not in numbers:
            rule = f"one of {', '.join(map(str, numbers))} {unit}"
            remedy = f"write {next((known for known in numbers if known > number), numbers[-1])}"
            raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": remedy})
        return number

    return AfterValidator(check)


def network(text: str) -> str:
    """For a setting's type: a network in CIDR notation, its host bits zero."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        rule = "a network in CIDR notation, its host bits zero"
        raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": "write it like 10.20.0.0/16"}) from None
    return text


_LARGEST_OF_CLIENTS = 8
"""Prefix: whoever has so many addresses owns all of them."""


def network_of_clients(text: str) -> str:
    """For a setting's type: a network as above, which is not everybody's. Two halves of all addresses are all."""
    rule = "a network in CIDR notation, its host bits zero, and not everybody's: from /8 on"
    try:
        everybody = ipaddress.ip_network(text).prefixlen < _LARGEST_OF_CLIENTS
    except ValueError:
        everybody = True
    if everybody:
        raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": "write it like 10.20.0.0/16"})
    return text


_PRIVATE = tuple(ipaddress.IPv4Network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
"""RFC 1918."""

_LARGEST, _SMALLEST, _ONE = 8, 30, 32
"""Prefixes: of the networks that Azure's firewalls take, and of an address (Azure Storage, IP network rules)."""


def public_addresses(text: str) -> str:
    """For a setting's type: an IPv4 address of the internet, or a network of them, its host bits zero."""
    rule, remedy = (
        "a public IPv4 address, or a network of them from /8 to /30",
        "write it like 203.0.113.7 or 203.0.113.0/28",
    )
    try:
        given = ipaddress.IPv4Network(text)
    except ValueError:
        raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": remedy}) from None
    if any(given.subnet_of(one) for one in _PRIVATE):
        rule, remedy = (
            "an address of the internet, and this one is a private network's",
            "name a subnet, or a private endpoint",
        )
    elif _LARGEST <= given.prefixlen <= _SMALLEST or (given.prefixlen == _ONE and "/" not in text):
        return text
    raise PydanticCustomError("told", "{rule}", {"rule": rule, "remedy": remedy})


def distinct(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    """For a setting's type: a list that names nothing twice."""
    twice = next((entry for at, entry in enumerate(entries) if entry in entries[:at]), None)
    if twice is not None:
        context = {
            "rule": "each entry once",
            "remedy": "take out what is there twice",
            "shown": f"{shown(twice)} twice",
        }
        raise PydanticCustomError("told", "{rule}", context)
    return entries
