"""What only the Swarm store does, on a real Swarm: its delivery, its book, and what is nobody's to remove."""

from __future__ import annotations

import functools
import itertools
import json
import logging
import secrets
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from secretops.access import this_actor
from secretops.engine.state import Stage
from secretops.errors import ExitCode, NotFoundError, StoreError, UnreachableError, UsageError
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol, Reader, Secret, SecretKind, SwarmFile
from secretops.operations.audit import audit
from secretops.stores.leases import Timing
from secretops.stores.swarm import SwarmVersionStore, rollout
from secretops.stores.swarm.api import Api, Kind
from secretops.stores.swarm.book import Shelf
from secretops.values import Value
from tests.contract.swarm_place import FILES, InSwarm
from tests.contract.test_stores import HOUR, NOW, V, make, version
from tests.real.dockerd import BASE

pytestmark = pytest.mark.real

FAILS = "grep -qs broken /run/secrets/it_username || exec sleep infinity"
"""A server that ends at once with one value."""


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> InSwarm:
    return InSwarm(InSwarm.fresh(request, tmp_path))


def publish(place: InSwarm, name: str, value: Value | None = None) -> Value:
    value, store = value or make(), place.open()
    store.add("it", version(name), value)
    store.publish("it", name, NOW)
    return value


def test_an_update_that_goes_back_is_told_readers_keep_what_works_and_the_next_version_is_delivered(
    place: InSwarm,
) -> None:
    place.remove_service()
    place.make_service(command=("sh", "-c", FAILS), monitor=6)
    place.settled()
    good = publish(place, V[1])
    broken = Value({**make(), "username": "broken"})
    with pytest.raises(StoreError, match=r"went back[\s\S]*docker service ps"):
        publish(place, V[2], broken)
    store = place.open()
    current = store.versions("it").current
    assert current
    assert (current.id, current.published) == (V[2], None)
    assert place.delivered() == dict(good)
    assert store.astray("it") == "not delivered: secretops tick"
    with pytest.raises(StoreError, match="went back"):
        store.settle("it", NOW)
    mended = publish(place, V[3])
    assert place.delivered() == dict(mended)
    assert {one.id: one.stage for one in store.versions("it").all} == {V[2]: Stage.PREVIOUS, V[3]: Stage.CURRENT}
    assert place.keeps(good["password"]) == []


