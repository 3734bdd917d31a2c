"""Send requests to a server of Vault or OpenBao, with retries."""

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

from secretops.errors import SecretopsError, UnreachableError
from secretops.platforms.vault import errors
from secretops.stores.retry import Retries

# Seconds after each failed attempt except the last. A restart of a server takes about as long.
PAUSES = (0.2, 0.5, 1.0, 2.0)
# Timeouts in seconds. Their sum is less than the time that the lease has left when a write starts (`Timing.duration` -
# `Timing.trusted`), so an attempt usually ends before another process can take the lease over. If it takes longer,
# check-and-set rejects a late write, and late metadata affect only their own version.
CONNECT_SECONDS, ANSWER_SECONDS = 3, 6
MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class Server:
    """A server's address. The default for `ca_file` is VAULT_CACERT, then the system's CAs."""

    address: str
    namespace: str = ""
    ca_file: str | None = None

    @property
    def host(self) -> str:
        return errors.host_of(self.address)

    @property
    def ca(self) -> str | None:
        return self.ca_file or os.environ.get("VAULT_CACERT") or None


@dataclass(frozen=True)
class Answer:
    """A response. Its repr shows only the status."""

    status: int
    body: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Answer({self.status})"

    @property
    def is_good(self) -> bool:
        return self.status < http.HTTPStatus.MULTIPLE_CHOICES

    @property
    def texts(self) -> tuple[str, ...]:
        found = self.body.get("errors")
        return tuple(str(text) for text in found) if isinstance(found, list) else ()

    @property
    def data(self) -> Mapping[str, Any]:
        found = self.body.get("data")
        return found if isinstance(found, dict) else {}


class Connection:
    def __init__(self, server: Server) -> None:
        self.server = server
        # The server's clock minus this machine's, at the last response.
        self.skew: timedelta | None = None

    @functools.cached_property
    def _adapter(self) -> RawAdapter:
        if not self.server.address.startswith("https://"):
            raise errors.invalid_address(self.server.address)
        return RawAdapter(
            base_uri=self.server.address,
            namespace=self.server.namespace or None,
            verify=self.server.ca or True,
            timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            allow_redirects=False,
        )

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        merges: bool = False,
        patient: bool = True,
        before: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Send a request to a URL-encoded path below /v1/. Return the response, also a rejection.

        `merges`: the body is a merge patch. `before` runs before each attempt. Raises SecretopsError.
        """
        retries = Retries(PAUSES if patient else ())
        while True:
            before()
            try:
                answer = self._attempt(method, path, body, token, MERGE if merges else "application/json")
            except (requests.exceptions.RequestException, OSError) as error:
                wrong = errors.no_response(error, self.server.address, self.server.ca)
                if not isinstance(wrong, UnreachableError):
                    raise wrong from None
            else:
                if answer.status < http.HTTPStatus.INTERNAL_SERVER_ERROR and answer.status not in errors.AGAIN:
                    return answer
                wrong = self.rejected(answer, "serve", path)
            if not retries.pause():
                raise wrong

    def rejected(self, answer: Answer, action: str, where: str, mount: str = "") -> SecretopsError:
        return errors.rejected(
            answer.status,
            answer.texts,
            address=self.server.address,
            action=action,
            where=f"{where} at {self.server.host}",
            mount=mount,
            namespace=self.server.namespace,
        )

    def _attempt(
        self, method: str, path: str, body: Mapping[str, Any] | None, token: str | None, content_type: str
    ) -> Answer:
        headers = {"Content-Type": content_type, **({"X-Vault-Token": token} if token else {})}
        found = self._adapter.request(method.lower(), f"/v1/{path}", headers=headers, json=body, raise_exception=False)
        try:
            date = found.headers.get("Date")
            self.skew = parsedate_to_datetime(date) - datetime.now(UTC) if date else None
        except ValueError:
            self.skew = None
        try:
            parsed = found.json() if found.content else {}
        except ValueError:  # an error page of a proxy
            parsed = {}
        return Answer(found.status_code, parsed if isinstance(parsed, dict) else {})
