"""Neither a task nor its load balancer has an address in the internet, and no security group lets everybody in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, each, judge, listed, open_cidr
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

SERVICE, BALANCER = "aws:ecs/service:Service", "aws:lb/loadBalancer:LoadBalancer"
GROUP, RULE_OF_GROUP = "aws:ec2/securityGroup:SecurityGroup", "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(SERVICE, BALANCER, GROUP, RULE_OF_GROUP, INGRESS))


def _look(plan: Plan) -> Iterator[Finding]:
    for service in plan.of_type(SERVICE):
        public = at(service.properties, "networkConfiguration", "assignPublicIp")
        wrong = "gives a task an address in the internet; leave it off"
        yield from judge(service, public, lambda on: not on, "assign_public_ip", wrong)
    for balancer in plan.of_type(BALANCER):
        inside = at(balancer.properties, "internal")
        wrong = "is off: it has an address in the internet; set it"
        yield from judge(balancer, inside, lambda on: on is True, "internal", wrong)
    wrong = "are everybody; name the networks of clients"
    for group in plan.of_type(GROUP):
        for way_in in each(at(group.properties, "ingress")):
            sources = [at(way_in, "cidrBlocks"), at(way_in, "ipv6CidrBlocks")]
            yield from judge(group, sources, _named, "those it lets in", wrong)
    for one in plan.of_type(RULE_OF_GROUP, INGRESS):
        if one.type == INGRESS or at(one.properties, "type") != "egress":
            sources = [at(one.properties, what) for what in ("cidrBlocks", "ipv6CidrBlocks", "cidrIpv4", "cidrIpv6")]
            yield from judge(one, sources, _named, "those it lets in", wrong)


def _named(sources: Any) -> bool:
    return not any(open_cidr(one) for source in sources for one in (listed(source) or [source]))


RULE = Rule(
    name="aws-network-not-public",
    sentence="No task, load balancer or security group of the stack is open to the internet.",
    controls=(
        Control(Framework.SOC_2, "CC6.6", "nobody from outside reaches the server"),
        Control(Framework.PCI_DSS, "1.3.1", "inbound traffic is what is needed"),
        Control(Framework.PCI_DSS, "1.4.2", "no traffic from untrusted networks"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only those who have been granted access have it"),
    ),
    limitation="What the security groups that a stack file names let in: they are whoever's made them.",
    applies=_applies,
    across=_look,
)
