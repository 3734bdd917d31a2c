"""Doctor with scripted answers of an API server. tests/stacks/test_staging.py uses a real one."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from secretops.check import Level, Repair, Result
from secretops.platforms.kubernetes.api import ForbiddenError
from secretops.platforms.kubernetes.checks import ROTATOR, SERVER, kubernetes_checks
from secretops.platforms.kubernetes.checks.cluster import Cluster
from secretops.platforms.kubernetes.checks.evidence import AUDITED, LOST, READS, STARTED, STORED
from secretops.platforms.kubernetes.connection import Connection
from secretops.platforms.kubernetes.location import Delivered, KubernetesStoreLocation

PLACE = "/api/v1/namespaces/plant"
USERS = {name: f"system:serviceaccount:plant:{name}" for name in (SERVER, ROTATOR, "default")}
SECRETS, VERSIONS, LEASE = "coreflux-mcp-secrets", "coreflux-mcp-versions", ROTATOR
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
CRONJOB = f"/apis/batch/v1/namespaces/plant/cronjobs/{ROTATOR}"
DEPLOYMENT = f"/apis/apps/v1/namespaces/plant/deployments/{SERVER}"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/plant/leases/{LEASE}"
INSTANCE = "coreflux-mcp-plant"
Grant = tuple[str, str, str, str]  # User, verb, resource, name.


def granted() -> set[Grant]:
    both = ("get", "update")
    return {
        *((USERS[ROTATOR], verb, "secrets", name) for verb in both for name in (SECRETS, VERSIONS)),
        *((who, verb, "leases", LEASE) for verb in both for who in ("", USERS[ROTATOR])),
        *(("", verb, "secrets", name) for verb in both for name in (SECRETS, VERSIONS)),
        ("", "create", "secrets", ""),
    }


def healthy() -> dict[str, Any]:
    """Return path -> the API server's answer."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {
        "/version": {"gitVersion": "v1.31.2"},
        PLACE: {"metadata": {"labels": labels}},
        **{f"{PLACE}/secrets/{name}": {"metadata": {}} for name in (SECRETS, VERSIONS)},
        LEASES: {"metadata": {"labels": {"app.kubernetes.io/instance": INSTANCE}}, "spec": {}},
        CRONJOB: {
            "spec": {},
            "status": {"lastSuccessfulTime": (NOW - timedelta(minutes=30)).isoformat()},
            "metadata": {"creationTimestamp": (NOW - timedelta(days=9)).isoformat()},
        },
        DEPLOYMENT: {"spec": {"replicas": 2}, "status": {"readyReplicas": 2}},
    }


@dataclass
class Answers(Cluster):
    """An API server in memory, whose counters grow with each read of a Secret."""

    paths: dict[str, Any] = field(default_factory=healthy)
    grants: set[Grant] = field(default_factory=granted)
    audited: float = 1.0  # Events for each read.
    prefix: str = "k8s:enc:secretbox:v1:"
    lost: float = 0
    servers: int = 1  # Replicas behind one address answer in turn.
    forbidden: set[str] = field(default_factory=set)
    reads: int = 0
    stored: int = 0
    calls: int = 0
    address: str = "https://k8s.example"

    @property
    def connection(self) -> Connection:
        return Connection(cast(Any, None), self.address, "user jane of context plant")

    def get(self, path: str, *, accept: str = "application/json") -> Any | None:
        if path in self.forbidden:
            raise ForbiddenError("it is forbidden", code="test")
        if "/secrets/" in path:
            assert accept.startswith("application/json;as=PartialObjectMetadata"), "no value travels"
            self.reads += 1
            self.stored += path in self.paths
        return self.paths.get(path)

    def text(self, path: str) -> str:
        if path in self.forbidden:
            raise ForbiddenError("it is forbidden", code="test")
        self.calls += 1
        labels = f'{{resource="secrets",transformation_type="from_storage",transformer_prefix="{self.prefix}"}}'
        stored = f"{STORED}{labels} {self.stored}\n" if self.prefix else ""
        return (
            f'{AUDITED} {self.reads * self.audited}\n{stored}{LOST}{{plugin="log"}} {self.lost * self.calls}\n'
            f"{STARTED} {self.calls % self.servers}\n"
        )

    def post(self, path: str, body: Any) -> Any:
        spec = body["spec"]
        right = spec["resourceAttributes"]
        resource = f"{right['resource']}/{right['subresource']}".rstrip("/")
        data = {
            (spec.get("user", ""), right["verb"], resource, right["name"]),
            *((group, right["verb"], resource, right["name"]) for group in spec.get("groups", ())),
        }
        assert path.endswith("reviews")
        return {"status": {"allowed": not data.isdisjoint(self.grants)}}

    def now(self) -> datetime:
        return NOW


def cluster_of() -> Answers:
    readers: dict[str, tuple[str, ...]] = {SECRETS: (USERS[ROTATOR],), VERSIONS: (USERS[ROTATOR],)}
    return Answers(
        KubernetesStoreLocation(
            namespace="plant", instance=INSTANCE, versions=VERSIONS, lease=LEASE,
            delivered={"mqtt": Delivered(name=SECRETS, keys={"password": "mqtt-password"})}, readers=readers,
        )
    )  # fmt: skip


