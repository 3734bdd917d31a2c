"""When the launcher accepts, refuses and retries a new version. No process starts."""

import contextlib
import dataclasses
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.launcher import source_watcher, watch
from secretops.launcher.http_options import BearerTokens, parse_http_options
from secretops.launcher.settings import ServerSettings
from secretops.launcher.source_watcher import (
    FIRST_RETRY,
    LAST_RETRY,
    SETTLE_TRIES,
    FirstValues,
    SourceWatcher,
    StoppedError,
    read_stable,
)
from secretops.launcher.sources import Source, open_source
from secretops.launcher.state import STALE_SECONDS, LauncherState
from secretops.launcher.watch import wakeups
from secretops.values import Value


@dataclasses.dataclass
class OneSource(Source):
    """A source with the content that a test sets."""

    settings: ServerSettings | SecretopsError
    version: str = "v-1"

    def read(self) -> ServerSettings:
        if isinstance(self.settings, SecretopsError):
            raise self.settings
        return self.settings

    def fingerprint(self) -> str:
        return self.version

    def folders(self) -> frozenset[Path]:
        return frozenset()

    def read_at(self) -> float:
        return 1.0


@dataclasses.dataclass
class Following:
    """A source watcher, its source, and the result of each attempt to swap."""

    source: OneSource
    follower: SourceWatcher
    state: LauncherState
    server: Any
    connection: Any
    now: float = 1000.0
    outcome: SecretopsError | None = None
    took: float | None = 0.001
    first: Any = None
    is_obsolete: Callable[[], bool] = bool
    swaps: list[str] = dataclasses.field(default_factory=list)
    stays: list[str] = dataclasses.field(default_factory=list)

    def offers(self, version: str, password: str = "another-password", **changes: object) -> None:
        old = self.source.settings if isinstance(self.source.settings, ServerSettings) else self.first
        mqtt = Value({**old.mqtt, "password": password})
        self.source.version = version
        self.source.settings = dataclasses.replace(old, mqtt=mqtt, versions={"mqtt": version}, **changes)


@pytest.fixture
def following(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Following]:
    env = tmp_path / ".env"
    env.write_text("MQTT_BROKER=localhost\nMQTT_USER=server-a\nMQTT_PASSWORD=first-password\n")
    settings = open_source(f"file:{env}").read()
    source, state = OneSource(settings), LauncherState()
    logger = logging.getLogger("upstream, as a follower knows it")
    server: Any = SimpleNamespace(args=SimpleNamespace(), logger=logger, requests=None)
    connection: Any = SimpleNamespace(chosen_by_tool=False)
    follower = SourceWatcher(
        source, server, connection, state, in_use=(settings, source.version), notify=lambda _: None
    )
    made = Following(source, follower, state, server, connection, first=settings)
    connection.update = lambda settings: made.stays.append(settings.versions["mqtt"])

    def attempt(_connection: object, settings: ServerSettings, is_obsolete: Callable[[], bool]) -> Any:
        made.is_obsolete = is_obsolete

        def run() -> float | None:
            made.swaps.append(settings.versions["mqtt"])
            if made.outcome:
                raise made.outcome
            return made.took

        return SimpleNamespace(run=run)

    monkeypatch.setattr(source_watcher, "Swap", attempt)
    monkeypatch.setattr(source_watcher, "time", SimpleNamespace(monotonic=lambda: made.now))
    root = logging.getLogger()
    level = root.level
    yield made
    root.setLevel(level)


def test_follower_swaps_once_for_a_new_version(following: Following) -> None:
    following.offers("v-2")
    for _ in range(3):
        following.follower._poll()
    assert following.swaps == ["v-2"]
    assert (following.state.versions, following.state.counts["swaps"]) == ({"mqtt": "v-2"}, 1)


def test_follower_keeps_the_connection_when_only_the_agent_key_changes(following: Following) -> None:
    following.offers("v-2", "first-password", agent_key=Value({"api-key": "another-key"}))
    following.follower._poll()
    assert (following.swaps, following.stays) == ([], ["v-2"])
    assert following.server.args.do_agent_api_key == "another-key"
    assert following.state.counts["swaps"] == 0


