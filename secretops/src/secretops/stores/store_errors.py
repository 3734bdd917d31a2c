"""Errors that all stores share, and how a vendor's codes become errors: value, rule, remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from secretops.errors import NotFoundError, SecretopsError, StoreError, UnreachableError


class ErrorTemplate(NamedTuple):
    """An error whose texts name what `filled` is given, such as {where}, {host}, {action} and {code}."""

    kind: type[SecretopsError]
    what: str
    rule: str
    remedy: str
    code: str = ""

    def filled(self, **names: object) -> SecretopsError:
        what, rule, remedy = (text.format(**names) for text in self[1:4])
        return self.kind(what, rule=rule, remedy=remedy, code=self.code)


RETRIED = "the request was repeated with growing pauses; nothing is half-written"
NEXT_TICK = "nothing to do: the next tick goes on from here"
THROTTLED = ErrorTemplate(
    UnreachableError, "{host} throttles requests for {where} ({code})", RETRIED, NEXT_TICK, "requests-throttled"
)
BROKEN = ErrorTemplate(
    UnreachableError,
    "{host} does not serve {where} ({code})",
    RETRIED,
    "{health}; the next tick goes on from here",
    "service-failing",
)
UNTRUSTED = ErrorTemplate(
    StoreError,
    "{host} does not prove its identity",
    "its certificate is not trusted, so no value is sent",
    "does a proxy break TLS open? {trust}",
    "service-untrusted",
)
UNREACHED = ErrorTemplate(
    UnreachableError,
    "{host} can't be reached",
    "no connection was made: no such name, no network, or no route",
    "{way}",
    "service-unreachable",
)
SILENT = ErrorTemplate(
    UnreachableError,
    "{host} does not answer",
    "the request was repeated; the next tick checks what it did",
    "{way}",
    "service-not-responding",
)


def edited(secret: str, what: str, where: str) -> StoreError:
    """Return the error for a delivered value that is no version of ours: somebody's work would be lost."""
    return StoreError(
        what,
        rule=f"the value of {secret} is secretops' to write; nothing was overwritten",
        remedy=f"to keep it: secretops put {secret}; to undo it: remove {where}, then secretops tick",
    )


def lacking(secret: str, fields: Iterable[str]) -> StoreError:
    """Return the error for fields that the stack requires and the current value was made without."""
    return StoreError(
        f"{secret}: its current value has no {', '.join(fields)}",
        rule="the stack requires this field, and the value is older than that",
        remedy=f"secretops put {secret}",
    )


def no_value(secret: str, version: str) -> NotFoundError:
    """Return the error for a version that does not exist, or is retired and has no value any more."""
    return NotFoundError(
        f"{secret}: there is no value of version {version}", remedy="secretops status lists the versions kept"
    )
