"""`secretops audit` over the log of a real API server: every read is there, with its reader, without its value."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lightkube import ApiError, Client, codecs
from lightkube.core.resource import NamespacedResource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Secret
from lightkube.types import CascadeType, PatchType

from tests.contract.live_namespace import CERTS, SECRETS, SERVER, VERSIONS, manifest_of, run, store_of
from tests.real.cluster import Cluster

pytestmark = [pytest.mark.real, pytest.mark.slow]

ANY = "0"
"""The resource version of whatever the API server has at hand. For the newest one it may have to wait, and refuses."""

_GRANTS = f"""
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {SERVER}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: server}}
rules: [{{apiGroups: [""], resources: [secrets], resourceNames: [{SECRETS}], verbs: [get]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: server}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: server}}
subjects: [{{kind: ServiceAccount, name: {SERVER}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: everything}}
rules: [{{apiGroups: [""], resources: [secrets], verbs: ["*"]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: everything}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: everything}}
subjects:
- {{kind: Group, apiGroup: rbac.authorization.k8s.io, name: lent}}
"""


@dataclass
class Watched:
    """A namespace with the stack's Secrets, and who comes to read them."""

    cluster: Cluster
    namespace: str
    manifest_file: Path
    canary: str

    def everybody(self) -> str:
        """Whoever has rights they were never declared for: a fresh name in group "lent"."""
        return f"visitor-{secrets.token_hex(4)}"

    def audit(self, *arguments: str, code: int) -> list[dict[str, Any]]:
        """The rows that it prints, without the summary. No value is among them, or in the log."""
        done = run(self.manifest_file, "audit", "--json", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        encoded = base64.b64encode(self.canary.encode()).decode()
        for text in (done.stdout + done.stderr, self.cluster.audit_file.read_text()):
            assert self.canary not in text
            assert encoded not in text
        *rows, summary = map(json.loads, done.stdout.splitlines())
        assert summary["holding_values"] == 0
        return rows

    def rows_of(self, user: str, count: int, *, code: int) -> list[dict[str, Any]]:
        """The rows about `user`, once the log has that many requests of theirs."""
        self.cluster.audited(
            lambda event: event["user"].get("username") == user and event["stage"] == "ResponseComplete", count=count
        )
        return self.audit(str(self.cluster.audit_file), "--reader", f"{user}*", code=code)


@pytest.fixture
def watched(cluster: Cluster, tmp_path: Path) -> Iterator[Watched]:
    namespace, canary = cluster.namespace(), f"canary-{secrets.token_hex(12)}"
    client = cluster.client()
    for thing in codecs.load_all_yaml(_GRANTS):
        assert isinstance(thing, NamespacedResource)
        client.create(thing, namespace=namespace)
    for name in (SECRETS, CERTS, VERSIONS):
        client.create(Secret(metadata=ObjectMeta(name=name, namespace=namespace), stringData={"key": canary}))
    file = tmp_path / "manifest.json"
    file.write_text(manifest_of(store_of(namespace, operators=())).model_dump_json())
    yield Watched(cluster, namespace, file, canary)


def test_a_declared_readers_read_is_on_record_and_nothing_to_worry_about(watched: Watched) -> None:
    client = watched.cluster.client(watched.cluster.kubeconfig_of(watched.namespace, SERVER))
    for _ in range(3):
        assert client.get(Secret, SECRETS, namespace=watched.namespace).data
    user = f"system:serviceaccount:{watched.namespace}:{SERVER}"
    (row,) = watched.rows_of(user, 3, code=0)
    assert (row["secret"], row["operation"], row["outcome"], row["count"]) == (SECRETS, "get", "got it", 3)
    assert row["declared"] is True
    assert row["first"] <= row["last"]
    assert "127.0.0.1" in row["sources"][0]
    assert watched.audit(str(watched.cluster.audit_file), "--reader", user, "--secret", CERTS, code=0) == []
    assert watched.audit(str(watched.cluster.audit_file), "--reader", user, "--secret", "mqtt", code=0) == [row]


def _patch(client: Client, namespace: str) -> object:
    return client.patch(Secret, VERSIONS, {}, namespace=namespace, patch_type=PatchType.MERGE)


def _list(client: Client, namespace: str) -> object:
    return list(client.list(Secret, namespace=namespace))


def _watch(client: Client, namespace: str) -> object:
    return _first(client.watch(Secret, namespace=namespace, server_timeout=1, resource_version=ANY))


def _watch_one(client: Client, namespace: str) -> object:
    one: Any = {"metadata.name": CERTS}
    return _first(client.watch(Secret, namespace=namespace, fields=one, server_timeout=1, resource_version=ANY))


def _first(events: Iterator[object]) -> object:
    return list(zip(range(1), events, strict=False))


def _delete(client: Client, namespace: str) -> object:
    return client.delete(Secret, CERTS, namespace=namespace, cascade=CascadeType.FOREGROUND)


def _delete_all(client: Client, namespace: str) -> object:
    return client.deletecollection(Secret, namespace=namespace)


def test_every_way_to_a_value_counts_as_one_read_of_an_undeclared_reader(watched: Watched) -> None:
    acts: list[tuple[Callable[[Client, str], object], str, str]] = [
        (_patch, "patch", VERSIONS),
        (_list, "list", "*"),
        (_watch, "watch", "*"),
        (_watch_one, "watch", CERTS),
        (_delete, "delete", CERTS),
        (_delete_all, "deletecollection", "*"),
    ]
    log = str(watched.cluster.audit_file)
    for act, operation, secret in acts:
        name = watched.everybody()
        client = watched.cluster.client(watched.cluster.kubeconfig_for(name, ["lent"]))
        act(client, watched.namespace)
        client.close()  # a watch is told of once more when it ends
        (row,) = watched.rows_of(name, 1, code=3)
        assert (row["operation"], row["secret"], row["outcome"], row["count"]) == (operation, secret, "got it", 1)
        assert row["declared"] is False
        for other in (SECRETS, CERTS, VERSIONS):
            read = secret in ("*", other)
            assert watched.audit(log, "--reader", name, "--secret", other, code=3 if read else 0) == [row][: int(read)]
    denied = watched.everybody()
    with pytest.raises(ApiError):
        watched.cluster.client(watched.cluster.kubeconfig_for(denied)).get(Secret, CERTS, namespace=watched.namespace)
    (row,) = watched.rows_of(denied, 1, code=0)
    assert (row["outcome"], row["declared"], row["allowed"]) == ("denied", False, False)


def test_whoever_wears_a_declared_readers_name_is_judged_by_their_own(watched: Watched) -> None:
    worn = f"system:serviceaccount:{watched.namespace}:{SERVER}"
    client = watched.cluster.client()
    config = client.config
    assert config.user
    from lightkube.config import client_adapter

    with client_adapter.Client(config, client_adapter.ConnectionParams()) as raw:
        path = f"/api/v1/namespaces/{watched.namespace}/secrets/{SECRETS}"
        assert raw.get(path, headers={"Impersonate-User": worn}).status_code == 200
    found = watched.cluster.audited(lambda event: (event.get("impersonatedUser") or {}).get("username") == worn)
    assert found
    (row,) = watched.audit(str(watched.cluster.audit_file), "--reader", f"admin as {worn}", code=3)
    assert (row["declared"], row["outcome"]) == (False, "got it")
