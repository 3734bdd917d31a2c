"""A check of doctor, what it finds, and what the checks of several platforms share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TypeVar

from secretops.errors import SecretopsError

Subject = TypeVar("Subject")

# Versions are named by this machine's time.
MAX_SKEW = timedelta(seconds=60)
KNOWN = "what the stack does not know nobody rotates, and whoever may read it still finds its value"


class Level(StrEnum):
    """Health status. UNKNOWN is not healthy: nothing could be checked, or only a person can say."""

    OK = "ok"
    ATTENTION = "attention"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Repair:
    """An operation of secretops that fixes a finding (docs/adr/0014).

    Only where a person has nothing to decide, and nothing that works is removed. What `pulumi up` fixes is a remedy.
    """

    # What it does, as the operator is asked. It runs once for all findings with the same words.
    description: str
    # Returns what was done; raises SecretopsError. Takes the lease where it writes a value, a fact or a label.
    run: Callable[[], str] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Result:
    """What one check found: the value, the rule and the remedy. Never a value of a secret."""

    level: Level
    value: str
    rule: str = ""
    remedy: str = ""
    # None: only a person, or `pulumi up`, can fix it.
    repair: Repair | None = None

    @property
    def texts(self) -> tuple[str, str, str]:
        return self.value, self.rule, self.remedy

    @property
    def as_json(self) -> dict[str, str | None]:
        texts = {"level": self.level, "value": self.value, "rule": self.rule, "remedy": self.remedy}
        return {**texts, "repair": self.repair.description if self.repair else None}

    @classmethod
    def of(cls, error: SecretopsError, level: Level = Level.ATTENTION) -> Result:
        return cls(level, error.what, error.rule, error.remedy)


@dataclass(frozen=True)
class Check:
    """A name, and the function that checks without a change. A SecretopsError of it makes the result UNKNOWN."""

    name: str
    run: Callable[[], Result]


def table(subject: Subject, looks: Mapping[str, Callable[[Subject], Result]]) -> list[Check]:
    """Return a check for each name, which calls its function with `subject`."""
    return [Check(name, partial(look, subject)) for name, look in looks.items()]


def ok(value: str) -> Result:
    return Result(Level.OK, value)


def attention(value: str, rule: str, remedy: str, repair: Repair | None = None) -> Result:
    return Result(Level.ATTENTION, value, rule, remedy, repair)


def unknown(value: str, rule: str, remedy: str) -> Result:
    return Result(Level.UNKNOWN, value, rule, remedy)


def judge(wrong: Iterable[str], rule: str, remedy: str, healthy: str, repair: Repair | None = None) -> Result:
    """ATTENTION with all that is wrong; OK with `healthy` where nothing is."""
    found = "; ".join(wrong)
    return attention(found, rule, remedy, repair) if found else ok(healthy)


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
    if abs(ahead) <= MAX_SKEW:
        return ok(f"as {whose}")
    return attention(
        f"this machine is {abs(ahead).total_seconds():.0f} s {'ahead of' if ahead > MAX_SKEW else 'behind'} {server}",
        f"within {MAX_SKEW.seconds} s: versions are named by their time{why}",
        f"let {'both take their' if both else 'this machine take its'} time from NTP",
    )


def undeclared_secrets(names: Sequence[str], what: str, delete: str) -> Result:
    """Report secrets that are in the stack's own store and not in its manifest. `delete`: the command, for one."""
    return attention(f"{', '.join(names)}: {what}", KNOWN, f"{delete}; or put it back into the stack's file")


def poll(seconds: float, pause: float) -> Iterator[None]:
    """Yield after each pause, until `seconds` have passed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(pause)
        yield


def expired_lease(holder: str, seconds: float, follow: Repair | None, how: str = "was killed,") -> Result:
    """A lease that was not renewed for its duration. `follow` takes it over."""
    return attention(
        f"held by {holder}, who did not renew it for {seconds:.0f} s",
        f"who lives renews it: this one {how} and may have left a rotation half-done",
        "secretops tick follows it, and finishes what was begun",
        follow,
    )
