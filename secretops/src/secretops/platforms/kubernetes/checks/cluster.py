"""Doctor's requests to the API server. They fetch only the metadata of Secrets."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from secretops.errors import SecretopsError, UsageError
from secretops.platforms.kubernetes.api import JSON, TEXT, Api
from secretops.platforms.kubernetes.connection import Connection
from secretops.platforms.kubernetes.lease import INSTANCE, check_owner
from secretops.platforms.kubernetes.location import KubernetesStoreLocation

Result = TypeVar("Result")

# https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


@dataclass
class Cluster:
    location: KubernetesStoreLocation
    # Set by the first failure; later requests are skipped.
    _failure: SecretopsError | None = field(default=None, init=False, repr=False)

    @functools.cached_property
    def api(self) -> Api:
        return Api(self.location.namespace, self.location.context)

    @property
    def connection(self) -> Connection:
        return self._once(lambda: self.api.connection)

    def reach(self) -> None:
        self.get("/version")

    def get(self, path: str, *, accept: str = JSON) -> Any | None:
        return self._once(lambda: self.api.fetch("GET", path, accept=accept))

    def text(self, path: str) -> str:
        return self._once(lambda: self.api.fetch("GET", path, accept=TEXT)) or ""

    def post(self, path: str, body: dict[str, Any]) -> Any | None:
        """Send an access or subject review, which stores nothing, and return the answer."""
        return self._once(lambda: self.api.fetch("POST", path, body=body))

    def own(self, kind: str, name: str, *, group: str = "api/v1", accept: str = JSON) -> Any | None:
        return self.get(f"/{group}/namespaces/{self.location.namespace}/{kind}/{name}", accept=accept)

    def lease(self) -> dict[str, Any] | None:
        """Return the lease, or None if it is missing. Raises StoreError if it belongs to another stack."""
        found: dict[str, Any] | None = self.own("leases", self.location.lease, group="apis/coordination.k8s.io/v1")
        if found is not None:
            check_owner((found["metadata"].get("labels") or {}).get(INSTANCE), self.location, self.connection.server)
        return found

    def now(self) -> datetime:
        if self.api.date is None:
            self.reach()
        return parsedate_to_datetime(self.api.date) if self.api.date else datetime.now(UTC)

    @functools.cached_property
    def written(self) -> tuple[str, ...]:
        return tuple(sorted({self.location.versions, *(place.name for place in self.location.delivered.values())}))

    @functools.cached_property
    def secrets(self) -> tuple[str, ...]:
        """Return the names of the stack's Secrets. Some may be missing."""
        return tuple(sorted({*self.written, *self.location.readers}))

    def _once(self, send: Callable[[], Result]) -> Result:
        if self._failure is not None:
            what, rule = "not checked", "the API server must be reachable first"
            raise type(self._failure)(what, rule=rule, remedy="fix the finding above", code=self._failure.code)
        try:
            return send()
        except SecretopsError as error:
            if isinstance(error, UsageError) or error.code in ("service-unreachable", "kubernetes-login-rejected"):
                self._failure = error
            raise
