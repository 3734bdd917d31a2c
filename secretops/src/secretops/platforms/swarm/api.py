"""A client of the Docker Engine API. It changes objects by compare-and-swap, and raises errors of secretops.

It sends its own requests, since Docker's client can't update secrets and configs.
https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import base64
import http
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import requests

from secretops.errors import SecretopsError, StoreError, UnreachableError
from secretops.platforms.swarm.daemon import ANSWER_SECONDS, Connection, open_connection
from secretops.redaction import redact
from secretops.stores.retry import CONFLICT_PAUSES, Retries

_log = logging.getLogger(__name__)

Kind = Literal["configs", "secrets", "services"]

# Seconds to wait for a daemon that has answered before; a restart takes less.
PATIENCE_SECONDS = 30.0

# Seconds to wait after each conflict.
PAUSES = (*CONFLICT_PAUSES, 0.8)

_RETRY_SECONDS = 0.5
_STALE, _IN_USE = "out of sequence", "is in use by"
_NO_MANAGER = "not a swarm manager"
_LOCKED = "Swarm is encrypted"
_AWAY = frozenset({http.HTTPStatus.BAD_GATEWAY, http.HTTPStatus.SERVICE_UNAVAILABLE, http.HTTPStatus.GATEWAY_TIMEOUT})
_AWAY_WORDS = ("no leader", "does not have a leader", "deadline exceeded", "code = Unavailable")


class NoManagerError(StoreError):
    def __init__(self, state: str = "") -> None:
        super().__init__(
            "this Docker daemon is not a Swarm manager" + (f" (state: {state})" if state else ""),
            rule="the daemon must be a manager, which can list secrets and update services",
            remedy="docker swarm unlock"
            if state == "locked"
            else "run the command on a manager, or set DOCKER_HOST to a manager's address",
            code="not-a-manager",
        )


class SwarmApi:
    """A client of one daemon. If `patient`, waits for a daemon that responded before and now does not. `was_there`:
    assume that it responded."""

    def __init__(
        self, connect: Callable[[], Connection] = open_connection, *, patient: bool = True, was_there: bool = False
    ) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._was_there = was_there
        self._patience = PATIENCE_SECONDS if patient else 0.0

    def clone(self) -> SwarmApi:
        """Return a copy with its own connection, for another thread."""
        return SwarmApi(self._connect, was_there=self._was_there)

    @contextmanager
    def waiting(self, patient: bool) -> Iterator[None]:
        """During the block, wait for an unresponsive daemon only if `patient`."""
        before = self._patience
        self._patience = before if patient else 0.0
        try:
            yield
        finally:
            self._patience = before

    def get(self, path: str, **filters: list[str]) -> Any:
        parameters = {"filters": json.dumps(filters)} if filters else None
        answer = self._request("GET", path, parameters=parameters)
        return None if answer.status_code == http.HTTPStatus.NOT_FOUND else self._json(answer)

    def text(self, path: str, **parameters: str) -> bytes | None:
        answer = self._request("GET", path, parameters=parameters)
        if answer.status_code == http.HTTPStatus.NOT_FOUND:
            return None
        self._raise_for(answer)
        return answer.content

    def create(self, kind: Kind, spec: dict[str, Any], *, login: str | None = None) -> str | None:
        """Create an object, and return its id; None if the name is taken.

        An object with the same labels counts as created, since the answer to an earlier attempt may have been lost.
        `login`: see `daemon.registry_login`.
        """
        headers = {"X-Registry-Auth": login} if login else None
        answer = self._request("POST", f"/{kind}/create", body=spec, headers=headers)
        if answer.status_code == http.HTTPStatus.CONFLICT:
            found, labels = self.get(f"/{kind}/{spec['Name']}"), spec.get("Labels")
            return str(found["ID"]) if found and labels and found["Spec"].get("Labels") == labels else None
        return str(self._json(answer)["ID"])

    def update(self, kind: Kind, found: dict[str, Any], spec: dict[str, Any]) -> bool:
        """Replace an object's spec. Return False on a conflict."""
        path, version = f"/{kind}/{found['ID']}/update", {"version": str(found["Version"]["Index"])}
        answer = self._request("POST", path, body=spec, parameters=version)
        if answer.status_code == http.HTTPStatus.NOT_FOUND or _STALE in answer.text:
            return False
        self._raise_for(answer)
        return True

    def remove(self, kind: Kind, name: str) -> bool:
        """Remove an object. Return False if a service uses it."""
        answer = self._request("DELETE", f"/{kind}/{name}")
        if _IN_USE in answer.text:
            return False
        if answer.status_code != http.HTTPStatus.NOT_FOUND:
            self._raise_for(answer)
        return True

    def interrupt(self, container: str) -> None:
        with self.waiting(patient=False):  # no retry: a second signal would interrupt the shutdown
            answer = self._request("POST", f"/containers/{container}/kill", parameters={"signal": "SIGTERM"})
        if answer.status_code not in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.CONFLICT):
            self._raise_for(answer)

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        parameters: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        retries = Retries(itertools.repeat(_RETRY_SECONDS), seconds=self._patience + _RETRY_SECONDS)
        is_logged = False
        while True:
            try:
                answer = self._send(method, path, json=body, params=parameters, headers=headers)
                if not _is_away(answer):
                    return answer
                error = self._error(answer)
            except UnreachableError as away:
                error = away
            if not (self._was_there and self._patience):
                raise error
            if not is_logged:
                is_logged = True
                _log.warning("%s; retrying for at most %.0f s", error.what, self._patience)
            if not retries.pause():
                raise error

    def _send(self, method: str, path: str, **content: Any) -> requests.Response:
        if self._connection is None:
            self._connection = self._connect()
            self._was_there = True
        url = f"{self._connection.url}{path}"
        try:
            answer: requests.Response = self._connection.session.request(method, url, timeout=ANSWER_SECONDS, **content)
        except (requests.RequestException, OSError) as error:
            self._connection = None
            raise UnreachableError(
                f"the Docker daemon does not answer ({type(error).__name__})",
                rule="the daemon must answer: the stack's store is in its Swarm",
                remedy="check that the daemon runs: systemctl status docker; the next tick repeats the request",
                code="daemon-unreachable",
            ) from None
        return answer

    def _json(self, answer: requests.Response) -> Any:
        self._raise_for(answer)
        try:
            return answer.json()
        except ValueError:
            raise StoreError(
                "the Docker daemon's answer is not JSON",
                rule="the Docker Engine API must answer in JSON",
                remedy="check that DOCKER_HOST is the address of a Docker daemon: docker version",
                code="daemon-answer-invalid",
            ) from None

    def _raise_for(self, answer: requests.Response) -> None:
        if answer.status_code >= http.HTTPStatus.BAD_REQUEST:
            raise self._error(answer)

    def _error(self, answer: requests.Response) -> SecretopsError:
        try:
            reason = str(answer.json()["message"])
        except (ValueError, KeyError, TypeError):
            reason = f"HTTP {answer.status_code}"
        reason = redact(reason.partition("desc = ")[2] or reason)
        if _LOCKED in reason:
            return StoreError(
                "the Swarm is locked",
                rule="the Swarm must be unlocked: with autolock, a restarted manager can't decrypt its secrets",
                remedy="docker swarm unlock; then: secretops tick",
                code="swarm-locked",
            )
        if _NO_MANAGER in reason:
            return NoManagerError()
        if _is_away(answer):
            return UnreachableError(
                f"the Swarm has no quorum: {reason}",
                rule="more than half of the managers must be reachable before a Swarm changes anything",
                remedy="start Docker on the managers that docker node ls shows as Down or Unreachable; the next tick "
                "repeats the request",
                code="swarm-without-quorum",
            )
        return StoreError(
            f"the Docker daemon refused a request: {reason}",
            rule="the Docker daemon must accept the request; a refused request changes nothing",
            remedy="check the stack's Swarm: secretops doctor",
            code="daemon-refused",
        )


def check_manager(info: dict[str, Any]) -> None:
    swarm = info.get("Swarm") or {}
    if not swarm.get("ControlAvailable"):
        raise NoManagerError(swarm.get("LocalNodeState") or "unknown")


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _is_away(answer: requests.Response) -> bool:
    if answer.status_code in _AWAY:
        return _LOCKED not in answer.text and _NO_MANAGER not in answer.text
    return answer.status_code == http.HTTPStatus.INTERNAL_SERVER_ERROR and any(
        word in answer.text for word in _AWAY_WORDS
    )
