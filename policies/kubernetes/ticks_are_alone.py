"""The rotator ticks by the clock, one at a time, and ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.kubernetes.objects import ROTATOR, SERVER, of_kind
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_HOUR = 3600

_KEPT_HERE = "coreflux-mcp-secrets:kubernetes:SecretStore"
_VAULT = "coreflux-mcp-secrets:vault:SecretStore"


def _hourly(schedule: Any) -> bool:
    """At least once in every hour of every day."""
    fields = schedule.split() if isinstance(schedule, str) else []
    return schedule == "@hourly" or fields[1:] == ["*"] * 4


def _rotates(plan: Plan) -> bool:
    """Whether the cluster is to: Vault runs no program, so what it keeps is rotated where the server is."""
    beside_vault = any(plan.of_type(_VAULT)) and any(plan.of_type(SERVER))
    return beside_vault or any(plan.of_type(_KEPT_HERE, ROTATOR)) or any(of_kind(plan, "CronJob"))


def _look(plan: Plan) -> Iterator[Finding]:
    if not any(of_kind(plan, "CronJob")):
        yield Finding(plan.urn, "no CronJob of the stack ticks: nothing rotates; add one that runs secretops tick")
    for one in of_kind(plan, "CronJob"):
        spec = at(one.properties, "spec")
        yield from judge(
            one,
            at(spec, "schedule"),
            _hourly,
            "its schedule",
            "is not each hour: what is due, or near its end, waits; write 0 * * * *",
        )
        yield from judge(
            one,
            at(spec, "suspend"),
            lambda said: said in (None, False),
            "its schedule",
            "is suspended: nothing rotates; take suspend out",
        )
        yield from judge(
            one,
            at(spec, "concurrencyPolicy"),
            lambda policy: policy == "Forbid",
            "what happens to a second tick",
            "is not that it waits: one rotates at a time; set concurrencyPolicy: Forbid",
        )
        yield from judge(
            one,
            at(spec, "jobTemplate", "spec", "activeDeadlineSeconds"),
            lambda seconds: isinstance(seconds, int) and 0 < seconds < _HOUR,
            "how long a tick may last",
            "is an hour or more: one that hangs stops all that follow; set activeDeadlineSeconds below 3600",
        )


RULE = Rule(
    name="kubernetes-ticks-are-alone",
    sentence="The rotator's CronJob runs each hour, one at a time, and each run ends within the hour.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "credentials are replaced by a schedule that nobody has to remember"),
        Control(Framework.PCI_DSS, "8.6.3", "passwords of system accounts change periodically"),
        Control(Framework.HIPAA, "164.312(d)", "who logs in has a credential that is not older than it may be"),
        Control(Framework.GDPR, "32(1)(d)", "that rotation works is seen each hour"),
    ),
    limitation="That ticks succeed: secretops status and the Jobs' own results say so.",
    applies=_rotates,
    across=_look,
)
