"""The Kubernetes platform under mocks: what the program asks the engine for. No cluster is asked anything here.

That the API server takes it, and what it then allows, is for tests/stacks/test_staging.py.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.kubernetes.access_log import POLICY
from secretops.launcher.listening import Names, parse_listen
from secretops.launcher.variables import PUBLIC_VARIABLES
from secretops.manifest import Delivered, KubernetesStore, Manifest
from settings import ConfigurationError
from tests.unit.harness import Deployed, Registered, ca_file, deploy
from tests.unit.stack_file import StackFile

NAMESPACE = "coreflux-mcp"
SERVER, ROTATOR = "coreflux-mcp-server", "coreflux-mcp-rotator"
SECRETS, CERTS, VERSIONS = "coreflux-mcp-secrets", "coreflux-mcp-certs", "coreflux-mcp-versions"
SERVER_USER = f"system:serviceaccount:{NAMESPACE}:{SERVER}"
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
    """A stack of the Kubernetes platform, each section with more entries."""
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
    """A stack with no more than it needs."""
    return on_kubernetes(broker=f", ca_file: {ca}", host="staging-mqtt.example.com")


def only(deployed: Deployed, kind: str, name: str) -> Any:
    """The inputs of the object of that kind and name in the cluster."""
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
    """Where each volume is mounted -> the volume."""
    by_name = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    return {mount["mountPath"]: by_name[mount["name"]] for mount in container(pod)["volumeMounts"]}


def manifest_in_pod(deployed: Deployed) -> Manifest:
    return Manifest.model_validate_json(only(deployed, "ConfigMap", "coreflux-mcp-stack")["data"]["secretops.json"])


def store_of(manifest: Manifest) -> KubernetesStore:
    assert isinstance(manifest.store, KubernetesStore)
    return manifest.store


def walk(entry: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every entry, at any depth, with the keys that lead to it."""
    yield path, entry
    inner = entry.items() if isinstance(entry, dict) else enumerate(entry) if isinstance(entry, list) else ()
    for key, below in inner:
        yield from walk(below, *path, str(key))


# What there is, and where


def test_the_staging_program_is_an_identity_a_store_with_its_rotator_and_a_server(staging: Deployed) -> None:
    kinds = {(each.parent, each.inputs["kind"], each.inputs["metadata"]["name"]) for each in objects(staging)}

    assert kinds == {
        ("identity", "Namespace", NAMESPACE),
        ("identity", "NetworkPolicy", "coreflux-mcp-default-deny"),
        ("identity", "ServiceAccount", SERVER),
        ("secrets", "Lease", ROTATOR),
        ("secrets", "Role", SERVER),
        ("secrets", "RoleBinding", SERVER),
        ("rotator", "ServiceAccount", ROTATOR),
        ("rotator", "Role", ROTATOR),
        ("rotator", "RoleBinding", ROTATOR),
        ("rotator", "ConfigMap", "coreflux-mcp-stack"),
        ("rotator", "NetworkPolicy", ROTATOR),
        ("rotator", "CronJob", ROTATOR),
        ("server", "ConfigMap", "coreflux-mcp-public"),
        ("server", "NetworkPolicy", SERVER),
        ("server", "Deployment", SERVER),
        ("server", "Service", SERVER),
        ("server", "PodDisruptionBudget", SERVER),
    }
    assert staging.resources["rotator"].parent == "secrets"


def test_a_stack_names_its_namespace(staging: Deployed) -> None:
    deployed = on_kubernetes(", namespace: plant-7")

    assert {each.inputs["metadata"].get("namespace", "plant-7") for each in objects(deployed)} == {"plant-7"}
    assert deployed.exports["server"] == f"http://{SERVER}.plant-7.svc.cluster.local:8000/mcp"
    assert store_of(manifest_in_pod(deployed)).namespace == "plant-7"


def test_the_namespace_is_protected_because_the_values_go_with_it(staging: Deployed) -> None:
    assert [each.name for each in staging.resources.values() if each.protected] == ["namespace"]


# No value


def test_no_secret_is_a_resource_and_no_pod_has_one_but_as_files_of_a_whole_volume(staging: Deployed) -> None:
    assert [each.name for each in objects(staging) if each.inputs["kind"] == "Secret"] == []
    for each in objects(staging):
        for path, _ in walk(each.inputs):
            assert not {"secretKeyRef", "secretRef", "subPath", "subPathExpr", "stringData"} & set(path), path


