"""What the leases of all stores over a network share."""

import contextlib
import threading

import pytest

from secretops.errors import LeaseHeldError, StoreError, UnreachableError
from secretops.stores import lease
from tests.unit.memory_cluster import Clock

TIMING = lease.Timing(duration=30)
DEADLINE = 10.0


class Slow(lease.Held):
    """A lease whose renewals take as long as they are told to. Stands in for one of a store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *seconds: float, followed: bool = False) -> None:
        self._now, self._left, self._followed = 0.0, list(seconds), followed
        self.asked: list[bool] = []
        monkeypatch.setattr(lease, "awake_or_not", lambda: self._now)
        super().__init__(TIMING, asked=0.0)

    def _renew(self, *, patiently: bool) -> bool:
        self.asked.append(patiently)
        self._now += self._left.pop(0)
        if not self._left and self._followed:
            self._follower = "the follower"
            return False
        return True

    def _release(self) -> None:
        pass


def test_a_renewal_that_took_longer_than_it_is_trusted_for_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Slow(monkeypatch, TIMING.trusted + 1, 1)
    held.confirm(surely=True)
    assert held.asked == [True, True]


def test_renewals_that_all_take_too_long_are_told_and_not_made_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Slow(monkeypatch, *[TIMING.trusted + 1] * 100)
    with pytest.raises(UnreachableError, match=r"renewed 2 times, each more slowly than the 20 s") as told:
        held.confirm(surely=True)
    assert len(held.asked) == 2 and told.value.remedy


class Renewed(lease.Held):
    """A lease whose renewals end as scripted: an error is raised, None is a success. After the script, all succeed."""

    def __init__(self, *outcomes: Exception | None, release: Exception | None = None) -> None:
        super().__init__(TIMING, asked=lease.awake_or_not())
        self._outcomes, self._release_error = list(outcomes), release
        self.done: list[str] = []
        self.script_is_over = threading.Event()

    def _renew(self, *, patiently: bool) -> bool:  # noqa: ARG002 - nobody waits
        self.done.append("renew")
        if not self._outcomes:
            self.script_is_over.set()
        elif error := self._outcomes.pop(0):
            raise error
        return True

    def _release(self) -> None:
        self.done.append("release")
        if self._release_error:
            raise self._release_error


OFTEN = lease.Timing(renew=0.001)
UNREACHABLE, LOST = UnreachableError("no answer"), StoreError("refused")


@pytest.mark.parametrize("outcomes", [(UNREACHABLE,), (None, LOST), (UNREACHABLE,) * 5], ids=["first", "later", "many"])
def test_a_lease_is_renewed_again_after_a_renewal_failed(outcomes: tuple[Exception | None, ...]) -> None:
    held = Renewed(*outcomes)
    with lease.holding(held, OFTEN):
        assert held.script_is_over.wait(DEADLINE)


@pytest.mark.parametrize("error", [None, RuntimeError("of the block")])
@pytest.mark.parametrize("release", [None, UNREACHABLE])
def test_lease_is_released_once_and_last(error: Exception | None, release: Exception | None) -> None:
    held = Renewed(release=release)
    raised = pytest.raises(RuntimeError, match="of the block") if error else contextlib.nullcontext()
    with raised, lease.holding(held, OFTEN):
        assert held.script_is_over.wait(DEADLINE)
        if error:
            raise error
    assert held.done.index("release") == len(held.done) - 1
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_a_lost_lease_is_neither_renewed_nor_released(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Slow(monkeypatch, 1, followed=True)
    with pytest.raises(StoreError):
        held.confirm(surely=True)
    released: list[str] = []
    monkeypatch.setattr(held, "_release", lambda: released.append("released"))
    held.renew()
    held.give_back()
    assert (held.asked, released) == ([True], [])


@pytest.mark.parametrize(("renews", "slow_answer", "duration", "expected"), [
    pytest.param(False, 0, None, TIMING.duration, id="our duration"),
    pytest.param(False, 0, 10, 10, id="the holder's duration"),
    pytest.param(False, 20, None, TIMING.duration + 20, id="a first answer that was slow"),
    pytest.param(True, 0, None, None, id="renews"),
])  # fmt: skip
def test_a_holder_is_followed_once_it_has_not_renewed_for_its_duration(
    monkeypatch: pytest.MonkeyPatch, renews: bool, slow_answer: float, duration: float | None, expected: float | None
) -> None:
    clock = Clock()
    monkeypatch.setattr(lease, "time", clock)
    watch = lease.Watch[int](TIMING)

    def look() -> bool:
        asked, sign = clock.now, int(renews and clock.now > 0)
        clock.now += 0 if clock.now else slow_answer
        return watch.is_over(sign, asked=asked, held=lambda: LeaseHeldError("it"), duration=duration)

    if expected is None:
        with pytest.raises(LeaseHeldError):
            while not look():
                pass
        return
    while not look():
        assert clock.now <= expected + TIMING.look
    assert clock.now >= expected
