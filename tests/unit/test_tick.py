"""The commands tick, rotate, put and purge on a folder, with a broker in memory."""

import functools
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import pytest

from secretops.engine.decisions import Reason
from secretops.engine.rotator import GraceError
from secretops.engine.state import Replica, Stage, Versions
from secretops.errors import (
    ExitCode,
    LeaseHeldError,
    NotFoundError,
    RefusedError,
    SecretopsError,
    StoreError,
    UnreachableError,
    UsageError,
    WaitingError,
)
from secretops.launcher.sources import open_source
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.operations import broker_access, put, rotators, tick
from secretops.operations.compromise import open_incident
from secretops.operations.purge import purge
from secretops.operations.rotate import rotate
from secretops.operations.status import LOGIN_FAILED, Status, status
from secretops.operations.tick import Outcome, exit_code
from secretops.platforms.dotenv.delivery import Content, Delivery
from secretops.platforms.dotenv.store import DotenvVersionStore
from secretops.stores.store_errors import InvalidValueError, RemovedError
from secretops.targets.reports import ReportsError
from secretops.values import Value
from tests.real.accidents import LOSSES, NOBODY, SPOILS, each_broken, in_child
from tests.real.stack import Stack, make_stack

DAY = 24 * 3600
NINETY_DAYS = 90 * DAY
NOWHERE = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=1, protocol=MqttProtocol.V5, tls=True)
FIRST_ADMIN = {"username": "boss", "password": "of-the-boss"}


@dataclass
class InMemoryBroker:
    """Users and their passwords. It is the target for all kinds of secrets."""

    passwords: dict[str, str] = field(default_factory=lambda: {"boss": "of-the-boss"})
    changed: list[str] = field(default_factory=list)
    breaks: Exception | None = None
    guards: bool | Exception = True
    reports: Callable[[], tuple[Replica, ...]] = tuple

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:  # noqa: ARG002
        self.verify(admin)
        if self.breaks and credential["username"].startswith("user-"):
            raise self.breaks
        self.changed.append(credential["username"])
        self.passwords[credential["username"]] = credential["password"]

    def verify(self, credential: Value) -> None:
        if self.passwords.get(credential["username"]) != credential["password"]:
            raise RefusedError("not authorized", code="test")

    def retire(self, admin: Value, username: str) -> None:
        self.verify(admin)
        self.passwords.pop(username, None)

    def guards_reports(self, admin: Value, usernames: tuple[str, ...]) -> bool:
        self.verify(admin)
        if isinstance(self.guards, Exception):
            raise self.guards
        return self.guards and usernames == ("user-a", "user-b")


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> InMemoryBroker:
    broker = InMemoryBroker()
    for module in (broker_access, put, rotators, tick):
        monkeypatch.setattr(module, "open_target", lambda _broker, _kind: broker)
    monkeypatch.setattr(broker_access, "read_reports", lambda *_, **__: broker.reports())
    return broker


@pytest.fixture
def stack(tmp_path: Path, broker: InMemoryBroker) -> Stack:
    stack = make_stack(tmp_path / "store", NOWHERE, users=("user-a", "user-b"), admins=("admin-a", "admin-b"))
    stack.put("broker-admin", FIRST_ADMIN)
    stack.tick()
    return stack


def of(outcomes: list[Outcome], name: str) -> Outcome:
    return next(one for one in outcomes if one.secret == name)


def current(stack: Stack, name: str = "mqtt") -> str:
    version = stack.session().store.versions(name).current
    assert version
    return version.id


def test_tick_rotates_the_admin_before_the_users_when_both_are_due(stack: Stack, broker: InMemoryBroker) -> None:
    stack.clock.skip(NINETY_DAYS)
    stack.manifest = stack.manifest.model_copy(update={"secrets": tuple(reversed(stack.manifest.secrets))})
    broker.changed.clear()
    stack.tick()
    assert [name.partition("-")[0] for name in broker.changed] == ["admin", "user"]


