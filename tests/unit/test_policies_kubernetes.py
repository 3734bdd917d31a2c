"""The rules for a cluster: each fails on the one thing that breaks it, and says so where that is not known yet.

That all shipped stacks keep all of them is for tests/unit/test_policy_pack.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from policies.rule import UNKNOWN, Plan
from tests.unit.policy_plans import Break, added, changed, holds, named, planned, row, shipped, verdicts, without

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

POD = ("spec", "template", "spec")
TICK = ("spec", "jobTemplate", "spec", "template", "spec")
BOX = ("containers", 0)
ENFORCE = "pod-security.kubernetes.io/enforce"
BY_CERT_MANAGER = """
config:
  store: {kind: kubernetes}
  server: {kind: kubernetes, image: "registry.example.com/mcp:0.1.0", certificate_issuer: {kind: Issuer, name: plant}}
  broker: {kind: coreflux, host: mqtt.example.com, client_certificate: true}
"""
A_VARIABLE = {"name": "ANY", "valueFrom": {"secretKeyRef": {"name": "coreflux-mcp-secrets", "key": "mqtt-password"}}}
EVERYWHERE = {"ipBlock": {"cidr": "0.0.0.0/0"}}
HALVES = [{"ipBlock": {"cidr": cidr}} for cidr in ("0.0.0.0/1", "128.0.0.0/1")]


def staging() -> Plan:
    return shipped("staging")


def copied() -> Plan:
    """External Secrets copies them from AWS."""
    return shipped("prod-aws-kubernetes")


def in_vault() -> Plan:
    """The rotator is a CronJob, the store no cluster's."""
    return shipped("prod-vault-kubernetes")


def certified() -> Plan:
    """cert-manager signs the client certificate."""
    return planned(BY_CERT_MANAGER, "staging")


def server(rule: str, *path: str | int, to: Any, **more: Any) -> Break:
    return row(f"kubernetes-{rule}", staging, "deployment", *POD, *path, to=to, **more)


def tick(rule: str, *path: str | int, to: Any, **more: Any) -> Break:
    return row(f"kubernetes-{rule}", staging, "rotator-cronjob", *TICK, *path, to=to, **more)


def on(rule: str, at: str, *path: str | int, to: Any, **more: Any) -> Break:
    return row(f"kubernetes-{rule}", staging, at, *path, to=to, **more)


def copy(rule: str, at: str, *path: str | int, to: Any, **more: Any) -> Break:
    return row(f"kubernetes-{rule}", copied, at, *path, to=to, **more)


def certificate(*path: str | int, to: Any) -> Break:
    return row("kubernetes-certificates-are-new", certified, "certificate", "spec", *path, to=to)


def one_more(rule: str, kind: str, properties: Any, *, also: str = "") -> Break:
    """A resource that is not to be there at all: that it is there is never unknown."""
    change = added(f"kubernetes:{kind}", properties)
    return Break(rule=f"kubernetes-{rule}", plan=staging, change=change, also=frozenset(also.split()))


def gone(rule: str, at: str, *, plan: Callable[[], Plan] = staging, also: str = "") -> Break:
    """What has to be there is not."""
    return Break(rule=f"kubernetes-{rule}", plan=plan, change=without(at), also=frozenset(also.split()))


