"""What the leases of all stores over a network share: their times, who renews, and what is said of them.

No machine's clock is compared with another's. Whoever finds a lease held watches it by its own clock: a holder that
lives is seen to renew, and only one that has not for the whole duration is followed, as client-go's leader election
does it. https://pkg.go.dev/k8s.io/client-go/tools/leaderelection
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from secretops.errors import LeaseHeldError, SecretopsError, StoreError

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


class Held(Protocol):
    """A lease that this process holds, or held: others may have followed us while we could not renew."""

    def confirm(self, *, surely: bool = False) -> None:
        """Raise StoreError when it is no longer ours. `surely`: do not rest on a renewal that is recent."""

    def renew(self) -> None:
        """Show that we live. Raises SecretopsError when that can't be done now."""

    def give_back(self) -> None:
        """Let the next one have it at once. Raises SecretopsError; then it ends with its duration."""


def awake_or_not() -> float:
    """What a holder measures by how old its renewal is: seconds that also pass while this machine sleeps, during which
    nothing is renewed. `time.monotonic` stands still then on Linux, and elsewhere is what there is.

    Not for who watches another's lease: a holder beside it would have slept too.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


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


def lost_to(follower: str) -> StoreError:
    """That somebody has followed us."""
    return StoreError(
        f"the lease is not ours any more: {follower} has changed it",
        rule="who has not renewed it for its whole duration is followed, and writes no more",
        remedy="nothing to do: what was begun is finished by the next tick",
    )
