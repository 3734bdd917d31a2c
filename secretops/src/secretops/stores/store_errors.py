"""Errors that several stores raise, and templates for a vendor's error codes."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import NamedTuple

from secretops.errors import NotFoundError, SecretopsError, StoreError, UnreachableError

# Drift that the next tick ends.
NOT_DELIVERED = "not delivered: secretops tick"


# Somebody removed the current version.
class RemovedError(StoreError): ...


# The store has no valid value of a version.
class InvalidValueError(StoreError): ...


# The current value is older than the declaration of one of its fields.
class MissingFieldError(StoreError): ...


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


RETRIED = "the request or one of its retries must succeed; no write is incomplete"
NEXT_TICK = "nothing to do: the next tick repeats the request"
THROTTLED = ErrorTemplate(
    UnreachableError, "{host} throttles requests for {where} ({code})", RETRIED, NEXT_TICK, "requests-throttled"
)
BROKEN = ErrorTemplate(
    UnreachableError,
    "{host} does not serve {where} ({code})",
    RETRIED,
    "{service_check}; the next tick repeats the request",
    "service-failing",
)
UNTRUSTED = ErrorTemplate(
    StoreError,
    "the TLS connection to {host} fails: its certificate is not trusted, or it does not serve HTTPS",
    "the certificate must be trusted before secretops sends a secret value",
    "check the port, and that no proxy intercepts TLS; then {ca_setting}",
    "service-untrusted",
)
UNREACHED = ErrorTemplate(
    UnreachableError,
    "{host} can't be reached",
    "this machine must be able to resolve the host name, and to connect to the host",
    "{connection_check}",
    "service-unreachable",
)
SILENT = ErrorTemplate(
    UnreachableError,
    "{host} does not answer",
    "the answer must arrive in time; if the request was a change, the next tick checks whether the change was made",
    "{connection_check}",
    "service-not-responding",
)


def was_cut(error: BaseException | None) -> bool:
    # A server or its load balancer that restarts may close a connection during the TLS handshake.
    while error and not isinstance(error, ssl.SSLEOFError):
        error = error.__cause__ or error.__context__
    return error is not None


def edited(secret: str, what: str, undo: str) -> StoreError:
    """Return the error for a change by hand. `undo`: the command or edit that undoes the change."""
    return StoreError(
        what,
        rule=f"only secretops may write the value of {secret}; nothing was overwritten",
        remedy=f"to keep the change, supply the value: secretops put {secret}; to undo the change: {undo}; then: "
        "secretops tick",
        code="value-edited",
    )


def lacking(secret: str, fields: Iterable[str]) -> MissingFieldError:
    return MissingFieldError(
        f"{secret}: the current value has no {', '.join(fields)}",
        rule="the value must have every field that the stack declares; this value is older than the declaration",
        remedy=f"supply a value with all fields: secretops put {secret}",
        code="value-missing-field",
    )


def no_value(secret: str, version: str) -> NotFoundError:
    return NotFoundError(
        f"{secret}: the store has no value of version {version}",
        rule="each version must have a value in the store",
        remedy="to see the secret's versions: secretops status; if the current version has no value: secretops rotate "
        f"{secret} --now, or secretops put {secret} --now",
        code="value-not-found",
    )
