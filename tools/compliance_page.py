"""Generate docs/compliance and its evidence: results of the policies for every shipped stack file, under mocks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from policies.compliance import PAGES, RULES, pages
from policies.evidence import evidence, judge


@cache
def _evidence() -> dict[str, Any]:
    from tests.unit.policy_plans import STACK_FILES, shipped  # the tests' mocks

    plans = [shipped(stack) for stack in STACK_FILES]
    return evidence(((plan, judge(plan)) for plan in plans), source="mocks", at="", commit="", tools={})


def _page(name: str) -> Callable[[], str]:
    return lambda: pages(_evidence())[name]


# Path -> a function that returns the file's text.
RENDERED: Mapping[str, Callable[[], str]] = {
    "docs/compliance/evidence.json": lambda: json.dumps(_evidence(), indent=1) + "\n",
    **{f"docs/compliance/{name}": _page(name) for name in ("README.md", RULES, *PAGES.values())},
}
