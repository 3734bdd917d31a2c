"""Errors of secretops. Each has a text, a rule, a remedy, a stable code and an exit code."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from enum import IntEnum

from secretops import signals


class ExitCode(IntEnum):
    """Exit codes, documented in docs/commands.md. A number never changes its meaning."""

    DONE = 0
    FAILED = 1  # the operation failed; nothing was lost
    USAGE = 2  # the command line or the stack file is invalid
    ATTENTION = 3  # succeeded; action needed
    BUSY = 4  # another process holds the lease, or made a new version first
    WAITING = 5  # an operator must supply a value first
    HUNG_UP = 129  # SIGHUP: the terminal was closed
    INTERRUPTED = 130  # SIGINT: Ctrl-C
    CLOSED_OUTPUT = 141  # the reader of standard output closed it (SIGPIPE)
    TERMINATED = 143  # SIGTERM


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean …? " with the most similar known word, or an empty text if none is similar."""
    from difflib import get_close_matches

    nearest = get_close_matches(word, known, n=1, cutoff=0.75)
    return f"did you mean {nearest[0]}? " if nearest else ""


class SecretopsError(Exception):
    """An expected failure: `what` is wrong, the `rule` that it breaks, and the `remedy`. They never contain a secret
    value.

    `code` is the stable id of the condition. Scripts, tests and docs refer to it.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, *, rule: str = "", remedy: str = "", code: str) -> None:
        self.what, self.rule, self.remedy, self.code = what, rule, remedy, code
        first = f"{what} [{code}]"
        super().__init__("\n".join(part for part in (first, rule, remedy and f"-> {remedy}") if part))

    @property
    def note(self) -> str:
        return f"{self.what}: {self.remedy}" if self.remedy else self.what


class UsageError(SecretopsError):
    """The command line, or a file that it names, is invalid."""

    exit_code = ExitCode.USAGE


class WaitingError(SecretopsError):
    """A value is missing that only an operator can supply."""

    exit_code = ExitCode.WAITING


class AttentionError(SecretopsError):
    """An operator must act first. Until then, secretops changes nothing, and the current version works."""

    exit_code = ExitCode.ATTENTION


class BusyError(SecretopsError):
    exit_code = ExitCode.BUSY


class LeaseHeldError(BusyError): ...


class NotFoundError(SecretopsError):
    """The store has no such version of the secret."""


class StoreError(SecretopsError):
    """The store refused a request, is full, or was changed by another process."""


class UnreachableError(SecretopsError):
    """The target or the store did not answer. Try again later; the credential may be valid."""


class RefusedError(SecretopsError):
    """The target refused the credential or the command."""


def unexpected(name: str, error: Exception) -> SecretopsError:
    """Return the error for an unexpected exception, which is a defect of secretops. Logs the traceback, redacted.

    Raises KeyboardInterrupt if a signal arrived: compiled code may have turned it into this exception.
    """
    if signals.arrived():
        raise KeyboardInterrupt from None
    logging.getLogger(__name__).exception("%s: unexpected", name)
    return SecretopsError(
        f"{name}: an unexpected {type(error).__name__}",
        rule="every expected failure has a message of its own: this is a defect of secretops",
        remedy="report the defect with the traceback, which is above this message, and with the output of "
        "`secretops --version`; neither contains a secret value",
        code="unexpected-error",
    )
