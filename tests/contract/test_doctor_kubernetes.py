"""`secretops doctor` on a real API server: what it finds, and that it tells the truth of audit and encryption."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from lightkube import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.batch_v1 import CronJob
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Namespace, Pod, Secret
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding

from secretops.engine.journal import Entry
from secretops.engine.rotation import new_token
from secretops.engine.state import Stage, Version
from secretops.manifest import Delivered
from secretops.operations.doctor.kubernetes import OLDEST
from secretops.operations.session import Session
from secretops.values import Value
from tests.contract.live_namespace import (
    CANARY,
    CERTS,
    ROTATOR,
    SECRETS,
    SERVER,
    VERSIONS,
    LiveNamespace,
    live_namespace,
    make_namespace,
    manifest_of,
    run,
    store_of,
)
from tests.real import control_plane
from tests.real.cluster import Cluster, OwnCluster
from tests.real.control_plane import ControlPlane, find_programs, kubeconfig
from tests.real.ports import free_port

pytestmark = pytest.mark.real

Examined = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnCluster]:
    """A cluster without controllers, which would write the status of what these tests give one."""
    folder = tmp_path_factory.mktemp("doctor") / "cluster"
    plane = ControlPlane(folder, find_programs(), controllers=False)
    try:
        plane.start()
        admin = kubeconfig(folder, plane.port, "admin", groups=("system:masters",))
        yield OwnCluster(folder, plane.port, admin, plane.etcd_port, plane)
    finally:
        plane.stop()


_names = map("stack-{}".format, itertools.count())


@pytest.fixture
def stack(own: OwnCluster, tmp_path: Path) -> LiveNamespace:
    """A stack as it should be, in a namespace of its own."""
    client = own.client()
    return live_namespace(client, make_namespace(client, next(_names)), own.admin, tmp_path)


def doctor(manifest_file: Path, kubeconfig: Path | str, *arguments: str, code: int | None = None) -> Examined:
    """What it says, by check. The value of a secret is never among it."""
    done = run(manifest_file, "doctor", "--json", *arguments, kubeconfig=kubeconfig)
    assert CANARY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 3) if code is None else done.returncode == code, done.stderr + done.stdout
    return {one["check"]: one for one in json.loads(done.stdout)}


def not_ok(examined: Examined) -> dict[str, str]:
    return {name: one["level"] for name, one in examined.items() if one["level"] != "ok"}


def test_a_stack_that_is_as_it_should_be_is_well_and_nothing_changes(own: OwnCluster, stack: LiveNamespace) -> None:
    kinds: list[Any] = [Secret, Lease, CronJob, Deployment, Role, RoleBinding]

    def versions() -> list[str]:
        every = [thing for kind in kinds for thing in stack.client.list(kind, namespace=stack.namespace)]
        return [thing.metadata.resourceVersion for thing in every]

    before = versions()
    examined = doctor(stack.manifest_file, own.admin)
    assert not_ok(examined) == {}, examined
    assert examined["encryption-at-rest"]["value"] == "k8s:enc:secretbox:v1:"
    assert examined["audit"]["value"].startswith("30 reads of Secrets made 3")
    assert doctor(stack.manifest_file, own.admin, code=0)["secret agent-key"]["value"].startswith("version ")
    assert versions() == before
    done = run(stack.manifest_file, "doctor", kubeconfig=own.admin)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(examined)
    assert "ok        namespace: " in done.stdout


@dataclass(frozen=True)
class Fault:
    """One thing wrong, and the one check that finds it."""

    what: str
    check: str
    words: str
    plant: Callable[[LiveNamespace], object]
    mended: str = ""
    """How the words of the repair begin that makes all well again; empty where only a person, or Pulumi, can."""


def _left_pending(stack: LiveNamespace) -> None:
    """A `put` that was killed before it published."""
    then = datetime.now(UTC) - timedelta(hours=3)
    version = Version(id=new_token(then), stage=Stage.PENDING, created=then)
    Session.open(stack.manifest, role="operator").store.add("agent-key", version, Value({"api-key": CANARY}))


def _made_tomorrow(stack: LiveNamespace) -> None:
    """By a machine whose clock is a day ahead."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    version = Version(id=new_token(tomorrow), stage=Stage.PENDING, created=tomorrow)
    store = Session.open(stack.manifest, role="operator").store
    store.add("agent-key", version, Value({"api-key": CANARY}))
    store.publish("agent-key", version.id, tomorrow)


