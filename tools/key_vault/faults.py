"""What a test asks a vault to do wrong: to throttle, to fail, to lose an answer, to be slow."""

from __future__ import annotations

from dataclasses import dataclass

from tools.key_vault import problems
from tools.key_vault.problems import Refusal


@dataclass
class Fault:
    """One thing that goes wrong, for the next `times` requests that it fits; it counts down by itself.

    `operation` (of the description: GetSecret, SetSecret …) and `secret` narrow it. It answers `refusal`; with `drop`
    it closes the connection instead; with neither it only takes `delay` seconds. `takes_effect`: the vault does what
    was asked first, so that the client can't know whether it was done. A request without a valid token meets none.
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
    """429, and after how many seconds to come again; None does not say."""
    return Fault(problems.throttled(retry_after), operation, secret, times)


def failing(
    operation: str | None = None,
    *,
    status: int = 503,
    times: int = 1,
    secret: str | None = None,
    takes_effect: bool = False,
) -> Fault:
    """A 5xx."""
    return Fault(problems.unavailable(status), operation, secret, times, takes_effect)


def losing_the_answer(operation: str | None = None, *, times: int = 1, secret: str | None = None) -> Fault:
    """It was done, and the client sees only that the connection broke."""
    return Fault(None, operation, secret, times, takes_effect=True, drop=True)
