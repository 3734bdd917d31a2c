"""The API server itself refuses a pod that is not `restricted`, whoever asks for it."""

from __future__ import annotations

from collections.abc import Iterator

from policies.kubernetes.objects import of_kind
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_LABEL = "pod-security.kubernetes.io/enforce"


def _look(plan: Plan) -> Iterator[Finding]:
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
    sentence="The namespace of the secrets enforces the Pod Security level restricted.",
    controls=(
        Control(Framework.SOC_2, "CC6.8", "no pod with a privilege comes in, whoever makes it"),
        Control(Framework.PCI_DSS, "2.2.1", "one standard of configuration, which the cluster enforces"),
        Control(Framework.HIPAA, "164.312(a)(1)", "no pod beside the secrets is root on their node"),
        Control(Framework.GDPR, "32(1)(b)", "the readers of secrets are kept apart"),
    ),
    limitation="Other namespaces, and one that somebody else created (create_namespace: false): secretops doctor does.",
    applies=lambda plan: any(of_kind(plan, "Namespace")),
    across=_look,
)
