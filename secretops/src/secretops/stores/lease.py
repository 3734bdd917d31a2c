"""The lease that lets one process rotate: one record in the store, changed by compare-and-swap alone.

No machine's clock is compared with another's. A process that waits watches the record by its own clock, and takes the
lease over only when the holder has not renewed it for its whole duration, as client-go's leader election does.
https://pkg.go.dev/k8s.io/client-go/tools/leaderelection
"""

from __future__ import annotations

import abc
import contextlib
import logging
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from secretops.errors import LeaseHeldError, SecretopsError, StoreError, UnreachableError
from secretops.stores.retry import Retries

# How often a holder renews before it reports that it can't tell in time whether the lease is still its own.
TRIES = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """Seconds. The defaults are for a store that is reached over the internet and counts requests."""

    duration: float = 30.0
    """How long a lease is valid without a renewal."""
    renew: float = 5.0
    poll: float = 2.0
    """Between two polls of a lease that somebody holds."""

    @property
    def trusted(self) -> float:
        """How long after a renewal the holder writes without another one (client-go's RenewDeadline: 10 of 15)."""
        return self.duration * 2 / 3


def boot_clock() -> float:
    """Return a clock in seconds that does not stop while this machine sleeps, when nothing is renewed.

    `time.monotonic` stops then on Linux; elsewhere there is no other. Only a holder needs it: a process that watches
    somebody else's lease would have slept with it.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


@dataclass(frozen=True, kw_only=True)
class LeaseRecord:
    """What the store knows of one holder. A renewal changes `renewals` alone."""

    holder: str
    token: str
    """Differs each time the lease is acquired."""
    since: datetime | None
    renewals: int = 0
    duration: float = 0.0
    """The holder's, in seconds; 0 where the store keeps none: then the reader's own counts."""

    def is_of(self, other: LeaseRecord | None) -> bool:
        return other is not None and (self.holder, self.token) == (other.holder, other.token)


@dataclass(frozen=True)
class StoredLease:
    """The record as it was read, or None while the lease is free."""

    record: LeaseRecord | None = None
    at: Any = None
    """What the next write has to follow: the store's own version of the record."""


class LeaseStore(abc.ABC):
    """Where a record is kept. Every method may raise StoreError or UnreachableError."""

    # Whether the first write may do without a read: a refused one returns what is there.
    writes_first: ClassVar[bool] = False
    keeps_duration: ClassVar[bool] = False

    def acquired_by(self, holder: str, duration: float) -> LeaseRecord:
        now, kept = datetime.now(UTC).replace(microsecond=0), duration if self.keeps_duration else 0.0
        return LeaseRecord(holder=holder, token=secrets.token_hex(8), since=now, duration=kept)

    def renewed(self, record: LeaseRecord) -> LeaseRecord:
        return replace(record, renewals=record.renewals + 1)

    @abc.abstractmethod
    def read(self, *, patient: bool = True) -> StoredLease:
        """Return what is there. `patient`: wait for a store that does not answer; else the call is repeated soon."""

    @abc.abstractmethod
    def write(self, record: LeaseRecord | None, after: StoredLease, *, patient: bool = True) -> StoredLease:
        """Write the record, or free the lease, if nobody has written since `after`. Return what is there then.

        So the record in the result is the given one only if it was written, also by an earlier try whose answer was
        lost.
        """

    @abc.abstractmethod
    def contended(self, left: str) -> SecretopsError:
        """Return the error for a record that somebody else changes all the time. `left`: what is not done."""


class HeldLease:
    """A lease that this process acquired. Another one may have taken it over since. One question at a time."""

    def __init__(self, store: LeaseStore, record: LeaseRecord, at: Any, timing: Timing, *, sent: float) -> None:
        """`record` and `at` as they were written. `sent`: when that write was sent, by `boot_clock`."""
        self.record, self._at = record, at
        self._store, self._timing, self._renewed = store, timing, sent
        # Who has taken the lease over; empty for nobody.
        self._taker = ""
        self._turn = threading.Lock()

    def confirm(self, *, fresh: bool = False) -> None:
        """Raise StoreError when the lease is lost. `fresh`: do not rely on a recent renewal.

        A renewal that took too long to be recent is repeated; after `TRIES` this raises UnreachableError.
        """
        with self._turn:
            for _ in range(TRIES):
                if not self._taker and (fresh or not self._is_recent):
                    self._renew(patient=True)
                    fresh = False
            if self._taker:
                raise lease_lost(self._taker)
            if not self._is_recent:
                raise UnreachableError(
                    f"the lease was renewed {TRIES} times, each more slowly than the {self._timing.trusted:.0f} s that "
                    "a renewal is trusted for",
                    rule="a process whose lease may have been taken over writes nothing",
                    remedy="nothing to do: the next tick finishes what was begun",
                )

    def renew(self) -> None:
        """Renew the lease once. Raises SecretopsError when that is not possible now."""
        with self._turn:
            self._renew(patient=False)

    def release(self) -> None:
        """Free the lease at once. Raises SecretopsError; then it ends with its duration."""
        with self._turn:
            if not self._taker:
                self._write(None, patient=False)

    @property
    def _is_recent(self) -> bool:
        return boot_clock() - self._renewed <= self._timing.trusted

    def _renew(self, *, patient: bool) -> None:
        sent = boot_clock()
        if not self._taker and self._write(self._store.renewed(self.record), patient=patient):
            self._renewed = sent

    def _write(self, record: LeaseRecord | None, *, patient: bool) -> bool:
        """Write while the lease is ours. False once another process has it."""
        retries = Retries()
        while True:
            found = self._store.write(record, StoredLease(self.record, self._at), patient=patient)
            if found.record != record and not self.record.is_of(found.record):
                self._taker = (found.record and found.record.holder) or "nobody"
                return False
            self.record, self._at = found.record or self.record, found.at
            if found.record == record:
                return True
            if not retries.pause():  # somebody changes something beside the record
                raise self._store.contended("the next tick finishes what was begun")