BREAKS: tuple[Break, ...] = (
    server("secrets-are-files", *BOX, "env", 0, to=A_VARIABLE, unknown=False),
    server("secrets-are-files", *BOX, "env", 0, "valueFrom", "secretKeyRef", to={"name": "s", "key": "k"}),
    server("secrets-are-files", *BOX, "envFrom", 0, "secretRef", to={"name": "s"}),
    server(
        "secrets-are-files",
        *BOX,
        "env",
        1,
        to={"name": "MQTT_PASSWORD", "value": "$(OTHER)"},
        also="stack-holds-no-value",
    ),
    server("secret-files-are-closed", "volumes", 1, "projected", "defaultMode", to=0o444),
    server("secret-files-are-closed", "volumes", 1, "projected", "defaultMode", to=None),
    server("secret-files-are-closed", "volumes", 1, "projected", "defaultMode", to=0o660),
    server("secret-files-are-closed", *BOX, "volumeMounts", 1, "subPath", to="mqtt-password"),
    server("secret-files-are-closed", *BOX, "volumeMounts", 1, to={"name": "secrets", "subPath": "mqtt-password"}),
    server("pods-are-nobody", *BOX, "securityContext", "runAsNonRoot", to=False),
    server("pods-are-nobody", "securityContext", "runAsUser", to=0),
    tick("pods-are-nobody", "securityContext", "runAsUser", to=None),
    server("root-is-read-only", *BOX, "securityContext", "readOnlyRootFilesystem", to=False),
    tick("root-is-read-only", *BOX, "securityContext", "readOnlyRootFilesystem", to=None),
    server("pods-gain-nothing", *BOX, "securityContext", "allowPrivilegeEscalation", to=None),
    server("pods-gain-nothing", *BOX, "securityContext", "privileged", to=True),
    server("pods-gain-nothing", *BOX, "securityContext", "capabilities", "drop", to=["NET_RAW"]),
    tick("pods-gain-nothing", *BOX, "securityContext", "capabilities", "add", to=["NET_ADMIN"]),
    server("pods-are-apart", "securityContext", "seccompProfile", "type", to="Unconfined"),
    tick("pods-are-apart", *BOX, "securityContext", "seccompProfile", "type", to="Unconfined"),
    server("pods-are-apart", "hostNetwork", to=True),
    server("pods-are-apart", "hostPID", to=True),
    tick("pods-are-apart", "volumes", 0, "hostPath", to={"path": "/var/lib/kubelet"}),
    on("tokens-are-used", "server-account", "automountServiceAccountToken", to=None),
    row("kubernetes-tokens-are-used", copied, "deployment", *POD, "automountServiceAccountToken", to=True),
    on("tokens-are-used", "rotator-binding", "subjects", 0, "name", to="somebody-else"),
    on("roles-name-objects", "server-role", "rules", 0, "verbs", to=["get", "list"]),
    on("roles-name-objects", "rotator-role", "rules", 0, "verbs", to=["*"]),
    on("roles-name-objects", "rotator-role", "rules", 1, "verbs", to=[]),
    on("roles-name-objects", "rotator-role", "rules", 0, "verbs", to=["get", "update", "delete"]),
    on("roles-name-objects", "server-role", "rules", 0, "verbs", to=["get", "update"]),
    on("roles-name-objects", "server-role", "rules", 0, "verbs", to=["get", "patch"]),
    on("roles-name-objects", "server-role", "rules", 0, "resourceNames", to=[]),
    on("roles-name-objects", "server-role", "rules", 0, "resourceNames", to=None),
    on("roles-name-objects", "server-role", "rules", 0, "resources", to=["*"]),
    on("roles-name-objects", "server-role", "rules", 0, "apiGroups", to=["*"]),
    on("bindings-name-accounts", "server-binding", "roleRef", "kind", to="ClusterRole"),
    on("bindings-name-accounts", "server-binding", "subjects", 0, "kind", to="Group"),
    on("bindings-name-accounts", "server-binding", "subjects", 0, "name", to="default"),
    on("bindings-name-accounts", "server-binding", "subjects", 0, "namespace", to="another"),
    one_more("bindings-name-accounts", "rbac.authorization.k8s.io/v1:ClusterRoleBinding", {}),
    one_more("bindings-name-accounts", "rbac.authorization.k8s.io/v1:ClusterRole", {"rules": []}),
    gone("namespace-is-restricted", "namespace", also="kubernetes-network-is-closed"),
    on("namespace-is-restricted", "namespace", "metadata", "labels", ENFORCE, to="baseline"),
    on("namespace-is-restricted", "namespace", "metadata", "labels", ENFORCE, to=None),
    on("network-is-closed", "default-deny", "spec", "podSelector", to={"matchLabels": {"app": "one"}}),
    on("network-is-closed", "default-deny", "spec", "policyTypes", to=["Ingress"]),
    on("network-is-closed", "default-deny", "metadata", "namespace", to="another"),
    on(
        "network-is-closed",
        "default-deny",
        "spec",
        "egress",
        to=[{"to": [{"podSelector": {}}], "ports": [{"port": 443}]}],
    ),
    gone("network-is-closed", "default-deny"),
    gone("network-is-closed", "namespace", also="kubernetes-namespace-is-restricted"),
    on("network-names-both-ends", "server-network", "spec", "ingress", 0, "from", to=[EVERYWHERE]),
    on("network-names-both-ends", "server-network", "spec", "ingress", 0, "from", to=HALVES),
    on("network-names-both-ends", "server-network", "spec", "ingress", 0, "from", to=[{"ipBlock": {"cidr": "0::/0"}}]),
    on("network-names-both-ends", "server-network", "spec", "ingress", 0, "from", to=None),
    on("network-names-both-ends", "server-network", "spec", "ingress", 0, "ports", to=[]),
    on("network-names-both-ends", "server-network", "spec", "egress", 1, "to", to=[]),
    on("network-names-both-ends", "server-network", "spec", "egress", 1, "ports", to=None),
    on("network-names-both-ends", "server-network", "spec", "egress", 1, "ports", 0, "port", to=80),
    on("network-names-both-ends", "rotator-network", "spec", "egress", 2, "ports", 0, "endPort", to=65535),
    on("network-names-both-ends", "rotator-network", "spec", "egress", 0, "to", to=HALVES),
    on("network-names-both-ends", "rotator-network", "spec", "egress", 0, "to", 1, "ipBlock", "cidr", to="0.0.0.0/0"),
    on("service-is-inside", "service", "spec", "type", to="LoadBalancer"),
    on("service-is-inside", "service", "spec", "type", to="NodePort"),
    on("service-is-inside", "service", "spec", "externalIPs", to=["203.0.113.7"]),
    gone("ticks-are-alone", "rotator-cronjob"),
    gone("ticks-are-alone", "rotator-cronjob", plan=in_vault),
    on("ticks-are-alone", "rotator-cronjob", "spec", "concurrencyPolicy", to="Allow"),
    on("ticks-are-alone", "rotator-cronjob", "spec", "schedule", to="0 3 * * *"),
    on("ticks-are-alone", "rotator-cronjob", "spec", "suspend", to=True),
    on("ticks-are-alone", "rotator-cronjob", "spec", "jobTemplate", "spec", "activeDeadlineSeconds", to=None),
    on("ticks-are-alone", "rotator-cronjob", "spec", "jobTemplate", "spec", "activeDeadlineSeconds", to=7200),
    gone("provider-has-no-login", "cluster"),
    on("provider-has-no-login", "cluster", "kubeconfig", to="apiVersion: v1"),
    on("provider-has-no-login", "cluster", "upsertExistingObjects", to="true"),
    copy("copies-are-fresh", "synced-mqtt", "spec", "refreshInterval", to="0"),
    copy("copies-are-fresh", "synced-mqtt", "spec", "refreshInterval", to="1h"),
    copy("copies-are-fresh", "synced-mqtt", "spec", "refreshInterval", to="1m and more"),
    copy("copies-are-fresh", "synced-mqtt", "spec", "target", "creationPolicy", to="Orphan"),
    copy("copies-are-fresh", "synced-agent-key", "spec", "target", "deletionPolicy", to="Delete"),
    copy("copies-are-fresh", "synced-mqtt", "spec", "secretStoreRef", "kind", to="ClusterSecretStore"),
    copy("copying-has-no-key", "secret-store", "spec", "provider", "aws", "auth", to={}),
    copy(
        "copying-has-no-key", "secret-store", "spec", "provider", "aws", "more", to=[{"secretAccessKeySecretRef": {}}]
    ),
    copy(
        "copying-has-no-key",
        "secret-store",
        "spec",
        "provider",
        "aws",
        "auth",
        to={"jwt": {"serviceAccountRef": {}}, "secretRef": {"secretAccessKeySecretRef": {"name": "keys"}}},
    ),
    Break(
        rule="kubernetes-copying-has-no-key",
        plan=copied,
        change=added(
            "kubernetes:external-secrets.io/v1:ClusterSecretStore",
            {"spec": {"provider": {"aws": {"auth": {"jwt": {"serviceAccountRef": {"name": "sync"}}}}}}},
        ),
    ),
    certificate("privateKey", "rotationPolicy", to="Never"),
    certificate("duration", to="8760h"),
    certificate("duration", to=None),
    certificate("usages", to=["client auth", "server auth", "digital signature"]),
    certificate("usages", to=None),
)


