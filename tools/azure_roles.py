"""What Azure's built-in roles allow, by its own pages: azure_roles.json says which, and when they were read."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class Action(NamedTuple):
    """One operation of Azure's. Whether it is on data decides in which of a role's two lists it is looked for."""

    name: str
    on_data: bool = True


@cache
def definitions() -> Mapping[str, Mapping[str, Any]]:
    """Name of a role -> its definition."""
    read = json.loads(Path(__file__).with_name("azure_roles.json").read_text())
    return {role["roleName"]: role for role in read["roles"]}


def allows(role: str, action: Action) -> bool:
    """Whether a role of that name lets one do it, at its scope and below (Azure, understand role definitions)."""
    given, taken = ("dataActions", "notDataActions") if action.on_data else ("actions", "notActions")
    return any(
        matches(action.name, one[given]) and not matches(action.name, one[taken])
        for one in definitions()[role]["permissions"]
    )


def matches(action: str, patterns: Iterable[str]) -> bool:
    """Azure compares without regard to case; `*` stands for anything."""
    return any(fnmatch.fnmatchcase(action.lower(), one.lower()) for one in patterns)
