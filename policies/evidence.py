"""Judgments of rules on a plan, and an auditor's evidence, which contains names and no secret values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from policies.plan import Finding, Plan, Resource
from policies.rule import Rule, rules

# Version of the evidence's format; readers reject others.
FORM = 2


class Verdict(StrEnum):
    KEPT = "kept"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """No part of the rule is broken, but a part can't be judged before the provider creates a resource."""
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Judgment:
    rule: Rule
    verdict: Verdict
    findings: tuple[Finding, ...] = ()


def judge(plan: Plan) -> tuple[Judgment, ...]:
    return tuple(judge_by(rule, plan) for rule in rules())


def judge_by(rule: Rule, plan: Plan) -> Judgment:
    try:
        if not rule.applies_to(plan):
            return Judgment(rule, Verdict.NOT_APPLICABLE)
        found = tuple(rule.findings(plan))
    except Exception as error:
        found = (_failed(rule, plan.urn, error),)
    return _judgment(rule, found)


def judge_resource(one: Resource) -> Iterator[Judgment]:
    for rule in rules():
        try:
            found = tuple(rule.findings_of(one))
        except Exception as error:
            found = (_failed(rule, one.urn, error),)
        yield _judgment(rule, found)


def _failed(rule: Rule, urn: str, error: Exception) -> Finding:
    """Return the finding for a rule that raised `error`, without the error's text, which may contain a property."""
    message = (
        f"{rule.name} fails on this resource ({type(error).__name__}): report this defect, with the type of the "
        "resource"
    )
    return Finding(urn, message)


def _judgment(rule: Rule, found: tuple[Finding, ...]) -> Judgment:
    if any(not finding.unknown for finding in found):
        return Judgment(rule, Verdict.BROKEN, found)
    return Judgment(rule, Verdict.UNKNOWN if found else Verdict.KEPT, found)


def unjudged(judgments: Iterable[Judgment]) -> list[str]:
    """Return the names of the rules that can't be judged yet, with the reason if it is known."""
    unknown = (one.rule for one in judgments if one.verdict is Verdict.UNKNOWN)
    return [f"{rule.name} ({rule.later})" if rule.later else rule.name for rule in unknown]


def evidence(
    judged_plans: Iterable[tuple[Plan, Sequence[Judgment]]],
    *,
    source: str,
    at: str,
    commit: str,
    tools: Mapping[str, str],
) -> dict[str, Any]:
    """Return the evidence. `source` is where the plans came from, `at` the date."""
    return {
        "form": FORM,
        "source": source,
        "at": at,
        "commit": commit,
        "tools": dict(tools),
        "rules": {
            rule.name: {
                "says": rule.sentence,
                "controls": [f"{control.framework} {control.id}" for control in rule.controls],
                "limitation": rule.limitation,
                "enforcement": str(rule.enforcement),
            }
            for rule in rules()
        },
        "stacks": [_of_stack(plan, judgments) for plan, judgments in judged_plans],
    }


def _of_stack(plan: Plan, judgments: Sequence[Judgment]) -> dict[str, Any]:
    return {
        "project": plan.project,
        "stack": plan.stack,
        "environment": str(plan.environment),
        "verdicts": {one.rule.name: str(one.verdict) for one in judgments},
        "findings": {
            one.rule.name: {
                "broken": sorted({finding.resource for finding in one.findings if not finding.unknown}),
                "unknown": sorted({finding.resource for finding in one.findings if finding.unknown}),
            }
            for one in judgments
            if one.findings
        },
    }