@pytest.mark.parametrize("break_", BREAKS, ids=lambda one: one.rule)
def test_one_thing_broken_breaks_its_rule_and_no_other(break_: Break) -> None:
    holds(break_)


def test_a_list_that_is_not_known_is_no_empty_one() -> None:
    plan = changed("deployment", *POD, "containers", to=UNKNOWN)(staging())

    for rule in ("root-is-read-only", "pods-are-nobody", "secrets-are-files", "pods-gain-nothing"):
        assert verdicts(plan)[f"kubernetes-{rule}"] == "unknown", rule


def test_pods_that_are_not_known_at_all_are_unknown() -> None:
    plan = changed("deployment", "spec", to=UNKNOWN)(staging())

    for rule in ("root-is-read-only", "pods-are-apart", "tokens-are-used", "secret-files-are-closed"):
        assert verdicts(plan)[f"kubernetes-{rule}"] == "unknown", rule


def test_a_namespace_whose_name_is_not_known_may_be_another() -> None:
    plan = changed("namespace", "metadata", "name", to=UNKNOWN)(staging())

    assert verdicts(plan)["kubernetes-network-is-closed"] == "unknown"


def test_an_account_that_is_not_known_is_none_that_a_role_is_bound_to() -> None:
    assert verdicts(shipped("staging", preview=True))["kubernetes-tokens-are-used"] == "unknown"


