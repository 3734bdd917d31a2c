"""The server is reached from within the cluster, or by an ingress that ends TLS."""

from __future__ import annotations

from collections.abc import Iterator

from policies.kubernetes.objects import of_kind
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule


def _look(plan: Plan) -> Iterator[Finding]:
    for service in of_kind(plan, "Service"):
        yield from judge(
            service,
            at(service.properties, "spec", "type"),
            lambda kind: kind in (None, "ClusterIP"),
            "its type",
            "opens it to the nodes' network without TLS: make it ClusterIP, and put an ingress before it",
        )
        yield from judge(
            service,
            at(service.properties, "spec", "externalIPs"),
            lambda addresses: not addresses,
            "an address of it",
            "is one outside of the cluster, and without TLS: take externalIPs out, and put an ingress before it",
        )


RULE = Rule(
    name="kubernetes-service-is-inside",
    sentence="Every Service is a ClusterIP: nothing of the stack listens on a node or at a load balancer.",
    controls=(
        Control(Framework.SOC_2, "CC6.6", "nothing of the stack is a way in from outside"),
        Control(Framework.PCI_DSS, "1.3.1", "what comes in is limited to what is needed"),
        Control(Framework.HIPAA, "164.312(e)(1)", "no bearer token crosses a network outside in plain text"),
        Control(Framework.GDPR, "32(1)(b)", "the server is not open to everybody"),
    ),
    limitation="What an operator's own ingress lets in, and whether it ends TLS.",
    applies=lambda plan: any(of_kind(plan, "Service")),
    across=_look,
)
