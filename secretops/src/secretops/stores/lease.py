"""What the leases of all stores over a network share: their times, who renews, and what is said of them.

No machine's clock is compared with another's. Whoever finds a lease held watches it by its own clock: a holder that
lives is seen to renew, and only one that has not for the whole duration is followed, as client-go's leader election
does it. https://pkg.go.dev/k8s.io/client-go/tools/leaderelection
"""

from __future__ import annotations

import abc
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from secretops.errors import LeaseHeldError, SecretopsError, StoreError, UnreachableError

Sign = TypeVar("Sign")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """Seconds. The defaults are for a store that is asked over the internet, and counts requests."""

    duration: float = 30.0
    """How long a holder that does not renew still holds."""
    renew: float = 5.0
    look: float = 2.0
    """Between two looks at a lease that is held."""

    @property
    def trusted(self) -> float:
        """How long after a renewal the holder writes without asking again (client-go's RenewDeadline: 10 of 15)."""
        return self.duration * 2 / 3


def awake_or_not() -> float:
    """What a holder measures by how old its renewal is: seconds that also pass while this machine sleeps, during which
    nothing is renewed. `time.monotonic` stands still then on Linux, and elsewhere is what there is.

    Not for who watches another's lease: a holder beside it would have slept too.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


TRIES = 2
"""How often a holder renews before it tells whoever asks that it can't say in time that the lease is its own."""


class Held(abc.ABC):
    """A lease that this process holds, or held: others may have followed us while we could not renew.

    One question at a time, and none once we were followed. How one store renews and gives back is its own.
    """

    def __init__(self, timing: Timing, *, asked: float) -> None:
        """`asked`: when what took the lease was sent, as `awake_or_not` has it."""
        self._timing, self._renewed = timing, asked
        self._follower = ""
        """Who has followed us; empty for nobody."""
        self._turn = threading.Lock()

    def confirm(self, *, surely: bool = False) -> None:
        """Raise StoreError when it is no longer ours. `surely`: do not rest on a renewal that is recent.

        A renewal that took so long that it is not recent any more is made again; after `TRIES` that is told, by an
        UnreachableError.
        """
        with self._turn:
            for _ in range(TRIES):
                if not self._follower and (surely or not self._is_recent):
                    self._renew_once(patiently=True)
                    surely = False
            if self._follower:
                raise lost_to(self._follower)
            if not self._is_recent:
                raise UnreachableError(
                    f"the lease was renewed {TRIES} times, each more slowly than the {self._timing.trusted:.0f} s that "
                    "a renewal is trusted for",
                    rule="who may have been followed since writes nothing",
                    remedy="nothing to do: what was begun is finished by the next tick",
                )

    def renew(self) -> None:
        """Show that we live. Raises SecretopsError when that can't be done now."""
        with self._turn:
            self._renew_once(patiently=False)

    def give_back(self) -> None:
        """Let the next one have it at once. Raises SecretopsError; then it ends with its duration."""
        with self._turn:
            if not self._follower:
                self._release()

    @property
    def _is_recent(self) -> bool:
        return awake_or_not() - self._renewed <= self._timing.trusted

    def _renew_once(self, *, patiently: bool) -> None:
        asked = awake_or_not()
        if not self._follower and self._renew(patiently=patiently):
            self._renewed = asked

    @abc.abstractmethod
    def _renew(self, *, patiently: bool) -> bool:
        """False when we have been followed, and `_follower` then says by whom. Raises SecretopsError.

        `patiently`: somebody's write waits for the answer. Else it is tried again soon anyway.
        """

    @abc.abstractmethod
    def _release(self) -> None:
        """What is ours is free at once. Raises SecretopsError."""


class Fence:
    """What a store asks before each write, and once what it has read is in hand. Without a lease all may pass."""

    def __init__(self) -> None:
        self._held: Held | None = None

    @contextlib.contextmanager
    def behind(self, held: Held) -> Iterator[None]:
        """While the block runs, only the holder of `held` passes."""
        self._held = held
        try:
            yield
        finally:
            self._held = None

    def check(self, surely: bool) -> None:
        """Raise StoreError when we have been followed. `surely`, as `Held.confirm` has it: after somebody's write."""
        if self._held:
            self._held.confirm(surely=surely)


class Watch(Generic[Sign]):
    """Whether who holds a lease lives, by our own clock: each renewal changes a sign that we see."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._seen: Sign | None = None
        self._since = 0.0

    def is_over(
        self, sign: Sign, *, asked: float, held: Callable[[], LeaseHeldError], duration: float | None = None
    ) -> bool:
        """Whether `sign` has stood for `duration`, by default ours. If not, the next look may be had on return.

        `asked`: when what has the sign was asked for, by `time.monotonic`: an answer that was long in coming is no
        older than its coming when it is the first, and no younger than its question after that.
        Raises `held()`, which names the holder, where another sign stood before.
        """
        if self._seen is None:
            self._seen, self._since = sign, time.monotonic()
        elif sign != self._seen:
            raise held()
        if asked - self._since >= (duration or self._timing.duration):
            return True
        time.sleep(self._timing.look)
        return False


@contextlib.contextmanager
def holding(held: Held, timing: Timing) -> Iterator[None]:
    """Renew `held` while the block runs, then give it back. A renewal that fails is tried again."""
    over = threading.Event()

    def keep_renewing() -> None:
        while not over.wait(timing.renew):
            try:
                held.renew()
            except SecretopsError as error:
                _log.info("the lease was not renewed: %s", error.what)

    renewing = threading.Thread(target=keep_renewing, name="lease", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()
        try:
            held.give_back()
        except SecretopsError as error:
            _log.warning("the lease was not given back, and ends in %d s: %s", timing.duration, error.what)


def held_by(holder: str, since: datetime | None) -> LeaseHeldError:
    """That somebody who lives holds it."""
    told = f" since {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
    return LeaseHeldError(
        f"{holder}{told} holds the lease",
        rule="one rotation at a time",
        remedy="nothing to do: it ends with its process; try again then",
    )


class LostError(StoreError):
    """The lease was ours. Who has followed us is `follower`."""

    follower = ""


def lost_to(follower: str) -> LostError:
    """That somebody has followed us."""
    error = LostError(
        f"the lease is not ours any more: {follower} has changed it",
        rule="who has not renewed it for its whole duration is followed, and writes no more",
        remedy="nothing to do: what was begun is finished by the next tick",
    )
    error.follower = follower
    return error
