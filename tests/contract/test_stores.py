"""Behavior of all stores: one suite, with one row per store. A row lists the store's gaps. Tests of the dotenv store
alone are at the end.

The folder, locks, kills, full disk and API server are real. moto replaces AWS.
"""

import contextlib
import functools
import itertools
import os
import stat
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st

from secretops.access import AccessRecords
from secretops.engine.ports import VersionStore
from secretops.engine.state import Stage, Version
from secretops.errors import LeaseHeldError, NotFoundError, StoreError, UsageError
from secretops.platforms.dotenv.location import DotenvStoreLocation
from secretops.platforms.dotenv.store import DotenvVersionStore
from secretops.stores import lease
from secretops.values import Value, new_password
from tests.contract.places import ROWS, Feature, Folder, Place, Row
from tests.contract.versions import FIELDS, NOW, make
from tests.real.accidents import NOBODY, fill, in_child, small_disk

HOUR = timedelta(hours=1)
SLOW = ("kubernetes", "azure", "swarm")  # The rows built from Go or npm, or that need root.
EXAMPLES = 20
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@dataclass
class Opened:
    row: Row
    place: Place

    @property
    def store(self) -> VersionStore:
        return self.place.open()

    def publish(self, name: str, value: Value | None = None, *, at: datetime = NOW) -> Value:
        value = value or make()
        self.store.add("it", version(name), value)
        self.store.publish("it", name, at)
        return value

    def stages(self) -> dict[str, Stage]:
        return {one.id: one.stage for one in self.store.versions("it").all}

    def delivered(self) -> dict[str, str | None]:
        return self.place.delivered()

    def keeps(self, text: str) -> list[str]:
        return self.place.keeps(text)


@pytest.fixture(
    params=[
        pytest.param(
            row,
            id=row.name,
            marks=[pytest.mark.real] * row.starts_something
            + [pytest.mark.slow] * (row.starts_something and row.name.startswith(SLOW)),
        )
        for row in ROWS
    ]
)
def row(request: pytest.FixtureRequest) -> Row:
    assert isinstance(request.param, Row)
    return request.param


@pytest.fixture
def fresh(request: pytest.FixtureRequest, row: Row) -> Callable[[Path], Opened]:
    return lambda folder: Opened(row, row.at(row.fresh(request, folder)))


@pytest.fixture
def opened(fresh: Callable[[Path], Opened], tmp_path: Path) -> Opened:
    return fresh(tmp_path)


def needs(opened: Opened, feature: Feature) -> None:
    if feature in opened.row.gaps:
        pytest.skip(f"a declared gap of {opened.row.name}: {opened.row.gaps[feature]}")


def named(number: int) -> str:
    """Return a version's id: as long as AWS requires, and in order of `number`."""
    return f"v{number}-of-the-contract-of-all-stores"


V = tuple(named(number) for number in range(10))


def version(name: str, **facts: str | datetime | None) -> Version:
    about = {"user": "a", **facts}
    return Version(id=name, stage=Stage.PENDING, created=NOW - HOUR, **about)  # type: ignore[arg-type]


def test_new_version_is_pending_and_not_delivered(opened: Opened) -> None:
    first = opened.publish(V[1])
    second = make()
    added = version(V[2], expires=NOW + HOUR, user=f"{uuid.uuid4()}/{uuid.uuid4()}")  # like an agent's key
    opened.store.add("it", added, second)
    assert opened.store.versions("it").pending == added
    assert opened.delivered() == dict(first)
    assert opened.store.read("it", V[2], purpose="test") == second


def test_the_same_id_again_is_a_no_op(opened: Opened) -> None:
    kept = make()
    opened.store.add("it", version(V[1]), kept)
    opened.store.add("it", version(V[1]), make())
    assert opened.store.read("it", V[1], purpose="test") == kept
    opened.store.publish("it", V[1], NOW)
    opened.store.add("it", version(V[1]), make())
    assert opened.stages() == {V[1]: Stage.CURRENT}
    assert opened.delivered() == dict(kept)


def test_second_pending_version_replaces_the_first(opened: Opened) -> None:
    lost = make()
    opened.store.add("it", version(V[1]), lost)
    opened.store.add("it", version(V[2]), make())
    assert opened.stages() == {V[2]: Stage.PENDING}
    assert opened.keeps(lost["password"]) == []
    with pytest.raises(NotFoundError):
        opened.store.read("it", V[1], purpose="test")


