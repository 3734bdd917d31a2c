"""Pulumi's own way into the cluster is of whoever deploys, and never an input that the state keeps."""

from __future__ import annotations

from collections.abc import Iterator

from policies.kubernetes.objects import in_a_cluster
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

PROVIDER = "pulumi:providers:kubernetes"


def _look(plan: Plan) -> Iterator[Finding]:
    if not any(plan.of_type(PROVIDER)):
        yield Finding(
            plan.urn, "the stack has no provider of its cluster: variables of whoever deploys name it; add one"
        )
    for provider in plan.of_type(PROVIDER):
        yield from judge(
            provider,
            at(provider.properties, "kubeconfig"),
            lambda text: text in (None, ""),
            "a kubeconfig",
            "is an input of it: the state would keep the login; name a context",
        )
        yield from judge(
            provider,
            at(provider.properties, "upsertExistingObjects"),
            lambda said: said in (None, False, "false"),
            "what is in the cluster already",
            "is taken over: it is somebody else's; set upsertExistingObjects to false",
        )


RULE = Rule(
    name="kubernetes-provider-has-no-login",
    sentence="The provider of the cluster has no kubeconfig among its inputs, and takes nothing over.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "the login of whoever deploys is in no state"),
        Control(Framework.PCI_DSS, "8.6.2", "no credential is in a configuration"),
        Control(Framework.HIPAA, "164.312(d)", "who changes the cluster is the person who deploys"),
        Control(Framework.GDPR, "32(1)(b)", "who has the state has no way into the cluster"),
    ),
    limitation="What whoever deploys may do in the cluster.",
    applies=lambda plan: any(plan.of_type(PROVIDER)) or in_a_cluster(plan),
    across=_look,
)
