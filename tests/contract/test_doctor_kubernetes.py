"""`secretops doctor` on a real API server: it answers as doctor expects, and doctor tells the truth of audit and
encryption. What doctor makes of each answer: tests/unit/test_doctor_kubernetes.py.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.batch_v1 import CronJob
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Namespace, Secret
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding

from secretops.engine.rotation import new_token
from secretops.engine.state import Stage, Version
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

pytestmark = [pytest.mark.real, pytest.mark.slow]

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


_LABEL = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
_ACCOUNT = "{{kind: ServiceAccount, name: {}}}"
_GROUP = "{{kind: Group, apiGroup: rbac.authorization.k8s.io, name: {}}}"


def _lost(stack: LiveNamespace) -> None:
    """Everything that can be missing is, and the namespace lets other pods in."""
    stack.client.patch(Namespace, stack.namespace, _LABEL)
    gone: list[tuple[Any, str]] = [
        *((Secret, CERTS), (Lease, ROTATOR), (CronJob, ROTATOR), (Deployment, SERVER)),
        *((RoleBinding, SERVER), (RoleBinding, ROTATOR)),
    ]
    for kind, name in gone:
        stack.client.delete(kind, name, namespace=stack.namespace)


def _granted(stack: LiveNamespace) -> None:
    """Somebody has bound more than the stack's roles, the rotator fails, and no pod is ready."""
    for at, (subject, verbs, resource) in enumerate(
        (
            (_ACCOUNT.format(SERVER), "list", "secrets"),
            (_ACCOUNT.format(SERVER), "patch", "cronjobs"),
            (_ACCOUNT.format(ROTATOR), "create", "pods/exec"),
            (_ACCOUNT.format("default"), "get", "secrets"),
        )
    ):
        _bind(stack, f"more-{at}", subject, verbs, resource)
    stack.merge(CronJob, ROTATOR, {"spec": {"suspend": True}})
    stack.ready(0)
    stack.merge(Secret, SECRETS, {"stringData": {"api-key": "of-another"}})


def _killed(stack: LiveNamespace) -> None:
    """A put was killed half-way, and its holder of the lease with it; the delivered Secret is gone."""
    then = datetime.now(UTC) - timedelta(hours=3)
    version = Version(id=new_token(then), stage=Stage.PENDING, created=then)
    Session.open(stack.manifest, role="operator").store.add("agent-key", version, Value({"api-key": CANARY}))
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000001Z}"
    spec = {"holderIdentity": "one that was killed", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now}
    stack.merge(Lease, ROTATOR, {"spec": spec})
    stack.client.delete(Secret, SECRETS, namespace=stack.namespace)


def _bind(stack: LiveNamespace, name: str, subject: str, verbs: str, resource: str) -> None:
    stack.apply(f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}}}
rules: [{{apiGroups: ["*"], resources: [{resource}], verbs: [{verbs}]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}
subjects: [{subject}]
""")


@pytest.mark.parametrize(
    ("plant", "found", "is_repaired"),
    [
        (
            _lost,
            {
                "namespace": "baseline",
                "secrets": CERTS,
                "lease": ROTATOR,
                "rotator": "no CronJob",
                "server": "no Deployment",
                "server's rights": "may not get",
                "rotator's rights": "may not get",
            },
            False,
        ),
        (
            _granted,
            {
                "server's rights": "list any secrets",
                "rotator's rights": "create any pods/exec",
                "others' rights": "default service account",
                "rotator": "suspended",
                "server": "0 of 1",
                "secret agent-key": "by hand",
            },
            False,
        ),
        (
            _killed,
            {"secret agent-key": "was left pending", "lease": "by one that was killed", "secrets": SECRETS},
            True,
        ),
    ],
    ids=["lost", "granted", "killed"],
)
def test_planted_faults_are_found_and_repaired_where_secretops_can(
    own: OwnCluster,
    stack: LiveNamespace,
    monkeypatch: pytest.MonkeyPatch,
    *,
    plant: Callable[[LiveNamespace], None],
    found: dict[str, str],
    is_repaired: bool,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(own.admin))
    plant(stack)
    examined = doctor(stack.manifest_file, own.admin, code=3)
    wrong = not_ok(examined)
    assert wrong.keys() - {"secret agent-key"} == found.keys() - {"secret agent-key"}, examined
    for check, words in found.items():
        assert examined[check]["level"] == "attention"
        assert words in examined[check]["value"]
    if is_repaired:
        done = run(stack.manifest_file, "doctor", "--repair", "--yes", "--json", kubeconfig=own.admin)
        assert done.returncode == 0, done.stdout + done.stderr
        assert CANARY not in done.stdout + done.stderr
        assert not_ok({one["check"]: one for one in json.loads(done.stdout)["now"]}) == {}


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


def _manifest(tmp_path: Path, context: str | None = "test") -> Path:
    file = tmp_path / "manifest.json"
    file.write_text(manifest_of(store_of("nowhere", context)).model_dump_json())
    return file


def _wrong_way(tmp_path: Path, right: Path, *, server: str | None = None, authority: str | None = None) -> Path:
    document = json.loads(right.read_text())
    where = document["clusters"][0]["cluster"]
    where |= {"server": server} if server else {}
    where |= {"certificate-authority-data": authority} if authority else {}
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(document))
    return path


def test_a_way_that_leads_nowhere_is_told_once_and_the_rest_is_not_looked_at(own: OwnCluster, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    control_plane.make_keys(other)
    inline = json.loads(kubeconfig(other, 1, "x").read_text())["clusters"][0]["cluster"]["certificate-authority-data"]
    nobody = _wrong_way(tmp_path, own.admin, server=f"https://127.0.0.1:{free_port()}")
    for manifest, way, check in (
        (_manifest(tmp_path, "staging"), own.admin, "kubeconfig"),
        (_manifest(tmp_path), tmp_path / "none", "kubeconfig"),
        (_manifest(tmp_path), nobody, "api server"),
        (_manifest(tmp_path), _wrong_way(tmp_path, own.admin, authority=inline), "api server"),
    ):
        examined = doctor(manifest, way, code=3)
        assert examined[check]["level"] == "attention"
        rest = examined.keys() - {check, "kubeconfig", "broker"}
        assert {examined[name]["value"] for name in rest} == {"not looked at"}
    found = doctor(_manifest(tmp_path), own.admin, code=3)["namespace"]
    assert (found["level"], found["value"]) == ("attention", "there is no namespace nowhere")


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
