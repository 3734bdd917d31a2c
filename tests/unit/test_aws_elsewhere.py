"""The AWS store with a server elsewhere: in a cluster with External Secrets, or on this machine with the launcher."""

import json
import re
from typing import Any

import pytest

from secretops.launcher.settings import OWN_VARIABLES, PUBLIC_VARIABLES
from secretops.launcher.sources import open_source
from secretops.manifest import Manifest
from secretops.platforms.aws.location import AwsStoreLocation
from tests.unit.aws_stack import READER, ca, for_pods, for_this_machine
from tests.unit.harness import Deployed

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

ROTATION = {"rotate-mqtt-schedule", "rotate-broker-admin-schedule", "schedule"}
SYNC_ROLE = "arn:aws:iam::123456789012:role/coreflux-mcp-prod-eu-central-1@sync"


@pytest.fixture
def pods() -> Deployed:
    return for_pods()


@pytest.fixture
def issued() -> Deployed:
    return for_pods(", certificate_issuer: {kind: ClusterIssuer, name: plant-ca}", ", client_certificate: true")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    folder = tmp_path_factory.mktemp("here")
    return for_this_machine(f", folder: {folder / 'mcp'}", f", ca_file: {ca()}")


def inputs(deployed: Deployed, name: str) -> Any:
    return deployed.resources[name].inputs


def store_of(deployed: Deployed) -> AwsStoreLocation:
    store = Manifest.model_validate(deployed.exports["secretops"]).store
    assert isinstance(store, AwsStoreLocation)
    return store


def synced(deployed: Deployed) -> dict[str, Any]:
    """Return secret -> the spec of its ExternalSecret."""
    return {
        name.removeprefix("synced-"): each.inputs["spec"]
        for name, each in deployed.resources.items()
        if each.inputs.get("kind") == "ExternalSecret"
    }


def mounted(deployed: Deployed) -> list[Any]:
    spec = inputs(deployed, "deployment")["spec"]["template"]["spec"]
    (volume,) = [one for one in spec["volumes"] if one["name"] == "secrets"]
    return [source["secret"] for source in volume["projected"]["sources"]]


def entry(deployed: Deployed) -> Any:
    return json.loads(inputs(deployed, "server-files")["files"]["config/mcp.json"])["mcpServers"]["coreflux"]


@pytest.mark.parametrize("pair", ["pods", "here"])
def test_functions_rotate_secrets_and_the_server_comes_after(pair: str, request: pytest.FixtureRequest) -> None:
    deployed = request.getfixturevalue(pair)
    assert deployed.resources["server"].depends_on >= ROTATION | {"policy-mqtt", "trail-trail"}
    assert not [name for name in deployed.resources if "redeploy" in name or "cronjob" in name or "task" in name]
    assert "aws lambda invoke" in deployed.exports["next"]


def test_external_secrets_reads_as_an_account_that_no_pod_runs_as(pods: Deployed) -> None:
    account = inputs(pods, "sync-account")["metadata"]
    provider = inputs(pods, "secret-store")["spec"]["provider"]
    assert (account["name"], account["namespace"]) == ("coreflux-mcp-sync", "coreflux-mcp")
    assert account["annotations"] == {"eks.amazonaws.com/role-arn": SYNC_ROLE}
    auth = {"jwt": {"serviceAccountRef": {"name": "coreflux-mcp-sync"}}}
    assert provider == {"aws": {"service": "SecretsManager", "region": "eu-central-1", "auth": auth}}
    assert "annotations" not in inputs(pods, "server-account")["metadata"]
    assert inputs(pods, "deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "coreflux-mcp-server"


def test_each_secret_of_the_server_is_copied_whole_and_by_its_full_name(pods: Deployed) -> None:
    names = {secret: store_of(pods).secrets[secret] for secret in ("mqtt", "agent-key", "http-token")}
    stores = {spec["secretStoreRef"]["name"] for spec in synced(pods).values()}
    assert {secret: spec["dataFrom"][0]["extract"]["key"] for secret, spec in synced(pods).items()} == names
    assert stores == {inputs(pods, "secret-store")["metadata"]["name"]}
    assert pods.exports["references"]["remotes"] == names


def test_pods_mount_what_is_copied_and_start_before_it_is_there(pods: Deployed) -> None:
    found = mounted(pods)
    assert sorted(one["name"] for one in found) == sorted(spec["target"]["name"] for spec in synced(pods).values())
    assert all(one["optional"] for one in found)
    arguments = inputs(pods, "deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[:3] == ["run", "--from", "files:/etc/coreflux-mcp/secrets"]


def test_pods_use_cert_managers_certificate_and_functions_a_supplied_one(issued: Deployed) -> None:
    manifest = Manifest.model_validate(issued.exports["secretops"])
    assert "client-cert" not in synced(issued)
    assert mounted(issued)[-1]["name"] == inputs(issued, "certificate")["spec"]["secretName"]
    assert manifest.secret("client-cert").readers == ("rotator",)
    assert manifest.broker.certificate_secret == "client-cert"
    assert SYNC_ROLE not in store_of(issued).readers["coreflux-mcp/prod/client-cert"]
    first = r"secretops put client-cert, then secretops import [^,]+, then secretops put broker-admin"
    assert re.match(first, issued.exports["next"])


def test_mcp_client_entry_has_the_source_and_public_variables(here: Deployed) -> None:
    made_entry = entry(here)
    source = "aws-sm:eu-central-1/coreflux-mcp/dev/mqtt+agent-key"
    assert made_entry["args"] == ["run", "--from", source]
    open_source(source)  # which the launcher accepts
    login = "AWS_SHARED_CREDENTIALS_FILE"
    assert here.exports["references"] == {"source": source, "secrets": ["mqtt", "agent-key"], "login_variable": login}
    public = {"MQTT_BROKER", "MQTT_PORT", "MQTT_USE_TLS", "MQTT_PROTOCOL", "MQTT_CA_CERT", "LOG_LEVEL"}
    assert made_entry["env"].keys() == public
    assert made_entry["env"].keys() <= {*PUBLIC_VARIABLES, *OWN_VARIABLES}
    assert not re.search("AWS_|region|profile|credential", json.dumps(made_entry["env"]), re.IGNORECASE)


def test_the_launchers_caller_is_a_declared_reader_whom_nothing_is_granted(here: Deployed) -> None:
    store = store_of(here)
    assert {secret for secret, name in store.secrets.items() if READER in store.readers[name]} == {"mqtt", "agent-key"}
    assert not [name for name, each in here.resources.items() if name == "server-secrets" or "userPolicy" in each.type]
