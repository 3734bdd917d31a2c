"""A new version takes over once it is healthy, and one that is not takes the service back to what it was."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from operator import eq

from policies.matchers import at, judge
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.swarm.services import binds, containers, has_services

_WANTED = (
    (("updateConfig", "order"), "start-first", "the old replica ends before the new one is healthy"),
    (("updateConfig", "failureAction"), "rollback", "a replica that does not come up stays"),
    (("updateConfig", "parallelism"), 1, "more than one replica is away at a time"),
    (("rollbackConfig", "order"), "start-first", "a way back takes what runs away first"),
)


def _look(plan: Plan) -> Iterator[Finding]:
    for service, container in containers(plan):
        if binds(container):  # two rotators never run at a time
            continue
        for path, wanted, wrong in _WANTED:
            yield from judge(
                service,
                at(service.properties, *path),
                partial(eq, wanted),
                f"its {'.'.join(path)}",
                f"is not {wanted}: {wrong}; say it",
            )
        tests = at(container, "healthcheck", "tests")
        yield from judge(
            service,
            tests if tests is UNKNOWN else bool(tests) and tests != ["NONE"],
            bool,
            "its health",
            "is not looked at: a new replica takes over before it works; give it a healthcheck",
        )


RULE = Rule(
    name="swarm-updates-roll-back",
    sentence="The server's replicas are replaced one at a time, each after its next one is healthy, or taken back.",
    controls=(
        Control(Framework.SOC_2, "CC8.1", "a change that does not work is undone"),
        Control(Framework.PCI_DSS, "8.6.3", "a changed password reaches the system that uses it"),
        Control(Framework.HIPAA, "164.312(c)(1)", "a rotation takes no working credential away"),
        Control(Framework.GDPR, "32(1)(b)", "the server stays available through a rotation"),
    ),
    limitation="How long a rotation takes in a service of many replicas.",
    applies=has_services,
    across=_look,
)
