"""The app answers by HTTPS alone, and within the environment requests are encrypted between nodes, too."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

APP, ENVIRONMENT = "azure-native:app:ContainerApp", "azure-native:app:ManagedEnvironment"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(APP, ENVIRONMENT))


def _look(plan: Plan) -> Iterator[Finding]:
    for app in plan.of_type(APP):
        plain = at(app.properties, "configuration", "ingress", "allowInsecure")
        wrong = "takes requests in plain text, with a client's token; set it to false"
        yield from judge(app, plain, lambda on: on is False, "allow_insecure", wrong)
    for environment in plan.of_type(ENVIRONMENT):
        encrypted = at(environment.properties, "peerTrafficConfiguration", "encryption", "enabled")
        wrong = "is off: a client's token passes between nodes as it is; enable it"
        yield from judge(environment, encrypted, lambda on: on is True, "encryption between nodes", wrong)


RULE = Rule(
    name="azure-app-speaks-tls",
    sentence="The app takes no request in plain text, and traffic between nodes is encrypted.",
    controls=(
        Control(Framework.SOC_2, "CC6.7", "what is transmitted is protected"),
        Control(Framework.PCI_DSS, "4.2.1", "strong cryptography in transmission"),
        Control(Framework.HIPAA, "164.312(e)(1)", "no access to what is transmitted"),
        Control(Framework.GDPR, "32(1)(a)", "encryption"),
    ),
    limitation="Which version of TLS a client uses: Container Apps takes 1.2 and later.",
    applies=_applies,
    across=_look,
)
