"""The Azure store with a server elsewhere: in a cluster, by External Secrets; on this machine, by the launcher.

Under mocks. That External Secrets' objects are as its definitions have them is in test_kubernetes_operators.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.section import PROJECT_FOLDER
from secretops.launcher.sources import open_source
from secretops.launcher.variables import OWN_VARIABLES, PUBLIC_VARIABLES
from secretops.manifest import AzureStore, Manifest
from settings import ConfigurationError
from tests.unit.aws_stack import a_kubeconfig
from tests.unit.azure_ids import TENANT, client_id, object_id
from tests.unit.azure_stack import (
    IMAGE,
    ISSUER,
    OPERATOR,
    READER,
    REGISTRY,
    assignments,
    file_on_azure,
    for_pods,
    for_this_machine,
    role_of,
    wrong,
)
from tests.unit.harness import Deployed, ca_file, deploy
from tests.unit.stack_file import StackFile
from tests.unit.test_components import SDKS, imported

SYNC = object_id("coreflux-prod-sync")
IN_A_CLUSTER = f"kind: kubernetes, oidc_issuer: '{ISSUER}'"
OF_SERVER = ("mqtt", "agent-key", "http-token")


@pytest.fixture(scope="module")
def pods() -> Deployed:
    return for_pods()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    folder = tmp_path_factory.mktemp("here")
    return for_this_machine(server=f", folder: {folder / 'mcp'}", broker=f", ca_file: {ca_file(folder)}")


def inputs(deployed: Deployed, name: str) -> Any:
    return deployed.resources[name].inputs


def store_of(deployed: Deployed) -> AzureStore:
    store = Manifest.model_validate(deployed.exports["secretops"]).store
    assert isinstance(store, AzureStore)
    return store


def reads(deployed: Deployed, principal: str) -> dict[str, str]:
    """Secrets that are read by somebody who does not write them -> what for."""
    return {
        one["scope"].rpartition("/secrets/")[2]: one["description"]
        for one in assignments(deployed)
        if one["principalId"] == principal and role_of(one) == "Key Vault Secrets User"
    }


@pytest.mark.parametrize("pair", ["pods", "here"])
def test_rotation_trail_and_alerts_are_those_of_a_server_on_azure(pair: str, request: pytest.FixtureRequest) -> None:
    deployed: Deployed = request.getfixturevalue(pair)

    assert {"job", "job-near-expiry", "vault-audit", "alert-undeclared-read", "alert-access-change"} <= (
        deployed.resources.keys()
    )
    assert "app" not in deployed.resources
    assert inputs(deployed, "job")["template"]["containers"][0]["image"] == IMAGE
    assert wrong(deployed) == []


@pytest.mark.parametrize(
    ("pair", "sdks"),
    [("for_this_machine", ["pulumi_azure_native"]), ("for_pods", ["pulumi_azure_native", "pulumi_kubernetes"])],
)
def test_a_pair_imports_the_sdks_of_its_two_sides_alone(pair: str, sdks: list[str]) -> None:
    assert imported(f"from tests.unit import azure_stack; azure_stack.{pair}()", SDKS | {"pulumi"}) == str(
        ["pulumi", *sdks]
    )


# In a cluster


def test_external_secrets_reads_as_an_account_that_entra_takes_for_an_identity(pods: Deployed) -> None:
    account = inputs(pods, "sync-account")["metadata"]
    federation = inputs(pods, "sync-federation")

    assert account["annotations"] == {
        "azure.workload.identity/client-id": client_id("coreflux-prod-sync"),
        "azure.workload.identity/tenant-id": TENANT,
    }
    assert federation["subject"] == f"system:serviceaccount:{account['namespace']}:{account['name']}"
    assert (federation["issuer"], federation["audiences"]) == (ISSUER, ["api://AzureADTokenExchange"])
    assert federation["resourceName"] == "coreflux-prod-sync"
    assert "annotations" not in inputs(pods, "server-account")["metadata"]


def test_it_reads_the_servers_secrets_by_name_and_no_other(pods: Deployed) -> None:
    provider = inputs(pods, "secret-store")["spec"]["provider"]

    assert provider == {
        "azurekv": {
            "authType": "WorkloadIdentity",
            "vaultUrl": store_of(pods).vault,
            "serviceAccountRef": {"name": "coreflux-mcp-sync"},
        }
    }
    assert reads(pods, SYNC) == {secret: f"External Secrets copies {secret} into the cluster" for secret in OF_SERVER}
    extracted = {name: inputs(pods, f"synced-{name}")["spec"]["dataFrom"][0]["extract"]["key"] for name in OF_SERVER}
    assert extracted == {name: store_of(pods).secrets[name] for name in OF_SERVER}
    assert store_of(pods).readers["mqtt"] == (SYNC, object_id("coreflux-prod-rotator"), OPERATOR)


def test_the_rotators_image_is_the_servers_unless_the_store_names_another() -> None:
    other = for_pods(
        f", registry: '{REGISTRY}', image: 'plant.azurecr.io/rotator:2'", image="registry.example.com/mcp:1"
    )

    assert inputs(other, "job")["template"]["containers"][0]["image"] == "plant.azurecr.io/rotator:2"
    assert "platform-pulls" in other.resources


def test_a_certificate_of_cert_managers_is_the_pods_and_the_rotator_has_one_of_an_operators() -> None:
    issued = for_pods("", ", certificate_issuer: {kind: ClusterIssuer, name: plant-ca}", ", client_certificate: true")
    manifest = Manifest.model_validate(issued.exports["secretops"])

    assert manifest.secret("client-cert").readers == ("rotator",)
    assert "client-cert" not in reads(issued, SYNC)


# On this machine


def test_a_user_is_granted_what_the_launcher_on_his_machine_fetches(here: Deployed) -> None:
    assert reads(here, READER) == {
        secret: f"the launcher on somebody's machine fetches {secret}" for secret in ("mqtt", "agent-key")
    }
    assert {one["principalType"] for one in assignments(here) if one["principalId"] == READER} == {"User"}
    assert READER in store_of(here).readers["mqtt"]
    assert READER not in store_of(here).readers["broker-admin"]


def test_the_clients_entry_says_where_to_fetch_and_what_is_public(here: Deployed) -> None:
    files = inputs(here, "server-files")["files"]
    (entry,) = json.loads(files["config/mcp.json"])["mcpServers"].values()

    source = entry["args"][entry["args"].index("--from") + 1]
    assert source == f"azure-kv:{store_of(here).vault.removeprefix('https://')}/mqtt+agent-key"
    open_source(source)  # which the launcher understands
    assert entry["env"]["MQTT_BROKER"] == "mqtt.example.com"
    assert entry["env"].keys() <= {*PUBLIC_VARIABLES, *OWN_VARIABLES, "COREFLUX_SERVER_DIR"}


# What is refused


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"kind": "kind: local", "image": ""}, "server.reader: missing with store azure"),
        ({"kind": f"kind: local, reader: '{READER}'", "image": ""}, "store.image: missing with server local"),
        ({"kind": "kind: kubernetes"}, "server.oidc_issuer: missing with store azure"),
        (
            {"kind": "kind: local, reader: 'arn:aws:iam::123456789012:role/x'", "image": ""},
            "the launcher reads as a user",
        ),
        (
            {
                "kind": IN_A_CLUSTER,
                "store": f", registry: '{REGISTRY}'",
                "image": "x/y:1",
            },
            "with store.registry it is an image of plant.azurecr.io",
        ),
        (
            {"kind": IN_A_CLUSTER, "rotation": "{grace_seconds: 200}"},
            "rotation.grace_seconds: 200 with store azure",
        ),
        ({"kind": "kind: kubernetes, oidc_issuer: 'http://x'"}, "the URL of the cluster's OIDC issuer"),
    ],
)
def test_what_a_pair_lacks_is_told_with_the_remedy(sections: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        file_on_azure(**sections).parse("prod")

    assert any(told in str(problem) for problem in refused.value.problems), refused.value


@pytest.mark.parametrize("pair", ["prod-azure", "prod-azure-kubernetes", "dev-azure-local"])
def test_a_shipped_example_deploys_once_its_ca_file_is_there(pair: str, tmp_path: Path) -> None:
    text = (PROJECT_FOLDER / f"examples/Pulumi.{pair}.yaml").read_text()
    for name in ("prod", "dev"):
        text = text.replace(f"/etc/ssl/certs/{name}-ca.crt", str(ca_file(tmp_path)))

    with a_kubeconfig():
        deployed = deploy(StackFile.read(text), pair)

    assert wrong(deployed) == []
    assert store_of(deployed).vault.startswith("https://coreflux-")
