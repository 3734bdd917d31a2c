"""Behavior of the Swarm store alone, on an engine in memory. tests/contract/test_swarm_store.py uses a real Swarm."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from secretops.access import this_actor
from secretops.engine.state import Stage
from secretops.errors import StoreError, UnreachableError
from secretops.platforms.swarm import rollout
from secretops.platforms.swarm.api import encoded
from secretops.platforms.swarm.location import MountedSecret
from secretops.platforms.swarm.mounted_secrets import mounted_secrets, operator_secret
from secretops.platforms.swarm.store import SwarmVersionStore
from secretops.platforms.swarm.values import LogRecords, TaskValues
from secretops.stores.lease import Timing
from tests.contract.versions import NOW, make, publish, version
from tests.unit.memory_swarm import HOUR, NEVER_RAN, InMemory, V, in_memory, quick


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@pytest.fixture
def place(tmp_path: Path) -> InMemory:
    return in_memory(tmp_path)


@pytest.mark.parametrize(
    ("state", "standing"), [("rollback_completed", "not delivered"), ("paused", "1 task still has")]
)
def test_failed_update_leaves_the_version_undelivered(place: InMemory, state: str, standing: str) -> None:
    publish(place, V[1])
    running = [task["ID"] for task in place.tasks() if task["DesiredState"] == "running"]
    place.engine.verdict = lambda _spec: state
    with pytest.raises(rollout.UpdateFailedError):
        publish(place, V[2])
    store = place.open()
    current = store.versions("it").current
    assert current
    assert (current.id, current.published) == (V[2], None)
    assert [task["ID"] for task in place.tasks() if task["DesiredState"] == "running"] == running
    assert standing in (store.delivery_drift("it") or "")
    place.engine.verdict = lambda _spec: "completed"
    mended = publish(place, V[3])
    assert place.delivered() == dict(mended)
    assert {one.id: one.stage for one in store.versions("it").all} == {V[2]: Stage.PREVIOUS, V[3]: Stage.CURRENT}


@pytest.mark.parametrize("failures", [1, rollout.STARTS])
def test_a_container_that_the_daemon_does_not_start_is_tried_again(place: InMemory, failures: int) -> None:
    good, states = publish(place, V[1]), ["rollback_completed: never ran"] * failures
    place.engine.verdict = lambda _spec: states.pop() if states else "completed"
    if failures < rollout.STARTS:
        value = publish(place, V[2])
        assert place.delivered() == dict(value)
    else:
        with pytest.raises(rollout.NeverRanError, match=NEVER_RAN):
            publish(place, V[2])
        assert place.delivered() == dict(good)
    assert not states


def test_endless_foreign_update_is_not_overwritten(place: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    value = publish(place, V[1])
    place.engine.objects["services"][place.service()["ID"]]["UpdateStatus"] = {"State": "updating"}
    monkeypatch.setattr(rollout, "LONGEST_UPDATE", 0.01)
    monkeypatch.setattr(rollout, "A_REPLICA", 0.0)
    with pytest.raises(UnreachableError, match=r"\[service-update-slow\]"):
        publish(place, V[2])
    assert place.delivered() == dict(value)


def test_a_secret_that_somebody_attached_by_hand_is_refused(place: InMemory) -> None:
    value = publish(place, V[1])
    place.edit(value["password"], "of-another")
    edited = place.listed()
    for act in (lambda: place.open().recover("it", NOW), lambda: publish(place, V[2])):
        with pytest.raises(StoreError, match=r"\[value-edited\]"):
            act()
    assert place.listed() == edited
    assert "changed by hand" in (place.open().delivery_drift("it") or "")


def test_foreign_parts_of_the_service_stay_unchanged(place: InMemory) -> None:
    id = place.api.create("secrets", {"Name": f"{place.name}-login", "Data": "bG9naW4="})
    file = {"Name": "login", "UID": "0", "GID": "0", "Mode": 0o444}
    login = {"SecretID": id, "SecretName": f"{place.name}-login", "File": file}
    place.change(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Secrets=[login], Env=["A=1"]))
    before = place.service()["Spec"]
    publish(place, V[1])
    place.open().forget("it")
    assert place.listed() == [login]
    after = place.service()["Spec"]
    assert {**after, "TaskTemplate": None} == {**before, "TaskTemplate": None}
    assert after["TaskTemplate"]["ContainerSpec"] == before["TaskTemplate"]["ContainerSpec"]


def test_version_is_delivered_once_there_is_a_service(place: InMemory) -> None:
    publish(place, V[1])
    place.remove_service()
    value = publish(place, V[2])
    store = place.open()
    current = store.versions("it").current
    assert current
    assert (current.id, current.published) == (V[2], None)
    assert store.delivery_drift("it") == f"there is no service {place.name}: pulumi up"
    place.make_service()
    store.recover("it", NOW + HOUR)
    current = store.versions("it").current
    assert current
    assert current.published == NOW + HOUR
    assert place.delivered() == dict(value)


def test_undelivered_version_with_lost_secrets_is_replaced(place: InMemory) -> None:
    publish(place, V[1])
    place.remove_service()
    publish(place, V[2])
    for name in [name for name in place.named() if "-v2" in name]:
        place.api.remove("secrets", name)
    place.make_service()
    value = publish(place, V[3])
    assert place.delivered() == dict(value)


def test_secrets_of_a_lost_config_are_never_removed(place: InMemory) -> None:
    value = publish(place, V[1])
    place.api.remove("configs", place.location.state_config)
    before = set(place.named())
    store = place.open()
    assert store.versions("it").all == ()
    assert store.secret_names() == ()
    store.recover("it", NOW)
    assert place.delivered() == dict(value), "the server keeps what it has"
    new = publish(place, V[2])
    assert before <= set(place.named())
    assert place.delivered() == dict(new)


def test_a_config_of_another_stack_is_not_written(place: InMemory) -> None:
    publish(place, V[1])
    other = place.open(place.location.model_copy(update={"instance": "another"}))
    acts: tuple[Callable[[], None], ...] = (
        *(lambda: other.add("it", version(V[2]), make()), lambda: other.publish("it", V[1], NOW)),
        *(lambda: other.forget("it"), lambda: other.lease("x").__enter__()),
    )
    for act in acts:
        with pytest.raises(StoreError, match=rf"{place.name}.*\[config-of-another-stack\]"):
            act()


def test_who_was_followed_writes_no_more(place: InMemory) -> None:
    value = publish(place, V[1])
    slow = Timing(duration=0.3, renew=1000, poll=0.05)
    stalled, follower = place.open(timing=slow), place.open(timing=slow)
    with stalled.lease("the stalled one"), follower.lease("its follower"):
        acts: list[Callable[[], object]] = [
            *(lambda: stalled.add("it", version(V[2]), make()), lambda: stalled.mark("it", V[1], verified=NOW)),
            *(lambda: stalled.forget("it"), stalled.confirm),
        ]
        for act in acts:
            with pytest.raises(StoreError, match=r"its follower.*\[lease-lost\]"):
                act()
    assert place.delivered() == dict(value)


def test_swarm_records_of_each_access_are_written_before_it(place: InMemory) -> None:
    value = publish(place, V[1])
    store = place.open()
    assert store.read("it", V[1], purpose="apply") == value
    publish(place, V[2])
    store.mark("it", V[1], retired=NOW)
    store.forget("it")
    accesses = [(one["operation"], one["version"], one["purpose"]) for one in place.records()]
    new = [("write", V[1], "keep as pending"), ("write", V[1], "publish"), ("write", V[1], "deliver")]
    assert accesses == [
        *new,
        ("read", V[1], "apply"),
        *[(operation, V[2], purpose) for operation, _, purpose in new],
        ("delete", V[1], "retire"),
        ("delete", "all", "purge"),
    ]
    path = place.records_file
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match=r"\[access-not-recorded\]"):
        store.add("it", version(V[3]), make())
    assert place.named() == {}


def test_in_no_task_a_value_is_neither_read_nor_made_and_facts_are(place: InMemory) -> None:
    publish(place, V[1])
    records = LogRecords(this_actor("operator"), reads=False)
    outside = SwarmVersionStore(place.location, place.new_api(), values=TaskValues(), records=records)
    for act in (lambda: outside.read("it", V[1], purpose="test"), lambda: outside.add("it", version(V[2]), make())):
        with pytest.raises(StoreError, match=r"\[value-not-readable-here\]"):
            act()
    assert outside.delivery_drift("it") is None
    current = outside.versions("it").current
    assert current
    assert current.id == V[1]
    outside.recover("it", NOW)
    assert place.open().versions("it").pending is None


def attach(place: InMemory, name: str, file: str) -> dict[str, Any]:
    id = place.api.create("secrets", {"Name": name, "Data": encoded(b"text")})
    return {"SecretID": id, "SecretName": name, "File": {"Name": file, "UID": "10001", "GID": "10001", "Mode": 0o400}}


def test_a_services_secrets_are_listed_by_file_and_found_by_their_whole_name(place: InMemory) -> None:
    password, login = attach(place, "a-v1", "mqtt_password"), attach(place, "a-v1-longer", "/run/secrets/login/server")
    place.set_list([password, login])
    other, one = mounted_secrets(place.name, place.api)
    assert other.file_name == "/run/secrets/login/server"
    assert one == MountedSecret(
        secret_id=password["SecretID"],
        secret_name="a-v1",  # nosec B106 - a secret's name
        file_name="mqtt_password",
        uid="10001",
        gid="10001",
        mode=0o400,
    )
    assert operator_secret("a-v1", file_name="mqtt_password", uid="10001", gid="10001", api=place.api) == one
