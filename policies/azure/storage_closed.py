"""The storage account of the lease is used by role and by TLS, and shows nobody anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.matchers import at, judge, require
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

STORE = "coreflux-mcp-secrets:azure:SecretStore"
ACCOUNT, CONTAINER = "azure-native:storage:StorageAccount", "azure-native:storage:BlobContainer"

WANTED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "enableHttpsTrafficOnly": ((True,), "it takes requests in plain text"),
    "minimumTlsVersion": (("TLS1_2", "TLS1_3"), "it takes versions of TLS before 1.2"),
    "allowSharedKeyAccess": ((False,), "a key of the account opens it, and no role"),
    "isLocalUserEnabled": ((False,), "a user of its own opens it, and no role"),
    "allowBlobPublicAccess": ((False,), "a container may be made public"),
    "allowCrossTenantReplication": ((False,), "another tenant may be sent what is in it"),
}
"""Property -> what it may be, and what is wrong with anything else."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE, ACCOUNT))


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE):
        yield from require(
            store, list(plan.of_type(ACCOUNT)), "storage account", "nothing keeps two rotations apart; add it"
        )
    for account in plan.of_type(ACCOUNT):
        for what, (wanted, wrong) in WANTED.items():
            told = f"is wrong: {wrong}; set it to {wanted[0]}"
            yield from judge(account, at(account.properties, what), wanted.__contains__, what, told)
    for container in plan.of_type(CONTAINER):
        public = at(container.properties, "publicAccess")
        wrong = "shows its blobs to the internet; set None"
        yield from judge(container, public, lambda access: access in (None, "None"), "public_access", wrong)


RULE = Rule(
    name="azure-storage-closed",
    sentence="The storage account takes TLS 1.2 and roles alone: no key, no user of its own, nothing public.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "who opens it is identified and authorized"),
        Control(Framework.SOC_2, "CC6.7", "what is transmitted is protected"),
        Control(Framework.PCI_DSS, "4.2.1", "strong cryptography in transmission"),
        Control(Framework.PCI_DSS, "8.3.1", "every access is authenticated"),
        Control(Framework.HIPAA, "164.312(e)(1)", "no access to what is transmitted"),
        Control(Framework.GDPR, "32(1)(a)", "encryption"),
    ),
    limitation="Encryption at rest: Azure encrypts every account, and nobody can turn that off.",
    applies=_applies,
    across=_look,
)