def test_publish_moves_current_and_previous_and_delivers(opened: Opened) -> None:
    values = [opened.publish(named(number), at=NOW + number * HOUR) for number in (1, 2, 3)]
    assert opened.stages() == {V[2]: Stage.PREVIOUS, V[3]: Stage.CURRENT}
    assert opened.delivered() == dict(values[2])
    versions = opened.store.versions("it")
    assert versions.current and versions.current.published == NOW + 3 * HOUR
    assert versions.previous and versions.previous.published == NOW + 2 * HOUR
    assert opened.store.read("it", V[2], purpose="test") == values[1]
    assert opened.keeps(values[0]["password"]) == []
    opened.store.publish("it", V[3], NOW + 9 * HOUR)
    opened.store.recover("it", NOW + 9 * HOUR)
    assert opened.store.versions("it") == versions


def test_missing_version_is_not_found(opened: Opened) -> None:
    opened.publish(V[1])
    with pytest.raises(NotFoundError, match="nothing"):
        opened.store.read("it", "nothing", purpose="test")
    with pytest.raises(NotFoundError):
        opened.store.read("other", V[1], purpose="test")
    with pytest.raises(NotFoundError):
        opened.store.publish("it", "nothing", NOW)
    with pytest.raises(NotFoundError):
        opened.store.mark("it", "nothing", verified=NOW)
    assert opened.stages() == {V[1]: Stage.CURRENT}


def test_any_value_is_read_back_and_delivered_exactly(opened: Opened) -> None:
    texts = TEXTS.filter(bool) if Feature.EMPTY_TEXT in opened.row.gaps else TEXTS

    @settings(max_examples=min(opened.row.examples, EXAMPLES), deadline=None)
    @given(st.fixed_dictionaries(dict.fromkeys(FIELDS, texts)))
    def holds(fields: dict[str, str]) -> None:
        name = named(next(_numbers))
        opened.publish(name, Value(fields))
        assert dict(opened.store.read("it", name, purpose="test")) == fields
        assert opened.delivered() == fields

    holds()


_numbers = itertools.count()


def test_undeliverable_value_is_refused_and_not_stored(opened: Opened) -> None:
    for text in ("a\0b", "\ud800"):
        with pytest.raises(UsageError):
            opened.store.add("it", version(V[1]), Value({**make(), "password": text}))
    assert opened.store.versions("it").all == ()


def test_marks_are_stored(opened: Opened) -> None:
    opened.publish(V[1])
    opened.store.mark("it", V[1], verified=NOW)
    opened.publish(V[2])
    opened.store.mark("it", V[2], verified=NOW + HOUR)
    opened.store.mark("it", V[1], retired=NOW + HOUR)
    versions = opened.store.versions("it")
    assert versions.previous and (versions.previous.verified, versions.previous.retired) == (NOW, NOW + HOUR)
    assert versions.current and (versions.current.verified, versions.current.retired) == (NOW + HOUR, None)


def test_retiring_forgets_the_value_and_keeps_the_fact(opened: Opened) -> None:
    old, new = opened.publish(V[1]), opened.publish(V[2])
    opened.store.mark("it", V[1], retired=NOW)
    assert opened.stages() == {V[1]: Stage.PREVIOUS, V[2]: Stage.CURRENT}
    assert opened.keeps(old["password"]) == []
    with pytest.raises(NotFoundError):
        opened.store.read("it", V[1], purpose="test")
    assert opened.delivered() == dict(new)


def test_discard_forgets_a_pending_version_and_no_other(opened: Opened) -> None:
    kept = opened.publish(V[1])
    lost = make()
    opened.store.add("it", version(V[2]), lost)
    opened.store.discard("it", V[2])
    opened.store.discard("it", V[2])
    opened.store.discard("it", V[1])
    opened.store.discard("other", V[1])
    assert opened.stages() == {V[1]: Stage.CURRENT}
    assert opened.keeps(lost["password"]) == []
    assert opened.delivered() == dict(kept)


