"""How secretops says that something is wrong: the value, the rule, the remedy, and an exit code a script can trust."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What a secretops command returns. Documented in docs/commands.md; a number never changes its meaning."""

    DONE = 0
    FAILED = 1  # it was tried and did not work; nothing was lost
    USAGE = 2  # the command line or the stack file is wrong
    ATTENTION = 3  # everything ran, and something needs a person
    BUSY = 4  # somebody else holds the lease, or came first
    WAITING = 5  # a value has to be supplied first
    HUNG_UP = 129  # SIGHUP: the terminal was closed
    INTERRUPTED = 130  # SIGINT: Ctrl-C
    CLOSED_OUTPUT = 141  # the reader of standard output closed it (SIGPIPE)
    TERMINATED = 143  # SIGTERM


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question with the one of `known` that is most like `word`, and a space; empty if none is like it."""
    from difflib import get_close_matches

    nearest = get_close_matches(word, known, n=1)
    return f"did you mean {nearest[0]}? " if nearest else ""


class SecretopsError(Exception):
    """An expected failure. Its text is value, rule and remedy, and never holds a secret value.

    `what` names the public thing that is wrong, `rule` the rule it breaks, `remedy` the next step. `code` identifies
    the message, whatever its words: scripts, tests and docs refer to it.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, *, rule: str = "", remedy: str = "", code: str = "") -> None:
        self.what, self.rule, self.remedy, self.code = what, rule, remedy, code
        first = f"{what} [{code}]" if code else what
        super().__init__("\n".join(part for part in (first, rule, remedy and f"-> {remedy}") if part))


class UsageError(SecretopsError):
    """The command line or what it points at is wrong."""

    exit_code = ExitCode.USAGE


class WaitingError(SecretopsError):
    """A value that only an operator can supply is not there yet."""

    exit_code = ExitCode.WAITING


class AttentionError(SecretopsError):
    """It goes on once a person has done their part; until then all is as it was, and works."""

    exit_code = ExitCode.ATTENTION


class LeaseHeldError(SecretopsError):
    """Somebody else is rotating this store's secrets right now."""

    exit_code = ExitCode.BUSY


class NotFoundError(SecretopsError):
    """The store has no such version of the secret: the one not-found error of every store."""


class StoreError(SecretopsError):
    """The store refused, is full, or is not as we left it."""


class UnreachableError(SecretopsError):
    """The target or the store did not answer. Worth another try later; says nothing about the credential."""


class RefusedError(SecretopsError):
    """The target answered, and refused the credential or the command."""
