"""The vault of the Azure store, and what secretops is told of it. Under mocks."""

from __future__ import annotations

import pytest

from tests.unit import azure_stack
from tests.unit.azure_ids import TENANT, object_id
from tests.unit.azure_stack import OPERATOR, inputs, manifest_of, production, store_of
from tests.unit.harness import Deployed


@pytest.fixture(scope="module")
def prod() -> Deployed:
    return production()


@pytest.fixture(scope="module")
def trial() -> Deployed:
    return azure_stack.trial()


def test_the_vault_is_read_by_role_alone(prod: Deployed) -> None:
    properties = inputs(prod, "vault")["properties"]

    assert properties["enableRbacAuthorization"] is True
    assert "accessPolicies" not in properties
    assert [properties[f"enabledFor{what}"] for what in ("Deployment", "DiskEncryption", "TemplateDeployment")] == [
        False
    ] * 3
    assert properties["tenantId"] == TENANT


def test_in_production_a_deleted_vault_is_kept_for_ninety_days_and_nobody_can_purge_it(
    prod: Deployed, trial: Deployed
) -> None:
    kept, removable = (inputs(deployed, "vault")["properties"] for deployed in (prod, trial))

    assert (kept["softDeleteRetentionInDays"], kept["enablePurgeProtection"]) == (90, True)
    assert removable["softDeleteRetentionInDays"] == 7
    assert "enablePurgeProtection" not in removable, "Azure takes no false"


def test_in_production_what_holds_values_or_records_is_protected_and_elsewhere_nothing(
    prod: Deployed, trial: Deployed
) -> None:
    assert {each.name for each in prod.resources.values() if each.protected} == {"vault", "vault-audit", "workspace"}
    assert [each.name for each in trial.resources.values() if each.protected] == []


def test_secretops_is_told_where_secrets_what_is_prepared_and_the_lease_lie(prod: Deployed) -> None:
    manifest = manifest_of(prod)
    store = store_of(manifest)

    vault, account = (inputs(prod, "vault")["vaultName"], inputs(prod, "lease-account")["accountName"])
    assert store.vault == f"https://{vault}.vault.azure.net"
    assert store.secrets == {secret.name: secret.name for secret in manifest.secrets}
    assert store.pending == {secret.name: f"{secret.name}-pending" for secret in manifest.secrets}
    assert store.fields == {secret.name: secret.fields for secret in manifest.secrets}
    assert store.due_days == {secret.name: secret.cadence_days for secret in manifest.secrets}
    container_name = inputs(prod, "lease-container")["containerName"]
    assert store.lease == f"https://{account}.blob.core.windows.net/{container_name}/rotator"


def test_secretops_is_told_who_reads_and_where_the_trail_is_by_ids_that_azure_makes(prod: Deployed) -> None:
    store = store_of(manifest_of(prod))

    rotator, server = object_id("coreflux-prod-rotator"), object_id("coreflux-prod-server")
    assert store.readers.keys() == {*store.secrets.values(), *store.pending.values()}
    assert store.readers["mqtt"] == (server, rotator, OPERATOR)
    assert store.readers["mqtt-pending"] == (rotator, OPERATOR)
    assert store.readers["broker-admin"] == (rotator, OPERATOR)
    assert store.workspace == object_id(inputs(prod, "workspace")["workspaceName"])
    assert store.tenant == TENANT
