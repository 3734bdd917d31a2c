"""What only the Kubernetes store does, on a real API server; what every store does is in test_stores.py."""

from __future__ import annotations

import base64
import functools
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Secret, ServiceAccount
from lightkube.resources.rbac_authorization_v1 import Role, RoleBinding

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version
from secretops.errors import LeaseHeldError, StoreError, UnreachableError, UsageError
from secretops.manifest import Delivered, KubernetesStore
from secretops.stores import kubeconfig, leases
from secretops.stores.kubernetes import KubernetesVersionStore
from secretops.stores.kubernetes.api import Api
from secretops.stores.kubernetes.kubeconfig import connect
from secretops.stores.kubernetes.lease import INSTANCE, Timing
from secretops.stores.kubernetes.secrets import LABELS, MOST_BYTES, PREFIX
from secretops.values import Value, new_password
from tests.contract.places import FIELDS, Namespace
from tests.real.cluster import Cluster
from tests.real.control_plane import make_keys
from tests.real.meddler import Asked, Deed, meddling

pytestmark = pytest.mark.real

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


# Who may what


def test_an_operators_first_write_makes_every_secret_and_the_lease_and_the_rotator_needs_no_create(
    place: Namespace,
) -> None:
    location = place.location.model_copy(
        update={"delivered": {**place.location.delivered, "cert": Delivered(name="certs", keys={"a": "a"})}}
    )
    operator = place.open(location)
    with operator.lease("operator"):
        operator.add("broker-admin", version("v1"), make())
    made = {
        secret.metadata.name: secret for secret in place.client.list(Secret, namespace=place.name) if secret.metadata
    }
    assert {place.VERSIONS, place.DELIVERED, "certs"} <= made.keys()
    for name in (place.DELIVERED, "certs"):
        assert made[name].data is None, "empty"
    for name in (place.VERSIONS, place.DELIVERED, "certs"):
        meta = made[name].metadata
        assert made[name].type == "Opaque" and meta and meta.labels == LABELS
    as_rotator = place.open(kubeconfig=rotator(place))
    with as_rotator.lease("rotator"):
        value = publish(as_rotator, "v1")
    assert place.delivered() == dict(value)


def test_a_rotator_before_the_first_put_is_told_what_an_operator_does(place: Namespace) -> None:
    config = rotator(place)
    with pytest.raises(StoreError) as caught, place.open(kubeconfig=config).lease("rotator"):
        pass
    said = str(caught.value)
    assert (
        f"system:serviceaccount:{place.name}:{ROTATOR} may not create leases/rotator in namespace {place.name}" in said
    )
    assert "-> pulumi up" in said
    for add in ("v1", "v2"):
        with pytest.raises(StoreError) as caught:
            place.open(kubeconfig=config).add("it", version(add), make())
        said = str(caught.value)
        assert f"{ROTATOR} may not create secrets/{place.DELIVERED}" in said
        assert "-> an operator who may create Secrets: secretops tick makes those that it has something for" in said
        assert "before there is an admin: secretops put broker-admin" in said


def test_who_may_not_even_read_is_told_who_it_is_and_what_it_lacks(place: Namespace) -> None:
    publish(place.open(), "v1")
    stranger = place.open(kubeconfig=place.cluster.kubeconfig_for("mallory"))
    for act in (lambda: stranger.versions("it"), lambda: stranger.astray("it"), stranger.kept):
        with pytest.raises(StoreError, match=r"mallory may not get secrets/versions in namespace[\s\S]*-> "):
            act()
    with pytest.raises(StoreError, match="mallory may not get leases/rotator"), stranger.lease("x"):
        pass


# Which API server, and as whom


