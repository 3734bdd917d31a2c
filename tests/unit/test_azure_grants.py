"""Permissions in an Azure stack, by evaluating the role assignments that the program makes.

Roles have the actions that Azure lists (tools/azure_roles.py). An assignment applies to its scope and all scopes below.
The program makes no deny assignments or conditions.
"""

import re

import pytest

from components.settings.section import PROJECT_FOLDER
from tests.unit import azure_stack
from tests.unit.azure_ids import SUBSCRIPTION, TENANT, group_id, object_id
from tests.unit.azure_stack import GOLDEN, OPERATOR, assignments, every_role, production, role_of, with_every_option
from tests.unit.harness import Deployed
from tools.azure_roles import Action, allows, definitions

OF_SECRETS, OF_STORAGE = "Microsoft.KeyVault/vaults/secrets", "Microsoft.Storage/storageAccounts"
GET, SET, PURGE = (Action(f"{OF_SECRETS}/{what}/action") for what in ("getSecret", "setSecret", "purge"))
UPDATE, RECOVER, BACKUP = (Action(f"{OF_SECRETS}/{what}/action") for what in ("update", "recover", "backup"))
DELETE = Action(f"{OF_SECRETS}/delete")
ASSIGN = Action("Microsoft.Authorization/roleAssignments/write", on_data=False)
ATTACH = Action("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", on_data=False)

PROD = "coreflux-prod-{}".format
SERVER, ROTATOR, PLATFORM = (object_id(PROD(what)) for what in ("server", "rotator", "platform"))
SECRETS = ("broker-admin", "mqtt", "agent-key", "http-token")
PENDING = tuple(f"{secret}-pending" for secret in SECRETS)
OTHERS = ("another", "mqtt2")


@pytest.fixture(scope="module")
def prod() -> Deployed:
    return production()


@pytest.fixture(scope="module")
def everything() -> Deployed:
    return with_every_option()


def vault(deployed: Deployed) -> str:
    made = deployed.resources["vault"].inputs
    return f"{group_id(made['resourceGroupName'])}/providers/Microsoft.KeyVault/vaults/{made['vaultName']}"


def may(deployed: Deployed, principal: str, action: Action, scope: str) -> bool:
    """Return whether Azure lets `principal` do `action` at `scope`."""
    return any(
        f"{scope}/".startswith(f"{one['scope']}/") and allows(role_of(one), action)
        for one in assignments(deployed)
        if one["principalId"] == principal
    )


def test_the_roles_are_azures_own_and_each_is_used(everything: Deployed) -> None:
    from components.azure.roles import ROLES  # imports the SDK

    assert {role.name: role.guid for role in ROLES} == {name: one["name"] for name, one in definitions().items()}
    assert {role.name for role in ROLES} == {role_of(one) for one in assignments(everything)}


READS = {
    SERVER: {"mqtt", "agent-key", "http-token"},
    PLATFORM: set(),
    ROTATOR: {*SECRETS, *PENDING, *OTHERS},
    OPERATOR: {*SECRETS, *PENDING, *OTHERS},
}


@pytest.mark.parametrize("principal", READS)
def test_a_secret_is_read_by_its_declared_readers(prod: Deployed, principal: str) -> None:
    secrets = (*SECRETS, *PENDING, *OTHERS)
    read = {secret for secret in secrets if may(prod, principal, GET, f"{vault(prod)}/secrets/{secret}")}
    assert read == READS[principal]


@pytest.mark.parametrize("principal", READS)
@pytest.mark.parametrize("action", [SET, UPDATE, RECOVER, DELETE, PURGE, BACKUP], ids=lambda action: action.name)
def test_a_secret_is_written_by_the_rotator_and_operators_alone(prod: Deployed, principal: str, action: Action) -> None:
    written = [may(prod, principal, action, f"{vault(prod)}/secrets/{secret}") for secret in (*SECRETS, *PENDING)]
    assert set(written) == {principal in (ROTATOR, OPERATOR)}


def test_only_rotator_and_operators_have_a_role_on_the_whole_vault(prod: Deployed, everything: Deployed) -> None:
    for deployed in (prod, everything):
        vaults = {one["principalId"] for one in assignments(deployed) if one["scope"] == vault(deployed)}
        assert vaults == {OPERATOR, ROTATOR}
        for one in assignments(deployed):
            assert "/providers/" in one["scope"], "no role on a resource group or a subscription"
            assert not [action for action in (ASSIGN, ATTACH) if allows(role_of(one), action)], role_of(one)


def test_the_declared_readers_are_exactly_those_whom_a_role_lets_read(prod: Deployed, everything: Deployed) -> None:
    for deployed in (prod, everything):
        for secret, declared in deployed.exports["secretops"]["store"]["readers"].items():
            scope = f"{vault(deployed)}/secrets/{secret}"
            principals = {one["principalId"] for one in assignments(deployed)}
            assert {who for who in principals if may(deployed, who, GET, scope)} == set(declared)


def test_the_deployers_condition_allows_the_roles_of_the_stack() -> None:
    page = (PROJECT_FOLDER / "docs/operations/azure.md").read_text()
    write, delete = re.findall(r"GuidEquals \{([^}]*)\}", page)
    listed = {tuple(sorted(re.findall(r"[0-9a-f-]{36}", each))) for each in (write, delete)}
    assert listed == {tuple(sorted(one["name"] for one in definitions().values()))}


def test_a_role_is_defined_in_the_subscription_of_its_scope() -> None:
    made = azure_stack.on_azure(f", registry: '{azure_stack.REGISTRY.replace(SUBSCRIPTION, TENANT)}'")
    assert {one["scope"].split("/")[2] for one in assignments(made)} == {SUBSCRIPTION, TENANT}
    for one in assignments(made):
        assert one["roleDefinitionId"].split("/")[2] == one["scope"].split("/")[2]


def test_roles_on_missing_secrets_wait_for_the_first_of_them(everything: Deployed) -> None:
    roles = everything.of_type("azure-native:authorization:RoleAssignment")
    first, *others = (one for one in roles if "/secrets/" in one.inputs["scope"])
    assert len(others) == 3 and [one.name for one in others if first.name not in one.depends_on] == []


def test_a_reviewer_is_shown_every_role_assignment() -> None:
    assert GOLDEN.read_text() == every_role(), "python -m tests.unit.azure_stack > tests/unit/golden/azure-roles.txt"


def test_an_operator_who_leaves_takes_nobody_elses_assignments_with_him(prod: Deployed) -> None:
    """Azure rejects the same principal, role and scope under another id. So names contain the principal, not a
    number."""
    roles = prod.of_type("azure-native:authorization:RoleAssignment")
    operators = [one.name for one in roles if one.inputs["principalId"] == OPERATOR]
    assert operators and [name for name in operators if OPERATOR not in name] == []
