"""Read properties that may be unknown, and find related resources."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from policies.plan import UNKNOWN, Finding, Plan, Resource, Unknown

# Length of a CIDR range's prefix: a range with a shorter prefix counts as open to the internet.
LEAST_BITS = 8


def at(entry: Any, *path: str) -> Any:
    """Return the entry at `path`, None if it is missing, or UNKNOWN if it or an entry above it is unknown."""
    for step in path:
        if entry is UNKNOWN:
            return UNKNOWN
        entry = entry.get(step) if isinstance(entry, Mapping) else None
    return entry


def select(entry: Any, path: str) -> Iterator[Any]:
    """Yield the entries at a dotted path. `[]` after a key means each member of that list."""
    step, _, rest = path.partition(".")
    inner = at(entry, step.removesuffix("[]"))
    for one in each(inner) if step.endswith("[]") else (inner,):
        if rest:
            yield from select(one, rest)
        else:
            yield one


def each(entry: Any) -> Iterator[Any]:
    """Yield a list's members. Yield nothing for a missing list, and UNKNOWN for an unknown list."""
    if entry is UNKNOWN:
        yield UNKNOWN
    elif isinstance(entry, list):
        yield from entry


def known(entry: Any) -> bool:
    if isinstance(entry, Mapping):
        return all(known(inner) for inner in entry.values())
    if isinstance(entry, list | tuple):
        return all(known(inner) for inner in entry)
    return entry is not UNKNOWN


def judge(of: Resource | Plan, entry: Any, ok: Callable[[Any], bool], what: str, wrong: str) -> Iterator[Finding]:
    """Yield a finding unless `ok(entry)`. Its message is `what` and `wrong`. For an unknown entry, yield an unknown
    finding."""
    if ok is not is_present and not known(entry):
        yield Finding(of.urn, f"{what} is known after pulumi up", unknown=True)
    elif not ok(entry):
        yield Finding(of.urn, f"{what} {wrong}")


def forbidden(wrong: str) -> Callable[[Resource], Iterator[Finding]]:
    return lambda one: iter((Finding(one.urn, wrong),))


def required(wrong: str, *types: str) -> Callable[[Plan], Iterator[Finding]]:
    """Return a check of the plan that requires a resource of one of these types."""
    return lambda plan: iter(() if any(plan.of_type(*types)) else (Finding(plan.urn, wrong),))


def listed(entry: Any) -> list[Any]:
    return entry if isinstance(entry, list) else []


def open_cidr(cidr: Any) -> bool:
    """Return whether a CIDR covers a large part of the internet, or can't be parsed."""
    if not isinstance(cidr, str):
        return False
    try:
        return ip_network(cidr, strict=False).prefixlen < LEAST_BITS
    except ValueError:
        return True


def contains(entry: Any, *texts: str) -> bool:
    return isinstance(entry, str) and any(text in entry for text in texts)


# Conditions for Expect rows.


def is_true(entry: Any) -> bool:
    return entry is True


def is_set(entry: Any) -> bool:
    return bool(entry)


def is_present(entry: Any) -> bool:
    """Accept an entry that is not empty, and an unknown entry, which `pulumi up` judges again."""
    return entry is UNKNOWN or bool(entry)


def not_set(entry: Any) -> bool:
    return not entry


def one_of(*allowed: Any) -> Callable[[Any], bool]:
    """Return a condition that accepts these entries. None means a missing entry."""
    return lambda entry: entry in allowed


def between(least: int, most: int) -> Callable[[Any], bool]:
    return lambda entry: isinstance(entry, int) and not isinstance(entry, bool) and least <= entry <= most


def matches(pattern: str) -> Callable[[Any], bool]:
    """Return a condition that accepts strings that match the whole pattern, in any case."""
    return lambda entry: isinstance(entry, str) and re.fullmatch(pattern, entry, re.IGNORECASE) is not None


# Related resources.


def related(plan: Plan, kind: str, *path: str, ok: Callable[[Any], bool]) -> list[Resource] | Unknown:
    """Return the resources of type `kind` with a property at `path` that `ok` accepts. Return UNKNOWN if `ok`
    accepts none, but a property at `path` is unknown."""
    of_type = [(one, at(one.properties, *path)) for one in plan.of_type(kind)]
    found = [one for one, entry in of_type if entry is not UNKNOWN and ok(entry)]
    return UNKNOWN if not found and any(entry is UNKNOWN for _, entry in of_type) else found


def with_name(plan: Plan, kind: str, *path: str, name: Any) -> list[Resource] | Unknown:
    """Return the resources of type `kind` with `name` at `path`; UNKNOWN for an unknown name."""
    return UNKNOWN if name is UNKNOWN else related(plan, kind, *path, ok=lambda entry: entry == name)


def require(of: Resource, found: list[Resource] | Unknown, what: str, wrong: str) -> Iterator[Finding]:
    """Yield a finding if `found` is empty or unknown: the resource `of` requires `what`. `wrong` is the consequence and
    the remedy."""
    if isinstance(found, Unknown):
        yield Finding(of.urn, f"whether it has {what} is known after pulumi up", unknown=True)
    elif not found:
        yield Finding(of.urn, f"it has no {what}: {wrong}")
