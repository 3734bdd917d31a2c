"""What a policy allows has an other end and a port. Everywhere is a destination of few ports, and never a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.kubernetes.objects import of_kind
from policies.matchers import at, each, judge, listed, open_cidr
from policies.plan import Finding, Plan, Resource
from policies.rule import Control, Framework, Rule

_NEVER = (53, 80)
"""Ports of everywhere that carry values out unseen, by names that are asked for, or reach a cloud's metadata."""


def _look(plan: Plan) -> Iterator[Finding]:
    for policy in of_kind(plan, "NetworkPolicy"):
        for rule in each(at(policy.properties, "spec", "ingress")):
            yield from _names(policy, rule, "from", "who may connect to its pods")
            yield from judge(
                policy,
                at(rule, "from"),
                lambda peers: not _has_everybody(peers),
                "who may connect to its pods",
                "is everybody, or a large part: name the networks of clients (server.client_cidrs)",
            )
        for rule in each(at(policy.properties, "spec", "egress")):
            yield from _names(policy, rule, "to", "where its pods may connect to")
            yield from judge(
                policy,
                (at(rule, "to"), at(rule, "ports")),
                lambda both: not _has_everybody(both[0]) or all(_one_of_tls(port) for port in listed(both[1])),
                "a port of every address that its pods may connect to",
                "is a range, DNS or plain HTTP: name the ports that are needed, or the networks (server.broker_cidrs)",
            )


def _names(policy: Resource, rule: Any, peers: str, what: str) -> Iterator[Finding]:
    for key in (peers, "ports"):
        yield from judge(
            policy,
            at(rule, key),
            lambda said: bool(listed(said)),
            what,
            f"is not limited: a rule without {key} allows them all; name them",
        )


def _allows(policy: Resource) -> bool:
    """Whether it does, or may yet."""
    return any(at(policy.properties, "spec", key) not in (None, []) for key in ("ingress", "egress"))


def _has_everybody(peers: Any) -> bool:
    return any(open_cidr(at(peer, "ipBlock", "cidr")) for peer in listed(peers))


def _one_of_tls(port: Any) -> bool:
    return at(port, "port") not in (None, *_NEVER) and at(port, "endPort") is None


RULE = Rule(
    name="kubernetes-network-names-both-ends",
    sentence="Every allowed connection names its other end and its port; nobody comes in from everywhere.",
    controls=(
        Control(Framework.SOC_2, "CC6.6", "what crosses the boundary is named"),
        Control(Framework.PCI_DSS, "1.3.1", "what comes in is limited to what is needed"),
        Control(Framework.PCI_DSS, "1.3.2", "what goes out is limited to what is needed"),
        Control(Framework.HIPAA, "164.312(e)(1)", "who reaches the server is named"),
        Control(Framework.GDPR, "32(1)(b)", "a broken program has few ways to send a value out"),
    ),
    limitation="That a network is as narrow as it could be: by default the broker's port may be at any address.",
    applies=lambda plan: any(_allows(one) for one in of_kind(plan, "NetworkPolicy")),
    across=_look,
)
