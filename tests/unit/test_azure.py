"""The Azure platform under mocks: the resources that the program registers."""

import inspect
import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from pulumi.runtime import rpc

from components.settings.section import PROJECT_FOLDER
from components.settings.settings import ConfigurationError
from secretops.launcher.settings import OWN_VARIABLES, PUBLIC_VARIABLES
from secretops.launcher.sources import open_source
from secretops.manifest import Manifest
from secretops.platforms.azure import write_files
from tests.unit import azure_stack
from tests.unit.azure_ids import DOMAIN, SUBSCRIPTION, TENANT, client_id, object_id
from tests.unit.azure_stack import IMAGE, assignments, ca, container, here, inputs, manifest_of, pods, role_of
from tests.unit.harness import Deployed, texts
from tools.standin.sdk_types import arguments_class, input_types, resource_class

KINDS: dict[str, Callable[[], Deployed]] = {
    name: getattr(azure_stack, name) for name in ("with_ca", "with_every_option", "trial", "pods", "here")
}


@pytest.fixture(params=KINDS)
def deployed(request: pytest.FixtureRequest) -> Deployed:
    return KINDS[request.param]()


def test_everything_is_made_in_the_one_subscription_of_the_file(deployed: Deployed) -> None:
    provider = inputs(deployed, "azure")
    assert (provider["subscriptionId"], provider["tenantId"]) == (SUBSCRIPTION, TENANT)
    assert not {"clientSecret", "clientId", "oidcToken"} & provider.keys()
    assert [
        each.name
        for each in deployed.resources.values()
        if each.type.startswith("azure-native:") and each.provider != "azure"
    ] == []


def test_every_input_is_of_the_types_of_pulumis_own_sdk(deployed: Deployed) -> None:
    assert azure_stack.wrong(deployed) == []


def test_api_versions_are_those_that_the_decision_lists() -> None:
    (decision,) = (PROJECT_FOLDER / "docs/adr").glob("0008-*.md")
    listed = dict(re.findall(r"^\| (\w+:\w+) \| (\S+) \|$", decision.read_text(), re.MULTILINE))
    types = {one.type for each in KINDS.values() for one in each().resources.values()}
    made = {token.partition(":")[2]: resource_class(token) for token in types if re.match("azure-native:.*:", token)}
    version = re.compile(r"Uses Azure REST API version (\S+)\.")
    assert {name: version.findall(inspect.getsource(sdk))[0] for name, sdk in made.items()} == listed


def test_own_tags_are_on_each_resource_that_takes_tags() -> None:
    made = [one for one in azure_stack.with_every_option().resources.values() if one.type.startswith("azure-native:")]
    tagged = {one.name: one.inputs["tags"] for one in made if "tags" in input_types(arguments_class(one.type))}
    wanted = {"Cost-Center": "plant", "project": "coreflux-mcp-secrets", "stack": "prod"}
    assert len(tagged) > 15 and [name for name, tags in tagged.items() if tags != wanted] == []


def test_environment_and_lease_are_zone_redundant_where_declared() -> None:
    plain, declared = azure_stack.production(), azure_stack.with_every_option()
    assert "zoneRedundant" not in inputs(plain, "environment") and inputs(declared, "environment")["zoneRedundant"]
    skus = [inputs(made, "lease-account")["sku"]["name"] for made in (plain, declared)]
    assert skus == ["Standard_LRS", "Standard_ZRS"]


def test_a_first_preview_has_the_texts_of_a_deployed_stack() -> None:
    everything, before_anything = azure_stack.with_every_option(), azure_stack.with_every_option(preview=True)
    assert before_anything.resources.keys() == everything.resources.keys()
    for name, one in before_anything.resources.items():
        assert {*texts(one.inputs)} - {rpc.UNKNOWN} <= {*texts(inputs(everything, name))}
    assert {*texts(before_anything.exports)} - {rpc.UNKNOWN} <= {*texts(everything.exports)}
    assert before_anything.exports["trail"] == everything.exports["trail"]


