"""The lease, which only one process can hold: a record in the store that is changed only by compare-and-swap.

Clocks of different machines are never compared. A waiting process measures by its own clock how long the record stays
unchanged, and takes the lease over after its whole duration, as client-go's leader election does.
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

# How often a holder renews before it reports that renewals are too slow.
TRIES = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """Durations in seconds. The defaults are for a store on the internet that charges for requests."""

    # How long a lease is valid without a renewal.
    duration: float = 30.0
    # Between two renewals.
    renew: float = 5.0
    # Between two polls of a lease that another process holds.
    poll: float = 2.0

    @property
    def trusted(self) -> float:
        """Return how many seconds a holder may rely on a renewal: two thirds of `duration`, as client-go does."""
        return self.duration * 2 / 3


def boot_clock() -> float:
    """Return the seconds of a clock that also runs while the machine sleeps, unlike `time.monotonic` on Linux."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


@dataclass(frozen=True, kw_only=True)
class LeaseRecord:
    """The lease's record in the store. A renewal changes only `renewals`."""

    holder: str
    # Differs each time the lease is acquired.
    token: str
    since: datetime | None
    renewals: int = 0
    # The holder's duration in seconds; 0 if the store does not record it: a waiting process then uses its own.
    duration: float = 0.0

    def is_of(self, other: LeaseRecord | None) -> bool:
        return other is not None and (self.holder, self.token) == (other.holder, other.token)


@dataclass(frozen=True)
class StoredLease:
    """The lease's record as it was read. `record` is None while the lease is free."""

    record: LeaseRecord | None = None
    # The store's version of the record, which the next write must follow.
    at: Any = None


class LeaseStore(abc.ABC):
    """Stores the record of one lease. Every method may raise StoreError or UnreachableError."""

    # True if the first write needs no read, since a rejected write returns what is stored.
    writes_first: ClassVar[bool] = False
    keeps_duration: ClassVar[bool] = False

    def acquired_by(self, holder: str, duration: float) -> LeaseRecord:
        now, kept = datetime.now(UTC).replace(microsecond=0), duration if self.keeps_duration else 0.0
        return LeaseRecord(holder=holder, token=secrets.token_hex(8), since=now, duration=kept)

    def renewed(self, record: LeaseRecord) -> LeaseRecord:
        return replace(record, renewals=record.renewals + 1)

    @abc.abstractmethod
    def read(self, *, patient: bool = True) -> StoredLease:
        """Return the record. `patient`: repeat the request if the store does not answer."""

    @abc.abstractmethod
    def write(self, record: LeaseRecord | None, after: StoredLease, *, patient: bool = True) -> StoredLease:
        """Write `record`, or free the lease if it is None, unless somebody has written since `after`. Return what is
        stored.

        If `record` was written but the answer was lost, the next attempt also returns `record`.
        """

    @abc.abstractmethod
    def contended(self, consequence: str) -> SecretopsError:
        """Return the error for a record that other processes change before each write. Its rule contains
        `consequence`."""


class HeldLease:
    """An acquired lease, which may be lost later. Thread-safe."""

    def __init__(self, store: LeaseStore, record: LeaseRecord, at: Any, timing: Timing, *, sent: float) -> None:
        self.record, self._at = record, at
        self._store, self._timing, self._renewed = store, timing, sent
        # Process that took over the lease; empty for none.
        self._taker = ""
        self._turn = threading.Lock()

    def confirm(self, *, fresh: bool = False) -> None:
        """Raise LeaseLostError if the lease is lost. Renews it first if `fresh`, or if the last renewal is too old.

        Raises UnreachableError after TRIES renewals that were too slow.
        """
        with self._turn:
            for _ in range(TRIES):
                if not self._taker and (fresh or not self._is_recent):
                    self._renew(patient=True)
                    fresh = False
            if self._taker:
                raise LeaseLostError(self._taker)
            if not self._is_recent:
                raise UnreachableError(
                    f"each of {TRIES} renewals of the lease took more than {self._timing.trusted:.0f} s",
                    rule="a process must write nothing once another process may have taken over its lease",
                    remedy="nothing to do: the next tick finishes the rotation",
                    code="lease-renewal-slow",
                )

    def renew(self) -> None:
        with self._turn:
            self._renew(patient=False)

    def release(self) -> None:
        """Free the lease. If this fails, the lease expires later."""
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
        retries = Retries()
        while True:
            found = self._store.write(record, StoredLease(self.record, self._at), patient=patient)
            if found.record != record and not self.record.is_of(found.record):
                self._taker = (found.record and found.record.holder) or "nobody"
                return False
            self.record, self._at = found.record or self.record, found.at
            if found.record == record:
                return True
            if not retries.pause():  # something else in the store's object changes each time
                raise self._store.contended("the next tick finishes the rotation")


def acquire(store: LeaseStore, holder: str, timing: Timing) -> HeldLease:
    """Acquire the lease. Raises LeaseHeldError, StoreError, UnreachableError."""
    ours, watcher, retries = store.acquired_by(holder, timing.duration), LeaseWatcher(timing), Retries()
    expired: StoredLease | None = None
    while True:
        sent, sent_awake = time.monotonic(), boot_clock()
        found = before = expired or (StoredLease() if store.writes_first else store.read())
        if expired or before.record is None:
            found = store.write(ours, before)
            if found.record == ours:
                return HeldLease(store, ours, found.at, timing, sent=sent_awake)
        expired = None
        if found.record is None or (found is not before and found.record == before.record):
            if not retries.pause():
                raise store.contended("nothing was started")
        elif watcher.has_expired(found.record, sent=sent):
            expired = found


@contextlib.contextmanager
def hold(store: LeaseStore, holder: str, timing: Timing) -> Iterator[HeldLease]:
    held = acquire(store, holder, timing)
    with renewing(held, timing):
        yield held


@contextlib.contextmanager
def renewing(held: HeldLease, timing: Timing) -> Iterator[None]:
    """Renew the lease during the block, then release it. Logs errors of either, and raises none."""
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
            _log.warning("the lease was not released, and expires in %d s: %s", timing.duration, error.what)


class Fence:
    """Confirms the lease before each write of a store, and after each read of a value. Does nothing while no lease is
    held."""

    def __init__(self) -> None:
        self._held: HeldLease | None = None

    @contextlib.contextmanager
    def behind(self, held: HeldLease) -> Iterator[None]:
        self._held = held
        try:
            yield
        finally:
            self._held = None

    def check(self, fresh: bool) -> None:
        if self._held:
            self._held.confirm(fresh=fresh)


class LeaseWatcher:
    """Measures by this machine's clock whether a holder renews its lease."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._seen: LeaseRecord | None = None
        self._since = 0.0

    def has_expired(self, record: LeaseRecord, *, sent: float) -> bool:
        """Return True if the record has not changed for its duration; else sleep until the next poll, and return False.

        Measures from the arrival of the first record to `sent`, the `time.monotonic` at which `record` was requested.
        Raises LeaseHeldError if the record has changed.
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
        f"{holder} holds the lease{began}",
        rule="only the process that holds the stack's lease may rotate",
        remedy="wait until that process ends, then try again",
        code="lease-held",
    )


class LeaseLostError(StoreError):
    def __init__(self, taker: str) -> None:
        self.taker = taker
        super().__init__(
            f"the lease is lost: its holder is now {taker}",
            rule="a process must renew its lease in time, else another process may take over; this process writes "
            "nothing",
            remedy="nothing to do: the next tick finishes the rotation",
            code="lease-lost",
        )
