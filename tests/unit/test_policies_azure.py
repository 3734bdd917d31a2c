"""Each rule for Azure is kept by what is shipped, broken by one property, and says so where it can't know yet."""

from __future__ import annotations

import pytest

from components.azure.alerts import ACCESS_CHANGES
from components.azure.roles import ROLES
from policies.azure.roles_narrow import NARROW
from policies.azure.tampering_is_told import OPERATIONS
from policies.catalogue import rules
from policies.rule import UNKNOWN, Environment
from tests.unit import azure_stack
from tests.unit.aws_breaks import PRIVATE_KEY
from tests.unit.azure_breaks import (
    OF_ROLES,
    OF_SERVER,
    OF_TRAIL,
    OF_VAULT,
    everything,
    private,
    prod,
)
from tests.unit.policy_plans import STACK_FILES, Break, Change, added, changed, holds, named, plan_of, shipped, verdicts

STACKS = tuple(stack for stack in STACK_FILES if "azure" in stack)

NOT_EVERYWHERE = {
    "azure-app-not-public": ("prod-azure",),
    "azure-federation-bound": ("prod-azure-kubernetes",),
    "azure-network-closed-wholly": (),
    "azure-private-endpoints-named": (),
}
"""Rule -> the shipped stacks that have what it is about. All others are about every stack of Azure."""

CRON = ("configuration", "scheduleTriggerConfig", "cronExpression")
REFERENCE = {"keyVaultUrl": "https://vault.vault.azure.net/secrets/mqtt", "identity": "system"}

BREAKS = (*OF_VAULT, *OF_ROLES, *OF_TRAIL, *OF_SERVER)


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: one.rule)
def test_one_broken_property_breaks_its_rule_and_no_other(one: Break) -> None:
    holds(one)


def test_every_rule_for_azure_is_broken_by_a_row() -> None:
    assert {one.rule for one in BREAKS} == {rule.name for rule in rules() if rule.name.startswith("azure-")}


@pytest.mark.parametrize("stack", STACKS)
def test_a_shipped_stack_keeps_every_rule_that_has_something_to_judge_in_it(stack: str) -> None:
    expected = {
        rule.name: "kept"
        for rule in rules()
        if rule.name.startswith("azure-") and stack in NOT_EVERYWHERE.get(rule.name, STACKS)
    }
    assert {name: said for name, said in verdicts(shipped(stack)).items() if name.startswith("azure-")} == expected


def test_a_stack_with_every_option_keeps_every_rule() -> None:
    said = {name: one for name, one in verdicts(everything()).items() if name.startswith("azure-")}
    assert set(said) == {rule.name for rule in rules() if rule.name.startswith("azure-")} - {"azure-federation-bound"}
    assert set(said.values()) == {"kept"}


def test_a_stack_that_is_closed_to_the_internet_keeps_every_rule() -> None:
    said = {name: one for name, one in verdicts(private()).items() if name.startswith("azure-")}
    assert said["azure-network-closed-wholly"] == said["azure-private-endpoints-named"] == "kept"
    assert set(said.values()) == {"kept"}


@pytest.mark.parametrize("stack", STACKS)
def test_a_first_preview_breaks_no_rule_and_what_it_can_not_judge_is_not_kept(stack: str) -> None:
    said = {name: one for name, one in verdicts(shipped(stack, preview=True)).items() if name.startswith("azure-")}
    assert "broken" not in said.values()
    assert said["azure-roles-scoped"] == said["azure-reads-recorded"] == "unknown"
    assert said["azure-vault-by-role"] == said["azure-roles-narrow"] == said["azure-tampering-is-told"] == "kept"


@pytest.mark.parametrize("stack", [stack for stack in STACK_FILES if stack not in STACKS])
def test_a_stack_without_azure_is_not_judged_by_its_rules(stack: str) -> None:
    assert not [name for name in verdicts(shipped(stack)) if name.startswith("azure-")]


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("azure-vault-recovers", changed("vault", "properties", "enablePurgeProtection", to=None)),
        ("azure-vault-recovers", changed("vault", "properties", "softDeleteRetentionInDays", to=7)),
        ("azure-trail-kept", changed("workspace", "retentionInDays", to=90)),
    ],
)
def test_what_only_production_needs_is_asked_of_production_alone(rule: str, change: Change) -> None:
    deployed = azure_stack.production()
    assert verdicts(change(plan_of(deployed, "prod", Environment.STAGING)))[rule] == "kept"
    assert verdicts(change(plan_of(deployed, "prod", Environment.PRODUCTION)))[rule] == "broken"


def test_the_roles_that_are_narrow_are_those_that_the_program_assigns() -> None:
    assert dict(NARROW) == {role.guid: role.name for role in ROLES}


def test_what_the_rule_has_told_is_part_of_what_the_program_tells() -> None:
    assert set(OPERATIONS) <= set(ACCESS_CHANGES)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("azure-vault-recovers", changed("vault", "properties", "softDeleteRetentionInDays", to=None)),
        ("azure-storage-closed", changed("lease-account", "minimumTlsVersion", to="TLS1_3")),
        ("azure-tick-hourly", changed("job", *CRON, to="*/10 * * * *")),
        ("azure-reads-recorded", changed("vault-audit", "logs", to=[{"enabled": True, "category": "AuditEvent"}])),
        ("azure-containers-hold-no-value", changed("app", "configuration", "secrets", to=[REFERENCE])),
    ],
)
def test_what_is_as_good_is_kept(rule: str, change: Change) -> None:
    assert verdicts(change(prod()))[rule] == "kept"


def test_an_alert_that_is_there_is_enough_while_another_is_not_known_yet() -> None:
    another = added("azure-native:monitor:ActivityLogAlert", {"condition": UNKNOWN})
    assert verdicts(another(prod()))["azure-tampering-is-told"] == "kept"


def test_a_vault_that_is_closed_is_judged_by_whatever_closes_it() -> None:
    network = f', subnet: "{azure_stack.SUBNET}", network: {{addresses: [203.0.113.7]}}'
    assert verdicts(plan_of(azure_stack.on_azure(network), "prod"))["azure-network-closed-wholly"] == "kept"
    half = changed("vault", "properties", "publicNetworkAccess", to="Disabled")(prod())
    assert verdicts(half)["azure-network-closed-wholly"] == "broken"


def test_no_finding_tells_what_a_variable_says() -> None:
    text = f"{PRIVATE_KEY}of somebody"
    plan = changed("app", "template", "containers", 0, "env", 0, "value", to=text)(prod())
    told = [one.message for one in named("azure-containers-hold-no-value").look(plan)]
    assert told
    assert not [one for one in told if "somebody" in one]