def kubeconfig_with(place: Namespace, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The admin's, changed."""
    content = json.loads(place.cluster.admin.read_text())
    change(content)
    path = folder / "kubeconfig.json"
    path.write_text(json.dumps(content))
    return path


def test_a_credential_that_is_not_accepted_is_told(place: Namespace, tmp_path: Path) -> None:
    token = new_password()

    def expired(content: dict[str, Any]) -> None:
        content["users"][0]["user"] = {"token": token}

    with pytest.raises(StoreError, match=r"does not accept user admin of context test[\s\S]*log in") as caught:
        place.open(kubeconfig=kubeconfig_with(place, tmp_path, expired)).versions("it")
    assert token not in str(caught.value)


def test_a_token_that_is_not_where_the_kubeconfig_says_is_told(place: Namespace, tmp_path: Path) -> None:
    def in_a_file(content: dict[str, Any]) -> None:
        content["users"][0]["user"] = {"tokenFile": "gone"}

    with pytest.raises(UsageError, match=r"user admin of context test: its token can't be read[\s\S]*-> "):
        place.open(kubeconfig=kubeconfig_with(place, tmp_path, in_a_file)).versions("it")


def test_a_server_that_the_kubeconfigs_ca_has_not_signed_is_given_nothing(place: Namespace, tmp_path: Path) -> None:
    make_keys(tmp_path)

    def another_ca(content: dict[str, Any]) -> None:
        encoded = base64.b64encode((tmp_path / "ca.crt").read_bytes()).decode()
        content["clusters"][0]["cluster"]["certificate-authority-data"] = encoded

    with pytest.raises(StoreError, match="values are sent to no stranger"):
        place.open(kubeconfig=kubeconfig_with(place, tmp_path, another_ca)).versions("it")


BROKEN: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("no such context", lambda c: c.update({"current-context": "gone"}), r"no context gone[\s\S]*one of test"),
    ("no current context", lambda c: c.pop("current-context"), r"no current context[\s\S]*one of test"),
    ("no such user", lambda c: c["contexts"][0]["context"].update(user="gone"), "names user gone"),
    ("no such cluster", lambda c: c["contexts"][0]["context"].update(cluster="gone"), "names cluster gone"),
    ("no list", lambda c: c.update(users="none"), "does not read as a way"),
    ("no PEM", lambda c: c["users"][0]["user"].update({"client-key-data": "bm8="}), "does not read as a way"),
    ("no base64", lambda c: c["users"][0]["user"].update({"client-key-data": "n"}), "does not read as a way"),
    ("no such file", lambda c: c["clusters"][0]["cluster"].update({"certificate-authority": "gone"}), "does not read"),
    ("in the clear", lambda c: c["clusters"][0]["cluster"].update(server="http://10.0.0.1"), "is not https"),
    (
        "to anybody",
        lambda c: c["clusters"][0]["cluster"].update({"server": "https://10.0.0.1", "insecure-skip-tls-verify": True}),
        "insecure-skip-tls-verify",
    ),
    ("as somebody else", lambda c: c["users"][0]["user"].update({"as": "root"}), "sets as"),
    (
        "a plugin that is not there",
        lambda c: c["users"][0].update(user={"exec": {"apiVersion": "v1", "command": "gone-plugin"}}),
        "gone-plugin, which the kubeconfig logs in with, can't be run",
    ),
    (
        "a plugin that fails",
        lambda c: c["users"][0].update(
            user={"exec": {"apiVersion": "v1", "command": "false", "installHint": "log in there"}}
        ),
        r"false, [^:]* ended with 1[\s\S]*-> log in there",
    ),
    (
        "a plugin that says nothing",
        lambda c: c["users"][0].update(user={"exec": {"apiVersion": "v1", "command": "true"}}),
        "gave no credential",
    ),
]


