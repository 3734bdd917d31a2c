"""Who rotates: a secret whose AWSCURRENT is on the version of whoever holds the lease, or on the empty one: it is free.

No read decides, as AWS' answers may be late. Moves of a label do, which AWS makes from where it was seen, or not.

- A taker has a version, {}, that nobody else uses meanwhile (seat.py), and moves AWSCURRENT to it from the empty one.
- A renewal puts the next numbered label on the holder's version and moves the last one away: only that confirms.
- Who follows moves that last label to its own version, and then AWSCURRENT. So either it or the renewal succeeds.

Giving back leaves the version to the next taker: one is made only when there is none, after some process was killed.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from secretops.errors import LeaseHeldError, SecretopsError, StoreError
from secretops.stores.leases import Held, Timing, Watch, awake_or_not, held_by
from secretops.stores.secrets_manager.api import CURRENT, Api, Labels, where
from secretops.stores.secrets_manager.labels import NO_VALUE_LABEL
from secretops.stores.secrets_manager.seat import FREE, Seat, holder_name, last_renewal, since_of, tidy

TRIES = 5
"""How often somebody else may be quicker, one after the other."""


class HeldSecret(Held):
    """The lease from a seat that has AWSCURRENT."""

    def __init__(self, seat: Seat, *, asked: float, timing: Timing) -> None:
        super().__init__(timing, asked=asked)
        self._seat = seat

    def _renew(self, *, patiently: bool) -> bool:  # noqa: ARG002 - AWS' SDK asks again by itself
        seat = self._seat
        last, new = seat.renewed, seat.renewal(seat.count + 1)
        seat.move(new, None, seat.version)
        moved = seat.move(last, seat.version, FREE)
        labels = seat.api.labels(seat.name)
        confirmed = moved or where(labels, last) == FREE  # its answer was lost: nobody else moves it there
        current = where(labels, CURRENT)
        if not confirmed or current is None or current != seat.version or seat.held not in labels[current]:
            followers = (version for version in (where(labels, last), current) if version != seat.version)
            self._follower = next(filter(None, (holder_name(labels, one) for one in followers)), "somebody else")
            seat.move(new, seat.version, None)
            return False
        seat.count += 1
        seat.clear_renewals(labels)
        return True

    def _release(self) -> None:
        self._seat.leave()


@dataclass(frozen=True)
class Holder:
    """Whoever holds the lease, or was killed before it was given back."""

    name: str
    since: datetime


def holder_of(labels: Labels) -> Holder | None:
    """Of the lease with these labels; None when it is free."""
    current = where(labels, CURRENT)
    since = since_of(labels.get(current or "", frozenset()))
    return Holder(holder_name(labels, current), since) if since else None


def signs(labels: Labels) -> tuple[str | None, frozenset[str]]:
    """What every renewal changes, and nobody's wish to have the lease."""
    current = where(labels, CURRENT)
    return current, labels.get(current or "", frozenset())


def take(api: Api, name: str, holder: str, timing: Timing) -> Held:
    """The lease of secret `name`, for `holder`. Raises LeaseHeldError, StoreError, UnreachableError.

    Whatever is raised, no label of ours is left that AWS let us take away.
    """
    seat = Seat(api, name, holder)
    try:
        return _take(seat, timing)
    except BaseException:
        with contextlib.suppress(SecretopsError):
            seat.leave()
        raise


def _take(seat: Seat, timing: Timing) -> Held:
    api, name = seat.api, seat.name
    watch = _Watch(seat, timing)
    for _ in range(TRIES):
        labels = watch.until_it_may_be_taken()
        current = where(labels, CURRENT)
        if current is None:  # AWS would make the first version AWSCURRENT, whoever's it is
            api.put(name, FREE, "{}", (CURRENT, NO_VALUE_LABEL))
            continue
        version = seat.sit(labels)
        follows = current not in (FREE, version)
        last = last_renewal(labels, current) if follows else None
        if last and not _has(seat, last, where(labels, last)):
            continue
        asked, seat.tried = awake_or_not(), True
        if _has(seat, CURRENT, current):
            if follows:
                if last is None:  # none to take from it: it trusts what it saw before our move, but no longer
                    time.sleep(timing.trusted)
                tidy(api, name, api.labels(name), current)
            return HeldSecret(seat, asked=asked, timing=timing)
    raise StoreError(
        f"secret {name} in {api.region}: somebody else took the lease {TRIES} times in a row",
        rule="one rotation at a time; nothing was begun",
        remedy="find out who does (CloudTrail says), then try again",
    )


def _has(seat: Seat, label: str, source: str | None) -> bool:
    """Whether we have `label`: by a move from `source`, or by one whose answer was lost."""
    if source == seat.version or seat.move(label, source, seat.version):
        return True
    return where(seat.api.labels(seat.name), label) == seat.version


def _held_by(labels: Labels) -> LeaseHeldError:
    other = holder_of(labels)
    return held_by(other.name if other else "somebody", other.since if other else None)


class _Watch:
    """A look at the lease. Each renewal is another label."""

    def __init__(self, seat: Seat, timing: Timing) -> None:
        self._seat, self._watch = seat, Watch[tuple[str | None, frozenset[str]]](timing)

    def until_it_may_be_taken(self) -> Labels:
        """The labels when nobody holds it, or who does was not seen to renew for its duration.

        Raises LeaseHeldError when it was.
        """
        while True:
            asked = time.monotonic()
            labels = self._seat.api.labels(self._seat.name)
            if where(labels, CURRENT) in (None, FREE, self._seat.version):
                return labels
            if self._watch.is_over(signs(labels), asked=asked, held=partial(_held_by, labels)):
                return labels