@pytest.mark.parametrize("error", [RefusedError("no", code="test"), ZeroDivisionError("of-no-kind-we-know")])
def test_tick_rotates_the_others_when_one_secret_fails(stack: Stack, broker: InMemoryBroker, error: Exception) -> None:
    stack.clock.skip(NINETY_DAYS)
    before, admin = current(stack), current(stack, "broker-admin")
    broker.breaks = error
    outcomes = stack.tick()
    assert isinstance(of(outcomes, "mqtt").error, SecretopsError)
    assert exit_code(outcomes) is ExitCode.FAILED
    assert current(stack) == before and current(stack, "broker-admin") != admin


def test_tick_leaves_what_another_schedule_rotates_until_it_is_overdue(stack: Stack) -> None:
    stack.clock.skip(NINETY_DAYS)
    before = current(stack)
    tick.tick(stack.session("rotator"), scheduled=["mqtt"])
    assert current(stack) == before
    stack.clock.skip(DAY)
    outcomes = tick.tick(stack.session("rotator"), scheduled=["mqtt"])
    assert current(stack) != before
    assert Reason.OVERDUE in of(outcomes, "mqtt").reasons


def test_tick_reports_a_password_that_was_changed_at_the_broker(stack: Stack, broker: InMemoryBroker) -> None:
    broker.passwords["user-a"] = "of-somebody"
    outcome = of(stack.tick(), "mqtt")
    assert isinstance(outcome.error, RefusedError) and outcome.exit_code is ExitCode.FAILED
    last = stack.session().journal.last("mqtt")
    assert last and (last.step, last.outcome) != ("verify", "done")


