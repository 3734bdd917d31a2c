"""A role is on one secret, one container or one resource; nobody has one on a whole group."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

ASSIGNMENT = "azure-native:authorization:RoleAssignment"

_RESOURCE = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+/[^/]+/[^/]+"
_SECRET = _RESOURCE + r"/secrets/[^/]+"
_CONTAINER = _RESOURCE + r"/blobServices/default/containers/[^/]+"

OF_ONE: Mapping[str, str] = {
    "4633458b-17de-408a-b874-0445c86b69e6": _SECRET,
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": _CONTAINER,
}
"""GUID of a role -> the narrowest scope that it works on.

Key Vault Secrets Officer is not here: writing takes a role on the vault
(https://learn.microsoft.com/azure/key-vault/general/secure-key-vault).
"""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(ASSIGNMENT))


def _fits(wanted: str, scope: Any) -> bool:
    return isinstance(scope, str) and re.fullmatch(wanted + r"(/.+)?", scope, re.IGNORECASE) is not None


def _look(plan: Plan) -> Iterator[Finding]:
    for assignment in plan.of_type(ASSIGNMENT):
        told = assignment.properties
        role = str(at(told, "roleDefinitionId")).rpartition("/")[2].lower()
        wanted = OF_ONE.get(role, _RESOURCE)
        wrong = "is wider than what the role is for; assign it on the one secret, container or resource"
        yield from judge(assignment, at(told, "scope"), partial(_fits, wanted), "its scope", wrong)


RULE = Rule(
    name="azure-roles-scoped",
    sentence="A reader's role is on one secret, the lease's on one container, and none on a group or a subscription.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "access by least privilege, secret by secret"),
        Control(Framework.PCI_DSS, "7.2.1", "access follows a model: readers and writers of each secret"),
        Control(Framework.PCI_DSS, "7.2.5", "application accounts have the least that they need"),
        Control(Framework.HIPAA, "164.312(a)(1)", "programs have the access that they have been granted, and no more"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality"),
    ),
    limitation="What an operator may: his roles are on the whole vault, which has nothing but the stack's secrets.",
    applies=_applies,
    across=_look,
)