@pytest.mark.parametrize("kind", [UnreachableError, StoppedError])
def test_follower_uses_key_and_token_of_the_source_while_the_broker_refuses_the_login(
    following: Following, kind: type[SecretopsError]
) -> None:
    used = list[str]()
    following.follower._notify = lambda settings: used.append(settings.mqtt["password"])
    following.outcome = kind("no answer", rule="r", remedy="m", code="test")
    following.offers("v-2", agent_key=Value({"api-key": "another-key"}))
    following.follower._poll()
    assert following.server.args.do_agent_api_key == "another-key"
    following.source.version, following.source.settings = "v-1", following.first
    for _ in range(2):
        following.follower._poll()
    assert following.server.args.do_agent_api_key is None
    assert used == ["another-password", "first-password"]


def test_follower_leaves_a_connection_that_a_tool_chose(following: Following, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    following.connection.chosen_by_tool = True
    following.state.connection_by_tool = lambda: True
    following.offers("v-2")
    following.follower._poll()
    assert (following.swaps, following.stays) == ([], ["v-2"])
    assert following.state.versions_in_use() == {}
    assert "v-2" not in caplog.text


def test_follower_counts_no_swap_when_a_tool_was_faster(following: Following) -> None:
    following.offers("v-2")
    following.took = None
    following.follower._poll()
    assert (following.swaps, following.state.counts["swaps"]) == (["v-2"], 0)


@pytest.mark.parametrize("change", ["another version", "the end"])
def test_follower_gives_a_try_up_once_it_is_obsolete(following: Following, change: str) -> None:
    following.offers("v-2")
    following.follower._poll()
    assert not following.is_obsolete()
    if change == "the end":
        following.follower.stop()
    else:
        following.offers("v-3")
    assert following.is_obsolete()


@pytest.mark.parametrize(
    ("error", "connects"),
    [
        (UnreachableError("no answer", rule="r", remedy="m", code="test"), 4),
        (UsageError("no PEM", rule="r", remedy="m", code="test"), 0),
    ],
    ids=["unreachable", "unusable files"],
)
def test_follower_reports_a_refused_version_once_and_retries_with_longer_pauses(
    following: Following, caplog: pytest.LogCaptureFixture, error: SecretopsError, connects: int
) -> None:
    following.offers("v-2")
    following.outcome = error
    tried = list[float]()
    for _ in range(80):
        before = len(following.swaps)
        following.follower._poll()
        tried += [following.now - 1000] * (len(following.swaps) - before)
        following.now += 0.1
    assert [round(one) for one in tried] == [0, 1, 3, 7], "each pause is twice the one before"
    assert LAST_RETRY >= 2 * FIRST_RETRY
    assert following.state.versions == {}
    assert (following.state.counts["refused_versions"], following.state.counts["failed_connects"]) == (1, connects)
    assert caplog.text.count(error.what) == 1
    following.outcome = None
    following.now += LAST_RETRY
    following.follower._poll()
    assert following.state.versions == {"mqtt": "v-2"}


def test_follower_takes_the_next_version_at_once_after_a_refused_one(following: Following) -> None:
    following.offers("v-2")
    following.outcome = UnreachableError("no answer", rule="r", remedy="m", code="test")
    following.follower._poll()
    following.outcome = None
    following.offers("v-3", "third-password")
    following.follower._poll()
    assert following.state.versions == {"mqtt": "v-3"}


def in_place(folder: Path, number: int) -> None:
    (folder / "value").write_text(str(number))


def rename(folder: Path, number: int) -> None:
    (folder / ".value.new").write_text(str(number))
    (folder / ".value.new").rename(folder / "value")


def kubernetes_link(folder: Path, number: int) -> None:
    """Update the folder as kubelet's AtomicWriter does: create a new folder, and rename a new link to it over
    `..data`."""
    (folder.parent / f"..{number}").mkdir()
    (folder / "..data_tmp").symlink_to(f"../..{number}")
    (folder / "..data_tmp").rename(folder / "..data")


@pytest.mark.parametrize("change", [in_place, rename, kubernetes_link])
def test_wakeups_reports_a_change_before_the_next_poll(change: Callable[[Path, int], None], tmp_path: Path) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    stopping, looked = threading.Event(), threading.Event()

    def watch() -> None:
        for _ in wakeups(lambda: {folder}, stopping, every=600):
            looked.set()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    for number in range(120):  # the first change may come before the watch is set up
        change(folder, number)
        if looked.wait(0.5):
            break
    stopping.set()
    thread.join(60)
    assert looked.is_set() and not thread.is_alive()


def no_inotify(*_: object, **__: object) -> Iterator[None]:
    raise RuntimeError("Too many open files (os error 24)")  # as watchfiles: no OSError


@pytest.mark.parametrize("silent", ["no watchfiles", "no inotify", "no folder", "no event", "folders that fail"])
def test_wakeups_polls_what_cannot_be_watched(silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if silent == "no watchfiles":
        monkeypatch.setitem(sys.modules, "watchfiles", None)
    if silent == "no inotify":
        monkeypatch.setattr("watchfiles.watch", no_inotify)
    folders: dict[str, Any] = {"no folder": set, "folders that fail": no_inotify}
    stopping, seen = threading.Event(), 0
    over = threading.Timer(20, stopping.set)
    over.start()
    for _ in wakeups(folders.get(silent, lambda: {tmp_path}), stopping, every=0.01):
        seen += 1
        if seen == 3:
            stopping.set()
    over.cancel()
    assert seen == 3


def test_keep_polling_survives_exceptions(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(watch, "wakeups", lambda *_: iter(range(5)))
    state, followed = LauncherState(), list[bool]()

    def poll() -> bool:
        followed.append(state.is_followed())
        if 1 < len(followed) < 4:
            raise LookupError("a library's own")
        return False

    watch.keep_polling(poll, OneSource(UsageError("not read", code="test")), threading.Event(), state)
    assert followed == [True, True, False, False, True]
    assert len(caplog.messages) == 1 and "LookupError" in caplog.text
    assert not state.is_followed(), "it has ended although nothing stopped it"


def test_a_source_that_is_not_polled_for_long_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    state = LauncherState()
    state.polled(1.0)
    later = time.monotonic() + STALE_SECONDS
    monkeypatch.setattr("secretops.launcher.state.time.monotonic", lambda: later)
    assert not state.is_followed()


@pytest.mark.parametrize("error", [StoreError("disk full", code="test"), LookupError("a library's own")])
def test_first_values_are_read_again_after_a_failed_read(
    following: Following, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    options = parse_http_options("http", "127.0.0.1:0", ())
    assert options
    source = cast(Any, following.source)
    values = FirstValues(source, options, BearerTokens(), following.state, threading.Event())
    source.read = Mock(side_effect=error)
    if isinstance(error, StoreError):
        values.check()
    else:
        following.state.waiting_for = ("mqtt",)
    assert following.state.waiting_for == ("mqtt",)
    for _ in range(2):
        with contextlib.suppress(LookupError):
            assert not values._poll()
    source.read = lambda: following.first
    assert values._poll()
    assert caplog.text.count("disk full") == isinstance(error, StoreError)


class Written(OneSource):
    """A source that is being written. Each read returns the next text, and in the end always the last."""

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)
        self.reads = 0

    def _next(self) -> str:
        return self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]

    def fingerprint(self) -> str:
        return self._next()

    def read(self) -> ServerSettings:
        self.reads += 1
        text = self._next()
        if text.startswith("half"):
            raise UsageError(text, code="test")
        return cast(ServerSettings, text)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_watcher, "SETTLE_SECONDS", 0)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param(["new"], ("new", "new"), id="at rest"),
        pytest.param(["old", "old", "new"], ("new", "new"), id="written after it was read"),
        pytest.param(["old", "torn", "new"], ("new", "new"), id="written while it was read"),
        pytest.param(["half", "half", "new"], ("new", "new"), id="half-written"),
        # With the earlier fingerprint, the follower sees that the source has changed since.
        pytest.param([str(number) for number in range(1000)], ("28", "27"), id="never settles"),
    ],
)
def test_read_settled_returns_an_unchanged_text(texts: Sequence[str], expected: tuple[str, str]) -> None:
    settings, fingerprint = read_stable(Written(*texts), threading.Event())
    assert (str(settings), fingerprint) == expected


@pytest.mark.parametrize(("stops", "reads"), [(False, SETTLE_TRIES), (True, 1)], ids=["runs", "stops"])
def test_read_settled_raises_when_a_source_stays_unreadable(stops: bool, reads: int) -> None:
    source, stopping = Written("half"), threading.Event()
    if stops:
        stopping.set()
    with pytest.raises(SecretopsError):
        read_stable(source, stopping)
    assert source.reads == reads