def test_of_a_ca_file_only_the_certificates_are_taken(ca: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both = tmp_path / "both.pem"
    both.write_bytes(b"# the plant's own\n" + key + ca.read_bytes())

    deployed = on_kubernetes(broker=f", ca_file: {both}")

    assert only(deployed, "ConfigMap", "coreflux-mcp-stack")["data"]["ca.crt"] == ca.read_text()


# Who may what


def rules(deployed: Deployed, role: str) -> list[Any]:
    found: list[Any] = only(deployed, "Role", role)["rules"]
    return found


@pytest.fixture(scope="module")
def with_certificate() -> Deployed:
    """A stack whose broker asks for a client certificate, which an operator supplies."""
    return on_kubernetes(broker=", client_certificate: true")


def test_the_server_may_get_its_two_secrets_and_nothing_else(with_certificate: Deployed) -> None:
    assert rules(with_certificate, SERVER) == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRETS, CERTS], "verbs": ["get"]}
    ]


def test_without_a_client_certificate_nobody_is_granted_its_secret(staging: Deployed) -> None:
    assert rules(staging, SERVER)[0]["resourceNames"] == [SECRETS]
    assert rules(staging, ROTATOR)[0]["resourceNames"] == [SECRETS, VERSIONS]
    assert store_of(manifest_in_pod(staging)).readers.keys() == {SECRETS, VERSIONS}


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


# The `restricted` Pod Security level


def test_the_namespace_enforces_restricted_and_warns_of_what_a_newer_one_would_refuse(staging: Deployed) -> None:
    labels = only(staging, "Namespace", NAMESPACE)["metadata"]["labels"]

    assert {
        key.removeprefix("pod-security.kubernetes.io/"): text for key, text in labels.items() if "pod-sec" in key
    } == {
        "enforce": "restricted",
        "enforce-version": "v1.25",
        "audit": "restricted",
        "audit-version": "latest",
        "warn": "restricted",
        "warn-version": "latest",
    }


@pytest.mark.parametrize("pod_of", [server_pod, rotator_pod])
def test_a_pod_keeps_every_rule_of_the_restricted_level(staging: Deployed, pod_of: Any) -> None:
    """As https://kubernetes.io/docs/concepts/security/pod-security-standards/ lists them."""
    spec = pod_of(staging)["spec"]
    pod, one = spec["securityContext"], container(pod_of(staging))["securityContext"]

    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & spec.keys()
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "emptyDir", "projected"}
    assert (pod["runAsNonRoot"], one["runAsNonRoot"], pod["runAsUser"]) == (True, True, 10001)
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert one["capabilities"] == {"drop": ["ALL"]}
    assert one["allowPrivilegeEscalation"] is False
    assert "privileged" not in one
    assert "procMount" not in one
    assert all("hostPort" not in port for port in container(pod_of(staging)).get("ports", []))


