"""A service publishes the launcher's port alone, and none where nobody asks for it."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, each, judge, listed
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.swarm.services import SERVICE, has_services

_LAUNCHERS = 8080


def _look(plan: Plan) -> Iterator[Finding]:
    for service in plan.of_type(SERVICE):
        ports = at(service.properties, "endpointSpec", "ports")
        yield from judge(
            service,
            ports,
            lambda said: len(listed(said)) <= 1,
            "what it publishes",
            "is more than one port: a node listens on no port that nobody needs; leave the launcher's",
        )
        for port in each(ports):
            yield from judge(
                service,
                (at(port, "targetPort"), at(port, "protocol")),
                lambda said: said[0] == _LAUNCHERS and said[1] in (None, "tcp"),
                "a port that it publishes",
                f"is not the launcher's, tcp {_LAUNCHERS}: nothing else asks for a token; take it out",
            )


RULE = Rule(
    name="swarm-publishes-one-port",
    sentence="A service publishes no port but the launcher's, which asks for a bearer token.",
    controls=(
        Control(Framework.SOC_2, "CC6.6", "nothing of the stack is a way in that nobody meant"),
        Control(Framework.PCI_DSS, "1.3.1", "what comes in is limited to what is needed"),
        Control(Framework.PCI_DSS, "2.2.4", "only necessary services listen"),
        Control(Framework.HIPAA, "164.312(e)(1)", "nobody reaches secrets over a network unasked"),
        Control(Framework.GDPR, "32(1)(b)", "the server is not open to everybody"),
    ),
    limitation="That TLS ends before a published port: whoever runs the balancer or the proxy says so.",
    applies=has_services,
    across=_look,
)