def _held_by_the_dead(stack: LiveNamespace) -> None:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000001Z}"
    spec = {"holderIdentity": "one that was killed", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now}
    stack.merge(Lease, ROTATOR, {"spec": spec})


def _failed(stack: LiveNamespace) -> None:
    """What a tick writes down when the API server did not answer it."""
    entry = Entry(
        time=datetime.now(UTC) + timedelta(seconds=1),
        secret="agent-key",
        version="v",
        step="publish",
        outcome="no answer",
    )
    Session.open(stack.manifest, role="operator").journal.write(entry)


def _bound(subject: str, verbs: str, resource: str = "secrets") -> Callable[[LiveNamespace], object]:
    """Somebody has bound more to `subject`."""
    return lambda stack: stack.apply(f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: more}}
rules: [{{apiGroups: ["*"], resources: [{resource}], verbs: [{verbs}]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: more}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: more}}
subjects: [{subject}]
""")


def _gone(kind: Any, name: str) -> Callable[[LiveNamespace], object]:
    return lambda stack: stack.client.delete(kind, name, namespace=stack.namespace)


_LABEL = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
_ACCOUNT = "{{kind: ServiceAccount, name: {}}}"
_GROUP = "{{kind: Group, apiGroup: rbac.authorization.k8s.io, name: {}}}"

TICK = "secretops tick"

FAULTS = (
    Fault(
        "the namespace lets other pods in",
        "namespace",
        "baseline",
        lambda stack: stack.client.patch(Namespace, stack.namespace, _LABEL),
    ),
    Fault("the certificates' Secret is gone", "secrets", CERTS, _gone(Secret, CERTS)),
    Fault("the Lease is gone", "lease", ROTATOR, _gone(Lease, ROTATOR)),
    Fault("the CronJob is gone", "rotator", "no CronJob", _gone(CronJob, ROTATOR)),
    Fault(
        "the CronJob is suspended",
        "rotator",
        "suspended",
        lambda stack: stack.merge(CronJob, ROTATOR, {"spec": {"suspend": True}}),
    ),
    Fault("no tick succeeds any more", "rotator", "no success since", lambda stack: stack.ran(timedelta(hours=3))),
    Fault("the Deployment is gone", "server", "no Deployment", _gone(Deployment, SERVER)),
    Fault("no pod is ready", "server", "0 of 1", lambda stack: stack.ready(0)),
    Fault("the server lost its grant", "server's rights", "may not get", _gone(RoleBinding, SERVER)),
    Fault("the rotator lost its grant", "rotator's rights", "may not get", _gone(RoleBinding, ROTATOR)),
    Fault("the server may list", "server's rights", "list any secrets", _bound(_ACCOUNT.format(SERVER), "list")),
    Fault("the rotator may delete", "rotator's rights", "delete", _bound(_ACCOUNT.format(ROTATOR), "delete")),
    Fault(
        "the rotator may run commands in pods",
        "rotator's rights",
        "create any pods/exec",
        _bound(_ACCOUNT.format(ROTATOR), "create", "pods/exec"),
    ),
    Fault(
        "the rotator may get into its neighbours",
        "rotator's rights",
        "patch any pods/ephemeralcontainers",
        _bound(_ACCOUNT.format(ROTATOR), "patch", "pods/ephemeralcontainers"),
    ),
    Fault(
        "the server may change what the rotator's pods are",
        "server's rights",
        "patch any cronjobs",
        _bound(_ACCOUNT.format(SERVER), "patch", "cronjobs"),
    ),
    Fault(
        "the server may give itself more",
        "server's rights",
        "bind any roles",
        _bound(_ACCOUNT.format(SERVER), "bind", "roles"),
    ),
    Fault(
        "anybody who is logged in may read",
        "others' rights",
        f"get secrets/{SECRETS}",
        _bound(_GROUP.format("system:authenticated"), "get"),
    ),
    Fault("any pod may read", "others' rights", "default service account", _bound(_ACCOUNT.format("default"), "get")),
    Fault("the Secret of the agent key is gone", "secrets", SECRETS, _gone(Secret, SECRETS), TICK),
    Fault("a put was killed half-way", "secret agent-key", "was left pending", _left_pending, TICK),
    Fault("the last tick failed", "secret agent-key", "publish failed 20", _failed),
    Fault("a version is of tomorrow", "secret agent-key", "clocks are apart", _made_tomorrow),
    Fault("the lease is held by the dead", "lease", "by one that was killed, who did not", _held_by_the_dead, TICK),
    Fault(
        "what is delivered was edited",
        "secret agent-key",
        "by hand",
        lambda stack: stack.merge(Secret, SECRETS, {"stringData": {"api-key": "of-another"}}),
    ),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_planted_fault_is_found_by_its_check_and_mended_where_secretops_can(
    own: OwnCluster, stack: LiveNamespace, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(own.admin))
    fault.plant(stack)
    examined = doctor(stack.manifest_file, own.admin, code=3)
    found = examined[fault.check]
    assert found["level"] == "attention", examined
    assert fault.words in found["value"]
    assert found["rule"]
    assert found["remedy"]
    others = set(not_ok(examined)) - {fault.check}
    assert others <= {"server's rights", "rotator's rights", "secret agent-key"}, examined
    if fault.check in ("server", "rotator", "namespace", "lease") or fault.what == "the certificates' Secret is gone":
        assert not others, examined
    assert (found["repair"] or "").startswith(fault.mended) and bool(found["repair"]) is bool(fault.mended), found
    if fault.mended:
        done = run(stack.manifest_file, "doctor", "--repair", "--yes", "--json", kubeconfig=own.admin)
        assert done.returncode == 0, done.stdout + done.stderr
        assert CANARY not in done.stdout + done.stderr
        assert not_ok({one["check"]: one for one in json.loads(done.stdout)["now"]}) == {}


def test_missing_secrets_are_made_by_what_doctor_says(own: OwnCluster, stack: LiveNamespace) -> None:
    for name in (SECRETS, CERTS):
        _gone(Secret, name)(stack)
    remedy = doctor(stack.manifest_file, own.admin, code=3)["secrets"]["remedy"]
    assert "secretops tick makes those that it has something for, secretops put of any secret all" in remedy
    assert run(stack.manifest_file, "tick", "--scheduled", kubeconfig=own.admin).returncode == 0
    assert doctor(stack.manifest_file, own.admin, code=3)["secrets"]["value"] == f"no Secret {CERTS}"
    done = run(stack.manifest_file, "put", "agent-key", kubeconfig=own.admin, given=CANARY.encode())
    assert done.returncode == 0, done.stderr
    assert doctor(stack.manifest_file, own.admin)["secrets"]["level"] == "ok"


def test_an_account_that_may_take_anybodys_name_is_found(own: OwnCluster, stack: LiveNamespace) -> None:
    client, meta = own.client(), ObjectMeta(name=f"{stack.namespace}-impersonator")
    client.create(ClusterRole(metadata=meta, rules=[PolicyRule(apiGroups=[""], resources=["users"], verbs=["*"])]))
    role = RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name=meta.name or "")
    subjects = [Subject(kind="ServiceAccount", name=ROTATOR, namespace=stack.namespace)]
    client.create(ClusterRoleBinding(metadata=meta, roleRef=role, subjects=subjects))
    found = doctor(stack.manifest_file, own.admin, code=3)["rotator's rights"]
    assert found["value"] == f"{ROTATOR} may impersonate any users of the cluster"
    assert "and none of the other rights asked for" in found["rule"]


def test_in_another_stacks_cluster_doctor_says_so_and_confirms_nothing(own: OwnCluster, stack: LiveNamespace) -> None:
    label = {"metadata": {"labels": {"app.kubernetes.io/instance": "coreflux-mcp-prod"}}}
    stack.merge(Lease, ROTATOR, label)
    found = doctor(stack.manifest_file, own.admin, code=3)["lease"]
    assert found["level"] == "attention"
    assert "is of coreflux-mcp-prod" in found["value"]
    done = run(stack.manifest_file, "doctor", "--confirm", "audit=somewhere else", kubeconfig=own.admin)
    assert done.returncode == 1
    assert "is of coreflux-mcp-prod" in done.stderr
    notes = stack.client.get(Secret, VERSIONS, namespace=stack.namespace).metadata
    assert notes and "coreflux-mcp-secrets/confirmed.audit" not in (notes.annotations or {})


def test_a_stack_whose_certificate_needs_a_cert_manager_that_is_not_there_is_told(
    own: OwnCluster, stack: LiveNamespace
) -> None:
    store = store_of(stack.namespace)
    readers = {name: who for name, who in store.readers.items() if name != CERTS}
    issued = Delivered(name="coreflux-mcp-certificate", keys={"client.key": "tls.key"})
    changed = store.model_copy(update={"readers": {**readers, issued.name: ("admin",)}, "issued": issued})
    stack.manifest_file.write_text(manifest_of(changed).model_dump_json())
    found = doctor(stack.manifest_file, own.admin, code=3)["cert-manager"]
    assert found["level"] == "attention"
    assert "cert-manager.io/v1" in found["value"]
    rights = doctor(stack.manifest_file, own.kubeconfig_for("visitor"), code=3)["your rights"]
    assert f"get secrets/{issued.name}" in rights["value"], "secretops shows it to the broker"


def test_a_secret_that_this_stack_has_no_use_for_need_not_be_there(own: OwnCluster, stack: LiveNamespace) -> None:
    store = store_of(stack.namespace)
    without = {name: place for name, place in store.delivered.items() if place.name != CERTS}
    stack.manifest_file.write_text(manifest_of(store.model_copy(update={"delivered": without})).model_dump_json())
    _gone(Secret, CERTS)(stack)
    assert not_ok(doctor(stack.manifest_file, own.admin)) == {}


def _manifest(tmp_path: Path, context: str | None = "test") -> Path:
    file = tmp_path / "manifest.json"
    file.write_text(manifest_of(store_of("nowhere", context)).model_dump_json())
    return file


def test_an_unknown_context_is_told_once_with_those_there_are(own: OwnCluster, tmp_path: Path) -> None:
    examined = doctor(_manifest(tmp_path, "staging"), own.admin, code=3)
    assert "no context staging" in examined["kubeconfig"]["value"]
    assert "one of test" in examined["kubeconfig"]["remedy"]
    assert {one["value"] for name, one in examined.items() if name not in ("kubeconfig", "broker")} == {"not looked at"}


def test_a_kubeconfig_that_is_not_there_or_does_not_read_is_told(tmp_path: Path) -> None:
    missing = doctor(_manifest(tmp_path), tmp_path / "none", code=3)["kubeconfig"]
    assert missing["level"] == "attention"
    assert "no kubeconfig" in missing["value"]
    (tmp_path / "broken").write_text("{clusters: [")
    assert doctor(_manifest(tmp_path), tmp_path / "broken", code=3)["kubeconfig"]["level"] == "attention"


def _wrong_way(tmp_path: Path, right: Path, *, server: str | None = None, authority: str | None = None) -> Path:
    document = json.loads(right.read_text())
    where = document["clusters"][0]["cluster"]
    where |= {"server": server} if server else {}
    where |= {"certificate-authority-data": authority} if authority else {}
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(document))
    return path


def test_an_api_server_that_does_not_answer_is_told_once_and_soon(own: OwnCluster, tmp_path: Path) -> None:
    nobody = _wrong_way(tmp_path, own.admin, server=f"https://127.0.0.1:{free_port()}")
    began = time.monotonic()
    examined = doctor(_manifest(tmp_path), nobody, code=3)
    assert time.monotonic() - began < 60
    assert examined["api server"]["level"] == "attention"
    assert "does not answer" in examined["api server"]["value"]
    assert {one["value"] for name, one in examined.items() if name not in ("api server", "kubeconfig", "broker")} == {
        "not looked at"
    }


def test_an_api_server_of_another_authority_gets_no_question(own: OwnCluster, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    control_plane.make_keys(other)
    inline = json.loads(kubeconfig(other, 1, "x").read_text())["clusters"][0]["cluster"]["certificate-authority-data"]
    examined = doctor(_manifest(tmp_path), _wrong_way(tmp_path, own.admin, authority=inline), code=3)
    assert "certificate verify failed" in examined["api server"]["rule"]


def test_a_missing_namespace_is_told_with_what_makes_it(own: OwnCluster, tmp_path: Path) -> None:
    found = doctor(_manifest(tmp_path), own.admin, code=3)["namespace"]
    assert (found["level"], found["value"]) == ("attention", "there is no namespace nowhere")
    assert "pulumi up" in found["remedy"]


def test_somebody_without_rights_learns_what_they_lack_and_no_check_is_left_out(
    own: OwnCluster, stack: LiveNamespace
) -> None:
    well = doctor(stack.manifest_file, own.admin)
    examined = doctor(stack.manifest_file, own.kubeconfig_for("visitor"), code=3)
    assert list(examined) == list(well)
    assert "you may not create any secrets" in examined["your rights"]["value"]
    assert examined["server's rights"]["level"] == "unknown"
    assert "cluster administrator" in examined["server's rights"]["remedy"]
    assert {examined[name]["level"] for name in ("audit", "encryption-at-rest", "secrets")} == {"unknown"}
    assert "--confirm audit=" in examined["audit"]["remedy"]


class _StandIn(http.server.BaseHTTPRequestHandler):
    """Not an API server: it answers /version as one that can't be had here does, and little else."""

    version = ""
    many = 0
    """1: as if a balancer sent each question to another API server."""
    reads = asked = 0
    notes: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        told: dict[str, Any] = {"kind": "Status", "code": 404}
        kind = type(self)
        if self.path == "/version":
            told = {"gitVersion": self.version}
        elif "/secrets/" in self.path:
            kind.reads += 1
            told = {"metadata": {"name": "any", "annotations": self.notes}}
        self.send_response(404 if told.get("code") == 404 and self.path != "/metrics" else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        text = json.dumps(told)
        if self.path == "/metrics":
            kind.asked += 1
            text = f"apiserver_audit_event_total {kind.reads}\nprocess_start_time_seconds {kind.asked * self.many}\n"
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def _standing_in(
    own: OwnCluster, tmp_path: Path, version: str, notes: dict[str, str] | None = None, *, many: int = 0
) -> Iterator[Path]:
    """A kubeconfig that leads to a stand-in of that version."""
    handler = type("Handler", (_StandIn,), {"version": version, "notes": notes or {}, "many": many})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as stand_in:
        thread = threading.Thread(target=stand_in.serve_forever)
        thread.start()
        try:
            yield _wrong_way(tmp_path, own.admin, server=f"http://127.0.0.1:{stand_in.server_address[1]}")
        finally:
            stand_in.shutdown()
            thread.join()


def test_an_api_server_before_1_27_is_told_with_the_reason(own: OwnCluster, tmp_path: Path) -> None:
    assert OLDEST == (1, 27)
    with _standing_in(own, tmp_path, "v1.26.15") as way:
        found = doctor(_manifest(tmp_path), way, code=3)["api server"]
    assert (found["level"], found["value"]) == ("attention", "Kubernetes v1.26.15")
    assert "drained" in found["rule"]


@pytest.mark.parametrize(("version", "service"), [("v1.31.2-eks-7f9249a", "EKS"), ("v1.30.5-gke.1014001", "GKE")])
def test_where_a_managed_service_keeps_its_log_is_a_persons_word(
    own: OwnCluster, tmp_path: Path, version: str, service: str
) -> None:
    with _standing_in(own, tmp_path, version) as way:
        found = doctor(_manifest(tmp_path), way, code=3)["audit"]
    assert found["level"] == "unknown"
    assert f"where {service} keeps them can't be seen" in found["value"]
    assert "--confirm audit=" in found["remedy"]
    said = {"by": "jane", "at": "2026-11-25T10:00:00Z", "words": "to CloudWatch, ticket 12"}
    with _standing_in(own, tmp_path, version, {"coreflux-mcp-secrets/confirmed.audit": json.dumps(said)}) as way:
        found = doctor(_manifest(tmp_path), way, code=3)["audit"]
    assert found["level"] == "ok"
    assert found["value"].startswith("confirmed by jane on 2026-11-25: to CloudWatch, ticket 12")


def test_counters_of_different_api_servers_prove_nothing(own: OwnCluster, tmp_path: Path) -> None:
    with _standing_in(own, tmp_path, "v1.37.2") as way:
        assert doctor(_manifest(tmp_path), way)["audit"]["level"] == "ok"
    with _standing_in(own, tmp_path, "v1.37.2", many=1) as way:
        assert doctor(_manifest(tmp_path), way, code=3)["audit"]["level"] == "unknown"


_LOOKER = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: looker}
rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: looker}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: looker}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: looker}]
"""


def test_who_may_not_read_the_metrics_learns_what_the_api_servers_flags_say(
    own: OwnCluster, stack: LiveNamespace
) -> None:
    system = dataclasses.replace(stack, namespace=make_namespace(stack.client, "kube-system"))
    system.apply(_LOOKER)

    def runs(*flags: str) -> None:
        """A pod like kubeadm's, which nothing runs: the API server of these tests is a process."""
        with contextlib.suppress(ApiError):
            stack.client.delete(Pod, "kube-apiserver-1", namespace="kube-system", grace_period=0)
        command = json.dumps(["kube-apiserver", *flags])
        labels = "labels: {component: kube-apiserver}"
        spec = f"containers: [{{name: kube-apiserver, image: none.invalid/none, command: {command}}}]"
        system.apply(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: kube-apiserver-1, {labels}}}\nspec: {{{spec}}}\n")

    looker = own.kubeconfig_for("looker")
    runs("--audit-policy-file=/etc/policy.yaml", "--audit-log-path=-", "--encryption-provider-config=/etc/enc.yaml")
    examined = doctor(stack.manifest_file, looker, code=3)
    assert {examined[name]["level"] for name in ("audit", "encryption-at-rest")} == {"unknown"}
    assert "has an audit policy; not which" in examined["audit"]["value"]
    assert "has an encryption configuration" in examined["encryption-at-rest"]["value"]
    runs("--secure-port=6443")
    examined = doctor(stack.manifest_file, looker, code=3)
    assert examined["audit"]["level"] == "attention"
    assert "has no encryption configuration" in examined["encryption-at-rest"]["value"]


