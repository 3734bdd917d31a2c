"""What a real API server shows of its audit log and its encryption, and its certificate: as doctor and the store
expect. What doctor makes of each answer: tests/unit/test_doctor_kubernetes.py; a deployed stack: tests/stacks.
"""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Secret

from secretops.errors import StoreError
from secretops.manifest import KubernetesStore
from secretops.operations.doctor.check import Level, Result
from secretops.operations.doctor.cluster import Cluster as Asked
from secretops.operations.doctor.evidence import AuditOn, EncryptedAtRest, Evidence
from secretops.stores.kubernetes.api import Api
from secretops.stores.kubernetes.kubeconfig import connect
from tests.real import control_plane
from tests.real.cluster import Cluster
from tests.real.control_plane import ControlPlane, find_programs, kubeconfig

pytestmark = [pytest.mark.real, pytest.mark.slow]

NAMESPACE, NAMES = "plain", ("one", "two")


def looked_at() -> tuple[Result, Result]:
    """Audit and encryption, as they are seen now."""
    asked = Asked(KubernetesStore(namespace=NAMESPACE, versions=NAMES[0], lease="l", readers={NAMES[1]: ()}))
    evidence = Evidence(asked)
    return AuditOn(asked, evidence).look(), EncryptedAtRest(asked, evidence).look()


def starts_with(monkeypatch: pytest.MonkeyPatch, *more: str, without: tuple[str, ...]) -> None:
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
            starts_with(patch, without=("--audit-", "--encryption-"))
            plane.start()
        admin = kubeconfig(plane.folder, plane.port, "admin", groups=("system:masters",))
        monkeypatch.setenv("KUBECONFIG", str(admin))
        client = Cluster(plane.folder, plane.port, admin, plane.etcd_port).client()
        client.create(Namespace(metadata=ObjectMeta(name=NAMESPACE)))
        for name in NAMES:
            client.create(Secret(metadata=ObjectMeta(name=name, namespace=NAMESPACE), stringData={"key": "text"}))
        audit, encryption = looked_at()
        assert (audit.level, encryption.level) == (Level.ATTENTION, Level.ATTENTION)
        assert encryption.value == "the API server stores Secrets as they are"
        plane.stop_api()
        with monkeypatch.context() as patch:
            starts_with(patch, f"--audit-policy-file={policy}", without=("--audit-policy-file",))
            plane.start_api()
        audit, encryption = looked_at()
        assert audit.level is Level.ATTENTION
        assert "though encryption is configured" in encryption.value
        for name in NAMES:
            client.replace(client.get(Secret, name, namespace=NAMESPACE))
        assert looked_at()[1].value == "k8s:enc:secretbox:v1:"
        plane.stop_api()
        plane.start_api()
        assert looked_at()[0].level is Level.OK
    finally:
        plane.stop()


def test_a_server_that_the_kubeconfigs_ca_has_not_signed_is_given_nothing(cluster: Cluster, tmp_path: Path) -> None:
    control_plane.make_keys(tmp_path)
    content = json.loads(cluster.admin.read_text())
    encoded = base64.b64encode((tmp_path / "ca.crt").read_bytes()).decode()
    content["clusters"][0]["cluster"]["certificate-authority-data"] = encoded
    path = tmp_path / "kubeconfig.json"
    path.write_text(json.dumps(content))
    opened = functools.partial(connect, environment={"KUBECONFIG": str(path)})
    with pytest.raises(StoreError, match="values are sent to no stranger"):
        Api("default", open_connection=opened).get(Secret, "any")
