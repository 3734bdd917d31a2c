"""Doctor's requests to the API server: any path, as JSON. Of Secrets only the metadata, so that no value travels."""

from __future__ import annotations

import functools
import http
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from lightkube.config import client_adapter

from secretops.errors import SecretopsError, StoreError, UnreachableError
from secretops.platforms.kubernetes.connection import ANSWER_SECONDS, Connection, connect
from secretops.platforms.kubernetes.lease import INSTANCE, check_owner
from secretops.platforms.kubernetes.location import KubernetesStoreLocation

# https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class ForbiddenError(StoreError):
    """The API server knows the caller, and does not let them do that."""


@dataclass
class Cluster:
    """One API server, and the namespace of one stack. Connects with the first question."""

    location: KubernetesStoreLocation
    _connection: Connection | None = field(default=None, init=False, repr=False)
    _http: httpx2.Client | None = field(default=None, init=False, repr=False)
    # Reported once; later questions are skipped.
    _failure: SecretopsError | None = field(default=None, init=False, repr=False)
    _date: datetime | None = field(default=None, init=False, repr=False)

    @property
    def connection(self) -> Connection:
        """The server, and the identity there. Raises UsageError: the kubeconfig is wrong."""
        if self._failure is not None:
            raise type(self._failure)(
                "not looked at", rule="the API server has to be reached first", remedy="mend what is told above"
            )
        if self._connection is None:
            try:
                self._connection = connect(self.location.context)
            except SecretopsError as error:
                self._failure = error
                raise
        return self._connection

    def reach(self) -> None:
        self.get("/version")

    def get(self, path: str, *, accept: str = "application/json") -> Any | None:
        """Return the JSON at `path`, None for 404."""
        return self._json("GET", path, headers={"Accept": accept})

    def text(self, path: str) -> str:
        return self._send("GET", path).text

    def post(self, path: str, body: dict[str, Any]) -> Any | None:
        """Return the answer to a review, which leaves nothing behind. None for 404."""
        return self._json("POST", path, json=body)

    def own(self, kind: str, name: str, *, group: str = "api/v1", accept: str = "application/json") -> Any | None:
        """Return an object of the stack's namespace, None where there is none."""
        return self.get(f"/{group}/namespaces/{self.location.namespace}/{kind}/{name}", accept=accept)

    def lease(self) -> dict[str, Any] | None:
        """Return the stack's Lease, None where there is none. Raises StoreError when it is another stack's."""
        found: dict[str, Any] | None = self.own("leases", self.location.lease, group="apis/coordination.k8s.io/v1")
        if found is not None:
            check_owner((found["metadata"].get("labels") or {}).get(INSTANCE), self.location, self.connection.server)
        return found

    def now(self) -> datetime:
        """The API server's time at its last answer, so that the clocks of two machines are not compared."""
        if self._date is None:
            self.reach()
        return self._date or datetime.now(UTC)

    @functools.cached_property
    def written(self) -> tuple[str, ...]:
        """The Secrets that secretops writes: what is delivered, and what only the rotator reads."""
        return tuple(sorted({self.location.versions, *(one.name for one in self.location.delivered.values())}))

    @functools.cached_property
    def secrets(self) -> tuple[str, ...]:
        """All Secrets that the stack declares readers of; not all of them need to exist."""
        return tuple(sorted({*self.written, *self.location.readers}))

    def _json(self, method: str, path: str, **more: Any) -> Any | None:
        answer = self._send(method, path, **more)
        if answer.status_code == http.HTTPStatus.NOT_FOUND:
            return None
        try:
            return answer.json()
        except ValueError:
            raise StoreError(
                f"{answer.request.url.path}: the answer is no JSON",
                rule="a Kubernetes API answers in JSON",
                remedy="is a proxy or a login page in between?",
            ) from None

    def _send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        connection = self.connection
        if self._http is None:
            parameters = client_adapter.ConnectionParams(timeout=httpx2.Timeout(ANSWER_SECONDS))
            self._http = client_adapter.Client(connection.client.config, parameters)
        server, short = f"the API server at {connection.server}", path.partition("?")[0]
        try:
            answer = self._http.request(method, path, **more)
        except httpx2.TransportError as error:
            self._failure = UnreachableError(
                f"{server} does not answer: {type(error).__name__}",
                rule=str(error) or "no answer within its time",
                remedy="is that its address, and is it up? kubectl get --raw /readyz",
            )
            raise self._failure from None
        if date := answer.headers.get("Date"):
            self._date = parsedate_to_datetime(date)
        if answer.status_code == http.HTTPStatus.UNAUTHORIZED:
            self._failure = connection.not_accepted("kubectl auth whoami")
            raise self._failure
        if answer.status_code == http.HTTPStatus.FORBIDDEN:
            raise ForbiddenError(
                f"{connection.identity} may not {'read' if method == 'GET' else 'ask'} {short}",
                rule="doctor looks as the operator of the stack",
                remedy="run it as somebody who may, for example a cluster administrator",
            )
        if answer.status_code >= http.HTTPStatus.BAD_REQUEST and answer.status_code != http.HTTPStatus.NOT_FOUND:
            remedy = "try again; if it stays so, look at the API server's log"
            raise UnreachableError(f"{server} answers {short} with {answer.status_code}", remedy=remedy)
        return answer