def test_forget_removes_every_version_and_everything_delivered(opened: Opened) -> None:
    values = [opened.publish(V[1]), opened.publish(V[2]), make()]
    opened.store.add("it", version(V[3]), values[2])
    opened.store.forget("it")
    opened.store.forget("it")
    assert opened.store.versions("it").all == ()
    assert opened.delivered() == dict.fromkeys(FIELDS)
    assert [opened.keeps(value[name]) for value in values for name in FIELDS] == [[]] * 9
    again = opened.publish(V[4])
    assert opened.delivered() == dict(again)


HOLD = """
import sys, signal
from tests.contract.places import ROWS
row = next(row for row in ROWS if row.name == sys.argv[1])
with row.at(sys.argv[2]).open().lease("the first of two"):
    print("held", flush=True)
    signal.pause()
"""


def test_lease_excludes_others_names_its_holder_and_ends_with_sigkill(opened: Opened) -> None:
    needs(opened, Feature.ANOTHER_PROCESS)
    command = [sys.executable, "-c", HOLD, opened.row.name, opened.place.address]
    with pytest.raises(RuntimeError), opened.store.lease("one that fails"):
        raise RuntimeError
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    try:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        with pytest.raises(LeaseHeldError, match="the first of two"), opened.store.lease("the second"):
            pass
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout
        holder.stdout.close()
    with opened.store.lease("the second"):
        pass


