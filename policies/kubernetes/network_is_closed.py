"""What no policy allows in the namespace is denied, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.kubernetes.objects import in_a_cluster, named, namespace_of, of_kind
from policies.matchers import at, judge, known, listed
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule


def _denies_all(spec: Any) -> bool:
    ways = listed(at(spec, "policyTypes"))
    return (
        "Ingress" in ways
        and "Egress" in ways
        and not any(at(spec, key) for key in ("podSelector", "ingress", "egress"))
    )


def _look(plan: Plan) -> Iterator[Finding]:
    policies = [(namespace_of(one), at(one.properties, "spec")) for one in of_kind(plan, "NetworkPolicy")]
    if not any(of_kind(plan, "Namespace")) and not any(known(spec) and _denies_all(spec) for _, spec in policies):
        yield Finding(plan.urn, "no NetworkPolicy closes the namespace: add one that allows nothing in and nothing out")
    for namespace in of_kind(plan, "Namespace"):
        if any(known(spec) and where == named(namespace) and _denies_all(spec) for where, spec in policies):
            continue
        yield from judge(
            namespace,
            (policies, named(namespace)),
            lambda _: False,
            "what its pods may connect to unsaid",
            "is everything: add a NetworkPolicy for all pods that allows nothing in and nothing out",
        )


RULE = Rule(
    name="kubernetes-network-is-closed",
    sentence="A policy of the namespace denies every pod all that no other policy allows.",
    controls=(
        Control(Framework.SOC_2, "CC6.6", "nothing connects from without unless it is meant to"),
        Control(Framework.PCI_DSS, "1.3.1", "what comes in is limited to what is needed"),
        Control(Framework.PCI_DSS, "1.3.2", "what goes out is limited to what is needed"),
        Control(Framework.HIPAA, "164.312(e)(1)", "nobody reaches secrets over a network unasked"),
        Control(Framework.GDPR, "32(1)(b)", "the readers of secrets are kept apart"),
    ),
    limitation="That the cluster's network plugin enforces policies: some take them and do nothing.",
    applies=in_a_cluster,
    across=_look,
)
