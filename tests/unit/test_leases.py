"""What the leases of all stores over a network share."""

from __future__ import annotations

import pytest

from secretops.errors import StoreError, UnreachableError
from secretops.stores import leases

TIMING = leases.Timing(duration=30)


class Slow(leases.Held):
    """A lease whose renewals take as long as they are told to. Stands in for one of a store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *seconds: float, followed: bool = False) -> None:
        self._now, self._left, self._followed = 0.0, list(seconds), followed
        self.asked: list[bool] = []
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
        pass


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
