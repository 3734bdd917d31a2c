"""Azure's built-in roles that the stand-in knows, and what a scope is (Azure, understand scope).

Azure takes the GUID of any role at any scope, and one that is wrong allows nothing, or something else, unseen. So a
role that is not here is refused, and so is one at the scope of what it is not about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tools.azure_roles import definitions
from tools.standin.sdk_types import did_you_mean

_OF_ALL = ("*", "Microsoft.Authorization", "Microsoft.Insights", "Microsoft.Resources", "Microsoft.Support")
"""Whose actions roles of any service have."""


def _about(role: Mapping[str, Any]) -> str:
    """Whose resources a role is about: of what it may do with them, data first."""
    actions: list[str] = [action for one in role["permissions"] for action in (*one["dataActions"], *one["actions"])]
    return next(name for name in (action.partition("/")[0] for action in actions) if name not in _OF_ALL)


ROLES = {role["name"]: (name, _about(role)) for name, role in definitions().items()}
"""GUID -> name, and whose resources it is about."""

GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

SUBSCRIPTION = rf"/subscriptions/{GUID}"
GROUP = rf"{SUBSCRIPTION}/resourceGroups/[\w().-]{{0,89}}[\w()-]"
RESOURCE = rf"{GROUP}/providers/[A-Za-z]+(\.[A-Za-z]+)+(/[^/\s]+/[^/\s]+)+"

_DEFINITION = re.compile(rf"({SUBSCRIPTION})?/providers/Microsoft\.Authorization/roleDefinitions/({GUID})", re.I)


class KnownRole:
    """A `Form`: the id of a role definition that the stand-in knows."""

    def problem(self, value: Any) -> tuple[str, str] | None:
        if not isinstance(value, str):
            return None
        named = _DEFINITION.fullmatch(value)
        if not named:
            return "it has to be the id of a role definition", "write /subscriptions/…/roleDefinitions/ and its GUID"
        guid = value.rpartition("/")[2].lower()
        if guid in ROLES:
            return None
        return "it is no built-in role that the stand-in knows", did_you_mean(guid, ROLES, listed="Azure's own list")


def misplaced(role: str, scope: str) -> tuple[str, str] | None:
    """Whether a role is about something else than its scope: rule and remedy. A group or more holds everything."""
    known = ROLES.get(role.rpartition("/")[2].lower())
    within = re.search(r"/providers/([^/]+)/", scope)
    if known is None or within is None or within[1].lower() == known[1].lower():
        return None
    return f"{known[0]} is about {known[1]} and allows nothing here", "give it where that is, or another role"