def test_tick_sets_a_refused_password_again_when_no_reader_has_it(
    stack: Stack, broker: InMemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = stack.credential()
    version = stack.session().store.versions("mqtt").current
    assert version
    store = stack.session().store
    assert isinstance(store, DotenvVersionStore)
    store._change("mqtt", lambda _: Versions((version.at(published=None),)))
    broker.passwords[value["username"]] = "of-somebody"
    original = Delivery.deliver

    def deliver(self: Delivery, secret: str, content: Content, record: Callable[[], None]) -> None:
        """Refuse a value that the broker refuses, as readers do that check a delivery."""
        if secret == "mqtt" and broker.passwords[value["username"]] != value["password"]:
            raise StoreError("its readers cannot log in", code="test")
        original(self, secret, content, record)

    monkeypatch.setattr(Delivery, "deliver", deliver)
    assert of(stack.tick(), "mqtt").error is None
    assert broker.passwords[value["username"]] == value["password"]


@pytest.mark.parametrize(("codes", "expected"), [
    ([], ExitCode.DONE),
    ([StoreError("x", code="test"), LeaseHeldError("x", code="test"), WaitingError("x", code="test")], ExitCode.FAILED),
    ([WaitingError("x", code="test"), LeaseHeldError("x", code="test")], ExitCode.BUSY),
    ([WaitingError("x", code="test"), None], ExitCode.WAITING),
    ([None], ExitCode.ATTENTION),
])  # fmt: skip
def test_exit_code_of_a_tick_is_that_of_the_gravest_outcome(
    codes: list[SecretopsError | None], expected: ExitCode
) -> None:
    outcomes = [Outcome("it", error=error, attention=("look",)) for error in codes]
    assert exit_code([*outcomes, Outcome("well")]) is expected


THREE = ("server-1", "server-2", "server-3")


def reports(stack: Stack, *names: str, secret: str = "mqtt", user: str = "user-b") -> tuple[Replica, ...]:
    """Return reports of the current version, one for each client id."""
    at = stack.clock()
    return tuple(Replica(id=name, user=user, secret=secret, version=current(stack), since=at) for name in names)


@pytest.mark.parametrize(("found", "guards", "retires"), [
    pytest.param(lambda stack: reports(stack, *THREE), True, True, id="three of three"),
    pytest.param(lambda stack: reports(stack, *THREE), False, False, id="others may write there"),
    pytest.param(lambda stack: reports(stack, *THREE), RefusedError("", code="test"), False, id="no access list"),
    pytest.param(lambda stack: reports(stack, "forged"), True, False, id="emptied, and one forged"),
    pytest.param(lambda stack: reports(stack, *THREE, "forged"), True, False, id="one too many"),
    pytest.param(lambda stack: reports(stack, *THREE, user="user-a"), True, False, id="by the previous user"),
    pytest.param(lambda stack: reports(stack, *THREE[:2]) + reports(stack, "x", secret="other"), True, False,
                 id="other secret"),
    pytest.param(lambda _: UnreachableError("not all arrived", code="test"), True, False, id="half-read or flooded"),
])  # fmt: skip
def test_tick_retires_within_the_grace_only_by_all_reports_that_nobody_can_forge(
    stack: Stack,
    broker: InMemoryBroker,
    found: Callable[[Stack], tuple[Replica, ...] | SecretopsError],
    guards: bool | SecretopsError,
    retires: bool,
) -> None:
    stack.manifest = stack.manifest.model_copy(update={"replicas": len(THREE)})
    stack.rotate()
    broker.guards = guards

    def read() -> tuple[Replica, ...]:
        answer = found(stack)
        if isinstance(answer, SecretopsError):
            raise answer
        return answer

    broker.reports = read
    assert exit_code(stack.tick()) in (ExitCode.DONE, ExitCode.ATTENTION)
    previous = stack.session().store.versions("mqtt").previous
    assert previous and bool(previous.retired) is retires


def test_rotate_retires_the_user_it_replaces_before_it_makes_another(stack: Stack, broker: InMemoryBroker) -> None:
    stack.rotate()
    replaced = broker.passwords["user-a"]
    stack.skip_grace()
    broker.breaks = RefusedError("no", code="test")
    with pytest.raises(RefusedError):
        stack.rotate()
    assert broker.passwords.get("user-a") != replaced


def test_own_user_stays_known_until_its_grace_is_over_and_is_named_when_retired(stack: Stack, tmp_path: Path) -> None:
    stack.manifest = stack.manifest.model_copy(update={"grace_seconds": 3600})
    before = stack.put("mqtt", FIRST_ADMIN, force=True)
    stack.skip_grace()
    stack.rotate()
    for again in (stack.rotate, functools.partial(stack.put, "mqtt", stack.credential())):
        with pytest.raises(GraceError, match="user boss was replaced"):
            again()
    exposed = open_incident(stack.session(), "mqtt", since=None, to=tmp_path).exposed
    assert before.id in [one.id for one in exposed]
    stack.skip_grace()
    assert f"retired {before.id} (kept your user boss)" in of(stack.tick(), "mqtt").done
    assert open_incident(stack.session(), "mqtt", since=None, to=tmp_path).retired_users == ("boss",)


@pytest.mark.parametrize("command", ["rotate", "rotate --now", "put", "put --now"])
def test_command_that_retires_an_own_user_says_that_it_kept_it(stack: Stack, command: str) -> None:
    before, printed, now = stack.put("mqtt", FIRST_ADMIN, force=True), list[str](), command.endswith("--now")
    stack.rotate()
    if not now:
        stack.skip_grace()
    if command.startswith("put"):
        put.put(stack.session(), "mqtt", stack.credential(), force=now, notify=printed.append)
    else:
        rotate(stack.session(), "mqtt", force=now, notify=printed.append, sleep=stack.clock.skip)
    assert printed == ["kept your user boss"]
    journal = (stack.root / "log" / "rotation.jsonl").read_text().splitlines()
    assert [line for line in journal if before.id in line and '"retire"' in line]


def test_own_user_may_be_put_back_within_the_grace(stack: Stack) -> None:
    stack.put("mqtt", FIRST_ADMIN, force=True)
    stack.rotate()
    stack.put("mqtt", FIRST_ADMIN)
    assert stack.delivered() == FIRST_ADMIN


def test_rotate_waits_a_whole_second_at_least_when_it_waits(stack: Stack) -> None:
    stack.rotate()
    stack.clock.skip(stack.manifest.grace_seconds - 0.3)
    printed: list[str] = []
    version = rotate(stack.session(), "mqtt", force=False, notify=printed.append, sleep=stack.clock.skip)
    assert [text.split()[1] for text in printed] == ["1"]
    assert version.stage is Stage.CURRENT and version.published and version.verified


def test_rotation_takes_few_calls_and_reads_the_versions_rarely(stack: Stack) -> None:
    calls = Counter[str]()

    def count(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and f"{os.sep}secretops{os.sep}src" in frame.f_code.co_filename:
            calls[frame.f_code.co_qualname.rpartition("Store.")[2]] += 1

    sys.setprofile(count)
    try:
        stack.rotate()
    finally:
        sys.setprofile(None)
    # Half of the time before versions were read once.
    assert calls.total() <= 479, (calls.total(), calls.most_common(20))
    assert calls["versions"] <= 4


def test_put_discards_a_version_that_cannot_be_published(stack: Stack) -> None:
    stack.put("agent-key", {"api-key": "first-key"})
    stack.env.write_text(stack.env.read_text().replace("first-key", "typed-by-a-person"))
    with pytest.raises(StoreError):
        stack.put("agent-key", {"api-key": "second-key"})
    assert stack.session().store.versions("agent-key").pending is None


@pytest.mark.parametrize(
    "fields",
    [
        *({"username": "boss"}, {**FIRST_ADMIN, "password": ""}, {**FIRST_ADMIN, "port": "1"}),
        *({**FIRST_ADMIN, "password": "with-a-newline\n"}, {**FIRST_ADMIN, "password": " \t "}),
        {**FIRST_ADMIN, "password": "x" * 65_536},
    ],
    ids=["missing", "empty", "extra", "control character", "blank", "too long"],
)
def test_put_refuses_fields_that_do_not_fit(stack: Stack, fields: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        stack.put("broker-admin", fields)
    assert stack.session().store.versions("broker-admin").pending is None


def test_put_refuses_a_password_that_does_not_log_in(stack: Stack) -> None:
    before = current(stack)
    with pytest.raises(RefusedError):
        stack.put("mqtt", {"username": "user-b", "password": "not-set-there"}, force=True)
    assert current(stack) == before and len(stack.session().store.versions("mqtt").all) == 1


@pytest.mark.parametrize("act", [lambda stack: stack.rotate(), lambda stack: stack.put("broker-admin", FIRST_ADMIN)])
def test_command_changes_nothing_while_another_has_the_lease(stack: Stack, act: Callable[[Stack], object]) -> None:
    before = stack.session().store.versions("mqtt")
    with stack.session().lease("tick"), pytest.raises(LeaseHeldError):
        act(stack)
    assert stack.session().store.versions("mqtt") == before


def test_purge_lists_without_destroy_and_removes_with_it(stack: Stack) -> None:
    password = stack.credential()["password"]
    found = purge(stack.session(), destroy=False)
    assert [one.stage for one in found["mqtt"]] == [Stage.CURRENT]
    assert stack.credential()["password"] == password
    purge(stack.session(), "mqtt", destroy=True)
    assert stack.session().store.secret_names() == ("broker-admin",)
    assert password not in stack.env.read_text()


def test_purge_names_the_stacks_users_that_the_broker_keeps(stack: Stack) -> None:
    output: list[str] = []
    purge(stack.session(), "mqtt", destroy=False, notify=output.append)
    assert len(output) == 1 and "user-a" in output[0] and "localhost:1 " in output[0]
    stack.skip_grace()
    stack.rotate()
    stack.rotate("broker-admin")
    purge(stack.session(), destroy=True, notify=output.append)
    assert all(name in output[1] for name in ("user-a", "user-b", "admin-a"))
    assert "boss" not in output[1], "an operator's own user stays theirs"
    purge(stack.session(), destroy=True, notify=output.append)
    assert len(output) == 2


def test_purged_values_are_not_reported_as_lost(stack: Stack) -> None:
    stack.put("agent-key", {"api-key": "of-this-test"})
    purge(stack.session(), destroy=True)
    rows = status(stack.session())
    assert {row.status for row in rows} == {Status.WAITING}
    assert [row.notes[0].startswith("purged ") for row in rows] == [True, True, True, False], "never had a value"
    stack.put("broker-admin", FIRST_ADMIN)
    assert status(stack.session())[0].status is Status.VERIFIED


@pytest.mark.parametrize("seconds", [60, 1000 * DAY])
def test_clock_that_jumps_back_rotates_nothing_again_and_retires_nobody_early(
    stack: Stack, broker: InMemoryBroker, seconds: int
) -> None:
    stack.clock.skip(NINETY_DAYS)
    assert of(stack.tick(), "mqtt").done[0].startswith("published")
    before, old = current(stack), broker.passwords["user-a"]
    stack.clock.skip(-seconds)
    for passed in (0, stack.manifest.grace_seconds - 5):
        stack.clock.skip(passed)
        outcome = of(stack.tick(), "mqtt")
        assert (outcome.done, outcome.error) == ((f"verified {before}",), None)
        assert broker.passwords["user-a"] == old
    stack.clock.skip(seconds + 60)
    assert of(stack.tick(), "mqtt").done[0].startswith("retired")
    stack.clock.skip(-seconds)
    assert of(stack.tick(), "mqtt").done == (f"verified {before}",)
    broker.verify(stack.credential())


@pytest.mark.parametrize("seconds", [NINETY_DAYS + DAY, 3650 * DAY])
def test_clock_that_jumps_ahead_rotates_once_and_is_reported(stack: Stack, seconds: int) -> None:
    before = current(stack)
    stack.clock.skip(seconds)
    outcome = of(stack.tick(), "mqtt")
    assert outcome.done[-1] == f"published {current(stack)}" and current(stack) != before
    assert outcome.reasons == (Reason.OVERDUE,)
    outcome = of(stack.tick(), "mqtt")
    assert (outcome.done, outcome.attention) == ((f"verified {current(stack)}",), ())


def test_lease_of_a_dead_holder_with_a_future_time_is_acquired_at_once(stack: Stack) -> None:
    lease = stack.root / ".lease"
    lease.write_text("secretops tick (pid 1 on elsewhere) since 2099-01-01 00:00:00 UTC\n")
    assert of(stack.tick(), "mqtt").error is None
    assert "2099" not in lease.read_text()


def rotate_now_with_each_file_broken(stack: Stack, broker: InMemoryBroker, spoil: Callable[[Path], object]) -> None:
    stack.rotate(force=True)
    public, before = stack.env.read_text().splitlines()[1:6], current(stack)
    for path in each_broken(stack.root, spoil):
        printed: list[str] = []
        try:
            version = rotate(stack.session(), "mqtt", force=True, notify=printed.append)
        except WaitingError as error:  # nobody else knows the password of the broker's admin
            assert path.parent.name == "broker-admin" and "secretops put broker-admin --now" in error.remedy
            broker.passwords["boss"] = FIRST_ADMIN["password"]
            stack.put("broker-admin", FIRST_ADMIN, force=True)
            version = stack.rotate(force=True)
        assert version.id != before
        before = version.id
        assert broker.passwords[stack.delivered()["username"]] == stack.delivered()["password"]
        assert set(public) <= set(stack.env.read_text().splitlines())
        asides = list(stack.root.glob("aside/*"))
        assert len(asides) == sum("aside" in line for line in printed)
        assert all(str(aside) in " ".join(printed) for aside in asides)
        real = [aside for aside in asides if not aside.is_symlink()]
        assert all(stat.S_IMODE(aside.stat().st_mode) == (0o700 if aside.is_dir() else 0o600) for aside in real)
        assert [one.error for one in stack.tick() if one.error] == []


@pytest.mark.parametrize("spoil", SPOILS)
def test_rotate_now_goes_on_when_any_file_of_the_store_is_broken(
    stack: Stack, broker: InMemoryBroker, spoil: Callable[[Path], object]
) -> None:
    rotate_now_with_each_file_broken(stack, broker, spoil)


def test_rotate_now_sets_aside_strays_links_and_ids_that_lead_elsewhere(stack: Stack) -> None:
    (stack.root / "versions" / "stray").touch()
    stack.env.rename(stack.root / "env")
    stack.env.symlink_to("../env")
    state = stack.root / "versions" / "mqtt" / "state.json"
    state.write_text(state.read_text().replace('"id": "', '"id": "../'))
    with pytest.raises(StoreError, match="folder-not-a-folder"):
        stack.rotate()
    stack.rotate(force=True)
    asides = {path.name.partition("Z-")[2] for path in (stack.root / "aside").iterdir()}
    assert asides == {"versions_stray", "config_.env", "versions_mqtt_state.json"}


def test_rotate_now_repairs_files_that_a_mode_makes_unreadable(broker: InMemoryBroker) -> None:
    """This runs as another account, because root can read a file of any mode."""

    def work() -> None:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        made = make_stack(folder / "store", NOWHERE, users=("user-a", "user-b"), admins=("admin-a", "admin-b"))
        made.put("broker-admin", FIRST_ADMIN)
        made.tick()
        rotate_now_with_each_file_broken(made, broker, lambda path: path.chmod(0))

    with TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        assert in_child(work) == (0, None)


def test_rotate_now_keeps_a_copy_of_an_edited_env_file_and_other_peoples_lines(stack: Stack) -> None:
    edited = stack.env.read_text().replace("MQTT_PASSWORD=", "MQTT_PASSWORD=edited-")
    stack.env.write_text(edited)
    with pytest.raises(StoreError, match=r"\[value-edited\]"):
        stack.rotate()
    before = current(stack)
    stack.rotate(force=True)
    assert current(stack) != before and "edited-" not in stack.env.read_text()
    assert "MINE=${HOME}/x\n" in stack.env.read_text()
    assert [path.read_text() for path in (stack.root / "aside").iterdir()] == [edited]
    purge(stack.session(), destroy=True)
    assert not (stack.root / "aside").exists()


def test_put_now_publishes_nothing_without_the_admin_that_it_needs(tmp_path: Path, broker: InMemoryBroker) -> None:
    stack = make_stack(tmp_path / "store", NOWHERE, users=("user-a", "user-b"), admins=("admin-a", "admin-b"))
    with pytest.raises(WaitingError, match=r"\[broker-admin-missing\]"):
        stack.put("mqtt", FIRST_ADMIN, force=True)
    assert stack.session().store.versions("mqtt").all == ()
    assert broker.passwords == {"boss": FIRST_ADMIN["password"]}


@pytest.mark.parametrize(("command", "cause"), [("rotate", RefusedError), ("put", LeaseHeldError)])
def test_now_names_the_version_that_it_published_before_the_broker_refused_a_user(
    tmp_path: Path, broker: InMemoryBroker, monkeypatch: pytest.MonkeyPatch, command: str, cause: type[SecretopsError]
) -> None:
    stack = make_stack(tmp_path / "store", NOWHERE, users=("user-a", "user-b"), admins=("admin-a", "admin-b"))
    stack.put("broker-admin", FIRST_ADMIN)
    with monkeypatch.context() as patch:
        patch.setattr(broker, "retire", lambda *_: fail(cause("denied", remedy="allow it", code="test")))
        now = stack.rotate if command == "rotate" else functools.partial(stack.put, "mqtt", FIRST_ADMIN)
        with pytest.raises(
            SecretopsError, match=r"user-[ab] may still log in: denied \[user-not-scrambled\]"
        ) as refused:
            now(force=True)
    assert refused.value.what.startswith(f"mqtt: {current(stack)} is current")
    assert refused.value.remedy.startswith("allow it; then: secretops rotate mqtt --now")
    assert refused.value.remedy.endswith("secretops compromise mqtt")
    assert refused.value.exit_code == cause.exit_code
    for _ in range(2):
        assert next(one.notes for one in status(stack.session()) if one.name == "mqtt") == (), "no tick repeats it"
        stack.tick()
    leaked = broker.passwords["user-b"] = "of-somebody"
    stack.rotate(force=True)
    assert broker.passwords.get("user-b") != leaked
    assert next(one.notes for one in status(stack.session()) if one.name == "mqtt") == ()


@pytest.mark.parametrize("lose", LOSSES[1:])
def test_now_ends_each_user_whose_password_the_store_lost(
    stack: Stack, broker: InMemoryBroker, lose: Callable[[Path], object]
) -> None:
    folder = stack.root / "versions" / "mqtt"
    for now in (stack.rotate, functools.partial(stack.put, "mqtt", FIRST_ADMIN)):
        stack.rotate()
        leaked = {each for each in broker.passwords.items() if each[0].startswith("user-")}
        lose(folder)
        now(force=True)
        assert len(leaked) == 2 and not leaked & set(broker.passwords.items())
        broker.verify(stack.delivered())
    lose(folder)
    assert open_incident(stack.session(), "mqtt", since=None, to=stack.root).retired_users == ("boss",)


def test_only_a_command_replaces_a_version_that_somebody_removed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    removed = RemovedError("removed", code="test")
    monkeypatch.setattr(DotenvVersionStore, "recover", lambda *_: fail(removed))
    assert of(stack.tick(), "mqtt").error is removed
    stack.rotate()
    stack.skip_grace()
    stack.rotate()
    invalid = InvalidValueError("invalid", code="test")
    monkeypatch.setattr(DotenvVersionStore, "recover", lambda *_: fail(invalid))
    with pytest.raises(InvalidValueError):
        stack.rotate()
    stack.rotate(force=True)


def test_remedy_of_a_lost_value_replaces_it(stack: Stack) -> None:
    for now in (stack.rotate, functools.partial(stack.put, "mqtt", FIRST_ADMIN)):
        before = current(stack)
        (stack.root / "versions" / "mqtt" / f"{before}.json").unlink()
        with pytest.raises(NotFoundError, match="secretops rotate mqtt --now, or secretops put mqtt --now"):
            stack.rotate()
        now(force=True)
        assert current(stack) != before and of(stack.tick(), "mqtt").error is None


def test_tick_keeps_the_values_when_the_record_of_them_is_gone(stack: Stack) -> None:
    LOSSES[0](folder := stack.root / "versions" / "mqtt")
    values = list(folder.iterdir())
    assert isinstance(of(stack.tick(), "mqtt").error, StoreError) and list(folder.iterdir()) == values


@pytest.mark.parametrize("line", [b"# caf\xe9\n", b"# more\n" * 10_000, b""], ids=["not UTF-8", "64 KB", "FIFO"])
def test_nothing_is_published_or_retired_when_no_server_reads_the_env_file(
    stack: Stack, broker: InMemoryBroker, line: bytes
) -> None:
    stack.rotate()
    before, passwords, launcher = current(stack), dict(broker.passwords), open_source(f"dotenv:{stack.root}")
    if line:
        stack.env.write_bytes(stack.env.read_bytes() + line)
    else:
        stack.env.unlink()
        os.mkfifo(stack.env)
    stack.clock.skip(DAY)
    found = of(stack.tick(), "mqtt").error
    assert found and found.remedy
    assert [one.status for one in status(stack.session())].count(Status.ATTENTION) == 2, "public lines, too"
    for fails in (stack.rotate, launcher.read):
        with pytest.raises(SecretopsError, match=re.escape(found.what)):
            fails()
    assert (current(stack), broker.passwords) == (before, passwords)
    stack.rotate(force=True)
    assert launcher.read().versions["mqtt"] == current(stack)


def fail(error: Exception) -> tuple[Replica, ...]:
    raise error


@pytest.mark.parametrize(("error", "remedy"), [
    (UnreachableError("nobody listens", remedy="start it", code="test"), "start it"),
    (RefusedError("wrong password", remedy="correct the password", code="test"), "secretops rotate mqtt; and"),
])  # fmt: skip
def test_status_reports_a_failed_login_at_the_broker(
    stack: Stack, broker: InMemoryBroker, error: SecretopsError, remedy: str
) -> None:
    broker.reports = lambda: fail(error)
    row = next(one for one in status(stack.session()) if one.name == "mqtt")
    assert (row.status, row.reasons, row.replicas) == (Status.ATTENTION, (LOGIN_FAILED,), None)
    assert row.notes[0].startswith(f"{error.what}: {remedy}")


def test_status_is_verified_when_only_the_reports_cannot_be_read(stack: Stack, broker: InMemoryBroker) -> None:
    broker.reports = lambda: fail(ReportsError("no right", code="test"))
    assert next(one.status for one in status(stack.session()) if one.name == "mqtt") is Status.VERIFIED
