"""Read and write Secrets and Leases of one namespace, with retries.

Errors quote only a user name from the server's messages, since a message may contain a Secret.
"""

from __future__ import annotations

import functools
import http
import re
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2
from lightkube import Client
from lightkube.config import client_adapter
from lightkube.core.exceptions import ConfigError
from lightkube.core.resource import api_info
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Secret

from secretops.errors import StoreError, UnreachableError, UsageError
from secretops.platforms.kubernetes.connection import ANSWER_SECONDS, Connection, connect
from secretops.platforms.kubernetes.kubeconfig import WRITE_KUBECONFIG
from secretops.stores.retry import Retries, doubling

Kind = TypeVar("Kind", Secret, Lease)
Response = TypeVar("Response")

# Seconds for which a request is retried: a restart or an upgrade of the API server takes about that long.
PATIENCE_SECONDS = 20.0

# Seconds between two attempts. Each pause is twice the previous one.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0

# Statuses of a server that is overloaded, starting or stopping.
TRANSIENT = frozenset({429, 500, 502, 503, 504})

JSON, TEXT = "application/json", "text/plain"

# Remedy for missing Secrets, which only an operator may create.
CREATE_BY_PUT = (
    "secretops put SECRET, which creates all Secrets of the stack; if the store has no value yet: secretops put "
    "broker-admin"
)


class ForbiddenError(StoreError): ...


