"""Requests to a server of Vault or OpenBao, repeated while it is busy or does not answer."""

from __future__ import annotations

import functools
import http
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from hvac.adapters import RawAdapter

from secretops.errors import SecretopsError, UnreachableError, UsageError
from secretops.platforms.vault import errors
from secretops.stores.retry import Retries

# Seconds after each attempt that failed; then the request is given up. A restart of a server takes about that long.
PAUSES = (0.2, 0.5, 1.0, 2.0)
# Both together less than what is left of the lease when a write is let through (`Timing.duration` - `Timing.trusted`),
# so that an attempt usually ends before the lease can have been taken over. It may take longer with several addresses,
# or an answer in parts. Check-and-set refuses a late write; late metadata tell only facts of their own version.
CONNECT_SECONDS, ANSWER_SECONDS = 3, 6
MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class Server:
    """The address of a server. Public. Without a `ca_file`, VAULT_CACERT or the system's CAs count."""

    address: str
    namespace: str = ""
    ca_file: str | None = None

    @property
    def host(self) -> str:
        return errors.host_of(self.address)

    @property
    def ca(self) -> str | None:
        return self.ca_file or os.environ.get("VAULT_CACERT") or None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request with a quoted path below /v1/. Its body may hold a value, so it is never printed."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    # Whether the body is a merge patch.
    merges: bool = False

    def __repr__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """An answer. Its body may hold a value, so it is never printed."""

    status: int
    body: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Answer({self.status})"

    @property
    def is_good(self) -> bool:
        return self.status < http.HTTPStatus.MULTIPLE_CHOICES

    @property
    def texts(self) -> tuple[str, ...]:
        """The server's errors."""
        found = self.body.get("errors")
        return tuple(str(text) for text in found) if isinstance(found, list) else ()

    @property
    def data(self) -> Mapping[str, Any]:
        found = self.body.get("data")
        return found if isinstance(found, dict) else {}


class Connection:
    """A connection to one server, made with the first request."""

    def __init__(self, server: Server) -> None:
        self.server = server
        # How far the server's clock is ahead of ours, to the second, by its last answer.
        self.skew: timedelta | None = None

    @functools.cached_property
    def _adapter(self) -> RawAdapter:
        if not self.server.address.startswith("https://"):
            raise UsageError(
                f"{self.server.address!r} is no address of a server with TLS",
                rule="tokens and values are sent by https:// alone",
                remedy="correct it in the stack's file, then pulumi up",
            )
        return RawAdapter(
            base_uri=self.server.address,
            namespace=self.server.namespace or None,
            verify=self.server.ca or True,
            timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            allow_redirects=False,
        )

    def ask(
        self,
        request: Request,
        token: str | None = None,
        *,
        patiently: bool = True,
        before: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Return the answer, also a refusal. `before` runs before each attempt. `patiently`: repeat the request.

        Raises UnreachableError, StoreError, UsageError without an answer, or when the server stays busy.
        """
        retries = Retries(PAUSES if patiently else ())
        while True:
            before()
            try:
                answer = self._attempt(request, token)
            except (requests.exceptions.RequestException, OSError) as error:
                wrong = errors.unanswered(error, self.server.address, self.server.ca)
                if not isinstance(wrong, UnreachableError):
                    raise wrong from None
            else:
                if not _is_busy(answer):
                    return answer
                wrong = self.refused(answer, "serve", request.path)
            if not retries.pause():
                raise wrong

    def refused(self, answer: Answer, action: str, where: str, mount: str = "") -> SecretopsError:
        """Translate a refusal."""
        return errors.refused(
            answer.status,
            answer.texts,
            address=self.server.address,
            action=action,
            where=f"{where} at {self.server.host}",
            mount=mount,
            namespace=self.server.namespace,
        )

    def _attempt(self, request: Request, token: str | None) -> Answer:
        adapter, headers = self._adapter, {"Content-Type": MERGE if request.merges else "application/json"}
        if token:
            headers["X-Vault-Token"] = token
        found = adapter.request(
            request.method.lower(), f"/v1/{request.path}", headers=headers, json=request.body, raise_exception=False
        )
        self.skew = _skew(found.headers.get("Date"))
        try:
            body = found.json() if found.content else {}
        except ValueError:  # a proxy's page
            body = {}
        return Answer(found.status_code, body if isinstance(body, dict) else {})


def _is_busy(answer: Answer) -> bool:
    return answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in errors.AGAIN


def _skew(date: str | None) -> timedelta | None:
    if date is None:
        return None
    try:
        return parsedate_to_datetime(date) - datetime.now(UTC)
    except ValueError:
        return None
