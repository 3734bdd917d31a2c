"""An app that answers outside of its environment answers within a network, and not the internet."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule

APP, ENVIRONMENT = "azure-native:app:ContainerApp", "azure-native:app:ManagedEnvironment"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(APP))


def _look(plan: Plan) -> Iterator[Finding]:
    insides = [at(one.properties, "vnetConfiguration", "internal") for one in plan.of_type(ENVIRONMENT)]
    for app in plan.of_type(APP):
        outside = at(app.properties, "configuration", "ingress", "external")
        answers = UNKNOWN if outside is UNKNOWN else (outside and insides)
        wrong = "answers the internet; put its environment into a subnet, with internal"
        yield from judge(app, answers, lambda seen: not seen or all(one is True for one in seen), "its ingress", wrong)


RULE = Rule(
    name="azure-app-not-public",
    sentence="The app answers within its environment, or within a network, and never the internet.",
    controls=(
        Control(Framework.SOC_2, "CC6.6", "nobody from outside reaches the server"),
        Control(Framework.PCI_DSS, "1.3.1", "inbound traffic is what is needed"),
        Control(Framework.PCI_DSS, "1.4.2", "no traffic from untrusted networks"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only those who have been granted access have it"),
    ),
    limitation="Who is in the network that the subnet is part of.",
    applies=_applies,
    across=_look,
)
