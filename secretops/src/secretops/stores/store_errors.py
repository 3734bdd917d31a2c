"""Errors that several stores raise, and templates for a vendor's error codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from secretops.errors import NotFoundError, SecretopsError, StoreError, UnreachableError


class ErrorTemplate(NamedTuple):
    """An error with placeholders, such as {where}, {host}, {action} and {code}."""

    kind: type[SecretopsError]
    what: str
    rule: str
    remedy: str
    code: str

    def filled(self, **names: object) -> SecretopsError:
        what, rule, remedy = (text.format(**names) for text in self[1:4])
        return self.kind(what, rule=rule, remedy=remedy, code=self.code)


RETRIED = "the request must succeed within a few tries; every write is complete or absent"
NEXT_TICK = "nothing to do: the next tick repeats the request"
THROTTLED = ErrorTemplate(
    UnreachableError, "{host} throttles requests for {where} ({code})", RETRIED, NEXT_TICK, "requests-throttled"
)
BROKEN = ErrorTemplate(
    UnreachableError,
    "{host} does not serve {where} ({code})",
    RETRIED,
    "{health}; the next tick repeats the request",
    "service-failing",
)
UNTRUSTED = ErrorTemplate(
    StoreError,
    "{host} does not prove its identity",
    "this machine must trust the endpoint's certificate before a secret value is sent",
    "check that no proxy intercepts TLS; {trust}",
    "service-untrusted",
)
UNREACHED = ErrorTemplate(
    UnreachableError,
    "{host} can't be reached",
    "the endpoint's name must resolve, and the endpoint must accept connections from here",
    "{way}",
    "service-unreachable",
)
SILENT = ErrorTemplate(
    UnreachableError,
    "{host} does not answer",
    "the request must be answered in time; the next tick checks whether the change was made",
    "{way}",
    "service-not-responding",
)


def edited(secret: str, what: str, undo: str) -> StoreError:
    """Return the error for a change by hand. `undo`: the command or edit that undoes the change."""
    return StoreError(
        what,
        rule=f"only secretops may write the value of {secret}; nothing was overwritten",
        remedy=f"to keep the change, supply the value: secretops put {secret}; to undo the change: {undo}; then: "
        "secretops tick",
        code="value-edited",
    )


def lacking(secret: str, fields: Iterable[str]) -> StoreError:
    return StoreError(
        f"{secret}: the current value has no {', '.join(fields)}",
        rule="the value must have every field that the stack declares; this value is older than the declaration",
        remedy=f"secretops put {secret}",
        code="value-missing-field",
    )


def no_value(secret: str, version: str) -> NotFoundError:
    return NotFoundError(
        f"{secret}: the store has no value of version {version}",
        rule="the store must have the value of this version",
        remedy="list the versions: secretops status",
        code="value-not-found",
    )
