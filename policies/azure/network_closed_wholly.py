"""Where a stack closes its vault to the internet, nothing beside it stays open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge, open_cidr
from policies.plan import UNKNOWN, Finding, Plan, Resource
from policies.rule import Control, Framework, Rule

VAULT, ACCOUNT = "azure-native:keyvault:Vault", "azure-native:storage:StorageAccount"
ENDPOINT = "azure-native:network:PrivateEndpoint"


def _is_closed(vault: Resource) -> bool:
    """Whether it is anything but open to all: one of which that is not known yet is judged."""
    told = at(vault.properties, "properties")
    access, action = at(told, "publicNetworkAccess"), at(told, "networkAcls", "defaultAction")
    return access in ("Disabled", UNKNOWN) or action in ("Deny", UNKNOWN)


def _applies(plan: Plan) -> bool:
    """A stack file without `network` leaves its vault to Entra alone, which the stack's page says."""
    return any(_is_closed(vault) for vault in plan.of_type(VAULT)) or any(plan.of_type(ENDPOINT))


def _look(plan: Plan) -> Iterator[Finding]:
    wrong = "is open to the internet beside what is closed; set Deny"
    for vault in plan.of_type(VAULT):
        told = at(vault.properties, "properties")
        rules = at(told, "networkAcls")
        yield from judge(vault, at(rules, "defaultAction"), lambda action: action == "Deny", "its network", wrong)
        by = at(rules, "bypass")
        yield from judge(vault, by, lambda by: by == "None", "its bypass", "lets Azure's services in; set None")
        yield from _named(vault, at(rules, "ipRules"), "value")
    for account in plan.of_type(ACCOUNT):
        rules = at(account.properties, "networkRuleSet")
        yield from judge(account, at(rules, "defaultAction"), lambda action: action == "Deny", "its network", wrong)
        yield from _named(account, at(rules, "ipRules"), "iPAddressOrRange")


def _named(of: Resource, rules: Any, key: str) -> Iterator[Finding]:
    entries = rules if isinstance(rules, list) else []
    addresses = UNKNOWN if rules is UNKNOWN else [at(entry, key) for entry in entries]
    wrong = "are a large part of the internet; name those of the office"
    yield from judge(of, addresses, lambda known: not any(map(_wide, known)), "its addresses", wrong)


def _wide(address: Any) -> bool:
    return not isinstance(address, str) or open_cidr(address)


RULE = Rule(
    name="azure-network-closed-wholly",
    sentence="A stack that closes its vault to the internet closes the storage account of the lease, too.",
    controls=(
        Control(Framework.SOC_2, "CC6.6", "nobody from outside reaches the vault"),
        Control(Framework.PCI_DSS, "1.4.2", "traffic from untrusted networks is restricted"),
        Control(Framework.PCI_DSS, "1.4.4", "what is stored can't be reached from untrusted networks by itself"),
        Control(Framework.HIPAA, "164.312(e)(1)", "no access over a network but from named ones"),
    ),
    limitation="That a stack closes anything: one without store.network answers the internet, to who has a role.",
    applies=_applies,
    across=_look,
)
