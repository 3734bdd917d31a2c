"""Azure's built-in roles, from Microsoft's pages. azure_roles.json has the pages' dates."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class Action(NamedTuple):
    """An operation in Azure. `on_data`: whether it is a data action."""

    name: str
    on_data: bool = True


@cache
def definitions() -> Mapping[str, Mapping[str, Any]]:
    read = json.loads(Path(__file__).with_name("azure_roles.json").read_text())
    return {role["roleName"]: role for role in read["roles"]}


def allows(role: str, action: Action) -> bool:
    """Return whether a role allows an action at the role's scope and below (Azure's page "Understand role
    definitions")."""
    given, taken = ("dataActions", "notDataActions") if action.on_data else ("actions", "notActions")
    return any(
        matches(action.name, one[given]) and not matches(action.name, one[taken])
        for one in definitions()[role]["permissions"]
    )


def matches(action: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), one.lower()) for one in patterns)
