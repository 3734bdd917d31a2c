"""A rule judges whatever it is shown: it never breaks down on a property of a form that no provider would take."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from policies.evidence import judge
from policies.rule import CONCEALED, UNKNOWN, Plan
from tests.unit.policy_plans import shipped

FORMS: tuple[Any, ...] = (
    None,
    True,
    7,
    "text",
    [],
    {},
    [[{}]],
    {"a": [UNKNOWN]},
    '{"Statement": [7]}',
    "[7]",
    UNKNOWN,
    CONCEALED,
)
DEEPEST = 6


@pytest.mark.parametrize("stack", ["dev", "staging", "prod", "prod-azure", "prod-swarm", "prod-vault-kubernetes"])
@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_no_rule_breaks_down_on_properties_of_another_form(stack: str, form: Any) -> None:
    for depth in range(1, DEEPEST):
        assert judge(_with(shipped(stack), form, depth))


def _with(plan: Plan, form: Any, depth: int) -> Plan:
    """`form` in place of whatever lies so deep in resources, also in JSON texts. Outputs stay as they are."""
    resources = tuple(replace(one, properties=_put(one.properties, form, depth)) for one in plan.resources)
    return replace(plan, resources=resources)


def _put(entry: Any, form: Any, depth: int) -> Any:
    if not depth:
        return form
    match entry:
        case dict():
            return {key: _put(inner, form, depth - 1) for key, inner in entry.items()}
        case list():
            return [_put(inner, form, depth - 1) for inner in entry]
        case str() if entry[:2] in ('{"', "[{"):
            return json.dumps(_put(json.loads(entry), form, depth), default=repr)
    return entry
