"""The Azure store with a server elsewhere: in a cluster, by External Secrets; on this machine, by the launcher.

Under mocks. That External Secrets' objects are as its definitions have them is in test_kubernetes_operators.py.
"""

from __future__ import annotations

import json

import pytest

from secretops.launcher.sources import open_source
from secretops.launcher.variables import OWN_VARIABLES, PUBLIC_VARIABLES
from tests.unit.azure_ids import TENANT, client_id, object_id
from tests.unit.azure_stack import (
    IMAGE,
    ISSUER,
    OPERATOR,
    assignments,
    here,
    inputs,
    manifest_of,
    pods,
    role_of,
    store_of,
)
from tests.unit.harness import Deployed

SYNC = object_id("coreflux-prod-sync")
OF_SERVER = ("mqtt", "agent-key", "http-token")


def reads(deployed: Deployed, principal: str) -> set[str]:
    """Secrets that are read by somebody who does not write them."""
    return {
        one["scope"].rpartition("/secrets/")[2]
        for one in assignments(deployed)
        if one["principalId"] == principal and role_of(one) == "Key Vault Secrets User"
    }


@pytest.mark.parametrize("pair", ["pods", "here"])
def test_rotation_trail_and_alerts_are_those_of_a_server_on_azure(pair: str) -> None:
    deployed = {"pods": pods, "here": here}[pair]()

    wanted = {"job", "job-near-expiry", "vault-audit", "alert-undeclared-read", "alert-access-change"}
    assert wanted <= deployed.resources.keys()
    assert "app" not in deployed.resources
    assert inputs(deployed, "job")["template"]["containers"][0]["image"] == IMAGE


def test_external_secrets_reads_as_an_account_that_entra_takes_for_an_identity() -> None:
    account, federation = inputs(pods(), "sync-account")["metadata"], inputs(pods(), "sync-federation")

    assert account["annotations"] == {
        "azure.workload.identity/client-id": client_id("coreflux-prod-sync"),
        "azure.workload.identity/tenant-id": TENANT,
    }
    assert federation["subject"] == f"system:serviceaccount:{account['namespace']}:{account['name']}"
    assert (federation["issuer"], federation["audiences"]) == (ISSUER, ["api://AzureADTokenExchange"])
    assert federation["resourceName"] == "coreflux-prod-sync"
    assert "annotations" not in inputs(pods(), "server-account")["metadata"]


def test_external_secrets_reads_the_servers_secrets_by_name_and_no_other() -> None:
    store = store_of(manifest_of(pods()))

    assert inputs(pods(), "secret-store")["spec"]["provider"] == {
        "azurekv": {
            "authType": "WorkloadIdentity",
            "vaultUrl": store.vault,
            "serviceAccountRef": {"name": "coreflux-mcp-sync"},
        }
    }
    assert reads(pods(), SYNC) == set(OF_SERVER)
    extracted = {name: inputs(pods(), f"synced-{name}")["spec"]["dataFrom"][0]["extract"]["key"] for name in OF_SERVER}
    assert extracted == {name: store.secrets[name] for name in OF_SERVER}
    assert store.readers["mqtt"] == (SYNC, object_id("coreflux-prod-rotator"), OPERATOR)


def test_the_clients_entry_says_where_to_fetch_and_what_is_public() -> None:
    files = inputs(here(), "server-files")["files"]
    (entry,) = json.loads(files["config/mcp.json"])["mcpServers"].values()

    source = entry["args"][entry["args"].index("--from") + 1]
    assert source == f"azure-kv:{store_of(manifest_of(here())).vault.removeprefix('https://')}/mqtt+agent-key"
    open_source(source)  # which the launcher understands
    assert entry["env"]["MQTT_BROKER"] == "mqtt.example.com"
    assert entry["env"].keys() <= {*PUBLIC_VARIABLES, *OWN_VARIABLES, "COREFLUX_SERVER_DIR"}
