"""What only the Swarm store does, on an engine in memory. A real Swarm is in tests/contract/test_swarm_store.py."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from secretops.access import this_actor
from secretops.engine.state import Stage
from secretops.errors import NotFoundError, StoreError, UnreachableError
from secretops.manifest import SwarmFile
from secretops.stores.leases import Timing
from secretops.stores.swarm import SwarmVersionStore, rollout
from secretops.stores.swarm.api import Api, Kind
from secretops.stores.swarm.book import Shelf
from secretops.stores.swarm.records import LogRecords
from secretops.stores.swarm.values import Elsewhere
from tests.unit.memory_swarm import HOUR, NEVER_RAN, NOW, InMemory, V, in_memory, make, publish, quick, version


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@pytest.fixture
def place(tmp_path: Path) -> InMemory:
    return in_memory(tmp_path)


def from_outside(place: InMemory) -> SwarmVersionStore:
    """The store of a process that is in no task."""
    records = LogRecords(this_actor("operator"), reads=False)
    return SwarmVersionStore(place.location, place.new_api(), values=Elsewhere(), records=records)


@pytest.mark.parametrize(("state", "standing"), [("rollback_completed", "not delivered"), ("paused", "1 of the tasks")])
def test_an_update_that_does_not_succeed_leaves_the_version_current_and_undelivered(
    place: InMemory, state: str, standing: str
) -> None:
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
    assert (store.astray("it") or "").startswith(standing)
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


def test_an_update_of_somebody_that_never_ends_is_not_written_over(
    place: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = publish(place, V[1])
    place.engine.objects["services"][place.service()["ID"]]["UpdateStatus"] = {"State": "updating"}
    monkeypatch.setattr(rollout, "LONGEST_UPDATE", 0.01)
    monkeypatch.setattr(rollout, "A_REPLICA", 0.0)
    with pytest.raises(UnreachableError, match="under way"):
        publish(place, V[2])
    assert place.delivered() == dict(value)


def test_a_completed_update_is_not_delivered_while_a_task_has_the_old_list(
    place: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(place, V[1])
    monkeypatch.setattr(rollout, "LONGEST_UPDATE", 0.05)
    monkeypatch.setattr(rollout, "A_REPLICA", 0.0)
    monkeypatch.setattr(type(place.engine), "_start", lambda *_: None)
    with pytest.raises(UnreachableError):
        publish(place, V[2])
    current = place.open().versions("it").current
    assert current
    assert (current.id, current.published) == (V[2], None)
    assert (place.open().astray("it") or "").startswith("1 of the tasks")


def test_a_service_that_somebody_changed_since_is_decided_on_again(place: InMemory) -> None:
    changed: list[str] = []

    def change(_method: str, path: str) -> None:
        if path.startswith("/services/") and not changed:
            changed.append(path)
            place.change(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Env=["A=1"]))

    place.engine.before = change
    value = publish(place, V[1])
    assert place.delivered() == dict(value)
    assert place.service()["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=1"]


def test_a_secret_that_somebody_attached_by_hand_is_refused(place: InMemory) -> None:
    value = publish(place, V[1])
    place.edit(value["password"], "of-another")
    edited = place.listed()
    for act in (lambda: place.open().settle("it", NOW), lambda: publish(place, V[2])):
        with pytest.raises(StoreError, match="changed by hand"):
            act()
    assert place.listed() == edited
    assert "changed by hand" in (place.open().astray("it") or "")


def test_what_the_service_has_of_others_stays_as_it_is(place: InMemory) -> None:
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


def test_a_version_is_kept_until_there_is_a_service_and_delivered_to_it_then(place: InMemory) -> None:
    publish(place, V[1])
    place.remove_service()
    value = publish(place, V[2])
    store = place.open()
    current = store.versions("it").current
    assert current
    assert (current.id, current.published) == (V[2], None)
    assert store.astray("it") == f"service {place.name} is not there: pulumi up makes it"
    place.make_service()
    store.settle("it", NOW + HOUR)
    current = store.versions("it").current
    assert current
    assert current.published == NOW + HOUR
    assert place.delivered() == dict(value)


def test_secrets_that_a_killed_add_left_are_removed_and_their_number_is_never_given_again(place: InMemory) -> None:
    publish(place, V[1])
    lost, kept = make(), set[str]()
    for moment in itertools.count():
        before = {one.id for one in place.open().versions("it").all}
        name = V[moment % 8 + 2]
        was_killed = place.killed_at(functools.partial(place.open().add, "it", version(name), lost), moment)
        place.open().settle("it", NOW)
        versions = place.open().versions("it")
        if {one.id for one in versions.all} == before:
            assert [each for each in place.keeps(lost["password"]) if versions.pending is None] == []
        else:
            assert dict(place.open().read("it", name, purpose="test")) == dict(lost)
            place.open().discard("it", name)
        new = set(place.named()) - kept
        assert not any(each.startswith(f"{place.name}-it-v") and each in kept for each in new)
        kept |= new
        if not was_killed:
            break
    assert moment >= 12, "reserve, four secrets, the book: before and after each"


def test_what_a_lost_book_knew_is_never_removed_and_a_new_book_begins_above_it(place: InMemory) -> None:
    value = publish(place, V[1])
    place.api.remove("configs", place.location.book)
    before = set(place.named())
    store = place.open()
    assert store.versions("it").all == ()
    assert store.kept() == ()
    store.settle("it", NOW)
    assert place.delivered() == dict(value), "the server keeps what it has"
    new = publish(place, V[2])
    assert before <= set(place.named())
    assert place.delivered() == dict(new)


def test_a_book_of_another_stack_is_not_written(place: InMemory) -> None:
    publish(place, V[1])
    other = place.open(place.location.model_copy(update={"instance": "another"}))
    acts: tuple[Callable[[], None], ...] = (
        lambda: other.add("it", version(V[2]), make()),
        lambda: other.publish("it", V[1], NOW),
        lambda: other.forget("it"),
        lambda: other.lease("x").__enter__(),
    )
    for act in acts:
        with pytest.raises(StoreError, match=rf"is of {place.name}, and we are of another"):
            act()


def test_no_book_is_begun_in_a_swarm_that_has_nothing_of_the_stack(place: InMemory) -> None:
    place.remove_service()
    store = place.open()
    with store.lease("tick"), pytest.raises(StoreError, match=r"no service[\s\S]*DOCKER_HOST"):
        store.add("it", version(V[1]), make())
    assert place.api.get(f"/configs/{place.location.book}") is None


def test_who_was_followed_writes_no_more(place: InMemory) -> None:
    value = publish(place, V[1])
    slow = Timing(duration=0.3, renew=1000, look=0.05)
    stalled, follower = place.open(timing=slow), place.open(timing=slow)
    with stalled.lease("the stalled one"), follower.lease("its follower"):
        acts: list[Callable[[], object]] = [
            lambda: stalled.add("it", version(V[2]), make()),
            lambda: stalled.mark("it", V[1], verified=NOW),
            lambda: stalled.forget("it"),
            stalled.confirm,
        ]
        for act in acts:
            with pytest.raises(StoreError, match=r"not ours any more: its follower"):
                act()
    assert place.delivered() == dict(value)


def test_a_secret_that_a_service_uses_is_kept_until_it_does_not(place: InMemory) -> None:
    publish(place, V[1])
    first = place.listed()
    publish(place, V[2])
    place.open().mark("it", V[1], retired=NOW)
    assert not {each["SecretName"] for each in first} & set(place.named())
    second = place.listed()
    other = {"Name": f"{place.name}-other", "TaskTemplate": {"ContainerSpec": {"Image": "x", "Secrets": second}}}
    place.api.create("services", {**other, "Mode": {"Replicated": {"Replicas": 0}}})
    try:
        publish(place, V[3])
        place.open().mark("it", V[2], retired=NOW)
        assert {each["SecretName"] for each in second} <= set(place.named())
    finally:
        place.api.remove("services", f"{place.name}-other")
    place.open().settle("it", NOW)
    assert not {each["SecretName"] for each in second} & set(place.named())


def test_the_last_purge_removes_the_book_while_it_has_the_lease_and_nothing_is_left(
    place: InMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(place, V[1])
    store, remove, holders = place.open(), Api.remove, list[str]()

    def removed(api: Api, kind: Kind, name: str) -> bool:
        if kind == "configs":
            term = Shelf(place.api, place.location).read().term
            holders.append(term.holder if term else "nobody")
        return remove(api, kind, name)

    monkeypatch.setattr(Api, "remove", removed)
    with store.lease("purge"):
        store.forget("it")
    assert holders == ["purge"], "whoever else came would lose what they write"
    assert "lease" not in caplog.text
    assert place.named() == {}
    assert place.api.get(f"/configs/{place.location.book}") is None
    place.remove_service()
    with place.open().lease("purge"):
        assert place.open().kept() == ()


def test_swarm_records_of_each_access_are_written_before_it(place: InMemory) -> None:
    value = publish(place, V[1])
    store = place.open()
    assert store.read("it", V[1], purpose="apply") == value
    publish(place, V[2])
    store.mark("it", V[1], retired=NOW)
    store.forget("it")
    told = [(one["operation"], one["version"], one["purpose"]) for one in place.records()]
    new = [("write", V[1], "keep as pending"), ("write", V[1], "publish"), ("write", V[1], "deliver")]
    assert told == [
        *new,
        ("read", V[1], "apply"),
        *[(operation, V[2], purpose) for operation, _, purpose in new],
        ("delete", V[1], "retire"),
        ("delete", "all", "purge"),
    ]
    path = place.records_file
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match="recorded before it happens"):
        store.add("it", version(V[3]), make())
    assert place.named() == {}


def test_a_purge_from_outside_is_recorded_with_who_did_it(place: InMemory, capsys: pytest.CaptureFixture[str]) -> None:
    publish(place, V[1])
    from_outside(place).forget("it")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["actor"], told["operation"], told["secret"], told["version"], told["purpose"]) == (
        this_actor("operator"),
        "delete",
        "it",
        "all",
        "purge",
    )


def test_a_pending_version_whose_secrets_somebody_removed_is_not_published(place: InMemory) -> None:
    value = publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    for name in place.named():
        if "-v2" in name:
            place.api.remove("secrets", name)
    with pytest.raises(NotFoundError):
        place.open().publish("it", V[2], NOW)
    assert place.delivered() == dict(value)


def test_in_no_task_a_value_is_neither_read_nor_made_and_facts_are(place: InMemory) -> None:
    publish(place, V[1])
    outside = from_outside(place)
    for act in (lambda: outside.read("it", V[1], purpose="test"), lambda: outside.add("it", version(V[2]), make())):
        with pytest.raises(StoreError, match="run as such a task"):
            act()
    assert outside.astray("it") is None
    current = outside.versions("it").current
    assert current
    assert current.id == V[1]
    outside.settle("it", NOW)
    assert place.open().versions("it").pending is None


def test_a_file_that_the_stack_names_otherwise_is_moved_there(place: InMemory) -> None:
    value = publish(place, V[1])
    files = {"password": SwarmFile(name="elsewhere", mode=0o440)}
    place.open(place.location.model_copy(update={"delivered": {"it": files}})).settle("it", NOW)
    texts = place.engine.texts
    found = {each["File"]["Name"]: texts[each["SecretName"]] for each in place.listed()}
    assert found == {"elsewhere": value["password"], "it-version": V[1]}
    assert {(one["File"]["UID"], one["File"]["Mode"]) for one in place.listed()} == {("10001", 0o440), ("10001", 0o400)}
    place.open(place.location.model_copy(update={"delivered": {}})).settle("it", NOW)
    assert place.listed() == []
