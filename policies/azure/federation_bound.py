"""An identity is lent to one service account of one cluster, by tokens that are meant for Entra."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

FEDERATION = "azure-native:managedidentity:FederatedIdentityCredential"
AUDIENCE = "api://AzureADTokenExchange"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(FEDERATION))


def _one(subject: Any) -> bool:
    return (
        isinstance(subject, str) and re.fullmatch(r"system:serviceaccount:[a-z0-9-]+:[a-z0-9.-]+", subject) is not None
    )


def _look(plan: Plan) -> Iterator[Finding]:
    for federation in plan.of_type(FEDERATION):
        told = federation.properties
        wrong = "is not one service account; set system:serviceaccount:NAMESPACE:NAME"
        yield from judge(federation, at(told, "subject"), _one, "its subject", wrong)
        wrong = "is not by HTTPS: anybody could vouch; set the cluster's"
        issuer = at(told, "issuer")
        yield from judge(federation, issuer, lambda url: str(url).startswith("https://"), "its issuer", wrong)
        wrong = f"are not {AUDIENCE} alone: tokens for others would do; set it"
        audiences = at(told, "audiences")
        yield from judge(federation, audiences, lambda given: given == [AUDIENCE], "its audiences", wrong)


RULE = Rule(
    name="azure-federation-bound",
    sentence="An identity of the stack is lent to one service account, by tokens that are meant for Entra.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "who takes an identity is identified and authorized"),
        Control(Framework.PCI_DSS, "7.2.5", "an application account is for the system that needs it"),
        Control(Framework.PCI_DSS, "8.6.1", "an application account is not for persons"),
        Control(Framework.HIPAA, "164.312(d)", "who seeks access is the one claimed"),
    ),
    limitation="Who in the cluster may start a pod as that service account.",
    applies=_applies,
    across=_look,
)