def acquire(store: LeaseStore, holder: str, timing: Timing) -> HeldLease:
    """Acquire the lease for `holder`. Raises LeaseHeldError, StoreError, UnreachableError."""
    ours, watch, retries = store.acquired_by(holder, timing.duration), LeaseWatcher(timing), Retries()
    silent: StoredLease | None = None
    while True:
        sent, sent_awake = time.monotonic(), boot_clock()
        found = before = silent or (StoredLease() if store.writes_first else store.read())
        if silent or before.record is None:
            found = store.write(ours, before)
            if found.record == ours:
                return HeldLease(store, ours, found.at, timing, sent=sent_awake)
        silent = None
        if found.record is None or (found is not before and found.record == before.record):
            if not retries.pause():
                raise store.contended("nothing was begun")
        elif watch.has_expired(found.record, sent=sent):
            silent = found


@contextlib.contextmanager
def hold(store: LeaseStore, holder: str, timing: Timing) -> Iterator[HeldLease]:
    """Hold the lease while the block runs. Raises as `acquire` does."""
    held = acquire(store, holder, timing)
    with renewing(held, timing):
        yield held


@contextlib.contextmanager
def renewing(held: HeldLease, timing: Timing) -> Iterator[None]:
    """Renew the lease while the block runs, then release it. A renewal that fails is repeated."""
    over = threading.Event()

    def keep_renewing() -> None:
        while not over.wait(timing.renew):
            try:
                held.renew()
            except SecretopsError as error:
                _log.info("the lease was not renewed: %s", error.what)

    thread = threading.Thread(target=keep_renewing, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        try:
            held.release()
        except SecretopsError as error:
            _log.warning("the lease was not released, and ends in %d s: %s", timing.duration, error.what)


class Fence:
    """What a store asks before each write, and after each read of a value. Without a lease it lets everything pass."""

    def __init__(self) -> None:
        self._held: HeldLease | None = None

    @contextlib.contextmanager
    def behind(self, held: HeldLease) -> Iterator[None]:
        """While the block runs, let only the holder of `held` pass."""
        self._held = held
        try:
            yield
        finally:
            self._held = None

    def check(self, fresh: bool) -> None:
        """Raise StoreError when the lease is lost. `fresh` as in `HeldLease.confirm`: after somebody else's write."""
        if self._held:
            self._held.confirm(fresh=fresh)


class LeaseWatcher:
    """Tells by our own clock whether a holder is alive: each renewal changes the record."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._seen: LeaseRecord | None = None
        self._since = 0.0

    def has_expired(self, record: LeaseRecord, *, sent: float) -> bool:
        """Return whether the record has not changed for its duration; else sleep until the next poll is due.

        `sent`: when the record was requested, by `time.monotonic`. A slow answer counts from its arrival when it is
        the first one, and from its request after that. Raises LeaseHeldError when the record has changed.
        """
        if self._seen is None:
            self._seen, self._since = record, time.monotonic()
        elif record != self._seen:
            raise lease_held(record.holder, record.since)
        if sent - self._since >= (record.duration or self._timing.duration):
            return True
        time.sleep(self._timing.poll)
        return False


def lease_held(holder: str, since: datetime | None) -> LeaseHeldError:
    began = f" since {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
    return LeaseHeldError(
        f"{holder}{began} holds the lease",
        rule="one rotation at a time",
        remedy="nothing to do: it ends with its process; try again then",
    )


class LeaseLostError(StoreError):
    """The lease was ours, and `taker` has it now."""

    taker = ""


def lease_lost(taker: str) -> LeaseLostError:
    error = LeaseLostError(
        f"the lease is lost: {taker} has changed it",
        rule="a lease that is not renewed for its whole duration is taken over, and its former holder writes no more",
        remedy="nothing to do: the next tick finishes what was begun",
    )
    error.taker = taker
    return error