def test_nothing_of_the_deployers_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = f"Canary{secrets.token_hex(12)}"
    for name in ("AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "ARM_ACCESS_KEY", "MQTT_PASSWORD", "MCP_HTTP_TOKEN"):
        monkeypatch.setenv(name, canary)
    made = azure_stack.on_azure()
    assert canary not in "\n".join([*texts([vars(each) for each in made.resources.values()]), *texts(made.exports)])


RUNS = pytest.mark.parametrize("name", ["app", "job"])


def test_launcher_arguments_name_vault_secrets_and_identity() -> None:
    prod = azure_stack.with_ca()
    server = container(prod, "app")
    source = server["args"][server["args"].index("--from") + 1]
    assert source == f"azure-kv:{inputs(prod, 'vault')['vaultName']}.vault.azure.net/mqtt+agent-key+http-token"
    open_source(source)  # which the launcher accepts
    assert prod.exports["references"] == {"source": source, "secrets": ["mqtt", "agent-key", "http-token"]}
    public = azure_stack.variables(server)
    assert public.pop("AZURE_CLIENT_ID") == client_id("coreflux-prod-server")
    assert public == {
        "MQTT_BROKER": "mqtt.example.com", "MQTT_PORT": "8883", "MQTT_USE_TLS": "true", "MQTT_PROTOCOL": "5",
        "MQTT_CA_CERT": "/etc/coreflux-mcp/stack/ca.crt", "LOG_LEVEL": "WARNING",
    }  # fmt: skip
    assert public.keys() <= {*PUBLIC_VARIABLES, *OWN_VARIABLES}


def test_shipped_production_is_closed_and_a_trial_warns_that_it_is_open() -> None:
    for name, action, gap in (("prod-azure", "Deny", set()), ("dev-azure-local", "Allow", {"network"})):
        made = azure_stack.shipped(ca(), name)
        networks = [inputs(made, "vault")["properties"]["networkAcls"], inputs(made, "lease-account")["networkRuleSet"]]
        assert {one["defaultAction"] for one in networks} == {action}
        assert made.exports["gaps"].keys() & {"network"} == gap
    assert inputs(azure_stack.shipped(ca()), "app")["configuration"]["ingress"]["external"]


@pytest.mark.parametrize(
    ("deployed", "external"), [(azure_stack.with_ca, False), (azure_stack.with_every_option, True)]
)
def test_server_ingress_is_internal_unless_declared(deployed: Callable[[], Deployed], external: bool) -> None:
    made = deployed()
    ingress = inputs(made, "app")["configuration"]["ingress"]
    assert (ingress["external"], ingress["allowInsecure"], ingress["targetPort"]) == (external, False, 8080)
    host = f"coreflux-prod-server.{'' if external else 'internal.'}{DOMAIN}"
    assert made.exports["server"] == f"https://{host}/mcp"


def test_probes_require_values_once_the_stack_is_bootstrapped() -> None:
    probes = {
        made: {one["type"]: one for one in container(deployed, "app")["probes"]}
        for made, deployed in (("first", azure_stack.with_ca()), ("bootstrapped", azure_stack.with_every_option()))
    }
    paths = {made: {kind: one["httpGet"]["path"] for kind, one in each.items()} for made, each in probes.items()}
    assert paths["first"] == dict.fromkeys(["Startup", "Liveness", "Readiness"], "/healthz")
    assert paths["bootstrapped"] == {"Startup": "/healthz", "Liveness": "/healthz", "Readiness": "/readyz"}
    assert {one["httpGet"]["port"] for one in probes["first"].values()} == {8080}


@RUNS
def test_containers_run_unprivileged(name: str) -> None:
    one = inputs(azure_stack.with_ca(), name)
    settings = one["configuration"]["identitySettings"]
    lives = {each["identity"].rpartition("/")[2]: each["lifecycle"] for each in settings}
    own = "coreflux-prod-server" if name == "app" else "coreflux-prod-rotator"
    assert lives == {own: "Main", "coreflux-prod-platform": "None"}
    assert {each.rpartition("/")[2] for each in one["identity"]["userAssignedIdentities"]} == lives.keys()


@pytest.fixture(scope="module")
def prod() -> Deployed:
    return azure_stack.with_ca()


def test_the_rotator_ticks_each_hour_as_itself(prod: Deployed) -> None:
    configuration = inputs(prod, "job")["configuration"]
    assert configuration["triggerType"] == "Schedule"
    schedule = configuration["scheduleTriggerConfig"]
    assert schedule == {"cronExpression": "0 * * * *", "parallelism": 1, "replicaCompletionCount": 1}
    assert configuration["replicaTimeout"] < 3600
    assert azure_stack.variables(container(prod, "job")) == {"AZURE_CLIENT_ID": client_id("coreflux-prod-rotator")}


def test_the_job_finds_its_manifest_where_it_looks_for_it(prod: Deployed) -> None:
    (first,) = inputs(prod, "job")["template"]["initContainers"]
    one = container(prod, "job")
    written = write_files.texts(first["args"], azure_stack.variables(first))
    path = one["args"][one["args"].index("--manifest") + 1]
    inside = Manifest.model_validate_json(written[path])
    assert inside.secrets == manifest_of(prod).secrets
    assert azure_stack.store_of(inside).secrets == azure_stack.store_of(manifest_of(prod)).secrets
    assert written[inside.broker.ca_file or ""] == ca().read_text()
    assert one["args"][:2] == ["tick", "--scheduled"]
    folders = {mount["mountPath"] for mount in (*first["volumeMounts"], *one["volumeMounts"])}
    assert folders == {str(Path(path).parent)}


SYNC = object_id("coreflux-prod-sync")
OF_SERVER = ("mqtt", "agent-key", "http-token")


def reads(deployed: Deployed, principal: str) -> set[str]:
    return {
        one["scope"].rpartition("/secrets/")[2]
        for one in assignments(deployed)
        if one["principalId"] == principal and role_of(one) == "Key Vault Secrets User"
    }


@pytest.mark.parametrize("pair", ["pods", "here"])
def test_rotation_trail_and_alerts_are_those_of_a_server_on_azure(pair: str) -> None:
    deployed = {"pods": pods, "here": here}[pair]()
    wanted = {"job", "vault-audit", "alert-undeclared-read", "alert-access-change"}
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
    assert (federation["issuer"], federation["audiences"]) == (azure_stack.ISSUER, ["api://AzureADTokenExchange"])
    assert federation["resourceName"] == "coreflux-prod-sync"
    assert "annotations" not in inputs(pods(), "server-account")["metadata"]


def test_external_secrets_reads_the_servers_secrets_by_name_and_no_other() -> None:
    store = azure_stack.store_of(manifest_of(pods()))
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
    assert store.readers["mqtt"] == (SYNC, object_id("coreflux-prod-rotator"), azure_stack.OPERATOR)


def test_client_entry_has_the_source_and_public_variables() -> None:
    files = inputs(here(), "server-files")["files"]
    (entry,) = json.loads(files["config/mcp.json"])["mcpServers"].values()
    source = entry["args"][entry["args"].index("--from") + 1]
    assert (
        source == f"azure-kv:{azure_stack.store_of(manifest_of(here())).vault.removeprefix('https://')}/mqtt+agent-key"
    )
    open_source(source)  # which the launcher accepts
    assert entry["env"]["MQTT_BROKER"] == "mqtt.example.com"
    assert entry["env"].keys() <= {*PUBLIC_VARIABLES, *OWN_VARIABLES, "COREFLUX_SERVER_DIR"}


def test_a_bundle_that_no_variable_of_linux_holds_is_refused(tmp_path: Path) -> None:
    one = azure_stack.ca()
    fits, more = tmp_path / "fits.crt", tmp_path / "more.crt"
    times = write_files.LIMIT // len(one.read_bytes())
    fits.write_bytes(one.read_bytes() * times)
    more.write_bytes(one.read_bytes() * (times + 1))
    azure_stack.file_on_azure(broker=f', ca_file: "{fits}"').parse("prod")
    with pytest.raises(ConfigurationError) as refused:
        azure_stack.file_on_azure(broker=f', ca_file: "{more}"').parse("prod")
    assert [str(one).partition(":")[0] for one in refused.value.problems] == ["broker.ca_file"]
