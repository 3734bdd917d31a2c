"""What the checks of several platforms have in common: reach the store, compare clocks, watch a lease."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from secretops.check import Repair, Result, attention, ok
from secretops.errors import SecretopsError

# Versions are named by this machine's time.
MOST_SKEW = timedelta(seconds=60)
KNOWN = "what the stack does not know nobody rotates, and whoever may read it still finds its value"


def reached(reach: Callable[[], object], healthy: Callable[[], str]) -> Result:
    """OK while the platform answers. Its error is the finding of this check; for the others it is UNKNOWN."""
    try:
        reach()
    except SecretopsError as error:
        return Result.of(error)
    return ok(healthy())


def clock_skew(ahead: timedelta | None, server: str, why: str = "", *, both: bool = False) -> Result:
    """Compare this machine's clock with a server's; `ahead` is None where the server's answers have no date."""
    whose = f"{server}'" if server.endswith("S") else f"{server}'s"
    if ahead is None:
        return ok(f"not seen: {whose} answer has no date")
    if abs(ahead) <= MOST_SKEW:
        return ok(f"as {whose}")
    return attention(
        f"this machine is {abs(ahead).total_seconds():.0f} s {'ahead of' if ahead > MOST_SKEW else 'behind'} {server}",
        f"within {MOST_SKEW.seconds} s: versions are named by their time{why}",
        f"let {'both take their' if both else 'this machine take its'} time from NTP",
    )


def unknown_to_stack(names: Sequence[str], what: str, delete: str) -> Result:
    """Report secrets that are in the stack's own store and not in its manifest. `delete`: the command, for one."""
    return attention(f"{', '.join(names)}: {what}", KNOWN, f"{delete}; or put it back into the stack's file")


def poll(seconds: float, pause: float) -> Iterator[None]:
    """Yield after each pause, until `seconds` have passed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(pause)
        yield


def killed_holder(holder: str, seconds: float, follow: Repair | None, how: str = "was killed,") -> Result:
    """A lease that was not renewed for its duration. `follow` takes it over."""
    return attention(
        f"held by {holder}, who did not renew it for {seconds:.0f} s",
        f"who lives renews it: this one {how} and may have left a rotation half-done",
        "secretops tick follows it, and finishes what was begun",
        follow,
    )
