"""The model of a rule: what it requires of a plan, its findings, and the controls that it serves.

A rule judges what a stack *declares*. It knows neither where the plan came from (the engine's analyzer, a preview's
JSON, mocks) nor the program that made it.
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
    """Where a control is from."""

    SOC_2 = "SOC 2"
    PCI_DSS = "PCI DSS 4.0.1"
    HIPAA = "HIPAA"
    GDPR = "GDPR"


@dataclass(frozen=True)
class Control:
    """One control that a rule serves, such as CC6.1, 8.6.3, 164.312(a)(2)(iv) or 32(1)(a)."""

    framework: Framework
    id: str
    because: str
    """One line: how the rule serves it."""


class Enforcement(StrEnum):
    """What a finding does to a preview; the words of Pulumi's policies."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"


ALL = frozenset(Environment)
PRODUCTION = frozenset({Environment.PRODUCTION})


@dataclass(frozen=True)
class Expect:
    """A condition on one property of a type of resource.

    `path` is dotted; `[]` after a step means each member of that list: `rules[].id`. `*` in a type matches any text.
    The finding's text is the path and `wrong`, which says what is wrong and the remedy.
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
    """Return an Expect for each (path, ok, wrong); paths begin with `below`."""
    return tuple(Expect(types, below + path, ok, wrong, environments) for path, ok, wrong in entries)


@dataclass(frozen=True)
class Each:
    """A function that judges one resource of a type by itself."""

    types: str | tuple[str, ...]
    judge: Callable[[Resource], Iterator[Finding]]
    environments: frozenset[Environment] = ALL


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One sentence that a stack keeps or breaks.

    `checks` look at one resource at a time, so that `pulumi up` stops before it makes a resource that breaks one.
    `across` looks at the whole plan, after its resources are known.
    """

    name: str
    """Unique, kebab-case, begins with the platform: aws-keys-rotate, stack-is-protected-in-production."""
    sentence: str
    controls: tuple[Control, ...]
    limitation: str
    """What a kept rule does not show, one sentence."""
    later: str = ""
    """Why a first preview can't judge it in full; empty if it can, on every shipped stack."""
    checks: tuple[Expect | Each, ...] = ()
    across: Callable[[Plan], Iterator[Finding]] | None = None
    types: tuple[str, ...] = ()
    """Types that `across` is about, for `applies_to`. Those of `checks` count by themselves."""
    applies: Callable[[Plan], bool] | None = None
    """Whether the rule has anything to judge; by default, whether there is a resource of its types."""
    environments: frozenset[Environment] = ALL
    enforcement: Enforcement = Enforcement.MANDATORY

    def applies_to(self, plan: Plan) -> bool:
        """Return whether this plan has anything to judge."""
        if plan.environment not in self.environments:
            return False
        if self.applies is not None:
            return self.applies(plan)
        wanted = (*self.types, *(kind for check in self.checks for kind in _types(check)))
        return any(is_of(one, wanted) for one in plan.resources)

    def findings(self, plan: Plan) -> Iterator[Finding]:
        """Yield what is wrong or unknown in a plan."""
        for one in plan.resources:
            yield from self.findings_of(one, plan.environment)
        if self.across is not None and plan.environment in self.environments:
            yield from self.across(plan)

    def findings_of(self, one: Resource, environment: Environment) -> Iterator[Finding]:
        """Yield what the checks of single resources find in one."""
        for check in self.checks:
            if environment in self.environments & check.environments and is_of(one, _types(check)):
                yield from _expected(one, check) if isinstance(check, Expect) else check.judge(one)


def is_of(one: Resource, types: tuple[str, ...]) -> bool:
    """Return whether the resource's type is one of these; `kubernetes:*:Role` is a Role in any version of its API."""
    return any(one.type == kind or ("*" in kind and fnmatchcase(one.type, kind)) for kind in types)


def _types(check: Expect | Each) -> tuple[str, ...]:
    return (check.types,) if isinstance(check.types, str) else check.types


def protected(*types: str, only: Callable[[Resource], bool] = lambda _: True) -> Each:
    """Return a check that resources are protected: their loss is for good, or turns the trail off."""

    def look(one: Resource) -> Iterator[Finding]:
        if only(one) and not one.protect:
            yield Finding(one.urn, "is removed by pulumi destroy, with secrets, keys or the trail; set protect")

    return Each(types, look)


def where(condition: Callable[[Resource], Any], types: str, *entries: tuple[str, Callable[[Any], bool], str]) -> Each:
    """Return a check of `rows` for resources that meet a condition."""
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
    """Return every rule, by name."""
    return tuple(sorted(defined("RULES"), key=lambda rule: rule.name))


def defined(name: str) -> Iterator[Any]:
    """Yield the members of each constant of this name in the platforms' folders, in the order of modules.

    RULES: rules. For rules about every stack, HOLDS: checks that what has secrets, keys or the trail is protected;
    IMAGES: checks of images; VALUES: patterns of types that have a value; ENCRYPTED: kinds of store that encrypt
    values. For the estimate of cost, PRICES.
    """
    for platform in pkgutil.iter_modules(policies.__path__, "policies."):
        if platform.ispkg:
            folder = importlib.import_module(platform.name)
            yield from getattr(folder, name, ())
            for module in pkgutil.iter_modules(folder.__path__, f"{platform.name}."):
                yield from getattr(importlib.import_module(module.name), name, ())