@pytest.mark.parametrize("slept", [True, False], ids=["after a sleep", "after a recent renewal"])
def test_rotator_with_a_lost_lease_does_not_publish(
    opened: Opened, slept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(opened, Feature.LEASE_CAN_BE_LOST)
    if not slept:
        needs(opened, Feature.ASKS_BEFORE_EACH_PUBLISH)
    opened.publish(V[1])
    opened.store.add("it", version(V[2]), make())
    monkeypatch.setattr(lease.HeldLease, "renew", lambda _self: None)
    stalled, new = opened.store, make()
    with contextlib.ExitStack() as held:
        held.enter_context(stalled.lease("the stalled one"))
        opened.row.let_follow(opened.place, monkeypatch)
        follower = opened.store
        held.enter_context(follower.lease("its follower"))
        for name, value in ((V[2], None), (V[3], new)):
            if value:
                follower.add("it", version(name), value)
            follower.publish("it", name, NOW)
        if slept:
            later = lease.boot_clock() + 3600
            monkeypatch.setattr(lease, "boot_clock", lambda: later)
        with pytest.raises(StoreError, match=r"its follower.*\[lease-lost\]"):
            stalled.publish("it", V[2], NOW)
    assert opened.stages() == {V[2]: Stage.PREVIOUS, V[3]: Stage.CURRENT}
    assert opened.delivered() == dict(new)


def test_every_read_and_write_has_exactly_one_record(opened: Opened) -> None:
    needs(opened, Feature.ONE_RECORD_AN_ACCESS)
    value = make()

    def new(act: Callable[[], object]) -> list[tuple[str, str, str, str, str]]:
        before = len(opened.place.records())
        act()
        return [
            (record["actor"], record["operation"], record["secret"], record["version"], record["purpose"])
            for record in opened.place.records()[before:]
        ]

    def record(operation: str, purpose: str, name: str = V[1]) -> tuple[str, str, str, str, str]:
        return ("tester", operation, "it", name, purpose)

    store = opened.store
    assert new(lambda: store.add("it", version(V[1]), value)) == [record("write", "keep as pending")]
    assert new(lambda: store.add("it", version(V[1]), value)) == []
    assert new(lambda: store.read("it", V[1], purpose="apply")) == [record("read", "apply")]
    published = new(lambda: store.publish("it", V[1], NOW))
    assert published == [record("write", "publish"), record("write", "deliver")]
    assert new(lambda: store.publish("it", V[1], NOW)) == []
    assert new(lambda: store.recover("it", NOW)) == [record("read", "compare with what is delivered")]
    assert new(lambda: store.versions("it")) == []
    assert new(lambda: store.mark("it", V[1], verified=NOW)) == []
    opened.publish(V[2])
    assert new(lambda: store.mark("it", V[1], retired=NOW)) == [record("delete", "retire")]
    store.add("it", version(V[3]), value)
    assert new(lambda: store.discard("it", V[3])) == [record("delete", "discard", V[3])]
    assert new(lambda: store.discard("it", V[3])) == []
    assert new(lambda: store.forget("it")) == [record("delete", "purge", "all")]
    for one in opened.place.records():
        assert set(one) == {"time", "actor", "operation", "secret", "version", "purpose"}
        assert abs((datetime.now(UTC) - datetime.fromisoformat(one["time"])).total_seconds()) < 600
    assert [path for name in FIELDS for path in opened.keeps(value[name])] == []


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """Yield a folder in memory, where fsync is cheap. That is enough, since tests kill a process, not the machine."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:  # noqa: S108
        yield Path(name)


def test_killed_publish_leaves_one_whole_value_to_readers(fresh: Callable[[Path], Opened], in_memory: Path) -> None:
    for number in itertools.count():
        opened = fresh(in_memory / f"{number}")
        old, new = opened.publish(V[1]), make()
        opened.store.add("it", version(V[2]), new)
        publish = functools.partial(opened.store.publish, "it", V[2], NOW + HOUR)
        was_killed = opened.place.killed_at(publish, number)
        whole = opened.delivered() in (dict(old), dict(new))
        assert whole or Feature.WHOLE_AT_ANY_MOMENT in opened.row.gaps, number
        current = opened.store.versions("it").current
        assert current and (current.id, opened.delivered()) != (V[1], dict(new)), "delivered before it is current"
        supplied = new if current.id == V[2] else old
        assert current.published is None or opened.delivered() == dict(supplied), "called delivered before it is"
        later = NOW + 5 * HOUR
        undelivered = current.published is None
        opened.store.recover("it", later)
        current = opened.store.versions("it").current
        assert current
        if current.id == V[2]:
            assert opened.delivered() == dict(new)
            assert current.published == (later if undelivered else NOW + HOUR), "the grace counts from the delivery"
        else:
            assert opened.delivered() == dict(old)
            opened.store.publish("it", V[2], later)
        assert opened.stages() == {V[1]: Stage.PREVIOUS, V[2]: Stage.CURRENT}
        if not was_killed:
            break
    assert number >= opened.row.moments, f"only {number} effects were seen"


def test_an_edit_by_hand_is_refused_and_nothing_is_overwritten(opened: Opened) -> None:
    value = opened.publish(V[1])
    opened.place.edit(value["password"], "typed-by-a-person")
    edited = opened.delivered()
    reported = r"\[value-edited\][\s\S]*secretops put it"
    with pytest.raises(StoreError, match=reported):
        opened.store.recover("it", NOW)
    opened.store.add("it", version(V[2]), make())
    with pytest.raises(StoreError, match=reported) as refused:
        opened.store.publish("it", V[2], NOW)
    assert "typed-by-a-person" not in str(refused.value)
    assert opened.delivered() == edited == {**value, "password": "typed-by-a-person"}
    assert opened.stages() == {V[1]: Stage.CURRENT, V[2]: Stage.PENDING}
    opened.place.clear()
    opened.store.recover("it", NOW)
    assert opened.delivered() == dict(value), "removing the edit restores ours"


def test_an_edit_is_adopted_by_publishing_the_same_text(opened: Opened) -> None:
    value = opened.publish(V[1])
    opened.place.edit(value["password"], "typed-by-a-person")
    adopted = Value({**value, "password": "typed-by-a-person"})
    opened.publish(V[2], adopted)
    assert opened.delivered() == dict(adopted)
    opened.store.recover("it", NOW)


def test_delivery_drift_is_reported_without_its_value(opened: Opened) -> None:
    store = opened.store
    assert store.delivery_drift("it") is None, "nothing is current yet"
    value = opened.publish(V[1])
    assert store.delivery_drift("it") is None
    opened.place.edit(value["password"], "typed-by-a-person")
    reported = store.delivery_drift("it")
    assert reported and "changed by hand" in reported and "typed" not in reported
    assert "to keep the change, supply the value: secretops put it; to undo" in reported
    opened.place.clear()
    assert store.delivery_drift("it") == "not delivered: secretops tick"
    store.recover("it", NOW)
    assert store.delivery_drift("it") is None


def test_new_field_is_requested_from_the_operator_and_supplied_by_put(opened: Opened) -> None:
    old = Value({"username": f"user-{new_password()}", "password": new_password()})
    opened.store.add("it", version(V[1]), old)
    opened.store.publish("it", V[1], NOW)
    with pytest.raises(StoreError, match=r"no ca\.crt \[value-missing-field\]"):
        opened.store.recover("it", NOW)
    assert opened.delivered() == {**old, "ca.crt": None}, "what there is stays delivered"
    new = opened.publish(V[2])
    opened.store.recover("it", NOW)
    assert opened.delivered() == dict(new)


@dataclass
class InFolder(Opened):
    place: Folder

    @property
    def root(self) -> Path:
        return self.place.root


def in_folder(root: Path, row: Row = ROWS[0]) -> InFolder:
    place = row.at(str(root))
    assert isinstance(place, Folder)
    return InFolder(row, place)


@pytest.fixture(params=["variables", "files"])
def dotenv(request: pytest.FixtureRequest, tmp_path: Path) -> InFolder:
    return in_folder(tmp_path / "store", ROWS[request.param == "files"])


@pytest.fixture
def variables(tmp_path: Path) -> InFolder:
    return in_folder(tmp_path / "store")


def snapshot(opened: InFolder) -> dict[str, bytes]:
    return {
        str(path.relative_to(opened.root)): path.read_bytes()
        for path in opened.root.rglob("*")
        if path.is_file() and path.name not in (".lock", ".lease", "access.jsonl", "filler")
    }


def test_an_access_that_cannot_be_recorded_does_not_happen(dotenv: InFolder) -> None:
    value = dotenv.publish("v1")
    dotenv.store.add("it", version("v2"), make())
    records = dotenv.place.records_file
    records.rename(records.with_name("away"))
    records.mkdir()
    before = snapshot(dotenv)
    store = dotenv.store
    for act in (
        lambda: store.read("it", "v1", purpose="test"),
        lambda: store.add("it", version("v3"), make()),
        lambda: store.publish("it", "v2", NOW),
        lambda: store.mark("it", "v1", retired=NOW),
        lambda: store.discard("it", "v2"),
        lambda: store.forget("it"),
    ):
        with pytest.raises(StoreError, match=r"records|access\.jsonl"):
            act()
        assert snapshot(dotenv) == before
    records.rmdir()
    assert dotenv.store.read("it", "v1", purpose="test") == value


@pytest.mark.parametrize(("form", "then"), [(1, "recover"), (0, "put"), (2, "forget")])
def test_a_purge_killed_anywhere_is_never_undone(in_memory: Path, form: int, then: str) -> None:
    """The next tick, purge or put completes the purge, unless it had not begun."""
    begun = False
    for number in itertools.count():
        opened = in_folder(in_memory / f"{number}", ROWS[form])
        previous, value = opened.publish("v1"), opened.publish("v2")
        was_killed = opened.place.killed_at(functools.partial(opened.store.forget, "it"), number)
        begun = begun or opened.store.versions("it").current is None
        assert begun or opened.delivered() == dict(value), "what is current stays delivered"
        gone = all(not opened.keeps(each[name]) for each in (previous, value) for name in FIELDS)
        assert opened.store.secret_names() == ("it",) or gone, "a purge of all finds it again"
        new = make()
        match then:
            case "recover":
                opened.store.recover("it", NOW)
            case "put":
                opened.store.add("it", version("new"), new)
                opened.store.recover("it", NOW)
            case "forget":
                opened.store.forget("it")
        if then == "put":
            assert opened.delivered() == (dict.fromkeys(FIELDS) if begun else dict(value)), number
            opened.publish("new", new)
            assert opened.delivered() == dict(new)
            assert not any(opened.keeps(previous[name]) for name in FIELDS)
        elif begun or then == "forget":
            assert opened.delivered() == dict.fromkeys(FIELDS), number
            assert opened.store.secret_names() == ()
            assert [path for each in (previous, value) for name in FIELDS for path in opened.keeps(each[name])] == []
        else:
            assert opened.delivered() == dict(value)
        assert list(opened.root.rglob("*.new")) == []
        if not was_killed:
            break
    assert begun
    assert number > 8, "some moments are missed"


def test_a_value_that_was_there_before_secretops_is_not_overwritten(variables: InFolder) -> None:
    variables.place.open()
    variables.place.env.write_text("PASSWORD=of-before\n")
    variables.store.add("it", version("v1"), make())
    with pytest.raises(StoreError, match=r"\[value-edited\]"):
        variables.store.publish("it", "v1", NOW)
    assert variables.place.env.read_text() == "PASSWORD=of-before\n"
    variables.store.discard("it", "v1")
    variables.publish("v2", Value({**make(), "password": "of-before"}))


def test_files_are_private_and_certificates_readable_whatever_the_umask(tmp_path: Path) -> None:
    opened = in_folder(tmp_path / "store", ROWS[1])
    before = os.umask(0)
    try:
        opened.publish("v1")
    finally:
        os.umask(before)
    for path in opened.root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = 0o700 if path.is_dir() else 0o644 if path.name == "ca.crt" else 0o600
        assert mode == wanted, f"{path}: {mode:o}"
        assert path.stat().st_uid == os.geteuid()


def test_a_file_that_secretops_did_not_write_is_refused_left_and_not_quoted(variables: InFolder) -> None:
    variables.publish("v1")
    folder = variables.root / "versions" / "it"
    (folder / "v1.json").write_text('{"password": "cut sho')
    with pytest.raises(StoreError, match=r"v1\.json[\s\S]*secretops rotate it --now") as refused:
        variables.store.recover("it", NOW)
    assert "cut sho" not in str(refused.value)
    path = folder / "state.json"
    for garbage in (b"", b"\xff", b"{}", b'[{"id": 1}]'):
        path.write_bytes(garbage)
        with pytest.raises(StoreError, match=r"state\.json"):
            variables.store.versions("it")
        with pytest.raises(StoreError, match=r"state\.json"):
            variables.store.add("it", version("v2"), make())
        assert path.read_bytes() == garbage


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another account")
def test_a_foreign_owner_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    opened, place = in_folder(tmp_path / "store"), "versions/it/v1.json"
    opened.publish("v1")
    opened.store.add("it", version("v2"), make())
    os.chown(opened.root / place, NOBODY, NOBODY)
    before = snapshot(opened)
    with pytest.raises(StoreError, match="file-owner-mismatch"):
        opened.store.publish("it", "v2", NOW)
    assert snapshot(opened) == before
    os.chown(opened.root / place, 0, 0)
    opened.store.publish("it", "v2", NOW)
    assert opened.stages() == {"v1": Stage.PREVIOUS, "v2": Stage.CURRENT}


def test_a_full_disk_loses_nothing_and_works_again_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        opened = in_folder(disk / "store")
        old = opened.publish("v1")
        pending = make()
        opened.store.add("it", version("v2"), pending)
        filler = fill(disk)
        before = snapshot(opened)
        for act in (
            lambda: opened.store.add("it", version("v3"), make()),
            lambda: opened.store.publish("it", "v2", NOW),
        ):
            code, answer = in_child(act)
            assert (code, answer[0]) == (1, "StoreError"), answer
            assert "No space left on device" in answer[1] and "-> " in answer[1]
            assert snapshot(opened) == before
        assert opened.delivered() == dict(old)
        filler.unlink()
        opened.store.recover("it", NOW)
        opened.store.publish("it", "v2", NOW)
        assert opened.delivered() == dict(pending)
        assert list(opened.root.rglob("*.new")) == []


def test_changed_delivery_removes_the_former_one(tmp_path: Path) -> None:
    root = tmp_path / "store"
    value = in_folder(root).publish("v1")
    in_folder(root, ROWS[1]).store.recover("it", NOW)
    assert in_folder(root, ROWS[1]).delivered() == dict(value)
    assert "PASSWORD" not in dotenv_values(root / "config" / ".env"), "the line of the other way is gone"
    in_folder(root).store.recover("it", NOW)
    assert in_folder(root).delivered() == dict(value)
    assert not list((root / "secrets").iterdir()), "and so are the files"


def test_a_secret_that_the_stack_no_longer_has_is_still_found_and_forgotten(tmp_path: Path) -> None:
    opened = in_folder(tmp_path / "store")
    value = opened.publish("v1")
    records = AccessRecords(opened.place.records_file, "tester")
    without = DotenvVersionStore(DotenvStoreLocation(root=str(opened.root)), records)
    assert without.secret_names() == ("it",)
    without.forget("it")
    assert not opened.keeps(value["password"])
    assert without.secret_names() == ()
