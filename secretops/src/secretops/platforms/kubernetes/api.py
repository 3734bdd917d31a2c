"""Secrets and Leases of one namespace at the API server: requests are repeated while it is away, errors are ours.

The server's texts may quote an object, so that only a user's name is ever taken from them.
"""

from __future__ import annotations

import contextlib
import functools
import http
import re
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2
from lightkube import Client
from lightkube.core.exceptions import ConfigError
from lightkube.core.resource import api_info
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Secret

from secretops.errors import StoreError, UnreachableError, UsageError
from secretops.platforms.kubernetes.connection import Connection, connect
from secretops.stores.retry import Retries, doubling

Kind = TypeVar("Kind", Secret, Lease)
Answer = TypeVar("Answer")

# Seconds that an API server may be away, as one that restarts or is upgraded, before that is an error.
PATIENCE_SECONDS = 20.0

# Seconds between two tries: each pause is twice the one before.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0

# Answers of a server that is overloaded, or on its way up or down.
TRANSIENT = frozenset({429, 500, 502, 503, 504})

# Remedy where Secrets are missing: an operator's tick does what the rotator's could not.
MAKES_SECRETS = (
    "secretops tick makes those that it has something for, secretops put of any secret all; "
    "before there is an admin: secretops put broker-admin"
)


class Api:
    """Secrets and Leases of one namespace. Connects with the first request."""

    def __init__(
        self,
        namespace: str,
        context: str | None = None,
        *,
        open_connection: Callable[[str | None], Connection] = connect,
    ) -> None:
        self.namespace = namespace
        self._context, self._open = context, open_connection

    @functools.cached_property
    def _connection(self) -> Connection:
        return self._open(self._context)

    @property
    def server(self) -> str:
        """Address of the API server. Raises UsageError."""
        return self._connection.server

    def get(self, kind: type[Kind], name: str, *, patience: float = PATIENCE_SECONDS) -> Kind | None:
        """Return the object called `name`, or None. `patience` is in seconds."""

        def send(client: Client) -> Kind:
            return client.get(kind, name, namespace=self.namespace)

        return self._ask("get", kind, name, send, patience, none_for={404})

    def write(self, thing: Kind, *, patience: float = PATIENCE_SECONDS) -> Kind | None:
        """Replace an object as it was read, or create one that has not been read.

        None if somebody else has changed, removed or created it since: read it again, and decide again.
        """
        meta = thing.metadata
        is_known = meta is not None and bool(meta.resourceVersion)

        def send(client: Client) -> Kind:
            return client.replace(thing) if is_known else client.create(thing)

        verb, none_for = ("update", {404, 409}) if is_known else ("create", {409})
        return self._ask(verb, type(thing), (meta and meta.name) or "", send, patience, none_for=none_for)

    def _ask(
        self,
        verb: str,
        kind: type[Kind],
        name: str,
        send: Callable[[Client], Answer],
        patience: float,
        *,
        none_for: set[int],
    ) -> Answer | None:
        what = f"{api_info(kind).plural}/{name}"
        retries = Retries(doubling(FIRST_PAUSE, LONGEST_PAUSE), seconds=patience)
        while True:
            requested = None
            try:
                return send(self._connection.client)
            except httpx2.HTTPStatusError as error:
                code = error.response.status_code
                if code in none_for:
                    return None
                if code not in TRANSIENT:
                    raise self._refused(verb, what, error.response) from None
                why, requested = f"answered {_named(code)}", _retry_after(error.response)
            except httpx2.TransportError as error:
                if _is_untrusted(error):
                    raise StoreError(
                        f"the server at {self._connection.server} does not prove to be the kubeconfig's",
                        rule="its certificate has expired, or is not that CA's for that name; it is sent no value",
                        remedy="let your cluster's own command write the kubeconfig, or set another server.context",
                    ) from None
                why = str(error) if isinstance(error, httpx2.ConnectError) else type(error).__name__
            except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError):
                raise StoreError(
                    f"what answers at {self._connection.server} for {what} is no Kubernetes API",
                    rule="its answer does not read as a Kubernetes object",
                    remedy="is a proxy or a login page in between? kubectl get --raw /version",
                ) from None
            except (ConfigError, OSError):
                raise UsageError(
                    f"{self._connection.identity}: its token can't be read",
                    rule="the kubeconfig, or the pod's service account, names a file with a token",
                    remedy="log in to the cluster again, or mount the service account's token",
                ) from None
            if not retries.pause(requested):
                raise UnreachableError(
                    f"the API server at {self._connection.server} does not serve {what}: {why}",
                    rule=f"it was asked again for {patience:.0f} s; nothing is half-written",
                    remedy="when it answers again (kubectl get --raw /readyz), the next tick goes on from here",
                )

    def _refused(self, verb: str, what: str, response: httpx2.Response) -> StoreError:
        where, server = f"{what} in namespace {self.namespace}", self._connection.server
        status: dict[str, Any] = {}
        with contextlib.suppress(ValueError):  # a proxy answered something else
            found = response.json()
            status = found if isinstance(found, dict) else {}
        match response.status_code:
            case http.HTTPStatus.UNAUTHORIZED:
                return self._connection.not_accepted(f"kubectl -n {self.namespace} get lease")
            case http.HTTPStatus.FORBIDDEN:
                named = re.search(r'[Uu]ser "([^"\s]+)"', str(status.get("message")))
                remedy = f"an operator who may create Secrets: {MAKES_SECRETS}"
                if verb != "create":
                    remedy = f"pulumi up grants it to the rotator; for yourself ask for: {verb} {what}"
                elif what.startswith("leases/"):
                    remedy = f"pulumi up makes it; or ask for the right to create leases in {self.namespace}"
                return StoreError(
                    f"{named[1] if named else self._connection.identity} may not {verb} {where}",
                    rule="the rotator may get and update what there is; an operator may also create it",
                    remedy=remedy,
                )
            case http.HTTPStatus.NOT_FOUND:
                return StoreError(
                    f"there is no namespace {self.namespace} at {server}",
                    rule="`pulumi up` makes the namespace; nothing was written",
                    remedy="pulumi up; if it has run: is this the cluster of its server.context?",
                )
        causes = (status.get("details") or {}).get("causes") or ()
        fields = sorted({f"{cause.get('field')} ({cause.get('reason')})" for cause in causes})
        return StoreError(
            f"the API server refused to {verb} {where}: {_named(response.status_code)}",
            rule=f"not accepted: {', '.join(fields)}" if fields else "nothing was written",
            remedy=f"look at it, and at the cluster's admission rules: kubectl -n {self.namespace} get {what} -o yaml",
        )


def _named(code: int) -> str:
    try:
        return f"{code} {http.HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds; the server never answers with a date."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None


def _is_untrusted(error: BaseException | None) -> bool:
    """Return whether TLS ended because the server's certificate is not to be trusted."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