def test_a_pod_without_an_account_has_no_token_either() -> None:
    plan = without("kubernetes:core/v1:ServiceAccount")(copied())

    assert verdicts(plan)["kubernetes-tokens-are-used"] == "kept"
    token = changed("deployment", *POD, "automountServiceAccountToken", to=None)(plan)
    assert verdicts(token)["kubernetes-tokens-are-used"] == "broken"


def test_hourly_has_a_name_too() -> None:
    plan = changed("rotator-cronjob", "spec", "schedule", to="@hourly")(staging())

    assert verdicts(plan)["kubernetes-ticks-are-alone"] == "kept"


def test_what_is_broken_is_so_beside_what_is_not_known() -> None:
    plan = changed("deployment", *POD, "containers", to=UNKNOWN)(staging())
    plan = changed("rotator-cronjob", *TICK, *BOX, "securityContext", "readOnlyRootFilesystem", to=False)(plan)

    assert verdicts(plan)["kubernetes-root-is-read-only"] == "broken"


def test_a_container_of_before_the_others_is_judged_as_well() -> None:
    plan = changed("deployment", *POD, "initContainers", to=[{"name": "first", "image": "busybox"}])(staging())

    for rule in ("root-is-read-only", "pods-gain-nothing"):
        assert verdicts(plan)[f"kubernetes-{rule}"] == "broken", rule


@pytest.mark.parametrize("stack", ["staging", "prod-aws-kubernetes", "prod-azure-kubernetes", "prod-vault-kubernetes"])
def test_each_stack_with_a_cluster_is_judged_by_the_rules_for_pods(stack: str) -> None:
    for rule in (
        "secrets-are-files",
        "secret-files-are-closed",
        "pods-are-nobody",
        "root-is-read-only",
        "pods-gain-nothing",
        "pods-are-apart",
        "tokens-are-used",
        "namespace-is-restricted",
        "network-is-closed",
        "network-names-both-ends",
        "service-is-inside",
        "provider-has-no-login",
    ):
        found = named(f"kubernetes-{rule}")
        assert found.applies(shipped(stack)), rule
        assert verdicts(shipped(stack))[found.name] == "kept", rule


@pytest.mark.parametrize("stack", ["dev", "prod", "prod-swarm", "dev-vault-local"])
def test_a_stack_without_a_cluster_is_judged_by_none_of_them(stack: str) -> None:
    for rule in {one.rule for one in BREAKS}:
        assert not named(rule).applies(shipped(stack)), rule
