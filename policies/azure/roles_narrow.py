"""What is assigned are roles that are there for one thing, and none that manages, assigns or reads everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

ASSIGNMENT, DEFINITION = "azure-native:authorization:RoleAssignment", "azure-native:authorization:RoleDefinition"

NARROW: Mapping[str, str] = {
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "73c42c96-874c-492b-b04d-ab87d138a893": "Log Analytics Reader",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "b93aa761-3e63-49ed-ac28-beffa264f7ac": "Container Registry Repository Reader",
}
"""Azure's own roles, by their GUIDs, none of which may assign a role or change what it is assigned on."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(ASSIGNMENT))


def _is_narrow(role: Any) -> bool:
    return isinstance(role, str) and role.rpartition("/")[2].lower() in NARROW


def _look(plan: Plan) -> Iterator[Finding]:
    for assignment in plan.of_type(ASSIGNMENT):
        wrong = "is none of those that are for one thing; assign one of them"
        yield from judge(assignment, at(assignment.properties, "roleDefinitionId"), _is_narrow, "its role", wrong)
        because = at(assignment.properties, "description")
        yield from judge(assignment, because, bool, "its reason", "is not said; say why, for a reviewer")
    for definition in plan.of_type(DEFINITION):
        yield Finding(definition.urn, "it is a role of somebody's own making; assign one of Azure's")


RULE = Rule(
    name="azure-roles-narrow",
    sentence="Every role that is assigned is one of Azure's for one thing, with its reason; none may assign or manage.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "access by least privilege"),
        Control(Framework.PCI_DSS, "7.2.2", "privileges are the least that a function needs"),
        Control(Framework.PCI_DSS, "7.2.5", "application accounts have the least that they need"),
        Control(Framework.HIPAA, "164.312(a)(1)", "programs have the access that they have been granted, and no more"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality"),
    ),
    limitation="That the rotator's role is the least: Azure's smallest that writes a secret deletes one as well.",
    applies=_applies,
    across=_look,
)
