"""The Swarm platform's program under mocks: the service as `docker service inspect` would print it."""

from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.swarm import deployer, mcp_server
from secretops.errors import UnreachableError
from secretops.launcher.http_options import HostNames, parse_listen
from secretops.launcher.settings import (
    FILE_VARIABLES,
    OWN_VARIABLES,
    PUBLIC_VARIABLES,
    VALUE_FILE_VARIABLES,
    VERSION_VARIABLES,
)
from secretops.launcher.sources import open_source
from secretops.manifest import Manifest
from secretops.platforms.swarm.location import SwarmStoreLocation
from tests.unit.harness import Deployed, ca_file, deploy
from tests.unit.swarm_stack import NETWORK, ROTATOR, SERVER, V3, file_on_swarm, on_swarm, spec


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ca_file(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def prod(ca: Path) -> Deployed:
    return on_swarm(broker=f', ca_file: "{ca}"')


@pytest.fixture(scope="module")
def everything(ca: Path) -> Deployed:
    server = (
        f", replicas: 3, publish: host, networks: [{NETWORK}], constraints: [node.labels.zone==a],"
        " spread: [node.labels.rack], log_driver: {name: json-file, options: {max-size: 10m}},"
        " allowed_hosts: [mcp.example.com], encrypted: false"
    )
    return on_swarm(
        ", rotator: service, socket: /run/podless/docker.sock",
        server,
        f', ca_file: "{ca}", client_certificate: true',
        attached=[V3],
        secrets="{db: {fields: [url]}}",
    )


def manifest_of(deployed: Deployed) -> tuple[Manifest, SwarmStoreLocation]:
    manifest = Manifest.model_validate(deployed.exports["secretops"])
    assert isinstance(manifest.store, SwarmStoreLocation)
    return manifest, manifest.store


def service_of(deployed: Deployed, name: str) -> Any:
    return deployed.resources[name].inputs


def test_a_stack_is_a_network_a_config_and_a_service_and_no_secret(prod: Deployed) -> None:
    made = {
        (one.type.rpartition(":")[2], one.name) for one in prod.resources.values() if one.type.startswith("docker:")
    }
    assert made == {("Network", "network"), ("ServiceConfig", "server-ca"), ("Service", "service")}


def test_the_list_of_secrets_is_what_the_service_has_now(everything: Deployed) -> None:
    file = {"fileName": "mqtt_password", "fileUid": "10001", "fileGid": "10001", "fileMode": 0o400}
    found = spec(everything, SERVER)["secrets"]
    assert found == [{"secretId": V3.secret_id, "secretName": V3.secret_name, **file}]
    assert spec(everything, ROTATOR)["secrets"] == []


@pytest.fixture
def managed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployer, "ask_manager", lambda: None)


@pytest.mark.usefixtures("managed")
def test_a_preview_does_not_ask_for_that_list_and_ignores_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def variable(_name: str) -> None:
        raise AssertionError("a preview does not ask for it")

    monkeypatch.setattr(mcp_server, "mounted_secrets", variable)
    previewed = deploy(file_on_swarm(", rotator: service"), "prod", preview=True)
    assert {one.name: one.ignored for one in previewed.resources.values() if one.ignored} == {
        SERVER: ("taskSpec.containerSpec.secrets",)
    }


@pytest.mark.usefixtures("managed")
def test_up_ignores_nothing_and_looks_up_the_servers_own_service(monkeypatch: pytest.MonkeyPatch) -> None:
    variable: list[str] = []

    def attached(name: str) -> tuple[()]:
        variable.append(name)
        return ()

    monkeypatch.setattr(mcp_server, "mounted_secrets", attached)
    deployed = deploy(file_on_swarm(), "prod")
    assert variable == ["coreflux-mcp-prod_server"]
    assert not [one for one in deployed.resources.values() if one.ignored]


@pytest.mark.usefixtures("managed")
def test_an_up_that_can_not_ask_ends_before_the_service_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_name: str) -> None:
        raise UnreachableError("no Docker daemon answers", rule="it has to", remedy="start it", code="test")

    monkeypatch.setattr(mcp_server, "mounted_secrets", away)
    deployed = Deployed()
    with pytest.raises(pulumi.RunError, match="no Docker daemon answers"):
        deploy(file_on_swarm(), "prod", into=deployed)
    assert SERVER not in deployed.resources


