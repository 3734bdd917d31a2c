"""What hangs on a secret of Secrets Manager, by the secret's name: one look over a type, however many there are."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from policies.matchers import at
from policies.plan import UNKNOWN, Plan, Resource, Unknown

_NAMED = re.compile(r":secret:(.+)-[A-Za-z0-9]{6}$")
"""An ARN ends with the name, a dash and six characters: db is not db-reader."""


def of_secrets(plan: Plan, kind: str, path: str) -> Callable[[Any], list[Resource] | Unknown]:
    """Finds the resources of a type that have the secret of a name at `path`; UNKNOWN where one may yet have."""
    found: dict[str, list[Resource]] = {}
    may_be = False
    for one in plan.of_type(kind):
        arn = at(one.properties, path)
        may_be |= arn is UNKNOWN
        if isinstance(arn, str) and (named := _NAMED.search(arn)):
            found.setdefault(named[1], []).append(one)

    def of(name: Any) -> list[Resource] | Unknown:
        there = found.get(name, []) if isinstance(name, str) else []
        return UNKNOWN if name is UNKNOWN or (may_be and not there) else there

    return of
