"""The daemon's API, as far as a store needs it: objects by compare-and-swap, errors of ours.

Raw requests over Docker's client, which has no update of secrets and configs.
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

# Seconds that a daemon which has answered may be away: one that is restarted is back in less.
PATIENCE_SECONDS = 30.0

# Seconds after each conflict.
PAUSES = (*CONFLICT_PAUSES, 0.8)

_LOOK_AGAIN = 0.5
_STALE, _IN_USE = "out of sequence", "is in use by"
_TO_A_MANAGER = "run it on a manager, or lead DOCKER_HOST to one; docker node ls names them"
_NO_MANAGER = "not a swarm manager"
_LOCKED = "Swarm is encrypted"
_AWAY = frozenset({http.HTTPStatus.BAD_GATEWAY, http.HTTPStatus.SERVICE_UNAVAILABLE, http.HTTPStatus.GATEWAY_TIMEOUT})
_AWAY_WORDS = ("no leader", "does not have a leader", "deadline exceeded", "code = Unavailable")


class NoManagerError(StoreError):
    """The daemon is not a manager of a Swarm."""


class LockedError(StoreError):
    """Autolock is on, and nobody has unlocked this manager since it started."""


class SwarmApi:
    """One daemon. Connects with the first request, and waits for a daemon that goes away, unless not `patient`.

    One that never answered is an error at once, unless `was_there`: it is known to be only away.
    """

    def __init__(
        self, connect: Callable[[], Connection] = open_connection, *, patient: bool = True, was_there: bool = False
    ) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._was_there = was_there
        self._patience = PATIENCE_SECONDS if patient else 0.0

    def another(self) -> SwarmApi:
        """Return one over a connection of its own, for another thread."""
        return SwarmApi(self._connect, was_there=self._was_there)

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Do not wait for the daemon while the block runs: its caller tries again soon."""
        before, self._patience = self._patience, 0.0
        try:
            yield
        finally:
            self._patience = before

    def get(self, path: str, **filters: list[str]) -> Any:
        """Return the JSON at `path`, or None. Raises StoreError, UnreachableError."""
        parameters = {"filters": json.dumps(filters)} if filters else None
        answer = self._ask("GET", path, parameters=parameters)
        return None if answer.status_code == http.HTTPStatus.NOT_FOUND else self._json(answer)

    def text(self, path: str, **parameters: str) -> bytes | None:
        """Return the bytes of the log at `path`, or None."""
        answer = self._ask("GET", path, parameters=parameters)
        if answer.status_code == http.HTTPStatus.NOT_FOUND:
            return None
        self._raise_for(answer)
        return answer.content

    def create(self, kind: Kind, spec: dict[str, Any], *, login: str | None = None) -> str | None:
        """Create an object and return its id; None if the name is taken. Raises StoreError, UnreachableError.

        If the answer was lost the request is repeated, and the name is then taken by ours: the labels tell. `login`:
        what nodes pull a service's image with (`daemon.registry_login`).
        """
        answer = self._ask("POST", f"/{kind}/create", body=spec, headers={"X-Registry-Auth": login} if login else None)
        if answer.status_code == http.HTTPStatus.CONFLICT:
            found, labels = self.get(f"/{kind}/{spec['Name']}"), spec.get("Labels")
            return str(found["ID"]) if found and labels and found["Spec"].get("Labels") == labels else None
        return str(self._json(answer)["ID"])

    def update(self, kind: Kind, found: dict[str, Any], spec: dict[str, Any]) -> bool:
        """Replace the spec of what was `found`; False if that has changed since, or is gone."""
        path, version = f"/{kind}/{found['ID']}/update", {"version": str(found["Version"]["Index"])}
        answer = self._ask("POST", path, body=spec, parameters=version)
        if answer.status_code == http.HTTPStatus.NOT_FOUND or _STALE in answer.text:
            return False
        self._raise_for(answer)
        return True

    def remove(self, kind: Kind, name: str) -> bool:
        """Remove an object; False if a service uses it."""
        answer = self._ask("DELETE", f"/{kind}/{name}")
        if _IN_USE in answer.text:
            return False
        if answer.status_code != http.HTTPStatus.NOT_FOUND:
            self._raise_for(answer)
        return True

    def interrupt(self, container: str) -> None:
        """Send SIGTERM to a container of this daemon. No-op if it has ended."""
        with self.impatient():  # a second signal would interrupt what it does to end
            answer = self._ask("POST", f"/containers/{container}/kill", parameters={"signal": "SIGTERM"})
        if answer.status_code not in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.CONFLICT):
            self._raise_for(answer)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        parameters: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        retries, is_told = Retries(itertools.repeat(_LOOK_AGAIN), seconds=self._patience + _LOOK_AGAIN), False
        while True:
            try:
                answer = self._send(method, path, json=body, params=parameters, headers=headers)
                if not _is_away(answer):
                    return answer
                error: SecretopsError = self._refusal(answer)
            except UnreachableError as away:
                error = away
            if not (self._was_there and self._patience):
                raise error
            if not is_told:
                is_told = True
                _log.warning("%s; waiting for it, at most %.0f s", error.what, self._patience)
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
            self._connection = None  # a connection that broke is not used again
            raise UnreachableError(
                f"the Docker daemon does not answer ({type(error).__name__})",
                rule="the daemon of a manager keeps the Swarm's secrets",
                remedy="is it running? systemctl status docker; the next tick goes on from here",
            ) from None
        return answer

    def _json(self, answer: requests.Response) -> Any:
        self._raise_for(answer)
        try:
            return answer.json()
        except ValueError:
            raise StoreError(
                "the Docker daemon's answer is no JSON",
                rule="the Engine API answers in JSON",
                remedy="what does DOCKER_HOST lead to? docker version",
            ) from None

    def _raise_for(self, answer: requests.Response) -> None:
        if answer.status_code >= http.HTTPStatus.BAD_REQUEST:
            raise self._refusal(answer)

    def _refusal(self, answer: requests.Response) -> SecretopsError:
        try:
            said = str(answer.json()["message"])
        except (ValueError, KeyError, TypeError):
            said = f"HTTP {answer.status_code}"
        said = redact(said.partition("desc = ")[2] or said)
        if _LOCKED in said:
            return LockedError(
                "the Swarm is locked",
                rule="with autolock a manager that was restarted has no key to its secrets until somebody unlocks it",
                remedy="docker swarm unlock; the next tick goes on from here",
            )
        if _NO_MANAGER in said:
            return NoManagerError(
                "this Docker daemon is no manager of a Swarm",
                rule="only a manager makes secrets and updates services",
                remedy=_TO_A_MANAGER,
            )
        if _is_away(answer):
            return UnreachableError(
                f"the Swarm can't answer now: {said}",
                rule="a Swarm needs more than half of its managers to change anything",
                remedy="docker node ls on a manager says which are away; the next tick goes on from here",
            )
        return StoreError(
            f"the Docker daemon refused it: {said}",
            rule="nothing was changed by a request that is refused",
            remedy="secretops doctor looks at the stack's parts in the Swarm",
        )


def check_manager(info: dict[str, Any]) -> None:
    """Raise NoManagerError unless `info` is of a manager of a Swarm that is unlocked."""
    swarm = info.get("Swarm") or {}
    if swarm.get("ControlAvailable"):
        return
    state = swarm.get("LocalNodeState") or "unknown"
    raise NoManagerError(
        f"this Docker daemon is no manager of a Swarm (its state: {state})",
        rule="only a manager shows secrets' names, and updates services",
        remedy="docker swarm unlock" if state == "locked" else _TO_A_MANAGER,
    )


def encoded(content: bytes) -> str:
    """Return the content of a secret or config as the API takes it."""
    return base64.b64encode(content).decode()


def _is_away(answer: requests.Response) -> bool:
    if answer.status_code in _AWAY:
        return _LOCKED not in answer.text and _NO_MANAGER not in answer.text
    return answer.status_code == http.HTTPStatus.INTERNAL_SERVER_ERROR and any(
        word in answer.text for word in _AWAY_WORDS
    )
