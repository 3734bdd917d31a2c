"""Where there is a load balancer, a client's bearer token reaches it by TLS 1.2 or later alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

LISTENER, BALANCER = "aws:lb/listener:Listener", "aws:lb/loadBalancer:LoadBalancer"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(BALANCER))


def _modern(policy: Any) -> bool:
    return isinstance(policy, str) and policy.startswith(
        ("ELBSecurityPolicy-TLS13-1-2-", "ELBSecurityPolicy-TLS13-1-3-")
    )


def _look(plan: Plan) -> Iterator[Finding]:
    for listener in plan.of_type(LISTENER):
        told = listener.properties
        wrong = "is not HTTPS: a client's token passes in plain text; set HTTPS"
        yield from judge(listener, at(told, "protocol"), lambda one: one == "HTTPS", "its protocol", wrong)
        wrong = "takes versions of TLS before 1.2; set an ELBSecurityPolicy-TLS13-1-2"
        yield from judge(listener, at(told, "sslPolicy"), _modern, "its policy", wrong)
        yield from judge(listener, at(told, "certificateArn"), bool, "its certificate", "is none; name one")
    for balancer in plan.of_type(BALANCER):
        dropped = at(balancer.properties, "dropInvalidHeaderFields")
        wrong = "is off: a header may smuggle a request; set it"
        yield from judge(balancer, dropped, lambda on: on is True, "drop_invalid_header_fields", wrong)


RULE = Rule(
    name="aws-balancer-speaks-tls",
    sentence="A load balancer listens by HTTPS alone, with TLS 1.2 or later.",
    controls=(
        Control(Framework.SOC_2, "CC6.7", "what is transmitted is protected"),
        Control(Framework.PCI_DSS, "4.2.1", "strong cryptography in transmission"),
        Control(Framework.HIPAA, "164.312(e)(1)", "no access to what is transmitted"),
        Control(Framework.GDPR, "32(1)(a)", "encryption"),
    ),
    limitation="The way from the load balancer to the task, which is HTTP within the VPC.",
    applies=_applies,
    across=_look,
)
