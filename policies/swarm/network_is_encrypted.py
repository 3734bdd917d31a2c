"""What goes from node to node on the stack's network is encrypted: a bearer token is, too."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge
from policies.plan import Environment, Finding, Plan
from policies.rule import Control, Enforcement, Framework, Rule

_NETWORK = "docker:index/network:Network"
_IDENTITY = "coreflux-mcp-secrets:swarm:Identity"


def _look(plan: Plan) -> Iterator[Finding]:
    if not any(plan.of_type(_NETWORK)):
        yield Finding(plan.urn, "the stack has no network of its own: others' may be plain; add an encrypted overlay")
    for network in plan.of_type(_NETWORK):
        yield from judge(
            network,
            (at(network.properties, "driver"), at(network.properties, "options", "encrypted")),
            lambda said: said[0] == "overlay" and said[1] in ("true", True, ""),
            "what it carries",
            "crosses from node to node in plain text: take server.encrypted: false out, where the kernels have IPsec",
        )


RULE = Rule(
    name="swarm-network-is-encrypted",
    sentence="Outside of development the stack's network is an encrypted overlay.",
    controls=(
        Control(Framework.SOC_2, "CC6.7", "tokens are encrypted between nodes"),
        Control(Framework.PCI_DSS, "8.3.2", "no credential is sent in plain text"),
        Control(Framework.HIPAA, "164.312(e)(2)(ii)", "what is sent between nodes is encrypted"),
        Control(Framework.GDPR, "32(1)(a)", "what is sent is encrypted"),
    ),
    limitation="Networks of others that the server joins, and that the nodes' kernels have IPsec.",
    applies=lambda plan: plan.environment is not Environment.DEVELOPMENT and any(plan.of_type(_NETWORK, _IDENTITY)),
    across=_look,
    enforcement=Enforcement.ADVISORY,  # the page offers encrypted: false for kernels without IPsec
)
