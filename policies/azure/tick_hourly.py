"""The tick runs each hour as a job, and is ended before the next one is due."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule

STORE, JOB = "coreflux-mcp-secrets:azure:SecretStore", "azure-native:app:Job"
HOUR = 3600


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE))


def _hourly(cron: Any) -> bool:
    """At one minute of every hour, or more often."""
    return isinstance(cron, str) and cron.split()[1:] == ["*"] * 4


def _look(plan: Plan) -> Iterator[Finding]:
    jobs = [
        one for one in plan.of_type(JOB) if at(one.properties, "configuration", "triggerType") in ("Schedule", UNKNOWN)
    ]
    if not jobs:
        for store in plan.of_type(STORE):
            yield Finding(store.urn, "nothing runs the tick: nothing is rotated; add a job with a schedule")
    for job in jobs:
        told = at(job.properties, "configuration")
        if at(told, "triggerType") is UNKNOWN:
            yield Finding(job.urn, "what starts it is known after pulumi up", unknown=True)
            continue
        cron = at(told, "scheduleTriggerConfig", "cronExpression")
        yield from judge(job, cron, _hourly, "its schedule", "is below hourly; set 0 * * * *")
        limit = at(told, "replicaTimeout")
        wrong = "is an hour or more: one that hangs costs the next; set less"
        yield from judge(job, limit, lambda seconds: isinstance(seconds, int) and seconds < HOUR, "its limit", wrong)


RULE = Rule(
    name="azure-tick-hourly",
    sentence="The tick, which rotates what is due, runs each hour.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "credentials are managed through their life"),
        Control(Framework.SOC_2, "CC7.2", "how secrets stand is looked at each hour"),
        Control(Framework.PCI_DSS, "8.3.9", "what is due after 90 days is changed within the hour"),
        Control(Framework.PCI_DSS, "8.6.3", "application accounts' passwords are changed periodically"),
        Control(Framework.GDPR, "32(1)(d)", "whether a measure works is looked at again and again"),
    ),
    limitation="That a tick succeeds: azure-rotation-failures-told shows that somebody is told where it does not.",
    applies=_applies,
    across=_look,
)
