"""Behavior of the Kubernetes store alone, on a namespace in memory. tests/stacks/test_staging.py uses a real API
server."""

import json
import threading
import time
from collections.abc import Callable

import httpx2
import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease

from secretops.engine.journal import Entry
from secretops.engine.state import Stage
from secretops.errors import ExitCode, NotFoundError, StoreError, UnreachableError
from secretops.platforms.kubernetes.api import PATIENCE_SECONDS, Api
from secretops.platforms.kubernetes.connection import Connection
from secretops.platforms.kubernetes.lease import INSTANCE, Timing
from secretops.platforms.kubernetes.secrets import MOST_BYTES, PREFIX
from secretops.platforms.kubernetes.store import KubernetesVersionStore
from secretops.stores import lease
from secretops.stores.store_errors import InvalidValueError
from tests.contract.versions import FIELDS, NOW, make, version
from tests.contract.versions import publish_with as publish
from tests.unit.memory_cluster import SERVER, Clock, InMemory, quick, refused


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return quick(monkeypatch)


@pytest.fixture
def place() -> InMemory:
    return InMemory()


def test_unreachable_api_server_is_retried_until_the_deadline(place: InMemory, clock: Clock) -> None:
    place.client.answer = lambda _verb, _name: httpx2.ConnectError("refused")
    with pytest.raises(UnreachableError, match=r"\[service-unreachable\]"):
        place.open().versions("it")
    assert len(place.client.calls) > 5
    assert PATIENCE_SECONDS - 2 <= clock.now <= PATIENCE_SECONDS


@pytest.mark.parametrize("deed", [429, 503, 0, 409], ids=["too many", "unavailable", "answer lost", "conflict"])
def test_whatever_happens_to_each_first_try_everything_is_done_once(place: InMemory, deed: int) -> None:
    happened, seen = 0, set[str]()

    def first(verb: str, name: str) -> int | None:
        nonlocal happened
        tried = f"{verb} {name}"
        if (verb == "get" and deed in (0, 409)) or tried in seen:
            seen.discard(tried)
            return None
        seen.add(tried)
        happened += 1
        return deed

    place.client.answer = first
    store = place.open()
    with store.lease("it"):
        old, new = publish(store, "v1"), publish(store, "v2")
        store.mark("it", "v2", verified=NOW)
        store.mark("it", "v1", retired=NOW)
    assert happened >= 10
    place.client.answer = lambda _verb, _name: None
    saved = place.open().versions("it")
    assert [(one.id, one.stage) for one in saved.all] == [("v1", Stage.PREVIOUS), ("v2", Stage.CURRENT)]
    assert saved.current
    assert saved.current.verified == saved.current.published == NOW
    assert place.delivered() == dict(new)
    assert place.keeps(old["password"]) == []


@pytest.mark.parametrize(
    ("status", "verb", "code", "words"),
    [
        (401, "get", "kubernetes-login-rejected", "user admin of context test"),
        (403, "get", "kubernetes-access-denied", "secrets/versions"),
        (404, "create", "namespace-missing", "plant"),
        (422, "update", "kubernetes-request-rejected", "secrets/versions"),
    ],
)
def test_refusal_names_its_object_and_is_not_retried(
    place: InMemory, status: int, verb: str, code: str, words: str
) -> None:
    if verb == "update":
        publish(place.open(), "v1")
    place.client.calls.clear()
    place.client.answer = lambda calls, _name: status if calls == verb else None
    with pytest.raises(StoreError, match=words) as caught:
        place.open(place.location.model_copy(update={"delivered": {}})).add("it", version("v2"), make())
    assert (caught.value.code, caught.value.exit_code) == (code, ExitCode.FAILED)
    assert [calls for calls, _ in place.client.calls].count(verb) == 1


def test_login_of_a_plugin_is_renewed_once_after_status_401(place: InMemory) -> None:
    statuses, opened = iter((401, None, 401, 401)), list[Connection]()

    def connecting(_context: str | None) -> Connection:
        opened.append(Connection(place.client, SERVER, "user admin", by_plugin=True))  # type: ignore[arg-type]
        return opened[-1]

    api = Api(place.name, open_connection=connecting)
    place.client.answer = lambda _verb, _name: next(statuses)
    assert api.get(Lease, "versions") is None
    with pytest.raises(StoreError, match=r"\[kubernetes-login-rejected\]"):
        api.get(Lease, "versions")
    assert (len(opened), list(statuses)) == (3, [])


def test_refusal_names_the_field_and_never_its_value(place: InMemory) -> None:
    value = make()
    causes = [{"field": "data", "reason": "FieldValueForbidden", "message": value["password"]}]
    status = {"message": value["password"], "details": {"causes": causes}}
    place.client.answer = lambda verb, _name: refused(422, status=status) if verb == "create" else None
    with pytest.raises(StoreError, match="data") as caught:
        publish(place.open(), "v1", value)
    assert value["password"] not in str(caught.value)


