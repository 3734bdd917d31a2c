"""Alerts as rules read them: one that is on, and has an action group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from policies.matchers import at, listed
from policies.plan import UNKNOWN, Plan, Resource, Unknown

QUERY, ACTIVITY = "azure-native:monitor:ScheduledQueryRule", "azure-native:monitor:ActivityLogAlert"


def told_of_query(plan: Plan, *words: str, operator: str = "GreaterThan") -> list[Resource] | Unknown:
    """Alerts on a query that has all of `words` in it, by how much of that they ring."""

    def looks(alert: Resource) -> bool | Unknown:
        told = at(alert.properties, "criteria", "allOf")
        (one,) = listed(told) if len(listed(told)) == 1 else [told]
        query, by = at(one, "query"), at(one, "operator")
        if by not in (operator, UNKNOWN) or (isinstance(query, str) and not all(word in query for word in words)):
            return False
        return UNKNOWN if UNKNOWN in (query, by) else isinstance(query, str)

    return _telling(plan, QUERY, looks)


def told_of_operation(plan: Plan, operation: str) -> list[Resource] | Unknown:
    """Alerts on an operation in the activity log."""

    def looks(alert: Resource) -> bool | Unknown:
        conditions = at(alert.properties, "condition", "allOf")
        any_of = [one for condition in listed(conditions) for one in listed(at(condition, "anyOf"))]
        if any(at(one, "field") == "operationName" and at(one, "equals") == operation for one in any_of):
            return True
        return UNKNOWN if conditions is UNKNOWN else False

    return _telling(plan, ACTIVITY, looks)


def _telling(plan: Plan, kind: str, looks: Callable[[Resource], bool | Unknown]) -> list[Resource] | Unknown:
    """Alerts that look for what is wanted and tell somebody; UNKNOWN where one may yet become that."""
    found: list[Resource] = []
    may_be = False
    for alert in plan.of_type(kind):
        looking = looks(alert)
        groups, is_on = at(alert.properties, "actions", "actionGroups"), at(alert.properties, "enabled")
        if looking is False:
            continue
        if UNKNOWN in (looking, groups, is_on):
            may_be = True
        elif _given(groups) and is_on in (None, True):
            found.append(alert)
    return UNKNOWN if may_be and not found else found


def _given(groups: Any) -> bool:
    return bool(listed(groups))
