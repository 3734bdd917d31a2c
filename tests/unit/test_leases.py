"""What the leases of all stores over a network share."""

from __future__ import annotations

import contextlib
import threading

import pytest

from secretops.errors import LeaseHeldError, StoreError, UnreachableError
from secretops.stores import leases

TIMING = leases.Timing(duration=30)


class Slow(leases.Held):
    """A lease whose renewals take as long as they are told to. Stands in for one of a store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *seconds: float, followed: bool = False) -> None:
        self._now, self._left, self._followed = 0.0, list(seconds), followed
        self.asked: list[bool] = []
        self.released = False
        monkeypatch.setattr(leases, "awake_or_not", lambda: self._now)
        super().__init__(TIMING, asked=0.0)

    def _renew(self, *, patiently: bool) -> bool:
        self.asked.append(patiently)
        self._now += self._left.pop(0)
        if not self._left and self._followed:
            self._follower = "the follower"
            return False
        return True

    def _release(self) -> None:
        self.released = True


def test_a_renewal_that_took_longer_than_it_is_trusted_for_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Slow(monkeypatch, TIMING.trusted + 1, 1)
    held.confirm(surely=True)
    assert held.asked == [True, True]


def test_who_was_followed_while_a_renewal_took_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Slow(monkeypatch, TIMING.trusted + 1, 1, followed=True)
    with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
        held.confirm(surely=True)


def test_renewals_that_all_take_too_long_are_told_and_not_made_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Slow(monkeypatch, *[TIMING.trusted + 1] * 100)
    with pytest.raises(UnreachableError, match=r"renewed 2 times, each more slowly than the 20 s") as told:
        held.confirm(surely=True)
    assert len(held.asked) == 2 and told.value.remedy


def test_a_recent_renewal_is_rested_on_and_only_a_write_waits_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Slow(monkeypatch, 1, 1)
    held.confirm()
    held.renew()
    held.confirm(surely=True)
    assert held.asked == [False, True]


@pytest.mark.parametrize("error", [None, ValueError])
def test_holding_gives_the_lease_back_however_the_block_ends(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception] | None
) -> None:
    held = Slow(monkeypatch)
    with contextlib.suppress(ValueError), leases.holding(held, TIMING):
        assert not held.released
        if error:
            raise error
    assert held.released


def test_holding_renews_again_when_a_renewal_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Semaphore(0)

    class Failing(Slow):
        def _renew(self, *, patiently: bool) -> bool:  # noqa: ARG002
            tried.release()
            raise UnreachableError("no answer")

    with leases.holding(Failing(monkeypatch), leases.Timing(renew=0.001)):
        assert all(tried.acquire(timeout=60) for _ in range(3))


def test_a_lease_that_was_followed_is_not_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Slow(monkeypatch, 1, followed=True)
    with pytest.raises(StoreError):
        held.confirm(surely=True)
    held.give_back()
    assert not held.released


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> leases.Watch[str]:
    """Its clock stands at zero, and no look takes any time."""
    monkeypatch.setattr(leases.time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(leases.time, "sleep", lambda _: None)
    return leases.Watch(TIMING)


def test_watch_takes_over_once_a_sign_has_stood_for_the_duration(watch: leases.Watch[str]) -> None:
    seen = [watch.is_over("v1", asked=asked, held=lambda: LeaseHeldError("held")) for asked in (0, 29.9, 30)]
    assert seen == [False, False, True]


def test_watch_reports_the_holder_when_it_has_renewed(watch: leases.Watch[str]) -> None:
    assert not watch.is_over("v1", asked=0, held=lambda: LeaseHeldError("held"))
    with pytest.raises(LeaseHeldError):
        watch.is_over("v2", asked=31, held=lambda: LeaseHeldError("held"))


def test_fence_asks_the_lease_only_while_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    fence, held = leases.Fence(), Slow(monkeypatch, 1, followed=True)
    fence.check(surely=True)
    with fence.behind(held), pytest.raises(StoreError):
        fence.check(surely=True)
    fence.check(surely=True)
    assert held.asked == [True]