@pytest.mark.parametrize("pod_of", [server_pod, rotator_pod])
def test_a_pod_writes_nowhere_but_in_memory_and_knows_no_other_service(staging: Deployed, pod_of: Any) -> None:
    spec = pod_of(staging)["spec"]

    assert container(pod_of(staging))["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["enableServiceLinks"] is False
    writable = [mount["mountPath"] for mount in container(pod_of(staging))["volumeMounts"] if not mount.get("readOnly")]
    (scratch,) = writable
    assert volumes(pod_of(staging))[scratch]["emptyDir"]["medium"] == "Memory"


# The server's pods


def test_the_servers_secrets_are_one_folder_that_may_be_empty_at_first(staging: Deployed) -> None:
    folder = volumes(server_pod(staging))["/etc/coreflux-mcp/secrets"]["projected"]

    assert folder["defaultMode"] == 0o440
    assert server_pod(staging)["spec"]["securityContext"]["fsGroup"] == 10001
    assert folder["sources"] == [{"secret": {"name": SECRETS, "optional": True}}]


def test_a_client_certificate_lies_in_the_same_folder(with_certificate: Deployed) -> None:
    sources = volumes(server_pod(with_certificate))["/etc/coreflux-mcp/secrets"]

    assert sources["projected"]["sources"][1]["secret"] == {
        "name": CERTS,
        "optional": True,
        "items": [{"key": key, "path": key} for key in ("client.crt", "client.key", "client-cert-version", "ca.crt")],
    }


def test_the_stacks_own_ca_file_wins_over_the_certificates(ca: Path) -> None:
    deployed = on_kubernetes(broker=f", client_certificate: true, ca_file: {ca}")

    folder = volumes(server_pod(deployed))["/etc/coreflux-mcp/secrets"]["projected"]
    assert "ca.crt" not in [item["key"] for item in folder["sources"][1]["secret"]["items"]]
    assert volumes(server_pod(deployed))["/etc/coreflux-mcp/stack"]["configMap"] == {
        "name": "coreflux-mcp-stack",
        "items": [{"key": "ca.crt", "path": "ca.crt"}],
    }


def test_the_public_variables_are_the_guides_and_of_those_that_the_launcher_takes(staging: Deployed) -> None:
    public = only(staging, "ConfigMap", "coreflux-mcp-public")["data"]

    assert public == {
        "MQTT_BROKER": "staging-mqtt.example.com",
        "MQTT_PORT": "8883",
        "MQTT_USE_TLS": "true",
        "MQTT_PROTOCOL": "5",
        "MQTT_CA_CERT": "/etc/coreflux-mcp/stack/ca.crt",
        "LOG_LEVEL": "INFO",
    }
    assert public.keys() - {"MQTT_PROTOCOL"} <= set(PUBLIC_VARIABLES)
    assert container(server_pod(staging))["envFrom"] == [{"configMapRef": {"name": "coreflux-mcp-public"}}]


def test_a_changed_public_variable_is_a_new_pod_and_an_unchanged_one_is_none(staging: Deployed) -> None:
    def mark(**sections: str) -> Any:
        return server_pod(on_kubernetes(**sections))["metadata"]["annotations"]

    assert mark() == mark() != mark(log_level="ERROR")


def test_the_launcher_serves_streamable_http_and_knows_the_names_it_is_called_by() -> None:
    one = container(server_pod(on_kubernetes(", allowed_hosts: [mcp.example.com]")))

    assert one["command"] == ["secretops"]
    source = ["run", "--from", "files:/etc/coreflux-mcp/secrets", "--transport", "http", "--listen", "0.0.0.0:8080"]
    assert one["args"][: len(source)] == source
    names = Names.of(parse_listen("0.0.0.0:8080"), one["args"][len(source) + 1 :: 2])
    service = f"{SERVER}.{NAMESPACE}"
    for host in (SERVER, service, f"{service}.svc", f"{service}.svc.cluster.local", "mcp.example.com", "10.1.2.3"):
        assert names.host(f"{host}:8000"), host
    assert not names.host("evil.example.com")


def test_a_pod_goes_on_serving_until_nobody_is_sent_to_it_any_more(staging: Deployed) -> None:
    hook = container(server_pod(staging))["lifecycle"]["preStop"]["exec"]["command"]
    *python, program = hook

    assert python == ["/opt/secretops/bin/python", "-c"]
    (seconds,) = re.findall(r"time\.sleep\((\d+)\)", program)
    compile(program, "preStop", "exec")
    launcher = 5
    assert server_pod(staging)["spec"]["terminationGracePeriodSeconds"] > int(seconds) + launcher


@pytest.mark.parametrize("pod_of", [server_pod, rotator_pod])
def test_a_private_registry_is_shown_the_pull_secrets_that_the_stack_names(pod_of: Any) -> None:
    deployed = on_kubernetes(", pull_secrets: [registry, mirror]")

    assert pod_of(deployed)["spec"]["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]


def test_a_rollout_takes_no_replica_away_before_its_successor_is_ready(staging: Deployed) -> None:
    spec = only(staging, "Deployment", SERVER)["spec"]

    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert only(staging, "PodDisruptionBudget", SERVER)["spec"]["maxUnavailable"] == 1


def test_what_finds_the_servers_pods_finds_those_and_no_rotators(staging: Deployed) -> None:
    selectors = [
        only(staging, "Deployment", SERVER)["spec"]["selector"]["matchLabels"],
        only(staging, "Service", SERVER)["spec"]["selector"],
        only(staging, "PodDisruptionBudget", SERVER)["spec"]["selector"]["matchLabels"],
        only(staging, "NetworkPolicy", SERVER)["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in server_pod(staging)["spec"]["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector.items() <= server_pod(staging)["metadata"]["labels"].items()
        assert not selector.items() <= rotator_pod(staging)["metadata"]["labels"].items()


# The rotator


def test_a_tick_runs_each_hour_and_never_beside_another(staging: Deployed) -> None:
    cron = only(staging, "CronJob", ROTATOR)["spec"]

    assert (cron["schedule"], cron["concurrencyPolicy"]) == ("0 * * * *", "Forbid")
    assert 0 < cron["startingDeadlineSeconds"] < 3600
    assert cron["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert 0 < cron["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 3600
    assert cron["failedJobsHistoryLimit"] == 24, "a day of logs that say what went wrong"
    assert "ttlSecondsAfterFinished" not in cron["jobTemplate"]["spec"], "nothing else takes them away"
    assert rotator_pod(staging)["spec"]["restartPolicy"] == "Never"
    assert container(rotator_pod(staging))["command"] == ["secretops"]
    assert container(rotator_pod(staging))["args"] == [
        *("tick", "--scheduled", "--manifest", "/etc/coreflux-mcp/stack/secretops.json")
    ]
    assert container(rotator_pod(staging))["image"] == container(server_pod(staging))["image"] == IMAGE


def test_the_rotators_manifest_is_the_stacks_with_the_pods_paths(ca: Path) -> None:
    deployed = on_kubernetes(", context: other", f", ca_file: {ca}")
    out, inside = Manifest.model_validate(deployed.exports["secretops"]), manifest_in_pod(deployed)

    assert (out.broker.ca_file, inside.broker.ca_file) == (str(ca), "/etc/coreflux-mcp/stack/ca.crt")
    assert (store_of(out).context, store_of(inside).context) == ("other", None)
    alike = inside.model_copy(
        update={
            "broker": inside.broker.model_copy(update={"ca_file": str(ca)}),
            "store": store_of(inside).model_copy(update={"context": "other"}),
        }
    )
    assert alike == out


def test_each_secret_is_delivered_under_the_guides_keys_and_a_stacks_own_under_its_name() -> None:
    deployed = on_kubernetes(
        broker=", client_certificate: true",
        secrets="{plant-db: {fields: [url, password]}, licence: {fields: [key], readers: [rotator]}}",
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
    "server": ", certificate_issuer: {kind: ClusterIssuer, name: plant-ca}",
    "broker": ", client_certificate: true",
}


def test_an_issued_certificate_is_cert_managers_secret_and_no_longer_secretops_own() -> None:
    deployed = on_kubernetes(**ISSUED)

    assert only(deployed, "Certificate", "coreflux-mcp-certificate")["spec"]["secretName"] == "coreflux-mcp-certificate"
    assert "client-cert" not in {secret.name for secret in manifest_in_pod(deployed).secrets}
    assert rules(deployed, ROTATOR)[0]["resourceNames"] == [SECRETS, VERSIONS]
    assert rules(deployed, SERVER)[0]["resourceNames"] == [SECRETS, "coreflux-mcp-certificate"]
    issued = store_of(Manifest.model_validate(deployed.exports["secretops"])).issued
    assert issued == Delivered(
        name="coreflux-mcp-certificate", keys={"ca.crt": "ca.crt", "client.crt": "tls.crt", "client.key": "tls.key"}
    )
    assert store_of(manifest_in_pod(deployed)).readers["coreflux-mcp-certificate"] == (
        SERVER_USER,
        "system:serviceaccount:cert-manager:cert-manager",
        "system:nodes",
    )


def test_an_issued_certificate_has_the_names_that_the_launcher_and_secretops_look_for() -> None:
    deployed = on_kubernetes(**ISSUED)
    wanted = {
        "name": "coreflux-mcp-certificate",
        "optional": True,
        "items": [
            {"key": "tls.crt", "path": "client.crt"},
            {"key": "tls.key", "path": "client.key"},
            {"key": "ca.crt", "path": "ca.crt"},
        ],
    }

    assert volumes(server_pod(deployed))["/etc/coreflux-mcp/secrets"]["projected"]["sources"][1]["secret"] == wanted
    assert volumes(rotator_pod(deployed))["/etc/coreflux-mcp/certs"]["projected"]["sources"] == [{"secret": wanted}]
    broker = manifest_in_pod(deployed).broker
    assert (broker.certificate_file, broker.key_file, broker.ca_file) == tuple(
        f"/etc/coreflux-mcp/certs/{name}" for name in ("client.crt", "client.key", "ca.crt")
    )


# The network


def policy_of(deployed: Deployed, name: str) -> Any:
    return only(deployed, "NetworkPolicy", name)["spec"]


def ports(rule: Any) -> list[tuple[str, Any]]:
    return [(port["protocol"], int(port["port"])) for port in rule["ports"]]


def blocks(rule: Any) -> list[str]:
    return [peer["ipBlock"]["cidr"] for peer in rule["to"]]


DNS = {
    "to": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "169.254.20.10/32"}}],
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
}


def test_what_no_policy_allows_is_denied(staging: Deployed) -> None:
    assert policy_of(staging, "coreflux-mcp-default-deny") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize(
    "address", ["10.96.0.1", "172.20.1.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "fd00::1", "fe80::1"]
)
def test_by_https_the_server_reaches_no_private_address(staging: Deployed, address: str) -> None:
    *_, copilot = policy_of(staging, SERVER)["egress"]
    wanted = ipaddress.ip_address(address)

    for peer in copilot["to"]:
        block = peer["ipBlock"]
        if wanted in ipaddress.ip_network(block["cidr"]):
            assert any(wanted in ipaddress.ip_network(but) for but in block["except"])


def test_the_copilot_is_reached_where_the_stack_says_or_nowhere() -> None:
    behind_a_proxy = policy_of(on_kubernetes(", copilot_cidrs: [10.9.8.7/32]"), SERVER)["egress"]
    without = policy_of(on_kubernetes(", copilot_cidrs: []"), SERVER)["egress"]

    assert (ports(behind_a_proxy[2]), blocks(behind_a_proxy[2])) == ([("TCP", 443)], ["10.9.8.7/32"])
    assert [port for rule in without for _, port in ports(rule)] == [53, 53, 8883]
    assert all(rule["to"] for rule in without), "a rule without peers allows them all"


def test_the_rotator_reaches_the_broker_dns_and_the_api_server_where_the_stack_says() -> None:
    spec = policy_of(
        on_kubernetes(", broker_cidrs: [203.0.113.0/24], api_server_cidrs: [10.96.0.1/32, 10.0.0.0/28]"), ROTATOR
    )
    dns, broker, api = spec["egress"]

    assert dns == DNS
    assert (ports(broker), blocks(broker)) == ([("TCP", 8883)], ["203.0.113.0/24"])
    assert (ports(api), blocks(api)) == (
        [("TCP", 443), ("TCP", 6443), ("TCP", 16443)],
        ["10.96.0.1/32", "10.0.0.0/28"],
    )
    assert "ingress" not in spec or spec["ingress"] == []


@pytest.mark.parametrize("host", ["mosquitto.plant.svc", "mosquitto.plant.svc.cluster.local"])
def test_a_broker_in_the_cluster_is_reached_in_its_namespace(host: str) -> None:
    deployed = on_kubernetes(host=host)

    _, broker, _ = policy_of(deployed, SERVER)["egress"]
    assert broker["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "plant"}}}]


# Outputs


def test_readers_are_declared_as_the_api_server_names_them() -> None:
    deployed = on_kubernetes(broker=", client_certificate: true", store=', operators: ["oidc:alice@example.com"]')
    readers = store_of(manifest_in_pod(deployed)).readers

    assert readers == {
        SECRETS: (SERVER_USER, ROTATOR_USER, "system:nodes", "oidc:alice@example.com"),
        CERTS: (SERVER_USER, ROTATOR_USER, "system:nodes", "oidc:alice@example.com"),
        VERSIONS: (ROTATOR_USER, "oidc:alice@example.com"),
    }


def test_the_trail_is_the_audit_policy_headed_by_who_is_declared_to_read(staging: Deployed) -> None:
    policy = staging.exports["trail"]["policy"]

    assert yaml.safe_load(policy) == yaml.safe_load(POLICY.read_text())
    head = policy.removesuffix(POLICY.read_text())
    assert f"#   {VERSIONS}: {ROTATOR_USER}\n" in head
    assert all(line.startswith("#") for line in head.splitlines())
    assert staging.exports["trail"]["gap"] == staging.exports["gaps"]["trail of every read"]


@pytest.mark.parametrize(("seconds", "accepted"), [(179, False), (180, True)])
def test_a_grace_that_ends_before_kubelets_deliver_is_refused(seconds: int, accepted: bool) -> None:
    if accepted:
        assert on_kubernetes(rotation=f"{{grace_seconds: {seconds}}}").resources
    else:
        with pytest.raises(ConfigurationError, match=r"rotation\.grace_seconds"):
            on_kubernetes(rotation=f"{{grace_seconds: {seconds}}}")
