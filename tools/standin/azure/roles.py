"""Azure's built-in roles and their scopes (Azure, understand scope).

Azure accepts any role at any scope, even if it has no effect there. The stand-in rejects unknown roles, and roles at
the wrong kind of scope.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tools.azure_roles import definitions
from tools.standin.sdk_types import did_you_mean

# Services whose actions occur in roles of any service.
_OF_ALL = ("*", "Microsoft.Authorization", "Microsoft.Insights", "Microsoft.Resources", "Microsoft.Support")


def _about(role: Mapping[str, Any]) -> str:
    actions: list[str] = [action for one in role["permissions"] for action in (*one["dataActions"], *one["actions"])]
    return next(name for name in (action.partition("/")[0] for action in actions) if name not in _OF_ALL)


# GUID -> name, and the service that the role is about.
ROLES = {role["name"]: (name, _about(role)) for name, role in definitions().items()}

GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

SUBSCRIPTION = rf"/subscriptions/{GUID}"
GROUP = rf"{SUBSCRIPTION}/resourceGroups/[\w().-]{{0,89}}[\w()-]"
RESOURCE = rf"{GROUP}/providers/[A-Za-z]+(\.[A-Za-z]+)+(/[^/\s]+/[^/\s]+)+"

_DEFINITION = re.compile(rf"({SUBSCRIPTION})?/providers/Microsoft\.Authorization/roleDefinitions/({GUID})", re.I)


class KnownRole:
    """Accepts the id of a known role definition."""

    def problem(self, value: Any) -> tuple[str, str] | None:
        if not isinstance(value, str):
            return None
        named = _DEFINITION.fullmatch(value)
        if not named:
            return (
                "the value must be the id of a role definition",
                "write /subscriptions/…/roleDefinitions/ and its GUID",
            )
        guid = value.rpartition("/")[2].lower()
        if guid in ROLES:
            return None
        return "the stand-in knows no built-in role with this id", did_you_mean(guid, ROLES, listed="Azure's own list")


def misplaced(role: str, scope: str) -> tuple[str, str] | None:
    """Return rule and remedy for a role that does not fit its scope, or None. A resource group or larger scope fits
    every role."""
    known = ROLES.get(role.rpartition("/")[2].lower())
    within = re.search(r"/providers/([^/]+)/", scope)
    if known is None or within is None or within[1].lower() == known[1].lower():
        return None
    return f"{known[0]} is a role for {known[1]}, and allows nothing at this scope", "assign another role"
