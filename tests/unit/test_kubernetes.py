"""The Kubernetes platform under mocks: the resources that the program registers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.settings.section import PROJECT_FOLDER
from secretops.launcher.http_options import HostNames, parse_listen
from secretops.manifest import Manifest
from secretops.platforms.kubernetes.location import Delivered, KubernetesStoreLocation
from tests.unit.harness import Deployed, Registered, ca_file, deploy
from tests.unit.policy_plans import OWN, plan
from tests.unit.stack_file import StackFile

NAMESPACE = "coreflux-mcp"
SERVER, ROTATOR = "coreflux-mcp-server", "coreflux-mcp-rotator"
SECRETS, CERTS, VERSIONS = "coreflux-mcp-secrets", "coreflux-mcp-certs", "coreflux-mcp-versions"
ROTATOR_USER = f"system:serviceaccount:{NAMESPACE}:{ROTATOR}"
IMAGE = "registry.example.com/coreflux-mcp-secrets:0.1.0"
KUBECONFIG = """
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}, {name: other, context: {cluster: test, user: test}}]
clusters: [{name: test, cluster: {server: "https://127.0.0.1:6443"}}]
users: [{name: test, user: {}}]
"""


@pytest.fixture(scope="module", autouse=True)
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("kube") / "config"
    path.write_text(KUBECONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(path))
        yield path


def on_kubernetes(
    server: str = "",
    broker: str = "",
    *,
    host: str = "mqtt.example.com",
    store: str = "",
    secrets: str = "{}",
    stack: str = "staging",
    **more: str,
) -> Deployed:
    sections = {
        "store": f"{{kind: kubernetes{store}}}",
        "server": f'{{kind: kubernetes, image: "{IMAGE}"{server}}}',
        "broker": f"{{kind: coreflux, host: {host}{broker}}}",
        "secrets": secrets,
        **more,
    }
    return deploy(
        StackFile.read("\n".join(["config:", *(f"  {name}: {text}" for name, text in sections.items())])), stack
    )


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ca_file(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def staging(ca: Path) -> Deployed:
    return on_kubernetes(broker=f", ca_file: {ca}", host="staging-mqtt.example.com")


def only(deployed: Deployed, kind: str, name: str) -> Any:
    (found,) = [
        each.inputs
        for each in objects(deployed)
        if (each.inputs["kind"], each.inputs["metadata"]["name"]) == (kind, name)
    ]
    return found


def objects(deployed: Deployed) -> list[Registered]:
    return [each for each in deployed.resources.values() if each.type.startswith("kubernetes:")]


def server_pod(deployed: Deployed) -> Any:
    return only(deployed, "Deployment", SERVER)["spec"]["template"]


def rotator_pod(deployed: Deployed) -> Any:
    return only(deployed, "CronJob", ROTATOR)["spec"]["jobTemplate"]["spec"]["template"]


def container(pod: Any) -> Any:
    (one,) = pod["spec"]["containers"]
    return one


def volumes(pod: Any) -> dict[str, Any]:
    """Return mount path -> volume."""
    by_name = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    return {mount["mountPath"]: by_name[mount["name"]] for mount in container(pod)["volumeMounts"]}


def manifest_in_pod(deployed: Deployed) -> Manifest:
    return Manifest.model_validate_json(only(deployed, "ConfigMap", "coreflux-mcp-stack")["data"]["secretops.json"])


def store_of(manifest: Manifest) -> KubernetesStoreLocation:
    assert isinstance(manifest.store, KubernetesStoreLocation)
    return manifest.store


def walk(entry: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, entry
    inner = entry.items() if isinstance(entry, dict) else enumerate(entry) if isinstance(entry, list) else ()
    for key, below in inner:
        yield from walk(below, *path, str(key))


def test_the_namespace_is_protected_because_the_values_go_with_it(staging: Deployed) -> None:
    assert [each.name for each in staging.resources.values() if each.protected] == ["namespace"]


@pytest.mark.parametrize("stack", [name for name in OWN if "{kind: kubernetes" in str(OWN[name])])
def test_role_of_the_page_covers_what_a_stack_creates(stack: str) -> None:
    (text,) = re.findall(
        r"```yaml\n(.*?)```", (PROJECT_FOLDER / "docs/operations/kubernetes.md").read_text(), re.DOTALL
    )
    may = {
        (group, resource): rule["verbs"]
        for rule in yaml.safe_load(text)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    for one in (each for each in plan(stack).resources if each.type.startswith("kubernetes:")):
        _, group, kind = one.type.lower().split(":")
        resource = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
        assert {"create", "update", "patch", "delete"} <= {*may[group.partition("/")[0].replace("core", ""), resource]}


def test_of_a_ca_file_only_the_certificates_are_taken(ca: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both = tmp_path / "both.pem"
    both.write_bytes(b"# the plant's own\n" + key + ca.read_bytes())
    deployed = on_kubernetes(broker=f", ca_file: {both}")
    assert only(deployed, "ConfigMap", "coreflux-mcp-stack")["data"]["ca.crt"] == ca.read_text()


def rules(deployed: Deployed, role: str) -> list[Any]:
    found: list[Any] = only(deployed, "Role", role)["rules"]
    return found


@pytest.fixture(scope="module")
def with_certificate() -> Deployed:
    return on_kubernetes(broker=", client_certificate: true")


def test_server_has_no_role_and_its_reads_are_undeclared(with_certificate: Deployed) -> None:
    roles = [each.inputs["metadata"]["name"] for each in objects(with_certificate) if "Role" in each.inputs["kind"]]
    assert roles == [ROTATOR, ROTATOR]


def test_the_rotator_may_get_and_update_its_three_secrets_and_its_lease(with_certificate: Deployed) -> None:
    assert rules(with_certificate, ROTATOR) == [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": [SECRETS, CERTS, VERSIONS],
            "verbs": ["get", "update"],
        },
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [ROTATOR],
            "verbs": ["get", "update"],
        },
    ]


def test_only_the_rotator_has_a_token_of_the_api_server(staging: Deployed) -> None:
    assert server_pod(staging)["spec"]["automountServiceAccountToken"] is False
    assert rotator_pod(staging)["spec"]["automountServiceAccountToken"] is True
    for account in (SERVER, ROTATOR):
        assert only(staging, "ServiceAccount", account)["automountServiceAccountToken"] is False
    assert server_pod(staging)["spec"]["serviceAccountName"] == SERVER
    assert rotator_pod(staging)["spec"]["serviceAccountName"] == ROTATOR


@pytest.mark.parametrize("pod_of", [server_pod, rotator_pod])
def test_a_pod_writes_nowhere_but_in_memory_and_knows_no_other_service(staging: Deployed, pod_of: Any) -> None:
    spec = pod_of(staging)["spec"]
    assert container(pod_of(staging))["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["enableServiceLinks"] is False
    writable = [mount["mountPath"] for mount in container(pod_of(staging))["volumeMounts"] if not mount.get("readOnly")]
    (scratch,) = writable
    assert volumes(pod_of(staging))[scratch]["emptyDir"]["medium"] == "Memory"


TENANT = """, create_namespace: false, run_as: platform, pull_policy: Always, priority_class: plant,
    resources: {limits: {memory: 1Gi}}, rotator_resources: {requests: {cpu: 10m}},
    node_selector: {example.com/pool: mcp},
    tolerations: [{key: example.com/only, operator: Exists, effect: NoSchedule}],
    pod_labels: {team: plant}, pod_annotations: {sidecar.istio.io/inject: "false"}"""


@pytest.mark.parametrize("pod_of", [server_pod, rotator_pod])
def test_tenant_sets_where_and_as_whom_pods_run(staging: Deployed, pod_of: Any) -> None:
    deployed = on_kubernetes(TENANT)
    pod, spec, before = pod_of(deployed), pod_of(deployed)["spec"], pod_of(staging)
    assert [each for each in objects(deployed) if each.inputs["kind"] == "Namespace"] == []
    assert {each.inputs["metadata"]["namespace"] for each in objects(deployed)} == {NAMESPACE}
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert (spec["priorityClassName"], spec["nodeSelector"]) == ("plant", {"example.com/pool": "mcp"})
    assert spec["tolerations"] == [{"key": "example.com/only", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["metadata"]["labels"] == {**before["metadata"]["labels"], "team": "plant"}
    assert pod["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
    assert (container(pod)["imagePullPolicy"], container(before).get("imagePullPolicy")) == ("Always", None)
    changed = {server_pod: ("limits", "memory", "1Gi"), rotator_pod: ("requests", "cpu", "10m")}[pod_of]
    expected = {kind: dict(one) for kind, one in container(before)["resources"].items()}
    expected[changed[0]][changed[1]] = changed[2]
    assert container(pod)["resources"] == expected
    assert "ephemeral-storage" in expected["requests"]


def test_the_servers_secrets_are_one_folder_that_may_be_empty_at_first(staging: Deployed) -> None:
    folder = volumes(server_pod(staging))["/etc/coreflux-mcp/secrets"]["projected"]
    assert folder["defaultMode"] == 0o440
    assert server_pod(staging)["spec"]["securityContext"]["fsGroup"] == 10001
    assert folder["sources"] == [{"secret": {"name": SECRETS, "optional": True}}]


def test_a_changed_public_variable_is_a_new_pod_and_an_unchanged_one_is_none(staging: Deployed) -> None:
    def mark(**sections: str) -> Any:
        return server_pod(on_kubernetes(**sections))["metadata"]["annotations"]

    assert mark() == mark() != mark(log_level="ERROR")


def test_the_launcher_serves_streamable_http_and_knows_the_names_it_is_called_by() -> None:
    one = container(server_pod(on_kubernetes(", allowed_hosts: [mcp.example.com]")))
    assert one["command"] == ["secretops"]
    source = ["run", "--from", "files:/etc/coreflux-mcp/secrets", "--transport", "http", "--listen", "0.0.0.0:8080"]
    assert one["args"][: len(source)] == source
    names = HostNames.of(parse_listen("0.0.0.0:8080"), one["args"][len(source) + 1 :: 2])
    service = f"{SERVER}.{NAMESPACE}"
    for host in (SERVER, service, f"{service}.svc", f"{service}.svc.cluster.local", "mcp.example.com", "10.1.2.3"):
        assert names.host(f"{host}:8080"), host
    assert not names.host("evil.example.com")


def test_tick_runs_hourly_and_never_concurrently(staging: Deployed) -> None:
    cron = only(staging, "CronJob", ROTATOR)["spec"]
    assert (cron["schedule"].split(" ", 1)[1], cron["concurrencyPolicy"]) == ("* * * *", "Forbid")
    assert 0 < cron["startingDeadlineSeconds"] < 3600
    assert cron["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert 0 < cron["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 3600
    ttl = cron["jobTemplate"]["spec"]["ttlSecondsAfterFinished"]
    assert ttl == cron["failedJobsHistoryLimit"] * 3600 == 6 * 3600, "else KubeJobFailed goes on firing"
    assert rotator_pod(staging)["spec"]["restartPolicy"] == "Never"
    assert container(rotator_pod(staging))["command"] == ["secretops"]
    assert container(rotator_pod(staging))["args"] == [
        *("tick", "--scheduled", "--manifest", "/etc/coreflux-mcp/stack/secretops.json")
    ]
    assert container(rotator_pod(staging))["image"] == container(server_pod(staging))["image"] == IMAGE


def test_stacks_of_one_cluster_tick_at_their_own_minutes() -> None:
    from components.kubernetes.rotation import minute  # imports the SDK

    minutes = [minute(f"plant-{at}") for at in range(200)]
    assert {0, 59} <= set(minutes) <= set(range(60)) and len(set(minutes)) > 50


def test_secrets_are_delivered_under_the_guides_keys_or_their_names() -> None:
    deployed = on_kubernetes(
        broker=", client_certificate: true",
        secrets="{plant-db: {fields: [url, password]}, license: {fields: [key], readers: [rotator]}}",
    )
    assert {
        name: (place.name, place.keys) for name, place in store_of(manifest_in_pod(deployed)).delivered.items()
    } == {
        "mqtt": (SECRETS, {"username": "mqtt-user", "password": "mqtt-password"}),
        "agent-key": (SECRETS, {"api-key": "api-key"}),
        "http-token": (SECRETS, {"token": "http-token"}),
        "client-cert": (CERTS, {"ca.crt": "ca.crt", "client.crt": "client.crt", "client.key": "client.key"}),
        "plant-db": (SECRETS, {"url": "plant-db.url", "password": "plant-db.password"}),
    }


# cert-manager

ISSUED = {
    "server": ", certificate_issuer: {kind: AWSPCAClusterIssuer, name: plant-ca, group: awspca.cert-manager.io}",
    "broker": ", client_certificate: true",
}


def test_an_issued_certificate_is_cert_managers_secret_and_no_longer_secretops_own() -> None:
    deployed = on_kubernetes(**ISSUED)
    certificate = only(deployed, "Certificate", "coreflux-mcp-certificate")["spec"]
    issuer = {"group": "awspca.cert-manager.io", "kind": "AWSPCAClusterIssuer", "name": "plant-ca"}
    assert (certificate["secretName"], certificate["issuerRef"]) == ("coreflux-mcp-certificate", issuer)
    assert "client-cert" not in {secret.name for secret in manifest_in_pod(deployed).secrets}
    assert manifest_in_pod(deployed).broker.ca_file is None, "the issuer's CA is not the broker's"
    mounted = [entry for pod in (server_pod, rotator_pod) for _, entry in walk(pod(deployed)["spec"]["volumes"])]
    assert "tls.crt" in mounted and "ca.crt" not in mounted
    assert rules(deployed, ROTATOR)[0]["resourceNames"] == [SECRETS, VERSIONS]
    issued = store_of(Manifest.model_validate(deployed.exports["secretops"])).issued
    assert issued == Delivered(name="coreflux-mcp-certificate", keys={"client.crt": "tls.crt", "client.key": "tls.key"})
    assert store_of(manifest_in_pod(deployed)).readers["coreflux-mcp-certificate"] == (
        "system:serviceaccount:cert-manager:cert-manager",
        "system:nodes",
    )


def policy_of(deployed: Deployed, name: str) -> Any:
    return only(deployed, "NetworkPolicy", name)["spec"]


def ports(rule: Any) -> list[tuple[str, Any]]:
    return [(port["protocol"], int(port["port"])) for port in rule["ports"]]


def blocks(rule: Any) -> list[str]:
    return [peer["ipBlock"]["cidr"] for peer in rule["to"]]


def test_copilot_is_reached_only_at_the_declared_addresses() -> None:
    behind_a_proxy = policy_of(on_kubernetes(", copilot_cidrs: [10.9.8.7/32]"), SERVER)["egress"]
    without = policy_of(on_kubernetes(", copilot_cidrs: []"), SERVER)["egress"]
    assert (ports(behind_a_proxy[2]), blocks(behind_a_proxy[2])) == ([("TCP", 443)], ["10.9.8.7/32"])
    assert [port for rule in without[1:] for _, port in ports(rule)] == [8883]
    assert all(rule["to"] for rule in without), "a rule without peers allows them all"


def test_readers_are_declared_as_the_api_server_names_them() -> None:
    deployed = on_kubernetes(broker=", client_certificate: true", store=', operators: ["oidc:alice@example.com"]')
    readers = store_of(manifest_in_pod(deployed)).readers
    assert readers == {
        SECRETS: (ROTATOR_USER, "system:nodes", "oidc:alice@example.com"),
        CERTS: (ROTATOR_USER, "system:nodes", "oidc:alice@example.com"),
        VERSIONS: (ROTATOR_USER, "oidc:alice@example.com"),
    }