def test_an_update_whose_container_the_daemon_does_not_start_is_sent_again(
    place: InSwarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Docker does not start some that have secrets (moby/moby, issue 48783): here, until the image is another."""
    image, archive = f"coreflux-mcp-server:{secrets.token_hex(3)}", tmp_path / "empty.tar"
    place.docker("tag", BASE, image)
    place.remove_service()
    place.make_service(image=image, monitor=6)
    place.settled()
    good = publish(place, V[1])
    tarfile.open(archive, "w").close()
    place.docker("import", str(archive), image)
    sent, update = 0, Api.update

    def updated(api: Api, *arguments: Any) -> bool:
        nonlocal sent
        sent += (service := arguments[0] == "services")
        if service and sent == 2:
            assert place.delivered() == dict(good), "readers keep what works"
            place.docker("tag", BASE, image)
        return update(api, *arguments)

    with monkeypatch.context() as counting:
        counting.setattr(Api, "update", updated)
        value = publish(place, V[2])
    assert sent == 2
    assert place.delivered() == dict(value)


def test_an_update_that_is_paused_is_told_and_the_next_version_goes_on_from_there(
    place: InSwarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.remove_service()
    place.make_service(command=("sh", "-c", FAILS), monitor=4)
    place.change(lambda spec: spec["UpdateConfig"].update(FailureAction="pause"))
    publish(place, V[1])
    with pytest.raises(StoreError, match="is paused"):
        publish(place, V[2], Value({**make(), "username": "broken"}))
    with monkeypatch.context() as impatient:
        impatient.setattr(rollout, "RUNS_WITHIN", 5.0)
        impatient.setattr(rollout, "STEADY", 3600.0)  # a slow daemon says for a while of what has ended that it runs
        for _ in range(2):
            with pytest.raises(StoreError, match="left no task that runs"):
                place.open().settle("it", NOW)
    assert place.open().versions("it").current == version(V[2]).at(stage=Stage.CURRENT)
    mended = publish(place, V[3])
    assert place.delivered() == dict(mended)


def test_a_delivery_waits_for_somebodys_update_and_docker_keeps_its_way_back_to_what_worked(place: InSwarm) -> None:
    place.remove_service()
    place.make_service(monitor=6)
    place.settled()
    publish(place, V[1])
    works = place.service()["Spec"]["TaskTemplate"]["ContainerSpec"]["Command"]
    place.send(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Command=["sh", "-c", "sleep 4; exit 1"]))
    value = publish(place, V[2])
    assert place.service()["Spec"]["TaskTemplate"]["ContainerSpec"]["Command"] == works
    assert place.service()["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Command"] == works
    assert place.delivered() == dict(value)


def test_an_update_of_somebodys_that_never_ends_is_told_and_nothing_is_written_over_it(
    place: InSwarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = publish(place, V[1])
    place.send(lambda spec: spec["TaskTemplate"].update(Placement={"Constraints": ["node.labels.none==here"]}))
    with monkeypatch.context() as impatient:
        impatient.setattr(rollout, "LONGEST_UPDATE", 1.0)
        impatient.setattr(rollout, "A_REPLICA", 1.0)
        with pytest.raises(UnreachableError, match=r"under way has not ended in 2 s[\s\S]*docker service rollback"):
            publish(place, V[2])
    place.docker("service", "rollback", "--detach", place.name)
    assert place.delivered() == dict(value)
    place.open().settle("it", NOW)
    assert place.delivered() != dict(value)


def test_every_replica_has_the_new_version_when_publish_returns_and_no_container_ever_changes(place: InSwarm) -> None:
    place.change(lambda spec: spec["Mode"]["Replicated"].update(Replicas=2))
    publish(place, V[1])
    value = publish(place, V[2])
    running = [task for task in place.tasks() if task["DesiredState"] == "running"]
    assert len(running) == 2
    for task in running:
        files = place.files(task["Status"]["ContainerStatus"]["ContainerID"])
        assert {field: files[file] for field, file in FILES.items()} == dict(value)
        assert files["it-version"] == V[2]
    assert {(one["File"]["UID"], one["File"]["Mode"]) for one in place.listed()} == {("10001", 0o400)}


def test_what_the_service_has_of_others_stays_as_it_is(place: InSwarm) -> None:
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


def test_a_version_is_kept_until_there_is_a_service_and_delivered_to_it_then(place: InSwarm) -> None:
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


def test_a_list_that_a_deployment_took_back_is_brought_forward_again(place: InSwarm) -> None:
    publish(place, V[1])
    first = place.listed()
    value = publish(place, V[2])
    place.set_list(first)
    assert place.open().astray("it") == "not delivered: secretops tick"
    place.open().settle("it", NOW)
    assert place.delivered() == dict(value)


def test_secrets_that_a_killed_add_left_are_removed_and_their_number_is_never_given_again(place: InSwarm) -> None:
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


def test_what_a_lost_book_knew_is_never_removed_and_a_new_book_begins_above_it(place: InSwarm) -> None:
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


def test_a_book_of_another_stack_is_not_written(place: InSwarm) -> None:
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


def test_no_book_is_begun_in_a_swarm_that_has_nothing_of_the_stack(place: InSwarm) -> None:
    place.remove_service()
    store = place.open()
    with store.lease("tick"), pytest.raises(StoreError, match=r"no service[\s\S]*DOCKER_HOST"):
        store.add("it", version(V[1]), make())
    assert place.api.get(f"/configs/{place.location.book}") is None


def test_who_was_followed_writes_no_more(place: InSwarm) -> None:
    value = publish(place, V[1])
    slow = Timing(duration=1, renew=1000, look=0.1)
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


def test_a_secret_that_a_service_uses_is_kept_until_it_does_not(place: InSwarm) -> None:
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
    place: InSwarm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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


def test_swarm_records_of_each_access_are_written_before_it(place: InSwarm) -> None:
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


def test_a_purge_where_no_value_can_be_read_is_recorded_with_who_did_it(
    place: InSwarm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(place, V[1])
    monkeypatch.setenv("DOCKER_HOST", place.environment["DOCKER_HOST"])
    outside = SwarmVersionStore.open(place.location, role="operator")
    with pytest.raises(StoreError, match="run as such a task"):
        outside.read("it", V[1], purpose="test")
    outside.forget("it")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["actor"], told["operation"], told["secret"], told["version"], told["purpose"]) == (
        this_actor("operator"),
        "delete",
        "it",
        "all",
        "purge",
    )


def test_what_no_swarm_secret_holds_is_refused_and_nothing_is_kept(place: InSwarm) -> None:
    store = place.open()
    for value in ({**make(), "password": ""}, {**make(), "password": "x" * 512_000}, {"f" * 64: "text"}):
        with pytest.raises(UsageError):
            store.add("it", version(V[1]), Value(value))
    assert place.named() == {}


def test_a_pending_version_whose_secrets_somebody_removed_is_not_published(place: InSwarm) -> None:
    value = publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    for name in place.named():
        if "-v2" in name:
            place.api.remove("secrets", name)
    with pytest.raises(NotFoundError):
        place.open().publish("it", V[2], NOW)
    assert place.delivered() == dict(value)


def test_in_no_task_a_value_is_neither_read_nor_made_and_facts_are(
    place: InSwarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(place, V[1])
    monkeypatch.setenv("DOCKER_HOST", place.environment["DOCKER_HOST"])
    outside = SwarmVersionStore.open(place.location, role="operator")
    for act in (lambda: outside.read("it", V[1], purpose="test"), lambda: outside.add("it", version(V[2]), make())):
        with pytest.raises(StoreError, match="run as such a task"):
            act()
    assert outside.astray("it") is None
    current = outside.versions("it").current
    assert current
    assert current.id == V[1]
    outside.settle("it", NOW)
    assert place.open().versions("it").pending is None


def test_a_file_that_the_stack_names_otherwise_is_moved_there(place: InSwarm) -> None:
    value = publish(place, V[1])
    files = {"password": SwarmFile(name="elsewhere", mode=0o440)}
    place.open(place.location.model_copy(update={"delivered": {"it": files}})).settle("it", NOW)
    (task,) = place.settled()
    found = place.files(task["Status"]["ContainerStatus"]["ContainerID"])
    assert found == {"elsewhere": value["password"], "it-version": V[1]}
    place.open(place.location.model_copy(update={"delivered": {}})).settle("it", NOW)
    assert place.listed() == []


def test_no_value_is_in_what_a_daemon_shows_or_a_library_logs(place: InSwarm, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    value = publish(place, V[1])
    assert "secrets/create" in caplog.text, "it is logged at all"
    assert not any(text in caplog.text for text in value.values())
    shown = json.dumps(
        [place.api.get("/configs"), place.api.get("/secrets"), place.api.get("/services"), place.tasks()]
    )
    assert not any(text in shown for text in value.values())


def test_the_daemons_own_events_are_read_by_audit_and_a_command_in_the_container_is_a_read(
    place: InSwarm, tmp_path: Path
) -> None:
    begin = place.docker("info", "--format", "{{.SystemTime}}").strip()
    publish(place, V[1])
    place.delivered()
    end = place.docker("info", "--format", "{{.SystemTime}}").strip()
    form = "{{json .}}"
    file = tmp_path / "events.json"
    file.write_text(place.docker("events", "--since", begin, "--until", end, "--format", form))
    it = Secret(name="it", kind=SecretKind.SUPPLIED, fields=tuple(FILES), readers=(Reader.SERVER,), cadence_days=90)
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="nowhere", port=1, protocol=MqttProtocol.V5, tls=False)
    manifest = Manifest(project="p", stack="s", store=place.location, broker=broker, secrets=(it,), grace_seconds=30)
    view = audit(manifest, [str(file)])
    counted = {row.operation: row.count for row in view.rows}
    assert counted["secret create"] == 4
    assert counted["exec"] >= 1, "place.delivered() looks by one"
    assert view.exit_code is ExitCode.ATTENTION
    assert view.broken == 0
