"""The leases of all network stores."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from secretops.errors import LeaseHeldError, StoreError, UnreachableError
from secretops.stores import lease, retry
from secretops.stores.retry import Retries
from tests.unit.memory_cluster import Clock

TIMING = lease.Timing(duration=30)
DEADLINE = 10.0
RECORD = lease.LeaseRecord(holder="the holder", token="1", since=None)  # nosec B106


class Scripted(lease.LeaseStore):
    """A store with a script for the duration and result of its writes. Later writes succeed at once."""

    def __init__(
        self, *script: float | Exception | None, release: Exception | None = None, taken: bool = False
    ) -> None:
        self._script, self._release, self._taken = list(script), release, taken
        self.now = 0.0
        self.done: list[str] = []
        self.script_is_over = threading.Event()

    def read(self, *, patient: bool = True) -> lease.StoredLease:
        raise AssertionError(f"nothing is read here: {patient}")

    def write(
        self, record: lease.LeaseRecord | None, after: lease.StoredLease, *, patient: bool = True
    ) -> lease.StoredLease:
        self.done.append("renew, patiently" if record and patient else "renew" if record else "release")
        ends = self._script.pop(0) if self._script and record else None if record else self._release
        if record and not self._script:
            self.script_is_over.set()
        if isinstance(ends, Exception):
            raise ends
        self.now += ends or 0
        return lease.StoredLease(replace(RECORD, holder="the follower") if self._taken else record, after.at)

    def contended(self, consequence: str) -> StoreError:
        return StoreError(consequence, code="test")

    @property
    def held(self) -> lease.HeldLease:
        return lease.HeldLease(self, RECORD, None, TIMING, sent=lease.boot_clock())


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scripted]:
    def scripted(*seconds: float, taken: bool = False) -> Scripted:
        store = Scripted(*seconds, taken=taken)
        monkeypatch.setattr(lease, "boot_clock", lambda: store.now)
        return store

    return scripted


def test_a_renewal_that_took_longer_than_it_is_trusted_for_is_made_again(slow: Callable[..., Scripted]) -> None:
    store = slow(TIMING.trusted + 1, 1)
    store.held.confirm(fresh=True)
    assert store.done == ["renew, patiently"] * 2


def test_slow_renewals_are_reported_and_end(slow: Callable[..., Scripted]) -> None:
    store = slow(*[TIMING.trusted + 1] * 100)
    with pytest.raises(UnreachableError, match=r"more than 20 s \[lease-renewal-slow\]") as raised:
        store.held.confirm(fresh=True)
    assert len(store.done) == 2 and raised.value.remedy


OFTEN = lease.Timing(renew=0.001)
UNREACHABLE, LOST = UnreachableError("no answer", code="test"), StoreError("refused", code="test")


@pytest.mark.parametrize("outcomes", [(UNREACHABLE,), (None, LOST), (UNREACHABLE,) * 5], ids=["first", "later", "many"])
def test_a_lease_is_renewed_again_after_a_renewal_failed(outcomes: tuple[Exception | None, ...]) -> None:
    store = Scripted(*outcomes, None)
    with lease.renewing(store.held, OFTEN):
        assert store.script_is_over.wait(DEADLINE)


@pytest.mark.parametrize("error", [None, RuntimeError("of the block")])
@pytest.mark.parametrize("release", [None, UNREACHABLE])
def test_lease_is_released_once_and_last(error: Exception | None, release: Exception | None) -> None:
    store = Scripted(None, release=release)
    raised = pytest.raises(RuntimeError, match="of the block") if error else contextlib.nullcontext()
    with raised, lease.renewing(store.held, OFTEN):
        assert store.script_is_over.wait(DEADLINE)
        if error:
            raise error
    assert store.done.index("release") == len(store.done) - 1
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_a_lost_lease_is_neither_renewed_nor_released(slow: Callable[..., Scripted]) -> None:
    store = slow(1, taken=True)
    held = store.held
    with pytest.raises(lease.LeaseLostError):
        held.confirm(fresh=True)
    held.renew()
    held.release()
    assert store.done == ["renew, patiently"]


@pytest.mark.parametrize(("renews", "slow_answer", "duration", "expected"), [
    pytest.param(False, 0, 0, TIMING.duration, id="our duration"),
    pytest.param(False, 0, 10, 10, id="the holder's duration"),
    pytest.param(False, 20, 0, TIMING.duration + 20, id="a first answer that was slow"),
    pytest.param(True, 0, 0, None, id="renews"),
])  # fmt: skip
def test_a_holder_is_followed_once_it_has_not_renewed_for_its_duration(
    monkeypatch: pytest.MonkeyPatch, renews: bool, slow_answer: float, duration: float, expected: float | None
) -> None:
    clock = Clock()
    monkeypatch.setattr(lease, "time", clock)
    watch = lease.LeaseWatcher(TIMING)

    def look() -> bool:
        sent, renewals = clock.now, int(renews and clock.now > 0)
        clock.now += 0 if clock.now else slow_answer
        return watch.has_expired(replace(RECORD, renewals=renewals, duration=duration), sent=sent)

    if expected is None:
        with pytest.raises(LeaseHeldError):
            while not look():
                pass
        return
    while not look():
        assert clock.now <= expected + TIMING.poll
    assert clock.now >= expected


def test_retries_end_after_the_last_pause_or_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "time", Clock())
    late = Retries((1.0, 1.0), seconds=1)
    assert [each.pause() for each in (Retries(()), late, late)] == [False, True, False]