@pytest.mark.parametrize(("change", "told"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_kubeconfig_that_leads_nowhere_is_told(
    cluster: Cluster, tmp_path: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    content = json.loads(cluster.admin.read_text())
    key = content["users"][0]["user"]["client-key-data"]
    change(content)
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=told) as caught:
        connect(None, {"KUBECONFIG": str(path)})
    assert "-> " in str(caught.value) and key not in str(caught.value)


def test_a_file_that_is_no_kubeconfig_is_told_without_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    for text in ("password: [hush-hush", "hush-hush", "clusters: [hush-hush]"):
        path.write_text(text)
        with pytest.raises(UsageError) as caught:
            connect(None, {"KUBECONFIG": str(path)})
        assert str(path) in str(caught.value) and "hush" not in str(caught.value)
    with pytest.raises(UsageError, match="there is no kubeconfig"):
        connect(None, {"KUBECONFIG": str(tmp_path / "none")})


def test_files_are_merged_as_kubectl_does_and_the_stacks_context_is_taken(cluster: Cluster, tmp_path: Path) -> None:
    """The context in one, its user in another; the first that names something wins; a path is its own file's."""
    admin = json.loads(cluster.admin.read_text())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "ca.crt").write_bytes(cluster.ca_file.read_bytes())
    first = {"contexts": admin["contexts"], "users": [{"name": "other", "user": {}}], "current-context": "nowhere"}
    where = {"server": cluster.url, "certificate-authority": "ca.crt"}
    second = {"clusters": [{"name": "test", "cluster": where}], "users": admin["users"], "current-context": "test"}
    third = {"clusters": [{"name": "test", "cluster": {"server": "https://10.0.0.1"}}]}
    files = {"a": first, "b/c": second, "d": third}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    named = ":".join(str(tmp_path / name) for name in ("missing", *files))
    connection = connect("test", {"KUBECONFIG": named})
    assert connection.server == cluster.url
    assert list(connection.client.list(Secret, namespace="default")) == []
    with pytest.raises(UsageError, match="no context nowhere"):
        connect(None, {"KUBECONFIG": named})


def test_an_exec_plugin_of_the_present_api_logs_in(place: Namespace, tmp_path: Path) -> None:
    """Which lightkube by itself does not run."""
    value = publish(place.open(), "v1")
    user = json.loads(place.cluster.admin.read_text())["users"][0]["user"]
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import base64, json, os, sys\n"
        "asked = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "assert asked['kind'] == 'ExecCredential' and os.environ['HINT'] == 'yes' and sys.argv[1:] == ['login']\n"
        f"status = {{name: base64.b64decode(text).decode() for name, text in {_as_plugin(user)!r}.items()}}\n"
        "print(json.dumps({'apiVersion': asked['apiVersion'], 'kind': 'ExecCredential', 'status': status}))\n"
    )

    def by_plugin(content: dict[str, Any]) -> None:
        api = "client.authentication.k8s.io/v1"
        content["users"][0]["user"] = {
            "exec": {
                "apiVersion": api,
                "command": sys.executable,
                "args": [str(plugin), "login"],
                "env": [{"name": "HINT", "value": "yes"}],
                "interactiveMode": "Never",
            }
        }

    store = place.open(kubeconfig=kubeconfig_with(place, tmp_path, by_plugin))
    assert store.read("it", "v1", purpose="test") == value


def _as_plugin(user: dict[str, str]) -> dict[str, str]:
    return {
        "clientCertificateData": user["client-certificate-data"],
        "clientKeyData": user["client-key-data"],
    }


def test_in_a_pod_its_service_account_is_taken_whatever_context_the_stack_names(
    place: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files as the kubelet lays them, elsewhere; a KUBECONFIG that somebody sets goes before them, as kubectl's."""
    publish(place.open(), "v1")
    token = json.loads(rotator(place).read_text())["users"][0]["user"]["token"]
    files = {"token": token, "namespace": place.name, "ca.crt": place.cluster.ca_file.read_text()}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(place.cluster.port))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    location = place.location.model_copy(update={"context": "the-operators"})
    store = KubernetesVersionStore.open(location)
    assert store.versions("it").current
    with pytest.raises(StoreError, match=f"{ROTATOR} may not get secrets/others"):
        KubernetesVersionStore.open(location.model_copy(update={"versions": "others"})).kept()
    monkeypatch.setenv("KUBECONFIG", str(place.cluster.admin))
    with pytest.raises(UsageError, match="no context the-operators"):
        KubernetesVersionStore.open(location).kept()
    monkeypatch.delenv("KUBECONFIG")
    (tmp_path / "token").unlink()
    with pytest.raises(UsageError, match="this pod's service account"):
        KubernetesVersionStore.open(location).kept()