class Api:
    def __init__(
        self,
        namespace: str,
        context: str | None = None,
        *,
        open_connection: Callable[[str | None], Connection] = connect,
    ) -> None:
        self.namespace = namespace
        self._context, self._open = context, open_connection
        # Date header of the last response to `fetch`.
        self.date: str | None = None

    @functools.cached_property
    def connection(self) -> Connection:
        return self._open(self._context)

    def get(self, kind: type[Kind], name: str, *, patience: float = PATIENCE_SECONDS) -> Kind | None:

        def send(client: Client) -> Kind:
            return client.get(kind, name, namespace=self.namespace)

        return self._request("get", f"{api_info(kind).plural}/{name}", send, patience, none_for={404})

    def write(self, thing: Kind, *, patience: float = PATIENCE_SECONDS) -> Kind | None:
        """Replace an object that was read, or create it if it has no resourceVersion. Return None on a conflict."""
        meta = thing.metadata
        is_known = meta is not None and bool(meta.resourceVersion)

        def send(client: Client) -> Kind:
            return client.replace(thing) if is_known else client.create(thing)

        verb, none_for = ("update", {404, 409}) if is_known else ("create", {409})
        what = f"{api_info(type(thing)).plural}/{meta and meta.name}"
        return self._request(verb, what, send, patience, none_for=none_for)

    def fetch(self, method: str, path: str, *, accept: str = JSON, body: dict[str, Any] | None = None) -> Any | None:
        """Send a request to any path. Return its JSON, or its text if `accept` is TEXT; None for 404. Does not
        retry."""

        def send(_client: Client) -> Any:
            answer = self._http.request(method, path, headers={"Accept": accept}, json=body).raise_for_status()
            self.date = answer.headers.get("Date") or self.date
            return answer.text if accept == TEXT else answer.json()

        return self._request(method, path.partition("?")[0], send, 0, none_for={404})

    @functools.cached_property
    def _http(self) -> httpx2.Client:
        parameters = client_adapter.ConnectionParams(timeout=httpx2.Timeout(ANSWER_SECONDS))
        return client_adapter.Client(self.connection.client.config, parameters)

    def _request(
        self, verb: str, what: str, send: Callable[[Client], Response], patience: float, *, none_for: set[int]
    ) -> Response | None:
        retries = Retries(doubling(FIRST_PAUSE, LONGEST_PAUSE), seconds=patience)
        renewed = False
        while True:
            requested = None
            try:
                return send(self.connection.client)
            except httpx2.HTTPStatusError as error:
                status = error.response.status_code
                if status in none_for:
                    return None
                if status == http.HTTPStatus.UNAUTHORIZED and self.connection.by_plugin and not renewed:
                    renewed = True
                    for cached in ("connection", "_http"):
                        self.__dict__.pop(cached, None)
                    continue
                if status not in TRANSIENT:
                    raise self._rejected(verb, what, error.response) from None
                code, why, after = "service-failing", f"status {status}", error.response.headers.get("Retry-After", "")
                requested = float(after) if after.isdigit() else None  # in seconds: the API server never sends a date
            except httpx2.TransportError as error:
                if _is_untrusted(error):
                    raise StoreError(
                        f"the certificate of {self.connection.server} fails the check against the CA of "
                        f"{self.connection.identity}",
                        rule="the API server must prove its identity before a secret value is sent",
                        remedy=f"{WRITE_KUBECONFIG}; or set server.context in the stack file to another context",
                        code="service-untrusted",
                    ) from None
                code = "service-unreachable"
                why = str(error) if isinstance(error, httpx2.ConnectError) else type(error).__name__
            except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError):
                raise StoreError(
                    f"{self.connection.server} did not return a Kubernetes object for {what}",
                    rule="the address must be that of an API server, not of a proxy or a login page",
                    remedy="check the address: kubectl get --raw /version",
                    code="kubernetes-response-invalid",
                ) from None
            except (ConfigError, OSError):
                raise UsageError(
                    f"the token file of {self.connection.identity} can't be read",
                    rule="this account must be able to read the token file that the kubeconfig or the pod has",
                    remedy="log in to the cluster again; in a pod, mount the service account's token",
                    code="kubeconfig-token-unreadable",
                ) from None
            if not retries.pause(requested):
                raise UnreachableError(
                    f"the API server at {self.connection.server} does not serve {what}: {why}",
                    rule="the API server must answer the request or one of its retries; no write is incomplete",
                    remedy="check the API server: kubectl get --raw /readyz; the next tick tries again",
                    code=code,
                )

    def _rejected(self, verb: str, what: str, response: httpx2.Response) -> StoreError:
        where = what if what.startswith("/") else f"{what} in namespace {self.namespace}"
        try:
            status = response.json()
        except ValueError:  # an error page of a proxy
            status = None
        status = status if isinstance(status, dict) else {}
        match response.status_code:
            case http.HTTPStatus.UNAUTHORIZED:
                return self.connection.login_rejected(f"kubectl -n {self.namespace} get lease")
            case http.HTTPStatus.FORBIDDEN:
                user = re.search(r'[Uu]ser "([^"\s]+)"', str(status.get("message")))
                who = user[1] if user else self.connection.identity
                if verb == "create" and what.startswith("secrets/"):
                    return ForbiddenError(
                        f"{who} may not create {where}",
                        rule="only an operator may create Secrets: the rotator may only get and update them",
                        remedy=f"as an operator who may create Secrets: {CREATE_BY_PUT}",
                        code="kubernetes-access-denied",
                    )
                return ForbiddenError(
                    f"{who} may not {verb} {where}",
                    rule="RBAC must allow the request: the rotator needs get and update, an operator also create",
                    remedy="for the rotator: pulumi up grants its rights; for yourself: ask an administrator of the "
                    f"cluster for the right to {verb} {where}",
                    code="kubernetes-access-denied",
                )
            case http.HTTPStatus.NOT_FOUND:
                return StoreError(
                    f"namespace {self.namespace} does not exist at {self.connection.server}",
                    rule="`pulumi up` must have created the namespace; nothing was written",
                    remedy="pulumi up; if it has run, check that server.context names the stack's cluster",
                    code="namespace-missing",
                )
        causes = (status.get("details") or {}).get("causes") or ()
        fields = sorted({f"{cause.get('field')} ({cause.get('reason')})" for cause in causes})
        rejected = f", rejected fields {', '.join(fields)}" if fields else ""
        return StoreError(
            f"the API server rejected {verb} {where}: status {response.status_code}{rejected}",
            rule="the cluster's validation and admission must accept the request; nothing was written",
            remedy="check the cluster's admission policies and webhooks, and the object: "
            f"kubectl -n {self.namespace} get {what} -o yaml",
            code="kubernetes-request-rejected",
        )


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
