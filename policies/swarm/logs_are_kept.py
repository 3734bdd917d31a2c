"""The launcher's and the rotator's logs are the trail of a Swarm, which records no read itself."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.swarm.services import SERVICE, has_services


def _look(plan: Plan) -> Iterator[Finding]:
    for service in plan.of_type(SERVICE):
        yield from judge(
            service,
            at(service.properties, "taskSpec", "logDriver", "name"),
            lambda name: name != "none",
            "the log of its containers",
            "is thrown away, and each record of a read with it: name another driver, or none of your own",
        )


RULE = Rule(
    name="swarm-logs-are-kept",
    sentence="No service throws its log away: it has the records of who read which secret.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "reads are recorded, so that what is unusual is found"),
        Control(Framework.PCI_DSS, "10.2.1", "audit logs are on"),
        Control(Framework.HIPAA, "164.312(b)", "activity is recorded and can be examined"),
        Control(Framework.GDPR, "32(1)(d)", "that access is as granted can be evaluated"),
    ),
    limitation="How long the daemons keep a log, and reads of others: a Swarm records none (the output gaps says so).",
    applies=has_services,
    across=_look,
)