def test_a_namespace_that_is_not_there_is_told_with_what_makes_it(place: Namespace) -> None:
    location = place.location.model_copy(update={"namespace": "nowhere"})
    environment = {"KUBECONFIG": str(place.cluster.admin)}
    api = Api("nowhere", open_connection=functools.partial(connect, environment=environment))
    store = KubernetesVersionStore(location, api)
    assert store.versions("it").all == ()
    told = r"there is no namespace nowhere[\s\S]*-> pulumi up"
    with pytest.raises(StoreError, match=told):
        store.add("it", version("v1"), make())
    with pytest.raises(StoreError, match=told), store.lease("x"):
        pass


# An API server that is away, busy, or not one


def test_no_answer_is_told_apart_from_a_refusal_and_asked_for_again(place: Namespace, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen

        def elsewhere(content: dict[str, Any]) -> None:
            content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{nobody.getsockname()[1]}"

        environment = {"KUBECONFIG": str(kubeconfig_with(place, tmp_path, elsewhere))}
        api = Api(place.name, open_connection=functools.partial(connect, environment=environment))
        began = time.monotonic()
        with pytest.raises(UnreachableError, match=r"does not serve secrets/versions: .*refused[\s\S]*-> "):
            api.get(Secret, "versions", patience=0.5)
        assert time.monotonic() - began >= 0.3, "it was asked again"


@pytest.mark.parametrize("deed", [Deed.TOO_MANY, Deed.UNAVAILABLE, Deed.LOSE, Deed.CHANGE], ids=lambda deed: deed.name)
def test_whatever_happens_to_each_first_try_everything_is_done_once(place: Namespace, deed: Deed) -> None:
    """Lost: the write is done, and its answer is not there. Changed: the answer is the API server's own 409."""
    happened = 0
    most = 3 if deed is Deed.TOO_MANY else 1000  # each costs a second

    def first(asked: Asked) -> Deed:
        nonlocal happened
        if happened < most and (asked.tries % 2 == 1 if asked.writes else asked.tries == 1 and deed is not Deed.CHANGE):
            happened += 1
            return deed
        return Deed.NOTHING

    with meddling(place.cluster, first) as meddler:
        store = place.open(kubeconfig=meddler.kubeconfig)
        with store.lease("it"):
            old, new = publish(store, "v1"), publish(store, "v2")
            store.mark("it", "v2", verified=NOW)
            store.mark("it", "v1", retired=NOW)
    assert happened >= 3
    kept = place.open().versions("it")
    assert [(one.id, one.stage) for one in kept.all] == [("v1", Stage.PREVIOUS), ("v2", Stage.CURRENT)]
    assert kept.current and kept.current.verified == kept.current.published == NOW
    assert place.delivered() == dict(new)
    assert place.keeps(old["password"]) == []


def test_a_busy_servers_retry_after_is_honoured(place: Namespace) -> None:
    times: list[float] = []

    def busy(_: Asked) -> Deed:
        times.append(time.monotonic())
        return Deed.TOO_MANY if len(times) == 1 else Deed.NOTHING

    with meddling(place.cluster, busy) as meddler:
        assert place.open(kubeconfig=meddler.kubeconfig).versions("it").all == ()
    assert len(times) == 2 and times[1] - times[0] >= 1


# What a Secret holds, and what else is in it


def test_what_does_not_fit_is_refused_whole_before_anything_moves(place: Namespace) -> None:
    first = publish(place.open(), "v1")
    before = place.data(place.VERSIONS)
    with pytest.raises(StoreError, match=r"Secret versions would hold [0-9]+ bytes[\s\S]*1048576[\s\S]*-> "):
        place.open().add("it", version("v2"), make(password="p" * MOST_BYTES))
    assert place.data(place.VERSIONS) == before
    store = place.open()
    second = make(password="p" * (MOST_BYTES // 2))
    store.add("it", version("v3"), second)
    kept = store.versions("it")
    place.set(place.DELIVERED, {"mine": b"m" * (MOST_BYTES // 2)})
    with pytest.raises(StoreError, match="Secret delivered would hold"):
        store.publish("it", "v3", NOW)
    assert store.versions("it") == kept
    assert place.delivered() == dict(first)
    place.set(place.DELIVERED, {"mine": None})
    store.publish("it", "v3", NOW)
    assert place.delivered() == dict(second)


def test_a_persons_own_keys_and_notes_survive_every_version_and_the_purge(place: Namespace) -> None:
    store = place.open()
    publish(store, "v1")
    for name in (place.DELIVERED, place.VERSIONS):
        place.set(name, {"mine": b"\xff\x00"})
        found = place.client.get(Secret, name, namespace=place.name)
        assert found.metadata and found.metadata.annotations
        found.metadata.annotations["example.org/mine"] = "yes"
        found.metadata.labels = {"mine": "too"}
        place.client.replace(found)
    publish(store, "v2")
    store.mark("it", "v1", retired=NOW)
    store.forget("it")
    for name in (place.DELIVERED, place.VERSIONS):
        found = place.client.get(Secret, name, namespace=place.name)
        assert place.data(name) == {"mine": b"\xff\x00"}
        assert found.metadata and found.metadata.annotations == {"example.org/mine": "yes"}
        assert found.metadata.labels == {"mine": "too"}


@pytest.mark.parametrize("then", ["settle", "put"])
def test_a_purge_killed_at_any_request_is_never_undone(place: Namespace, then: str) -> None:
    """By the next tick it is ended, or had not begun; and a new value is taken whatever was left."""
    moment, killed, begun = 0, True, False
    while killed:
        store = place.open()
        value = publish(store, f"v{moment}")
        killed = place.killed_at(lambda: place.open().forget("it"), moment)
        begun = begun or store.versions("it").current is None
        assert store.kept() == ("it",) or place.keeps(value["password"]) == [], "a purge of all finds it again"
        if then == "settle":
            store.settle("it", NOW)
            assert place.delivered() == (dict.fromkeys(FIELDS) if begun else dict(value))
            assert (store.kept() == ()) is (place.keeps(value["password"]) == []) is begun
        else:
            new = publish(store, f"new-{moment}")
            assert place.delivered() == dict(new)
        store.forget("it")
        moment += 1
    assert begun
    assert moment > 5, "some moments are missed"


def test_the_delivered_version_and_its_time_are_told_to_people(place: Namespace) -> None:
    publish(place.open(), "v1")
    found = place.client.get(Secret, place.DELIVERED, namespace=place.name)
    assert found.metadata and found.metadata.annotations == {
        f"{PREFIX}version.it": "v1",
        f"{PREFIX}delivered.it": "2026-03-01T12:00:00Z",
    }
    assert place.data(place.DELIVERED)["it-version"] == b"v1"


def test_a_value_that_was_there_before_secretops_is_not_overwritten(place: Namespace) -> None:
    place.set(place.DELIVERED, {"it-password": b"of-before"})
    store = place.open()
    store.add("it", version("v1"), make())
    with pytest.raises(StoreError, match="it-password was changed by hand"):
        store.publish("it", "v1", NOW)
    assert place.data(place.DELIVERED) == {"it-password": b"of-before"}
    store.discard("it", "v1")
    adopted = publish(store, "v2", make(password="of-before"))
    assert place.delivered() == dict(adopted)


def test_a_stack_that_delivers_otherwise_takes_back_what_it_delivered_before(place: Namespace) -> None:
    value = publish(place.open(), "v1")
    keys = {"username": "user", "password": "it-password"}
    renamed = place.location.model_copy(update={"delivered": {"it": Delivered(name=place.DELIVERED, keys=keys)}})
    place.open(renamed).settle("it", NOW)
    given = {"it-version": b"v1", "user": value["username"].encode(), "it-password": value["password"].encode()}
    assert place.data(place.DELIVERED) == given
    moved = place.location.model_copy(update={"delivered": {"it": Delivered(name="elsewhere", keys=keys)}})
    place.open(moved).settle("it", NOW)
    assert (place.data("elsewhere"), place.data(place.DELIVERED)) == (given, {})
    nowhere = place.location.model_copy(update={"delivered": {}})
    place.open(nowhere).settle("it", NOW)
    assert place.data("elsewhere") == {}
    place.open().settle("it", NOW)
    assert place.delivered() == dict(value)


def test_a_secret_that_the_stack_no_longer_has_is_still_found_and_forgotten(place: Namespace) -> None:
    value = publish(place.open(), "v1")
    without = place.open(KubernetesStore(namespace=place.name, versions=place.VERSIONS, lease=place.LEASE))
    assert without.kept() == ("it",)
    without.forget("it")
    assert not place.keeps(value["password"])
    assert without.kept() == ()


def test_what_does_not_read_is_told_and_left(place: Namespace) -> None:
    publish(place.open(), "v1")
    place.set(place.VERSIONS, {"it.v1": b'{"password": "cut sho'})
    with pytest.raises(StoreError, match=r"it.v1 does not read as a value[\s\S]*secretops put it") as caught:
        place.open().settle("it", NOW)
    assert "cut sho" not in str(caught.value)
    found = place.client.get(Secret, place.VERSIONS, namespace=place.name)
    assert found.metadata and found.metadata.annotations
    for garbage in ("", "{}", '[{"id": 1}]'):
        found.metadata.annotations[f"{PREFIX}versions.it"] = garbage
        found = place.client.replace(found)
        for act in (lambda: place.open().versions("it"), lambda: place.open().add("it", version("v2"), make())):
            with pytest.raises(StoreError, match=r"versions\.it does not read as secretops wrote it"):
                act()
        assert found.metadata and found.metadata.annotations


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


# The trail


def test_each_access_is_in_the_audit_log_with_who_made_it_and_no_value_is(place: Namespace) -> None:
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
    log = place.cluster.audit_file.read_bytes()
    for text in value.values():
        assert text.encode() not in log and base64.b64encode(text.encode()).rstrip(b"=")[:-1] not in log


def test_no_logger_however_loud_says_a_value(place: Namespace, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        store = place.open()
        with store.lease("it"):
            value = publish(store, "v1")
            store.read("it", "v1", purpose="test")
            store.settle("it", NOW)
    assert len(caplog.records) > 50, "the libraries' own, at DEBUG"
    for text in value.values():
        assert text not in caplog.text
        assert base64.b64encode(text.encode()).rstrip(b"=").decode()[:-1] not in caplog.text


# The journal


def entry(outcome: str = "done", step: str = "verify") -> Entry:
    return Entry(time=NOW, secret="it", version="v1", step=step, outcome=outcome)


def test_the_last_entry_is_kept_beside_the_versions_and_a_rotators_entries_are_its_log(
    place: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(place.open(), "v1")
    assert place.open().journal.last("it") is None
    place.open().journal.write(entry(step="apply"))
    assert capsys.readouterr() == ("", ""), "an operator sees how it went"
    environment = {"KUBECONFIG": str(place.cluster.admin)}
    api = Api(place.name, open_connection=functools.partial(connect, environment=environment))
    KubernetesVersionStore(place.location, api, loud=True).journal.write(entry("it was refused"))
    assert place.open().journal.last("it") == entry("it was refused")
    said = json.loads(capsys.readouterr().err)
    assert said == {
        "time": "2026-03-01T12:00:00.000+00:00",
        "secret": "it",
        "version": "v1",
        "step": "verify",
        "outcome": "it was refused",
    }
    assert place.open().versions("it").current, "what it stands beside is untouched"


def test_a_journal_that_cannot_be_kept_hides_no_error_of_a_step(
    place: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    store = place.open(kubeconfig=place.cluster.kubeconfig_for("mallory"))
    store.journal.write(entry())
    assert "mallory may not get secrets/versions" in caplog.text


# The lease

QUICK = Timing(duration=6, renew=0.2, look=0.1)
DEAD = Timing(duration=2, renew=1000, look=0.1)
"""Of a holder that never renews: as one that is stopped, or cut off from the API server."""


def lease_of(place: Namespace) -> Lease:
    return place.client.get(Lease, place.LEASE, namespace=place.name)


def test_a_holder_that_does_not_renew_is_followed_and_writes_no_more(place: Namespace) -> None:
    first, second = place.open(timing=DEAD), place.open(timing=QUICK)
    publish(first, "v1")
    with first.lease("the first"):
        first.mark("it", "v1", verified=NOW)
        began = time.monotonic()
        with second.lease("the second"):
            assert time.monotonic() - began >= DEAD.duration, "not before it could have been renewed"
            before = place.data(place.VERSIONS)
            acts: list[Callable[[], None]] = [
                lambda: first.add("it", version("v2"), make()),
                lambda: first.mark("it", "v1", retired=NOW),
                lambda: first.forget("it"),
            ]
            for act in acts:
                with pytest.raises(StoreError, match="not ours any more: the second has changed it"):
                    act()
            assert place.data(place.VERSIONS) == before
            publish(second, "v3")
    spec = lease_of(place).spec
    assert spec and spec.holderIdentity == "" and spec.leaseTransitions == 2, "the first gave nothing back"


def test_an_answer_that_was_long_in_coming_makes_a_live_holder_no_older(place: Namespace) -> None:
    began = time.monotonic()

    def away_for_a_whole_lease(asked: Asked) -> Deed:
        return Deed.UNAVAILABLE if time.monotonic() - began < 1.5 * sure.duration else Deed.NOTHING

    sure = Timing(duration=4, renew=0.2, look=0.001)
    with place.open(timing=sure).lease("alive"), meddling(place.cluster, away_for_a_whole_lease) as meddler:
        hasty = place.open(kubeconfig=meddler.kubeconfig, timing=sure)
        with pytest.raises(LeaseHeldError, match="alive"), hasty.lease("hasty"):
            pass


def test_who_could_not_renew_and_was_not_followed_goes_on(place: Namespace) -> None:
    store = place.open(timing=DEAD)
    with store.lease("late"):
        held = lease_of(place).spec
        assert held and held.renewTime
        until = threading.Event()
        until.wait(DEAD.trusted + 0.1)  # as long as it rests on its last renewal
        publish(store, "v1")
        renewed = lease_of(place).spec
        assert renewed and renewed.renewTime and renewed.renewTime > held.renewTime


def test_a_label_that_somebody_puts_on_a_held_lease_takes_nothing_from_its_holder(place: Namespace) -> None:
    store = place.open(timing=QUICK)
    with store.lease("it"):
        lease = lease_of(place)
        assert lease.metadata
        lease.metadata.labels = {"mine": "yes"}
        for _ in range(50):  # until no renewal was in between
            try:
                place.client.replace(lease)
                break
            except ApiError:
                lease = lease_of(place)
                assert lease.metadata
                lease.metadata.labels = {"mine": "yes"}
        publish(store, "v1")
    final = lease_of(place)
    assert final.spec and final.spec.holderIdentity == ""
    assert final.metadata and final.metadata.labels == {"mine": "yes"}


@pytest.mark.parametrize(
    ("label", "instance", "told"),
    [
        ("coreflux-mcp-prod", "coreflux-mcp-staging", "is of coreflux-mcp-prod, and we are of coreflux-mcp-staging"),
        (None, "coreflux-mcp-staging", "is of no stack, and we are of coreflux-mcp-staging"),
        ("coreflux-mcp-prod", "", "is of coreflux-mcp-prod, and we are of none"),
    ],
)
def test_where_the_lease_is_another_stacks_nothing_is_written_or_removed(
    place: Namespace, label: str | None, instance: str, told: str
) -> None:
    labels = {INSTANCE: label} if label else {"app.kubernetes.io/name": "coreflux-mcp-rotator"}
    place.client.create(Lease(metadata=ObjectMeta(name=place.LEASE, namespace=place.name, labels=labels)))
    store = place.open(place.location.model_copy(update={"instance": instance}))
    with pytest.raises(StoreError) as caught, store.lease("it"):
        pass
    said = str(caught.value)
    assert f"Lease rotator in namespace {place.name} at https://127.0.0.1:{place.cluster.port} {told}" in said
    assert "-> set server.context" in said
    assert lease_of(place).spec == LeaseSpec()
    own = place.open(place.location.model_copy(update={"instance": label or ""}))
    with own.lease("it"):
        publish(own, "v1")


def test_a_lease_that_secretops_makes_itself_is_the_stacks_own(place: Namespace) -> None:
    first = place.open(place.location.model_copy(update={"instance": "coreflux-mcp-staging"}))
    with first.lease("it"):
        metadata = lease_of(place).metadata
        assert metadata and metadata.labels == {**LABELS, INSTANCE: "coreflux-mcp-staging"}
    with first.lease("again"):
        pass
    other = place.open(place.location.model_copy(update={"instance": "coreflux-mcp-prod"}))
    with pytest.raises(StoreError, match="is of coreflux-mcp-staging"), other.lease("it"):
        pass


def test_who_was_followed_while_the_machine_slept_gives_no_more_values_to_act_on(
    place: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = place.open(timing=DEAD)
    publish(store, "v1")
    with store.lease("asleep"):
        store.read("it", "v1", purpose="test")
        take_over(place)
        still = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: still)  # stands in for sleep, in which it does not go on
        until = time.time() + 30
        with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
            while time.time() < until:
                store.read("it", "v1", purpose="test")
        monkeypatch.undo()


def take_over(place: Namespace) -> None:
    """What a follower does, at once: a holder that renews would keep a real one out."""
    lease = lease_of(place)
    assert lease.spec
    lease.spec.holderIdentity, lease.spec.leaseTransitions = "the follower", 2
    place.client.replace(lease)


def test_who_was_followed_during_a_read_is_not_given_its_value_to_act_on(place: Namespace) -> None:
    publish(place.open(), "v1")
    reading = False

    def stall(asked: Asked) -> Deed:
        nonlocal reading
        if reading and "/secrets/" in asked.path:
            reading = False
            take_over(place)
            threading.Event().wait(DEAD.trusted + 0.1)  # as an API server does that is busy
        return Deed.NOTHING

    with meddling(place.cluster, stall) as meddler:
        store = place.open(kubeconfig=meddler.kubeconfig, timing=DEAD)
        with store.lease("who was held up"):
            reading = True
            with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
                store.read("it", "v1", purpose="test")
            assert not reading


def test_who_was_followed_a_moment_ago_is_told_when_it_asks_whether_the_lease_is_its_own(place: Namespace) -> None:
    store = place.open(timing=Timing(duration=3600, renew=3600, look=0.1))
    store.confirm()
    with store.lease("who was held up"):
        store.confirm()
        take_over(place)
        with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
            store.confirm()


def test_a_renewal_that_took_so_long_that_it_may_be_over_is_made_again(
    place: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhurried = Timing(duration=3600, renew=3600, look=0.1)
    store, write, now = place.open(timing=unhurried), Api.write, [leases.awake_or_not()]
    monkeypatch.setattr(leases, "awake_or_not", lambda: now[-1])

    def slowly_at_first(self: Api, thing: Any, **patience: float) -> Any:
        done = write(self, thing, **patience)
        if len(now) == 1:
            now.append(now[-1] + unhurried.trusted + 1)
            take_over(place)
        return done

    with store.lease("slow"):
        monkeypatch.setattr(Api, "write", slowly_at_first)
        with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
            store.confirm()


def test_an_empty_lease_of_the_stack_is_taken_and_given_back(place: Namespace) -> None:
    place.client.create(Lease(metadata=ObjectMeta(name=place.LEASE, namespace=place.name)))
    with place.open().lease("it"):
        spec = lease_of(place).spec
        assert spec and spec.holderIdentity == "it" and spec.leaseDurationSeconds == 6 and spec.renewTime
    spec = lease_of(place).spec
    assert spec and spec.holderIdentity == ""


def test_by_default_a_live_holder_is_told_within_seconds_and_a_dead_one_followed_after_client_gos_fifteen() -> None:
    timing = Timing()
    assert (timing.duration, timing.renew, timing.trusted) == (15, 2, 10)
    assert timing.renew + timing.look <= 3


def test_a_lease_that_is_always_in_conflict_is_told(place: Namespace) -> None:
    with meddling(place.cluster, lambda asked: Deed.CHANGE if asked.writes else Deed.NOTHING) as meddler:
        store = place.open(kubeconfig=meddler.kubeconfig)
        with pytest.raises(StoreError, match=r"Lease rotator .* times in a row"), store.lease("it"):
            pass
