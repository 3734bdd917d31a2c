"""How a rule looks for what has to stand beside a resource: its policy, its alarm, its name in a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from policies.looking import at
from policies.rule import UNKNOWN, Finding, Plan, Resource, Unknown


def beside(plan: Plan, kind: str, *path: str, its: Callable[[Any], bool]) -> list[Resource] | Unknown:
    """Resources of a type of which `its` is true of the property at `path`; UNKNOWN where one may yet become that."""
    of_type = [(one, at(one.properties, *path)) for one in plan.of_type(kind)]
    found = [one for one, entry in of_type if entry is not UNKNOWN and its(entry)]
    return UNKNOWN if not found and any(entry is UNKNOWN for _, entry in of_type) else found


def lacking(of: Resource, found: list[Resource] | Unknown, what: str, wrong: str) -> Iterator[Finding]:
    """Nothing where there is one. `what` would stand beside `of`; `wrong` is said where nothing does."""
    if isinstance(found, Unknown):
        yield Finding(of.urn, f"whether it has {what} is known after pulumi up", unknown=True)
    elif not found:
        yield Finding(of.urn, f"it has no {what}: {wrong}")


def of_name(plan: Plan, kind: str, *path: str, name: Any) -> list[Resource] | Unknown:
    """Resources of a type whose property at `path` is `name`, which need not be known yet."""
    return UNKNOWN if name is UNKNOWN else beside(plan, kind, *path, its=lambda entry: entry == name)