def test_what_an_operator_confirms_is_kept_with_who_and_when_and_touches_no_value(
    own: OwnCluster, stack: LiveNamespace
) -> None:
    def read() -> Secret:
        return stack.client.get(Secret, VERSIONS, namespace=stack.namespace)

    before, visitor = read(), own.kubeconfig_for("visitor")
    words = "control plane logging is on, ticket 12"
    done = run(stack.manifest_file, "doctor", "--json", "--confirm", f"audit={words}", kubeconfig=own.admin)
    found = {one["check"]: one for one in json.loads(done.stdout)}["audit"]
    assert (done.returncode, found["level"]) == (0, "ok")
    assert found["value"].startswith("confirmed by admin on 20")
    assert words in found["value"]
    after = read()
    assert after.data == before.data
    assert before.metadata and after.metadata and before.metadata.annotations and after.metadata.annotations
    added = {name: text for name, text in after.metadata.annotations.items() if name not in before.metadata.annotations}
    assert list(added) == ["coreflux-mcp-secrets/confirmed.audit"]
    assert after.metadata.annotations.items() >= before.metadata.annotations.items()
    refused = run(stack.manifest_file, "doctor", "--confirm", f"audit={words}", kubeconfig=visitor)
    assert refused.returncode == 1
    assert "visitor of context test may not read" in refused.stderr
    assert doctor(stack.manifest_file, own.admin, code=0)["audit"]["value"] == found["value"]