def test_each_file_has_the_variable_that_names_it(everything: Deployed) -> None:
    variables = spec(everything, SERVER)["env"]
    _, store = manifest_of(everything)
    named = {text for name, text in variables.items() if text.startswith("/run/secrets/")}
    delivered = {f"/run/secrets/{file.name}" for fields in store.delivered.values() for file in fields.values()}
    versions = {f"/run/secrets/{name}-version" for name in ("mqtt", "agent-key", "client-cert", "http-token")}
    assert named == (delivered | versions) - {"/run/secrets/ca.crt"}, "the stack has a CA file of its own"
    assert variables["MQTT_PASSWORD_FILE"] == "/run/secrets/mqtt_password"  # nosec B105 - a path
    assert variables["DO_AGENT_API_KEY_FILE"] == "/run/secrets/api_key"
    assert variables["MQTT_CLIENT_KEY"] == "/run/secrets/client.key"
    assert variables["DB_URL_FILE"] == "/run/secrets/db_url"


def test_the_launcher_knows_every_variable_and_the_source(prod: Deployed) -> None:
    versions = {f"{name}_FILE" for name in VERSION_VARIABLES}
    known = {*PUBLIC_VARIABLES, *OWN_VARIABLES, *VALUE_FILE_VARIABLES, *FILE_VARIABLES, *versions}
    assert spec(prod, SERVER)["env"].keys() <= known
    arguments = spec(prod, SERVER)["args"]
    source = arguments[arguments.index("--from") + 1]
    assert prod.exports["references"] == {"source": source, "secrets": ["mqtt", "agent-key", "http-token"]}
    open_source(source)


def test_a_container_is_nobody_may_nothing_and_writes_nowhere(prod: Deployed) -> None:
    server = spec(prod, SERVER)
    assert (server["user"], server["readOnly"], server["capDrops"]) == ("10001:10001", True, ["ALL"])
    assert [(one["type"], one["target"]) for one in server["mounts"]] == [("tmpfs", "/tmp")]  # noqa: S108


def test_a_change_starts_the_new_replica_first_and_goes_back_where_it_fails(prod: Deployed) -> None:
    update, back = (service_of(prod, SERVER)[key] for key in ("updateConfig", "rollbackConfig"))
    assert (update["order"], update["failureAction"], update["parallelism"]) == ("start-first", "rollback", 1)
    assert (back["order"], back["failureAction"]) == ("start-first", "pause")
    assert service_of(prod, SERVER)["mode"] == {"replicated": {"replicas": 2}}
    assert "convergeConfig" not in service_of(prod, SERVER), "no value is there before the first up is through"


def test_the_launcher_knows_the_names_that_clients_call_it_by(everything: Deployed) -> None:
    arguments = spec(everything, SERVER)["args"]
    known = HostNames.of(parse_listen("0.0.0.0:8080"), arguments[8::2])
    for name in ("coreflux-mcp-prod", "coreflux-mcp-prod_server", "tasks.coreflux-mcp-prod_server", "mcp.example.com"):
        assert known.host(name)
    assert not known.host("evil.example.com")
    assert everything.exports["server"] == "http://coreflux-mcp-prod:8080/mcp"


def test_options_reach_the_service(everything: Deployed) -> None:
    made, task = service_of(everything, SERVER), service_of(everything, SERVER)["taskSpec"]
    assert made["mode"]["replicated"]["replicas"] == 3
    assert task["placement"] == {"constraints": ["node.labels.zone==a"], "prefs": ["spread=node.labels.rack"]}
    assert [one["id"] for one in task["networksAdvanceds"]] == ["network-id", NETWORK]
    assert task["logDriver"] == {"name": "json-file", "options": {"max-size": "10m"}}
    assert made["endpointSpec"] == {
        "mode": "dnsrr",
        "ports": [{"protocol": "tcp", "targetPort": 8080, "publishMode": "host"}],
    }
    assert "options" not in everything.resources["network"].inputs


def test_network_is_encrypted_and_private_by_default(prod: Deployed) -> None:
    options = prod.resources["network"].inputs["options"]
    assert options["encrypted"] == "true"
    assert 2**20 <= int(options["com.docker.network.driver.overlay.vxlanid_list"]) < 2**24, "else a refresh finds one"
    assert "ports" not in service_of(prod, SERVER)["endpointSpec"]


def test_the_rotator_is_one_replica_on_a_manager_with_the_socket_and_the_manifest(everything: Deployed) -> None:
    rotator, task = spec(everything, ROTATOR), service_of(everything, ROTATOR)["taskSpec"]
    assert service_of(everything, ROTATOR)["mode"] == {"replicated": {"replicas": 1}}
    assert service_of(everything, ROTATOR)["updateConfig"]["order"] == "stop-first"
    assert task["placement"]["constraints"] == ["node.role==manager"]
    assert [one["source"] for one in rotator["mounts"] if one["type"] == "bind"] == ["/run/podless/docker.sock"]
    assert rotator["env"]["DOCKER_HOST"] == "unix:///run/podless/docker.sock"
    assert (rotator["user"], rotator["capDrops"], rotator["readOnly"]) == ("0:0", ["ALL"], True)
    assert rotator["hostname"] == "{{.Node.Hostname}}", "the access records name it"
    assert everything.exports["schedule"] == ""
