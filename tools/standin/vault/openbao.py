"""Creates resources in an OpenBao on this machine, so that rotators and servers can run. It never creates secret
values."""

from __future__ import annotations

import itertools
import json
import os
import ssl
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from tools.standin.cloud import Inputs, RefusedError, Resource, is_loopback
from tools.standin.vault import places
from tools.standin.vault.places import Place

# Variable with the https address of an OpenBao. VAULT_TOKEN and VAULT_CACERT are as in Pulumi's provider.
VARIABLE = "STANDIN_VAULT_ADDR"

DEADLINE = 120.0

# Attempts, and seconds between them, as in Pulumi's provider.
TRIES, PAUSE = 10, 0.5

# Error with which a new KV mount answers for a moment.
NOT_YET = "Upgrading from non-versioned to versioned data"

# Errors for missing resources that have status 400 or 500 in place of 404.
NOT_THERE = ("No secret engine mount at", "No auth engine at", "unable to find PKI issuer", "unable to find PKI key")

REMEDIES: Mapping[int, str] = {
    HTTPStatus.FORBIDDEN: "set VAULT_TOKEN to a token whose policies allow the request",
    HTTPStatus.SERVICE_UNAVAILABLE: "unseal the server",
}


class OpenBao:
    """The resources in the OpenBao server at `url`. Raises RefusedError unless it is on this machine."""

    def __init__(self, url: str, namespace: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not is_loopback(parts.hostname or ""):
            raise RefusedError(
                f"{url}: the stand-in creates mounts, policies and roles only in a server on this machine; set "
                f"{VARIABLE} to an https address on loopback, or unset it"
            )
        self.url, self._namespace = url.rstrip("/"), namespace
        context = ssl.create_default_context(cafile=os.environ.get("VAULT_CACERT"))
        self._opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))  # without the user's HTTP proxy

    def makes(self, token: str) -> bool:
        return token.startswith("vault:")

    def create(self, resource: Resource) -> tuple[str, Inputs]:
        place, inputs = places.of(resource.token), resource.inputs
        path, namespace = place.path(place.at, inputs), self._namespaced(inputs)
        if place.exclusive and self._call("GET", path, namespace) is not None:
            raise RefusedError(f"{path}: this already exists; import it, or use another name")
        answered = self._call(place.method, path, namespace, place.body(inputs)) or {}
        self._follow(place, inputs)
        computed = {name: answered[api] for name, api in place.answers.items() if api in answered}
        if place.reads:
            read = self._call("GET", path, namespace) or {}
            computed |= {name: read[api] for name, api in place.reads.items() if api in read}
        return place.path(place.id or place.at, {**inputs, **computed}), computed

    def update(self, resource: Resource, resource_id: str) -> None:
        place, inputs = places.of(resource.token), resource.inputs
        if place.once:
            raise RefusedError(f"{resource_id}: a generated resource can't be changed; replace it")
        if place.change:
            where, shaped = place.change
            self._call("POST", place.path(where, inputs), self._namespaced(inputs), shaped(inputs))
        else:
            self._call(place.method, place.path(place.at, inputs), self._namespaced(inputs), place.body(inputs))
        self._follow(place, inputs)

    def delete(self, resource: Resource) -> None:
        """Delete a resource. Idempotent. Types without a request for deletion disappear with their mount."""
        place = places.of(resource.token)
        if place.deleted is not None:
            path = place.path(place.deleted or place.at, resource.inputs)
            self._call("DELETE", path, self._namespaced(resource.inputs))

    def exists(self, token: str, outputs: Inputs) -> bool:
        place = places.of(token)
        if place.found is None:
            return True
        return self._call("GET", place.path(place.found or place.at, outputs), self._namespaced(outputs)) is not None

    def _follow(self, place: Place, inputs: Inputs) -> None:
        if place.then:
            where, shaped = place.then
            if body := shaped(inputs):
                self._call("POST", place.path(where, inputs), self._namespaced(inputs), body)

    def _namespaced(self, inputs: Inputs) -> str:
        return "/".join(part for part in (self._namespace, str(inputs.get("namespace") or "")) if part)

    def _call(
        self, method: str, path: str, namespace: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        for turn in itertools.count():
            try:
                return self._resource(method, path, namespace, body)
            except HTTPError as error:
                answer_text = "; ".join(json.loads(error.read() or b"{}").get("errors", ())) or error.reason
                if method in ("GET", "DELETE") and _is_gone(error.code, answer_text):
                    return None
                if turn < TRIES and (NOT_YET in answer_text or _passes(error.code)):
                    time.sleep(PAUSE)
                    continue
                helps = REMEDIES.get(error.code, "follow the server's message")
                raise RefusedError(f"{method} {path}: {error.code}: {answer_text}; {helps}") from error
            except URLError as error:
                raise RefusedError(
                    f"{self.url}: the server does not answer ({error.reason}); start the server, or unset {VARIABLE}"
                ) from error
        raise AssertionError("unreachable: the retry loop has no end")

    def _resource(self, method: str, path: str, namespace: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "X-Vault-Request": "true"}
        headers["X-Vault-Token"] = os.environ.get("VAULT_TOKEN", "")
        if namespace:
            headers["X-Vault-Namespace"] = namespace
        request = Request(  # noqa: S310 - https of loopback
            f"{self.url}/v1/{quote(path)}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers=headers,
        )
        with self._opener.open(request, timeout=DEADLINE) as response:
            answered: dict[str, Any] = json.loads(response.read() or b"{}")
        found: dict[str, Any] = answered.get("data") or {}
        return found


def _is_gone(code: int, answer_text: str) -> bool:
    return code == HTTPStatus.NOT_FOUND or any(one in answer_text for one in NOT_THERE)


def _passes(code: int) -> bool:
    # The provider retries, because OpenBao answers 500 to concurrent changes of a mount.
    return code >= HTTPStatus.INTERNAL_SERVER_ERROR and code != HTTPStatus.NOT_IMPLEMENTED
