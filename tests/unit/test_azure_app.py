"""The MCP server as a container app. Under mocks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from secretops.launcher.sources import open_source
from secretops.launcher.variables import OWN_VARIABLES, PUBLIC_VARIABLES
from tests.unit.azure_ids import DOMAIN, client_id
from tests.unit.azure_stack import container, inputs, variables, with_ca, with_every_option
from tests.unit.harness import Deployed

RUNS = pytest.mark.parametrize("name", ["app", "job", "job-near-expiry"])


def test_the_launcher_is_told_where_to_fetch_what_and_as_whom() -> None:
    prod = with_ca()
    server = container(prod, "app")

    source = server["args"][server["args"].index("--from") + 1]
    assert source == f"azure-kv:{inputs(prod, 'vault')['vaultName']}.vault.azure.net/mqtt+agent-key+http-token"
    open_source(source)  # which the launcher understands
    assert prod.exports["references"] == {"source": source, "secrets": ["mqtt", "agent-key", "http-token"]}
    public = variables(server)
    assert public.pop("AZURE_CLIENT_ID") == client_id("coreflux-prod-server")
    assert public == {
        "MQTT_BROKER": "mqtt.example.com",
        "MQTT_PORT": "8883",
        "MQTT_USE_TLS": "true",
        "MQTT_PROTOCOL": "5",
        "MQTT_CA_CERT": "/etc/coreflux-mcp/stack/ca.crt",
        "LOG_LEVEL": "WARNING",
    }
    assert public.keys() <= {*PUBLIC_VARIABLES, *OWN_VARIABLES}


@pytest.mark.parametrize(("deployed", "external"), [(with_ca, False), (with_every_option, True)])
def test_the_server_is_reached_from_its_environment_alone_unless_the_stack_says_otherwise(
    deployed: Callable[[], Deployed], external: bool
) -> None:
    made = deployed()
    ingress = inputs(made, "app")["configuration"]["ingress"]
    assert (ingress["external"], ingress["allowInsecure"], ingress["targetPort"]) == (external, False, 8080)
    host = f"coreflux-prod-server.{'' if external else 'internal.'}{DOMAIN}"
    assert made.exports["server"] == f"https://{host}/mcp"


def test_one_replica_has_every_session_and_a_new_revision_takes_over_from_the_old() -> None:
    app = inputs(with_every_option(), "app")

    assert app["template"]["scale"] == {"minReplicas": 1, "maxReplicas": 1}
    assert "stickySessions" not in app["configuration"]["ingress"], "common MCP clients keep no cookie"
    assert app["configuration"]["activeRevisionsMode"] == "Single"
    assert app["configuration"]["ingress"]["traffic"] == [{"latestRevision": True, "weight": 100}]
    assert app["template"]["terminationGracePeriodSeconds"] == 20


def test_probes_ask_for_values_once_the_stack_says_that_they_are_there() -> None:
    probes = {
        made: {one["type"]: one for one in container(deployed, "app")["probes"]}
        for made, deployed in (("first", with_ca()), ("bootstrapped", with_every_option()))
    }
    paths = {made: {kind: one["httpGet"]["path"] for kind, one in each.items()} for made, each in probes.items()}

    assert paths["first"] == dict.fromkeys(["Startup", "Liveness", "Readiness"], "/healthz")
    assert paths["bootstrapped"] == {"Startup": "/healthz", "Liveness": "/healthz", "Readiness": "/readyz"}
    assert {one["httpGet"]["port"] for one in probes["first"].values()} == {8080}


@RUNS
def test_no_container_is_the_platform_and_what_lays_files_down_is_nobody(name: str) -> None:
    one = inputs(with_ca(), name)
    settings = one["configuration"]["identitySettings"]
    lives = {each["identity"].rpartition("/")[2]: each["lifecycle"] for each in settings}

    own = "coreflux-prod-server" if name == "app" else "coreflux-prod-rotator"
    assert lives == {own: "Main", "coreflux-prod-platform": "None"}
    assert {each.rpartition("/")[2] for each in one["identity"]["userAssignedIdentities"]} == lives.keys()