def examine(cluster: Answers) -> dict[str, Result]:
    session = SimpleNamespace(
        store=SimpleNamespace(versions=lambda _name: SimpleNamespace(current=None)), manifest=None
    )
    found = {}
    for check in kubernetes_checks(cluster, cast(Any, session), Repair("tick", str)):
        look: Any = check.run
        if check.name not in ("kubeconfig", "clock"):
            try:
                found[check.name] = look(pause=0.01) if check.name == "lease" else look()
            except ForbiddenError as error:
                found[check.name] = Result.of(error, Level.UNKNOWN)
    return found


def wrong(cluster: Answers) -> dict[str, Level]:
    return {name: result.level for name, result in examine(cluster).items() if result.level is not Level.OK}


def test_a_stack_as_it_should_be_is_healthy() -> None:
    cluster = cluster_of()
    assert wrong(cluster) == {}
    assert examine(cluster)["encryption-at-rest"].value == "k8s:enc:secretbox:v1:"


def data(cluster: Answers) -> None:
    spec = {"holderIdentity": "one that was killed", "leaseDurationSeconds": 0.05}
    cluster.paths[LEASES]["spec"] = spec


def label(cluster: Answers) -> None:
    cluster.paths[PLACE]["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": "baseline"}


def may(who: str, verb: str, resource: str, name: str = "") -> Callable[[Answers], object]:
    return lambda cluster: cluster.grants.add((who, verb, resource, name))


def without(path: str) -> Callable[[Answers], object]:
    return lambda cluster: cluster.paths.pop(path)


def is_set(**facts: Any) -> Callable[[Answers], object]:
    return lambda cluster: vars(cluster).update(facts)


def status(path: str, part: str, **facts: Any) -> Callable[[Answers], object]:
    return lambda cluster: cluster.paths[path][part].update(facts)


@pytest.mark.parametrize(("plant", "check", "words"), [
    (label, "namespace", "baseline"),
    (without(f"{PLACE}/secrets/{SECRETS}"), "secrets", SECRETS),
    (without(LEASES), "lease", "no Lease"),
    (data, "lease", "one that was killed"),
    (status(LEASES, "metadata", labels={"app.kubernetes.io/instance": "another"}), "lease", "another"),
    (status(CRONJOB, "spec", suspend=True), "rotator", "suspended"),
    (status(CRONJOB, "status", lastSuccessfulTime="2026-11-29T09:59:00+00:00"), "rotator", "last succeeded"),
    (status(DEPLOYMENT, "status", readyReplicas=1), "server", "1 of 2"),
    (lambda cluster: cluster.grants.discard(("", "create", "secrets", "")), "your rights", "create any secrets"),
    (may(USERS[SERVER], "list", "secrets"), "server's rights", "list any secrets"),
    (may(USERS[SERVER], "get", "secrets", VERSIONS), "server's rights", VERSIONS),
    (may(USERS[ROTATOR], "delete", "secrets", SECRETS), "rotator's rights", "delete"),
    (may(USERS[ROTATOR], "impersonate", "users"), "rotator's rights", "impersonate any users"),
    (may(USERS["default"], "get", "secrets", SECRETS), "others' rights", "default service account"),
    (may("system:authenticated", "list", "secrets"), "others' rights", "authenticated"),
    (lambda cluster: cluster.paths.update({"/version": {"gitVersion": "v1.26.15"}}), "api server", "v1.26.15"),
    (is_set(audited=0.0), "audit", "no audit event"),
    (is_set(audited=0.5), "audit", f"{READS} audit events"),
    (is_set(lost=1), "audit", "lost"),
    (is_set(prefix=""), "encryption-at-rest", "plain text"),
])  # fmt: skip
def test_a_fault_is_found_by_its_check(plant: Callable[[Answers], object], check: str, words: str) -> None:
    cluster = cluster_of()
    plant(cluster)
    found = examine(cluster)
    faults = {name for name, result in found.items() if result.level is Level.ATTENTION}
    assert check in faults
    assert faults <= {check, "server's rights", "rotator's rights", "others' rights"}
    assert words in found[check].value
    assert found[check].remedy
    assert not re.search(r"\{\w+\}", found[check].remedy), "a placeholder"


@pytest.mark.parametrize(("plant", "unknown"), [
    (is_set(servers=2), "audit"),
    (is_set(forbidden={"/metrics"}), "audit"),
    (lambda cluster: cluster.paths.update({"/version": {"gitVersion": "v1.31.2-eks-7f9249a"}}), "audit"),
])  # fmt: skip
def test_unseen_is_unknown_until_confirmed(plant: Callable[[Answers], object], unknown: str) -> None:
    cluster = cluster_of()
    plant(cluster)
    assert wrong(cluster)[unknown] is Level.UNKNOWN
    confirmation = json.dumps({"by": "jane", "at": "2026-11-25T10:00:00Z", "words": "ticket 12"})
    notes = {f"coreflux-mcp-secrets/confirmed.{subject}": confirmation for subject in ("audit", "encryption-at-rest")}
    cluster.paths[f"{PLACE}/secrets/{VERSIONS}"]["metadata"]["annotations"] = notes
    assert wrong(cluster) == {}
    assert "ticket 12" in examine(cluster)[unknown].value


def test_observation_outranks_confirmation() -> None:
    cluster = cluster_of()
    cluster.audited = 0.0
    confirmation = json.dumps({"by": "jane", "at": "2026-11-25T10:00:00Z", "words": "it is on"})
    notes = {"coreflux-mcp-secrets/confirmed.audit": confirmation}
    cluster.paths[f"{PLACE}/secrets/{VERSIONS}"]["metadata"]["annotations"] = notes
    assert wrong(cluster) == {"audit": Level.ATTENTION}
