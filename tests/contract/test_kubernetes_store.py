"""What a real API server does with the Kubernetes store: rights, TLS, its audit log. The store alone:
tests/unit/test_kubernetes_store.py; what every store does: test_stores.py.
"""

from __future__ import annotations

import base64
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.core_v1 import Secret, ServiceAccount
from lightkube.resources.rbac_authorization_v1 import Role, RoleBinding

from secretops.engine.state import Stage, Version
from secretops.errors import StoreError
from secretops.stores.kubernetes import KubernetesVersionStore
from secretops.values import Value, new_password
from tests.contract.places import FIELDS, Namespace
from tests.real.control_plane import make_keys

pytestmark = [pytest.mark.real, pytest.mark.slow]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROTATOR = "rotator"


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Namespace:
    return Namespace(Namespace.fresh(request, tmp_path))


def make(**fields: str) -> Value:
    return Value({**{name: new_password() for name in FIELDS}, **fields})


def version(name: str) -> Version:
    return Version(id=name, stage=Stage.PENDING, created=NOW)


def publish(store: KubernetesVersionStore, name: str, value: Value | None = None) -> Value:
    value = value or make()
    store.add("it", version(name), value)
    store.publish("it", name, NOW)
    return value


def rotator(place: Namespace) -> Path:
    """The kubeconfig of an account that may get and update exactly what the rotator may."""
    meta = ObjectMeta(name=ROTATOR, namespace=place.name)
    place.client.create(ServiceAccount(metadata=meta))
    names = [place.VERSIONS, place.DELIVERED]
    rules = [
        PolicyRule(apiGroups=[""], resources=["secrets"], resourceNames=names, verbs=["get", "update"]),
        PolicyRule(
            apiGroups=["coordination.k8s.io"],
            resources=["leases"],
            resourceNames=[place.LEASE],
            verbs=["get", "update"],
        ),
    ]
    place.client.create(Role(metadata=meta, rules=rules))
    subject = Subject(kind="ServiceAccount", name=ROTATOR, namespace=place.name)
    binding = RoleBinding(
        metadata=meta,
        subjects=[subject],
        roleRef=RoleRef(apiGroup="rbac.authorization.k8s.io", kind="Role", name=ROTATOR),
    )
    place.client.create(binding)
    return place.cluster.kubeconfig_of(place.name, ROTATOR)


def test_an_operators_first_write_makes_what_the_rotator_then_only_gets_and_updates(place: Namespace) -> None:
    as_rotator = place.open(kubeconfig=rotator(place))
    no_lease = rf"{place.name}:{ROTATOR} may not create leases/rotator"
    with pytest.raises(StoreError, match=no_lease), as_rotator.lease("rotator"):
        pass
    with pytest.raises(StoreError, match=rf"{ROTATOR} may not create secrets/{place.DELIVERED}"):
        as_rotator.add("it", version("v1"), make())
    operator = place.open()
    with operator.lease("operator"):
        operator.add("broker-admin", version("v1"), make())
    with as_rotator.lease("rotator"):
        value = publish(as_rotator, "v1")
    assert place.delivered() == dict(value)
    stranger = place.open(kubeconfig=place.cluster.kubeconfig_for("mallory"))
    with pytest.raises(StoreError, match="mallory may not get secrets/versions"):
        stranger.versions("it")


def test_a_server_that_the_kubeconfigs_ca_has_not_signed_is_given_nothing(place: Namespace, tmp_path: Path) -> None:
    make_keys(tmp_path)
    content = json.loads(place.cluster.admin.read_text())
    encoded = base64.b64encode((tmp_path / "ca.crt").read_bytes()).decode()
    content["clusters"][0]["cluster"]["certificate-authority-data"] = encoded
    path = tmp_path / "kubeconfig.json"
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="values are sent to no stranger"):
        place.open(kubeconfig=path).versions("it")


def test_a_refusal_of_the_server_is_told_without_the_value_it_refused(place: Namespace) -> None:
    store = place.open()
    publish(store, "v1")
    found = place.client.get(Secret, place.DELIVERED, namespace=place.name)
    found.immutable = True
    place.client.replace(found)
    value = make()
    store.add("it", version("v2"), value)
    with pytest.raises(StoreError, match=r"refused to update secrets/delivered .*422[\s\S]*data") as caught:
        store.publish("it", "v2", NOW)
    for text in value.values():
        assert text not in str(caught.value)
        assert base64.b64encode(text.encode()).decode() not in str(caught.value)


def test_each_access_is_in_the_audit_log_with_who_made_it_and_no_value_is(
    place: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    operator, reader = place.cluster.kubeconfig_for("olga", ["system:masters"]), rotator(place)
    value = publish(place.open(kubeconfig=operator), "v1")
    place.open(kubeconfig=reader).read("it", "v1", purpose="test")
    account = f"system:serviceaccount:{place.name}:{ROTATOR}"

    def events(user: str, verb: str, name: str) -> list[dict[str, Any]]:
        return place.cluster.audited(
            lambda event: (
                event["user"].get("username") == user
                and event["verb"] == verb
                and event["objectRef"].get("namespace") == place.name
                and event["objectRef"].get("name") == name
            )
        )

    for user, verb, name in (
        ("olga", "create", place.VERSIONS),
        ("olga", "update", place.VERSIONS),
        ("olga", "update", place.DELIVERED),
        (account, "get", place.VERSIONS),
    ):
        assert all(event["responseStatus"]["code"] < 300 for event in events(user, verb, name))
    assert len(caplog.records) > 10, "the libraries' own, at DEBUG"
    log = place.cluster.audit_file.read_bytes() + caplog.text.encode()
    for text in value.values():
        assert text.encode() not in log
        assert base64.b64encode(text.encode()).rstrip(b"=")[:-1] not in log