def test_oversized_write_is_rejected_before_any_change(place: InMemory) -> None:
    store = place.open()
    first = publish(store, "v1")
    before = place.data(place.VERSIONS)
    with pytest.raises(StoreError, match=r"versions .*\[value-too-large\]"):
        store.add("it", version("v2"), make(password="p" * MOST_BYTES))
    assert place.data(place.VERSIONS) == before
    store.add("it", version("v3"), make(password="p" * (MOST_BYTES // 2)))
    saved = store.versions("it")
    place.set(place.DELIVERED, {"mine": b"m" * (MOST_BYTES // 2)})
    with pytest.raises(StoreError, match=r"delivered .*\[value-too-large\]"):
        store.publish("it", "v3", NOW)
    assert store.versions("it") == saved
    assert place.delivered() == dict(first)


def test_a_persons_own_keys_and_notes_survive_every_version_and_the_purge(place: InMemory) -> None:
    store = place.open()
    publish(store, "v1")
    for name in (place.DELIVERED, place.VERSIONS):
        place.set(name, {"mine": b"\xff\x00"})
        found = place.client.objects[("Secret", name)]
        found.metadata.annotations["example.org/mine"] = "yes"
        found.metadata.labels = {"mine": "too"}
    publish(store, "v2")
    store.mark("it", "v1", retired=NOW)
    store.forget("it")
    for name in (place.DELIVERED, place.VERSIONS):
        assert place.data(name) == {"mine": b"\xff\x00"}
        assert place.annotations(name) == {"example.org/mine": "yes"}
        assert place.client.objects[("Secret", name)].metadata.labels == {"mine": "too"}


@pytest.mark.parametrize("then", ["recover", "put"])
def test_a_purge_killed_at_any_request_is_never_undone(place: InMemory, then: str) -> None:
    """After the next tick, the purge is complete, unless it had not begun. Then the store accepts a new value."""
    moment, killed, begun = 0, True, False
    while killed:
        store = place.open()
        value = publish(store, f"v{moment}")
        killed = place.killed_at(lambda: place.open().forget("it"), moment)
        begun = begun or store.versions("it").current is None
        assert store.secret_names() == ("it",) or place.keeps(value["password"]) == [], "a purge of all finds it again"
        if then == "recover":
            store.recover("it", NOW)
            assert place.delivered() == (dict.fromkeys(FIELDS) if begun else dict(value))
            assert (store.secret_names() == ()) is (place.keeps(value["password"]) == []) is begun
        else:
            new = publish(store, f"new-{moment}")
            assert place.delivered() == dict(new)
        store.forget("it")
        moment += 1
    assert begun
    assert moment > 5, "some moments are missed"


def test_a_value_that_was_there_before_secretops_is_not_overwritten(place: InMemory) -> None:
    place.set(place.DELIVERED, {"it-password": b"of-before"})
    store = place.open()
    store.add("it", version("v1"), make())
    with pytest.raises(StoreError, match=r"it-password.*\[value-edited\]"):
        store.publish("it", "v1", NOW)
    assert place.data(place.DELIVERED) == {"it-password": b"of-before"}
    assert store.versions("it").current is None
    store.discard("it", "v1")
    adopted = publish(store, "v2", make(password="of-before"))
    assert place.delivered() == dict(adopted)


def test_edit_is_adopted_while_the_version_before_is_undelivered(place: InMemory) -> None:
    store = place.open()
    publish(store, "v1")
    place.client.answer = lambda verb, name: 403 if (verb, name) == ("update", place.DELIVERED) else None
    with pytest.raises(StoreError, match=r"\[kubernetes-access-denied\]"):
        publish(store, "v2")
    place.client.answer = lambda _verb, _name: None
    place.set(place.DELIVERED, {"it-password": b"typed-by-a-person"})
    adopted = publish(store, "v3", make(password="typed-by-a-person"))
    assert place.delivered() == dict(adopted)


def test_lost_value_is_replaced_and_an_edit_of_another_is_not(place: InMemory) -> None:
    store = place.open()
    publish(store, "v1")
    publish(store, "v2")
    place.set(place.VERSIONS, {"it.v1": None})
    store.recover("it", NOW)
    place.set(place.VERSIONS, {"it.v2": None})
    with pytest.raises(NotFoundError, match=r"v2 \[value-not-found\]"):
        store.recover("it", NOW)
    new = publish(store, "v3")
    assert place.delivered() == dict(new)
    place.edit(new["password"], "typed-by-a-person")
    with pytest.raises(StoreError, match=r"\[value-edited\]"):
        publish(store, "v4")


def test_unreadable_data_is_an_error_and_stays(place: InMemory) -> None:
    publish(place.open(), "v1")
    place.set(place.VERSIONS, {"it.v1": b'{"password": "cut sho'})
    with pytest.raises(InvalidValueError, match=r"it\.v1(.|\n)*secretops rotate it --now, or secretops put") as caught:
        place.open().recover("it", NOW)
    assert "cut sho" not in str(caught.value)
    publish(place.open(), "v2")
    annotations = place.client.objects[("Secret", place.VERSIONS)].metadata.annotations
    for garbage in ("", "{}", '[{"id": 1}]'):
        annotations[f"{PREFIX}versions.it"] = garbage
        for act in (lambda: place.open().versions("it"), lambda: place.open().add("it", version("v2"), make())):
            with pytest.raises(StoreError, match=r"versions\.it"):
                act()
    assert place.annotations(place.VERSIONS)[f"{PREFIX}versions.it"] == garbage


def entry(outcome: str = "done", step: str = "verify") -> Entry:
    return Entry(time=NOW, secret="it", version="v1", step=step, outcome=outcome)


def test_last_journal_entry_is_stored_and_all_are_logged(place: InMemory, capsys: pytest.CaptureFixture[str]) -> None:
    publish(place.open(), "v1")
    assert place.open().journal.last("it") is None
    place.open().journal.write(entry(step="apply"))
    assert capsys.readouterr() == ("", ""), "an operator sees how it went"
    KubernetesVersionStore(place.location, place.api(), log_entries=True).journal.write(entry("it was refused"))
    assert place.open().journal.last("it") == entry("it was refused")
    logged = json.loads(capsys.readouterr().err)
    assert (logged["secret"], logged["version"], logged["step"], logged["outcome"]) == (
        "it",
        "v1",
        "verify",
        "it was refused",
    )
    assert place.open().versions("it").current, "the other secret is untouched"


# The lease

# Of a holder that never renews: stopped, or disconnected from the API server.
DEAD = Timing(duration=1, renew=1000, poll=0.01)


def test_a_holder_that_does_not_renew_is_followed_and_writes_no_more(place: InMemory) -> None:
    first, second = place.open(timing=DEAD), place.open()
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
                with pytest.raises(StoreError, match="its holder is now the second"):
                    act()
            assert place.data(place.VERSIONS) == before
            publish(second, "v3")
    spec = place.lease().spec
    assert spec
    assert (spec.holderIdentity, spec.leaseTransitions) == ("", 2), "the first gave nothing back"


@pytest.mark.parametrize(
    ("label", "instance"),
    [("coreflux-mcp-prod", "coreflux-mcp-staging"), (None, "coreflux-mcp-staging"), ("coreflux-mcp-prod", "")],
)
def test_nothing_is_written_under_another_stacks_lease(place: InMemory, label: str | None, instance: str) -> None:
    labels = {INSTANCE: label} if label else {"app.kubernetes.io/name": "coreflux-mcp-rotator"}
    place.client.create(Lease(metadata=ObjectMeta(name=place.LEASE, namespace="plant", labels=labels)))
    store = place.open(place.location.model_copy(update={"instance": instance}))
    with pytest.raises(StoreError, match=r"\[lease-of-another-stack\]"), store.lease("it"):
        pass
    assert place.lease().spec is None
    own = place.open(place.location.model_copy(update={"instance": label or ""}))
    with own.lease("it"):
        publish(own, "v1")


def test_read_returns_no_value_to_a_holder_with_a_lost_lease(place: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(place.open(), "v1")
    store, now, reading = place.open(timing=DEAD), [lease.boot_clock()], threading.Event()
    monkeypatch.setattr(lease, "boot_clock", lambda: now[-1])

    def stall(_verb: str, name: str) -> None:
        if reading.is_set() and name == place.VERSIONS:
            reading.clear()
            place.take_over()
            now.append(now[-1] + DEAD.trusted + 0.1)  # as a busy API server does

    with store.lease("held up"):
        place.client.answer = stall
        reading.set()
        with pytest.raises(StoreError, match="its holder is now the follower"):
            store.read("it", "v1", purpose="test")
        assert not reading.is_set()


def test_confirm_queries_the_api_server_after_any_renewal(place: InMemory) -> None:
    store = place.open(timing=Timing(duration=3600, renew=3600, poll=0.1))
    store.confirm()
    with store.lease("held up"):
        store.confirm()
        place.take_over()
        with pytest.raises(StoreError, match="its holder is now the follower"):
            store.confirm()


def test_empty_lease_is_acquired_and_released(place: InMemory) -> None:
    place.client.create(Lease(metadata=ObjectMeta(name=place.LEASE, namespace="plant")))
    with place.open().lease("it"):
        spec = place.lease().spec
        assert spec
        assert (spec.holderIdentity, spec.leaseDurationSeconds) == ("it", 6)
    spec = place.lease().spec
    assert spec and spec.holderIdentity == ""
