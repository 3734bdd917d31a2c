"""What administers is read by the rotator alone."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, each, judge
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule

OF_THE_ROTATOR = ("broker-admin", "agent-admin", "ca")
"""Kinds and names of secrets with which others are made."""


def _look(plan: Plan) -> Iterator[Finding]:
    for secret in each(at(plan.outputs, "secretops", "secrets")):
        if secret is UNKNOWN:
            yield Finding(plan.urn, "who reads a secret is known after pulumi up", unknown=True)
        elif any(said in OF_THE_ROTATOR for said in (at(secret, "kind"), at(secret, "name"))):
            yield from judge(
                plan,
                at(secret, "readers"),
                lambda readers: readers == ["rotator"],
                f"who reads {at(secret, 'name')}",
                "is not the rotator alone: what makes other credentials is no server's; take it from its readers",
            )


RULE = Rule(
    name="stack-keeps-admins-from-the-server",
    sentence="A secret with which others are made is read by the rotator alone.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "duties are separated: who uses a credential can't make one"),
        Control(Framework.PCI_DSS, "7.2.5", "the server has the least privileges that it works with"),
        Control(Framework.HIPAA, "164.312(a)(1)", "access is for the program that was granted it"),
        Control(Framework.GDPR, "32(1)(b)", "a server that was taken over makes no accounts"),
    ),
    limitation="That the grants say the same: the rules of each platform judge policies and roles.",
    applies=lambda plan: "secretops" in plan.outputs,
    across=_look,
)
