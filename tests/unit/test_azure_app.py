"""The MCP server as a container app. Under mocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.azure import containers
from secretops.launcher.listening import Names as HostNames
from secretops.launcher.listening import parse_listen
from secretops.launcher.sources import open_source
from secretops.launcher.variables import OWN_VARIABLES, PUBLIC_VARIABLES
from tests.unit.azure_ids import DOMAIN, client_id
from tests.unit.azure_stack import (
    REGISTRY,
    before,
    container,
    inputs,
    on_azure,
    variables,
    with_every_option,
)
from tests.unit.harness import Deployed, ca_file


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ca_file(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def prod(ca: Path) -> Deployed:
    """A stack of production with a CA file that is there, and nothing more than it needs."""
    return on_azure(broker=f', ca_file: "{ca}"')


@pytest.fixture(scope="module")
def everything() -> Deployed:
    """With every option that adds something."""
    return with_every_option()


def test_the_launcher_is_told_where_to_fetch_what_and_as_whom(prod: Deployed) -> None:
    server = container(prod, "app")

    source = server["args"][server["args"].index("--from") + 1]
    vault = inputs(prod, "vault")["vaultName"]
    assert source == f"azure-kv:{vault}.vault.azure.net/mqtt+agent-key+http-token"
    open_source(source)  # which the launcher understands
    assert prod.exports["references"] == {"source": source, "secrets": ["mqtt", "agent-key", "http-token"]}
    assert variables(server)["AZURE_CLIENT_ID"] == client_id("coreflux-prod-server")


def test_the_public_variables_are_those_that_the_launcher_takes(prod: Deployed) -> None:
    public = {name: value for name, value in variables(container(prod, "app")).items() if name != "AZURE_CLIENT_ID"}

    assert public == {
        "MQTT_BROKER": "mqtt.example.com",
        "MQTT_PORT": "8883",
        "MQTT_USE_TLS": "true",
        "MQTT_PROTOCOL": "5",
        "MQTT_CA_CERT": "/etc/coreflux-mcp/stack/ca.crt",
        "LOG_LEVEL": "WARNING",
    }
    assert public.keys() <= {*PUBLIC_VARIABLES, *OWN_VARIABLES}


def test_the_ca_file_is_laid_down_before_the_server_starts(prod: Deployed, ca: Path, everything: Deployed) -> None:
    (first,) = inputs(prod, "app")["template"]["initContainers"]

    assert first["args"] == [variables(container(prod, "app"))["MQTT_CA_CERT"]]
    assert [entry["value"] for entry in first["env"]] == [ca.read_text()]
    assert inputs(everything, "app")["template"]["initContainers"] == [], "there is nothing to lay down"


def test_the_server_is_reached_from_its_environment_alone_unless_the_stack_says_otherwise(
    prod: Deployed, everything: Deployed
) -> None:
    for deployed, external in ((prod, False), (everything, True)):
        ingress = inputs(deployed, "app")["configuration"]["ingress"]
        assert (ingress["external"], ingress["allowInsecure"], ingress["targetPort"]) == (external, False, 8080)
    assert prod.exports["server"] == f"https://coreflux-prod-server.internal.{DOMAIN}/mcp"
    assert everything.exports["server"] == f"https://coreflux-prod-server.{DOMAIN}/mcp"


def test_the_launcher_serves_streamable_http_and_knows_its_names(everything: Deployed) -> None:
    arguments = container(everything, "app")["args"]

    assert arguments[3:7] == ["--transport", "http", "--listen", "0.0.0.0:8080"]
    known = HostNames.of(parse_listen("0.0.0.0:8080"), arguments[8::2])
    assert known.host(f"coreflux-prod-server.{DOMAIN}")
    assert known.host("coreflux-prod-server"), "as other apps of the environment call it"
    assert known.host("mcp.example.com")
    assert not known.host("evil.example.com")


def test_one_replica_has_every_session_and_a_new_revision_takes_over_from_the_old(everything: Deployed) -> None:
    app = inputs(everything, "app")

    assert app["template"]["scale"] == {"minReplicas": 1, "maxReplicas": 1}
    assert "stickySessions" not in app["configuration"]["ingress"], "common MCP clients keep no cookie"
    assert app["configuration"]["activeRevisionsMode"] == "Single"
    assert app["configuration"]["ingress"]["traffic"] == [{"latestRevision": True, "weight": 100}]
    assert app["template"]["terminationGracePeriodSeconds"] == 20


def paths(deployed: Deployed) -> dict[str, str]:
    """What each probe asks."""
    return {one["type"]: one["httpGet"]["path"] for one in container(deployed, "app")["probes"]}


def test_no_probe_waits_for_values_until_the_stack_says_that_they_are_there(prod: Deployed) -> None:
    assert paths(prod) == dict.fromkeys(["Startup", "Liveness", "Readiness"], "/healthz")


def test_from_then_on_a_revision_without_values_or_broker_takes_over_from_none(everything: Deployed) -> None:
    assert paths(everything) == {"Startup": "/healthz", "Liveness": "/healthz", "Readiness": "/readyz"}


def test_probes_are_within_container_apps_bounds(prod: Deployed) -> None:
    probes = {one["type"]: one for one in container(prod, "app")["probes"]}

    for one in probes.values():
        assert one["httpGet"]["port"] == 8080
        assert 1 <= one["periodSeconds"] <= 240
        assert 1 <= one["failureThreshold"] <= 10
    assert probes["Startup"]["periodSeconds"] * probes["Startup"]["failureThreshold"] >= 60
    assert probes["Liveness"]["periodSeconds"] * probes["Liveness"]["failureThreshold"] >= 120


@pytest.mark.parametrize("name", ["app", "job", "job-near-expiry"])
def test_an_image_is_pulled_as_the_platform_which_was_let_pull_before_the_environment(
    everything: Deployed, prod: Deployed, name: str
) -> None:
    """Azure takes minutes to believe in a role, which then have passed."""
    one = inputs(everything, name)
    (registry,) = one["configuration"]["registries"]

    assert registry["server"] == "plant.azurecr.io"
    assert registry["identity"].endswith("/coreflux-prod-platform")
    assert {"platform-pulls", "platform-reads-repositories"} <= before(everything, "environment")
    assert one["environmentId"].endswith("/managedEnvironments/coreflux-prod-environment")
    assert inputs(prod, name)["configuration"]["registries"] == []


@pytest.mark.parametrize("name", ["app", "job", "job-near-expiry"])
def test_no_container_is_the_platform_and_what_lays_files_down_is_nobody(prod: Deployed, name: str) -> None:
    one = inputs(prod, name)
    settings = one["configuration"]["identitySettings"]
    lives = {each["identity"].rpartition("/")[2]: each["lifecycle"] for each in settings}

    own = "coreflux-prod-server" if name == "app" else "coreflux-prod-rotator"
    assert lives == {own: "Main", "coreflux-prod-platform": "None"}
    assert {each.rpartition("/")[2] for each in one["identity"]["userAssignedIdentities"]} == lives.keys()


def test_a_registry_may_have_a_label_in_its_login_servers_name() -> None:
    deployed = on_azure(f', registry: "{REGISTRY}"', image="plant-a1b2c3.azurecr.io/mcp:1")

    (registry,) = inputs(deployed, "app")["configuration"]["registries"]
    assert registry["server"] == "plant-a1b2c3.azurecr.io"


def test_server_and_rotator_run_one_image(everything: Deployed) -> None:
    images = {container(everything, name)["image"] for name in ("app", "job", "job-near-expiry")}

    assert images == {"plant.azurecr.io/coreflux-mcp-secrets:0.1.0"}
    assert container(everything, "app")["command"] == [containers.PROGRAM]
