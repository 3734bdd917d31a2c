"""An identity of the stack has a role on one secret or one container; nobody has one on a whole group."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from policies.looking import at, judge
from policies.rule import Control, Finding, Framework, Plan, Rule

ASSIGNMENT = "azure-native:authorization:RoleAssignment"

_RESOURCE = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+/[^/]+/[^/]+"
_SECRET = _RESOURCE + r"/secrets/[^/]+"
_CONTAINER = _RESOURCE + r"/blobServices/default/containers/[^/]+"

OF_ONE: Mapping[str, str] = {
    "4633458b-17de-408a-b874-0445c86b69e6": _SECRET,
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": _SECRET,
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": _CONTAINER,
}
"""GUID of a role over what is stored -> the narrowest scope that it has."""

OF_A_PERSON = ("b86a8fe4-44ce-4948-aee5-eccb2c155cd7",)
"""An operator purges a deleted secret, and Azure knows no scope of one that is deleted."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(ASSIGNMENT))


def _fits(wanted: str, scope: Any) -> bool:
    return isinstance(scope, str) and re.fullmatch(wanted + r"(/.+)?", scope, re.IGNORECASE) is not None


def _look(plan: Plan) -> Iterator[Finding]:
    for assignment in plan.of_type(ASSIGNMENT):
        told = assignment.properties
        role = str(at(told, "roleDefinitionId")).rpartition("/")[2].lower()
        by_person = role in OF_A_PERSON and at(told, "principalType") == "User"
        wanted = _RESOURCE if by_person else OF_ONE.get(role, _RESOURCE)
        wrong = "is wider than what the role is for; assign it on the one secret, container or resource"
        yield from judge(assignment, at(told, "scope"), partial(_fits, wanted), "its scope", wrong)


RULE = Rule(
    name="azure-roles-scoped",
    says="A role of an identity is on one secret or container; none is on a resource group or a subscription.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "access by least privilege, secret by secret"),
        Control(Framework.PCI_DSS, "7.2.1", "access follows a model: readers and writers of each secret"),
        Control(Framework.PCI_DSS, "7.2.5", "application accounts have the least that they need"),
        Control(Framework.HIPAA, "164.312(a)(1)", "programs have the access that they have been granted, and no more"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality"),
    ),
    shows_not="What an operator may: his roles are on the whole vault, which has nothing but the stack's secrets.",
    applies=_applies,
    look=_look,
)
