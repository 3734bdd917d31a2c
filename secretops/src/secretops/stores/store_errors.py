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


RETRIED = "the request was repeated with growing pauses; every write is complete or absent"
NEXT_TICK = "nothing to do: the next tick repeats it"
THROTTLED = ErrorTemplate(
    UnreachableError, "{host} throttles requests for {where} ({code})", RETRIED, NEXT_TICK, "requests-throttled"
)
BROKEN = ErrorTemplate(
    UnreachableError,
    "{host} does not serve {where} ({code})",
    RETRIED,
    "{health}; the next tick repeats it",
    "service-failing",
)
UNTRUSTED = ErrorTemplate(
    StoreError,
    "{host} does not prove its identity",
    "its certificate must be trusted before a secret value is sent",
    "check that no proxy intercepts TLS; {trust}",
    "service-untrusted",
)
UNREACHED = ErrorTemplate(
    UnreachableError,
    "{host} can't be reached",
    "its name must resolve, and it must accept connections",
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
    return StoreError(
        what,
        rule=f"only secretops may write the value of {secret}; nothing was overwritten",
        remedy=f"to keep it: secretops put {secret}; to undo it: remove {where}, then secretops tick",
        code="value-edited",
    )


def lacking(secret: str, fields: Iterable[str]) -> StoreError:
    return StoreError(
        f"{secret}: its current value has no {', '.join(fields)}",
        rule="the stack requires this field now, and the value is older",
        remedy=f"secretops put {secret}",
        code="value-missing-field",
    )


def no_value(secret: str, version: str) -> NotFoundError:
    return NotFoundError(
        f"{secret}: the store has no value of version {version}",
        remedy="list the versions: secretops status",
        code="value-not-found",
    )
