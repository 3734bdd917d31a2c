"""The API server itself refuses a pod that is not `restricted`, whoever asks for it."""

from __future__ import annotations

from collections.abc import Iterator

from policies.kubernetes.objects import in_a_cluster, of_kind
from policies.looking import at, judge
from policies.rule import Control, Finding, Framework, Plan, Rule

_LABEL = "pod-security.kubernetes.io/enforce"


def _look(plan: Plan) -> Iterator[Finding]:
    if not any(of_kind(plan, "Namespace")):
        yield Finding(plan.urn, "the stack has no namespace of its own: nobody restricts the pods beside it; add one")
    for namespace in of_kind(plan, "Namespace"):
        yield from judge(
            namespace,
            at(namespace.properties, "metadata", "labels", _LABEL),
            lambda level: level == "restricted",
            "its Pod Security level",
            f"lets other pods in than restricted ones; set the label {_LABEL}: restricted",
        )


RULE = Rule(
    name="kubernetes-namespace-is-restricted",
    says="The namespace of the secrets enforces the Pod Security level restricted.",
    controls=(
        Control(Framework.SOC_2, "CC6.8", "no pod with a privilege comes in, whoever makes it"),
        Control(Framework.PCI_DSS, "2.2.1", "one standard of configuration, which the cluster enforces"),
        Control(Framework.HIPAA, "164.312(a)(1)", "no pod beside the secrets is root on their node"),
        Control(Framework.GDPR, "32(1)(b)", "the readers of secrets are kept apart"),
    ),
    shows_not="Other namespaces: a pod with privileges there can be on the same node.",
    applies=in_a_cluster,
    look=_look,
)
