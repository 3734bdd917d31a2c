"""Where one function that reads values is within a VPC, all of them are: none reads by way of the internet."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, contains, judge
from policies.plan import UNKNOWN, Finding, Plan, Resource
from policies.rule import Control, Framework, Rule

FUNCTION = "aws:lambda/function:Function"
READS = "secretops."
"""What the handler of a function begins with that rotates or ticks. The one that redeploys reads nothing."""


def _reading(plan: Plan) -> list[Resource]:
    return [one for one in plan.of_type(FUNCTION) if contains(at(one.properties, "handler"), READS)]


def _applies(plan: Plan) -> bool:
    """That a stack wants a VPC at all is for its file to say."""
    networks = [at(one.properties, "vpcConfig", "subnetIds") for one in _reading(plan)]
    return any(network is UNKNOWN or network for network in networks)


def _look(plan: Plan) -> Iterator[Finding]:
    for one in _reading(plan):
        for what in ("subnetIds", "securityGroupIds"):
            wrong = "are none, while another function's are the VPC's; set store.vpc for all"
            yield from judge(one, at(one.properties, "vpcConfig", what), bool, f"its {what}", wrong)


RULE = Rule(
    name="aws-functions-share-network",
    sentence="Where one function that reads values is within a VPC, all of them are.",
    controls=(
        Control(Framework.SOC_2, "CC6.6", "what reads values is behind the network's boundary"),
        Control(Framework.PCI_DSS, "1.3.2", "outbound traffic is by the VPC's way out"),
        Control(Framework.HIPAA, "164.312(e)(1)", "what is transmitted stays within the network"),
    ),
    limitation="What the VPC's security groups and endpoints let out: they are whoever's made them.",
    applies=_applies,
    across=_look,
)
