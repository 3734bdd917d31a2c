"""Faults of a vault, for tests: throttling, failures, lost answers and delays."""

from __future__ import annotations

from dataclasses import dataclass

from tools.key_vault import problems
from tools.key_vault.problems import Refusal


@dataclass
class Fault:
    """A fault of the next `times` matching requests.

    `operation` (GetSecret, SetSecret …) and `secret` limit which requests match. The vault answers `refusal`; with
    `drop` it closes the connection; with neither it only waits `delay` seconds. `takes_effect`: it performs the request
    first.
    """

    refusal: Refusal | None = None
    operation: str | None = None
    secret: str | None = None
    times: int = 1
    takes_effect: bool = False
    drop: bool = False
    delay: float = 0.0

    def fits(self, operation: str, secret: str | None) -> bool:
        return (
            self.times > 0
            and self.operation in (None, operation)
            and (self.secret is None or self.secret.lower() == (secret or "").lower())
        )


def throttling(
    operation: str | None = None, *, times: int = 1, retry_after: int | None = 1, secret: str | None = None
) -> Fault:
    """Return a fault that answers 429, with the seconds to wait if `retry_after` is set."""
    return Fault(problems.throttled(retry_after), operation, secret, times)


def failing(
    operation: str | None = None,
    *,
    status: int = 503,
    times: int = 1,
    secret: str | None = None,
    takes_effect: bool = False,
) -> Fault:
    return Fault(problems.unavailable(status), operation, secret, times, takes_effect)


def losing_the_answer(operation: str | None = None, *, times: int = 1, secret: str | None = None) -> Fault:
    """Return a fault that performs the request, and closes the connection without an answer."""
    return Fault(None, operation, secret, times, takes_effect=True, drop=True)
