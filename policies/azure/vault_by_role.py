"""A secret of the vault is read by a role on that secret, and by no policy that is for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

VAULT = "azure-native:keyvault:Vault"
FOR_AZURE = ("enabledForDeployment", "enabledForDiskEncryption", "enabledForTemplateDeployment")
"""By which services of Azure read secrets without a role."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(VAULT))


def _look(plan: Plan) -> Iterator[Finding]:
    for vault in plan.of_type(VAULT):
        told = at(vault.properties, "properties")
        wrong = "is off: access is for the vault as a whole; set enable_rbac_authorization"
        by_role = at(told, "enableRbacAuthorization")
        yield from judge(vault, by_role, lambda on: on is True, "authorization by role", wrong)
        wrong = "let somebody read all of its secrets; assign roles on single ones"
        yield from judge(vault, at(told, "accessPolicies"), lambda given: not given, "its access policies", wrong)
        for what in FOR_AZURE:
            wrong = "lets a service of Azure read its secrets; leave it off"
            yield from judge(vault, at(told, what), lambda on: not on, what, wrong)


RULE = Rule(
    name="azure-vault-by-role",
    sentence="Access to the vault is by role assignments alone.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "access to credentials is restricted to who is authorized"),
        Control(Framework.SOC_2, "CC6.3", "access is by role, secret by secret"),
        Control(Framework.PCI_DSS, "7.3.1", "an access control system restricts access by need to know"),
        Control(Framework.PCI_DSS, "7.3.2", "permissions are enforced, to each by what it is for"),
        Control(Framework.PCI_DSS, "7.3.3", "who has no role is denied"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only those who have been granted access have it"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality"),
    ),
    limitation="Roles that somebody has on the resource group or the subscription: they reach the vault, too.",
    applies=_applies,
    across=_look,
)