@pytest.mark.parametrize(
    "entry", ["audit", "audit=", "network=nicely", "audit=nicely\nsaid", f"audit=nicely{'x' * 300}"]
)
def test_a_confirmation_that_says_nothing_is_refused_and_not_repeated(
    own: OwnCluster, stack: LiveNamespace, entry: str
) -> None:
    done = run(stack.manifest_file, "doctor", "--confirm", entry, kubeconfig=own.admin)
    assert done.returncode == 2
    assert "--confirm" in done.stderr
    assert "nicely" not in done.stderr


def _starts_with(monkeypatch: pytest.MonkeyPatch, *more: str, without: tuple[str, ...]) -> None:
    """From now on an API server starts with other flags."""
    every = control_plane._api_flags

    def flags(*place: Any) -> list[str]:
        return [flag for flag in every(*place) if not flag.startswith(without)] + list(more)

    monkeypatch.setattr(control_plane, "_api_flags", flags)


def test_audit_and_encryption_that_are_off_or_blind_or_came_late_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = ControlPlane(tmp_path / "cluster", find_programs(), controllers=False)
    policy = tmp_path / "blind.yaml"
    policy.write_text(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n"
        "rules: [{level: None, resources: [{group: '', resources: [secrets]}]}, {level: Metadata}]\n"
    )
    try:
        with monkeypatch.context() as patch:
            _starts_with(patch, without=("--audit-", "--encryption-"))
            plane.start()
        admin = kubeconfig(plane.folder, plane.port, "admin", groups=("system:masters",))
        client = Cluster(plane.folder, plane.port, admin, plane.etcd_port).client()
        stack = live_namespace(client, make_namespace(client, "plain"), admin, tmp_path)
        off = doctor(stack.manifest_file, admin, code=3)
        assert set(not_ok(off).values()) == {"attention"}
        assert off["audit"]["value"].startswith("no audit event for")
        assert off["encryption-at-rest"]["value"] == "the API server stores Secrets as they are"
        words = ("--confirm", "encryption-at-rest=LUKS below etcd", "--confirm", "audit=it is on, I think")
        said = doctor(stack.manifest_file, admin, *words, code=3)
        assert not_ok(said) == {"audit": "attention"}  # what is seen outranks what is said
        assert "LUKS below etcd" in said["encryption-at-rest"]["value"]
        plane.stop_api()
        with monkeypatch.context() as patch:
            _starts_with(patch, f"--audit-policy-file={policy}", without=("--audit-policy-file",))
            plane.start_api()
        late = doctor(stack.manifest_file, admin, code=3)
        assert not_ok(late) == {"audit": "attention", "encryption-at-rest": "attention"}
        assert "though encryption is configured" in late["encryption-at-rest"]["value"]
        for name in (SECRETS, CERTS, VERSIONS):
            client.replace(client.get(Secret, name, namespace=stack.namespace))
        assert doctor(stack.manifest_file, admin)["encryption-at-rest"]["value"] == "k8s:enc:secretbox:v1:"
    finally:
        plane.stop()
