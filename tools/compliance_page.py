"""docs/compliance.md and the evidence beside it: the rules over every stack file that is shipped, under mocks."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from policies.compliance import page
from policies.evidence import evidence, judge


@cache
def _evidence() -> dict[str, Any]:
    from tests.unit.policy_plans import STACK_FILES, shipped  # the mocks are the tests'

    plans = [shipped(stack) for stack in STACK_FILES]
    return evidence(((plan, judge(plan)) for plan in plans), source="mocks", at="", commit="", tools={})


def render_evidence() -> str:
    """The evidence, as JSON."""
    return json.dumps(_evidence(), indent=1) + "\n"


def render() -> str:
    """The page."""
    return page(_evidence())
