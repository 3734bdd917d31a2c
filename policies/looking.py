"""How a rule looks at a property: at any depth, and where it may not be known yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from policies.rule import UNKNOWN, Finding, Plan, Resource

LEAST_BITS = 8
"""Bits of a range of addresses at least: whoever has so many owns all of them."""


def at(entry: Any, *path: str) -> Any:
    """What lies at `path`. None where nothing does; UNKNOWN below what is not known yet."""
    for step in path:
        if entry is UNKNOWN:
            return UNKNOWN
        entry = entry.get(step) if isinstance(entry, Mapping) else None
    return entry


def each(entry: Any) -> Iterator[Any]:
    """The members of a list, none of one that is not there. One that is not known has one that is not known."""
    if entry is UNKNOWN:
        yield UNKNOWN
    elif isinstance(entry, list):
        yield from entry


def known(entry: Any) -> bool:
    """Whether it is known at every depth."""
    if isinstance(entry, Mapping):
        return all(known(inner) for inner in entry.values())
    if isinstance(entry, list | tuple):
        return all(known(inner) for inner in entry)
    return entry is not UNKNOWN


def judge(of: Resource | Plan, entry: Any, keeps: Callable[[Any], bool], what: str, wrong: str) -> Iterator[Finding]:
    """Nothing where `entry` keeps to the rule. `what` it is, and what is `wrong` with it, make a sentence."""
    if not known(entry):
        yield Finding(of.urn, f"{what} is known after pulumi up", unknown=True)
    elif not keeps(entry):
        yield Finding(of.urn, f"{what} {wrong}")


def listed(entry: Any) -> list[Any]:
    """A list as it is; anything else is an empty one."""
    return entry if isinstance(entry, list) else []


def everywhere(cidr: Any) -> bool:
    """Whether a range is everybody's, or a large part of it: two halves are all. A text that is no range may be."""
    if not isinstance(cidr, str):
        return False
    try:
        return ip_network(cidr, strict=False).prefixlen < LEAST_BITS
    except ValueError:
        return True


def says(entry: Any, *texts: str) -> bool:
    """Whether it is a text and has one of `texts` in it."""
    return isinstance(entry, str) and any(text in entry for text in texts)
