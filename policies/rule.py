"""The model of a rule: what it requires of a plan, its findings and its controls.

A rule judges what a stack declares, whatever the source of the plan.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import policies
from policies.matchers import judge, select
from policies.plan import Environment, Finding, Plan, Resource


class Framework(StrEnum):
    SOC_2 = "SOC 2"
    PCI_DSS = "PCI DSS 4.0.1"
    HIPAA = "HIPAA"
    GDPR = "GDPR"


@dataclass(frozen=True)
class Control:
    """A control of a compliance framework, such as CC6.1, 8.6.3, 164.312(a)(2)(iv) or 32(1)(a)."""

    framework: Framework
    id: str
    because: str
    """How the rule serves the control, in one line."""


class Enforcement(StrEnum):
    """Effect of a finding on a preview, in the terms of Pulumi's policies."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"


ALL = frozenset(Environment)
PRODUCTION = frozenset({Environment.PRODUCTION})


@dataclass(frozen=True)
class Expect:
    """A condition on one property of the resources of a type. `*` in a type matches any text.

    `path` is dotted; `[]` after a key means each member of that list, as in `rules[].id`. A finding's message is the
    path and `wrong`, which has the problem and the remedy.
    """

    types: str | tuple[str, ...]
    path: str
    ok: Callable[[Any], bool]
    wrong: str
    environments: frozenset[Environment] = ALL


def rows(
    types: str | tuple[str, ...],
    *entries: tuple[str, Callable[[Any], bool], str],
    below: str = "",
    environments: frozenset[Environment] = ALL,
) -> tuple[Expect, ...]:
    """Return an Expect for each (path, ok, wrong). `below` is the beginning of all paths."""
    return tuple(Expect(types, below + path, ok, wrong, environments) for path, ok, wrong in entries)


@dataclass(frozen=True)
class Each:
    """A function that judges each resource of a type."""

    types: str | tuple[str, ...]
    judge: Callable[[Resource], Iterator[Finding]]
    environments: frozenset[Environment] = ALL


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule: a sentence that a stack keeps or breaks.

    `checks` judge one resource at a time: `pulumi up` stops before it creates a resource that fails a check. `across`
    judges the whole plan.
    """

    name: str
    """Unique name with dashes that begins with the platform: aws-keys-rotate, stack-is-protected-in-production."""
    sentence: str
    controls: tuple[Control, ...]
    limitation: str
    """What the rule does not check or show."""
    later: str = ""
    """Why the first preview of a shipped stack can't judge the whole rule; empty if it can."""
    checks: tuple[Expect | Each, ...] = ()
    across: Callable[[Plan], Iterator[Finding]] | None = None
    types: tuple[str, ...] = ()
    """Types that `across` judges. `applies_to` also uses the types of `checks`."""
    applies: Callable[[Plan], bool] | None = None
    """Whether the rule applies to a plan; by default, if the plan has a resource of its types."""
    environments: frozenset[Environment] = ALL
    enforcement: Enforcement = Enforcement.MANDATORY

    def applies_to(self, plan: Plan) -> bool:
        if plan.environment not in self.environments:
            return False
        if self.applies is not None:
            return self.applies(plan)
        wanted = (*self.types, *(kind for check in self.checks for kind in _types(check)))
        return any(is_of(one, wanted) for one in plan.resources)

    def findings(self, plan: Plan) -> Iterator[Finding]:
        for one in plan.resources:
            yield from self.findings_of(one, frozenset({plan.environment}))
        if self.across is not None and plan.environment in self.environments:
            yield from self.across(plan)

    def findings_of(self, one: Resource, environments: frozenset[Environment] = ALL) -> Iterator[Finding]:
        for check in self.checks:
            if environments <= self.environments & check.environments and is_of(one, _types(check)):
                yield from _expected(one, check) if isinstance(check, Expect) else check.judge(one)


def is_of(one: Resource, types: tuple[str, ...]) -> bool:
    """Return whether a resource is of one of these types. `kubernetes:*:Role` matches any API version."""
    return any(one.type == kind or ("*" in kind and fnmatchcase(one.type, kind)) for kind in types)


def _types(check: Expect | Each) -> tuple[str, ...]:
    return (check.types,) if isinstance(check.types, str) else check.types


def protected(*types: str, only: Callable[[Resource], bool] = lambda _: True) -> Each:
    """Return a check that resources are protected, because their loss is permanent or disables the trail."""

    def look(one: Resource) -> Iterator[Finding]:
        if only(one) and not one.protect:
            yield Finding(
                one.urn, "is not protected: pulumi destroy would delete secrets, keys or the trail; set protect"
            )

    return Each(types, look)


def where(condition: Callable[[Resource], Any], types: str, *entries: tuple[str, Callable[[Any], bool], str]) -> Each:
    """Return the check of `rows(types, *entries)`, but only for resources that meet `condition`."""
    expected = rows(types, *entries)

    def judge_rows(one: Resource) -> Iterator[Finding]:
        for row in expected if condition(one) else ():
            yield from _expected(one, row)

    return Each(types, judge_rows)


def _expected(one: Resource, row: Expect) -> Iterator[Finding]:
    for entry in select(one.properties, row.path):
        yield from judge(one, entry, row.ok, row.path, row.wrong)


@cache
def rules() -> tuple[Rule, ...]:
    return tuple(sorted(defined("RULES"), key=lambda rule: rule.name))


def defined(name: str) -> Iterator[Any]:
    """Yield the members of each constant `name` in the platforms' folders, in the order of modules.

    The constants are RULES (rules), HOLDS (checks that resources with secrets, keys or the trail are protected), IMAGES
    (checks of images), VALUES (patterns of types with a secret value), ENCRYPTED (kinds of store that encrypt values)
    and PRICES (prices for the cost estimate).
    """
    for platform in pkgutil.iter_modules(policies.__path__, "policies."):
        if platform.ispkg:
            folder = importlib.import_module(platform.name)
            yield from getattr(folder, name, ())
            for module in pkgutil.iter_modules(folder.__path__, f"{platform.name}."):
                yield from getattr(importlib.import_module(module.name), name, ())
