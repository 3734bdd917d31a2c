"""Doctor's checks: their results and repairs, and what the checks of several platforms share."""

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

# Tolerated clock difference. It matters because version ids contain this machine's time.
MAX_SKEW = timedelta(seconds=60)
UNDECLARED_RULE = "a secret must be declared: otherwise it is never rotated, and its readers keep access"


class Level(StrEnum):
    """Health status. UNKNOWN is not healthy: the check failed, or only a person can decide."""

    OK = "ok"
    ATTENTION = "attention"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Repair:
    """An operation that fixes a finding. It needs no decision by a person, and removes nothing that works
    (docs/adr/0014)."""

    # Text that the operator confirms. Repairs with the same text run once.
    description: str
    # Returns what was done; raises SecretopsError. Acquires the lease to write a value or its metadata.
    run: Callable[[], str] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Result:
    """The result of a check: problem, rule and remedy. Never contains a secret value."""

    level: Level
    value: str
    rule: str = ""
    remedy: str = ""
    # None if only a person or `pulumi up` can fix it.
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
    """A read-only check. The result is UNKNOWN if `run` raises SecretopsError."""

    name: str
    run: Callable[[], Result]


def table(subject: Subject, functions: Mapping[str, Callable[[Subject], Result]]) -> list[Check]:
    """Return a check for each of `functions`. A check calls its function with `subject`."""
    return [Check(name, partial(function, subject)) for name, function in functions.items()]


def ok(value: str) -> Result:
    return Result(Level.OK, value)


def attention(value: str, rule: str, remedy: str, repair: Repair | None = None) -> Result:
    return Result(Level.ATTENTION, value, rule, remedy, repair)


def unknown(value: str, rule: str, remedy: str) -> Result:
    return Result(Level.UNKNOWN, value, rule, remedy)


def judge(wrong: Iterable[str], rule: str, remedy: str, healthy: str, repair: Repair | None = None) -> Result:
    """Return ATTENTION with all texts of `wrong`, or OK with the text `healthy` if there are none."""
    found = "; ".join(wrong)
    return attention(found, rule, remedy, repair) if found else ok(healthy)


def reached(reach: Callable[[], object], healthy: Callable[[], str]) -> Result:
    """Return OK with the text of `healthy` if `reach` succeeds, else a result with its error."""
    try:
        reach()
    except SecretopsError as error:
        return Result.of(error)
    return ok(healthy())


def clock_skew(ahead: timedelta | None, server: str, why: str = "", *, both: bool = False) -> Result:
    """Compare this machine's clock with a server's. `ahead`: this machine's time minus the server's; None if
    unknown."""
    if ahead is None:
        return ok(f"unknown: answers of {server} have no date")
    if abs(ahead) <= MAX_SKEW:
        return ok(f"in sync with {server}")
    return attention(
        f"this machine is {abs(ahead).total_seconds():.0f} s {'ahead of' if ahead > MAX_SKEW else 'behind'} {server}",
        f"the clocks must differ by at most {MAX_SKEW.seconds} s: version ids contain the time{why}",
        f"synchronize {'both clocks' if both else 'the clock of this machine'} by NTP",
    )


def undeclared_secrets(names: Sequence[str], what: str, delete: str) -> Result:
    """Report secrets that are in the store but not in the manifest. `delete` is the command that deletes one."""
    return attention(
        f"{', '.join(names)}: {what}", UNDECLARED_RULE, f"{delete}; or declare the secret in the stack file"
    )


def poll(seconds: float, pause: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(pause)
        yield


def expired_lease(holder: str, seconds: float, take_over: Repair | None, why: str = "was killed,") -> Result:
    """Report a lease that has expired because its holder has not renewed it for `seconds`."""
    return attention(
        f"held by {holder}, which has not renewed the lease for {seconds:.0f} s",
        f"the holder must renew its lease: this holder {why} and may have left a rotation unfinished",
        "secretops tick takes over the lease, and finishes the rotation",
        take_over,
    )
