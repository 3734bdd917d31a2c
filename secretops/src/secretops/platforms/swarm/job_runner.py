"""The jobs that commands are carried in: started on a manager that takes one, and what others left of theirs."""

from __future__ import annotations

import contextlib
import io
import secrets
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from secretops.errors import SecretopsError, StoreError, UsageError
from secretops.platforms.swarm.api import Api
from secretops.platforms.swarm.daemon import registry_login, socket_of
from secretops.platforms.swarm.inventory import Inventory
from secretops.platforms.swarm.job import ENDED, OF_JOBS, STARTING, Job, as_file
from secretops.platforms.swarm.location import SwarmStoreLocation
from secretops.platforms.swarm.names import INSTANCE, TASK
from secretops.platforms.swarm.task_payload import Load
from secretops.platforms.swarm.version_state import Shelf
from secretops.printable import ScreenedBytes

FOLLOWED = timedelta(minutes=2)
"""Whoever started a task that has ended reads its log within this."""

BEGUN = timedelta(minutes=15)
"""What belongs to no task after this, or to one that has not started, was left by somebody who was killed: nobody
waits that long for a start (job.START_SECONDS)."""


class Tasks:
    """What carries commands in one stack's Swarm. They print to `out` and `err`, by default this process's own."""

    def __init__(
        self,
        location: SwarmStoreLocation,
        api: Api | None = None,
        *,
        out: IO[bytes] | None = None,
        err: IO[bytes] | None = None,
        socket: str | None = None,
        followed: timedelta = FOLLOWED,
        begun: timedelta = BEGUN,
    ) -> None:
        self._location, self._api, self._socket = location, api or Api(), socket
        self._out, self._err = out or ScreenedBytes(sys.stdout), err or ScreenedBytes(sys.stderr)
        self._inventory, self._followed, self._begun = Inventory(self._api, location), followed, begun

    @contextlib.contextmanager
    def running(self, load: Load, command: Sequence[str]) -> Iterator[Job]:
        """A task that runs `command`, until the block ends. Raises StoreError, UnreachableError."""
        name = f"{self._location.prefix}task-{secrets.token_hex(6)}"
        job = Job(self._api, name, self._location, out=self._out, err=self._err)
        node, login = self._node(), self._login(job)
        try:
            socket = self._socket or socket_of()
            job.make(load, command, node=node, socket=socket, attached=self._attached(), login=login)
            yield job
        finally:
            _remove(job)
            with contextlib.suppress(SecretopsError):  # then the next tick does it
                self._sweep()

    def _sweep(self) -> None:
        """Remove what the book keeps no more: what a task had could not go while it was there.

        Only while nobody rotates. Whoever does may have been given a number, and made secrets of it, that the book
        does not have yet.
        """
        book = Shelf(self._api, self._location).read()
        if book.term is None:
            for secret in book.secrets:
                self._inventory.sweep(book, secret)

    def clean(self) -> None:
        """Remove what those left who were killed before they could. Raises StoreError, UnreachableError.

        The records of what their tasks read are passed on to `err` first: nobody else has them. Whoever was killed late
        has passed on some already, which then are there twice.
        """
        now = _time((self._api.get("/info") or {}).get("SystemTime"))
        for service in self._services():
            if self._is_left(service, now):
                _remove(self._job_of(service))
        for kind in OF_JOBS:
            for each in self._api.get(f"/{kind}", label=self._labels) or []:
                if now - _time(each["CreatedAt"]) > self._begun:
                    self._api.remove(kind, each["ID"])  # refused while its task is there

    def clear(self) -> None:
        """Remove all that commands are carried in, also what somebody waits for: the stack's values go altogether.

        Raises StoreError, UnreachableError: then something is left.
        """
        for service in self._services():
            self._job_of(service).remove()
        for kind in OF_JOBS:
            for each in self._api.get(f"/{kind}", label=self._labels) or []:
                if not self._api.remove(kind, each["ID"]):
                    raise StoreError(
                        f"{each['Spec']['Name']}: a service uses it",
                        rule="it was made for a command alone, and a secret that is used can't be removed",
                        remedy="docker service ls; remove the one that has it, then try again",
                    )

    @property
    def _labels(self) -> list[str]:
        return [f"{INSTANCE}={self._location.instance}", TASK]

    def _services(self) -> list[dict[str, Any]]:
        return self._api.get("/services", label=self._labels) or []

    def _job_of(self, service: dict[str, Any]) -> Job:
        """Somebody else's. What it answered is for nobody here, what it said is."""
        return Job(self._api, service["Spec"]["Name"], self._location, out=io.BytesIO(), err=self._err)

    def _is_left(self, service: dict[str, Any], now: datetime) -> bool:
        tasks = self._api.get("/tasks", service=[service["ID"]]) or []
        if all(task["Status"]["State"] in STARTING for task in tasks):
            return now - _time(service["CreatedAt"]) > self._begun
        return all(
            task["Status"]["State"] in ENDED and now - _time(task["Status"]["Timestamp"]) > self._followed
            for task in tasks
        )

    def _node(self) -> str:
        """The manager that was asked: the socket that the task mounts is its. Raises StoreError if it takes no task."""
        id = ((self._api.get("/info") or {}).get("Swarm") or {}).get("NodeID") or ""
        node = self._api.get(f"/nodes/{id}") or {}
        availability = (node.get("Spec") or {}).get("Availability") or "active"
        if availability != "active":
            name = (node.get("Description") or {}).get("Hostname") or id
            raise StoreError(
                f"manager {name} takes no task: its availability is {availability}",
                rule="what needs values runs as a task on the manager that is asked; nothing was begun",
                remedy=f"lead DOCKER_HOST to a manager that is active (docker node ls), or: "
                f"docker node update --availability active {name}",
            )
        return str(id)

    def _login(self, job: Job) -> str | None:
        """What the image is pulled with. Without it where that can't be read: the image may be there, or anybody's."""
        try:
            return registry_login(self._location.image)
        except UsageError as error:
            job.say(f"{error.what}: the image is asked for without\n-> {error.remedy}")
            return None

    def _attached(self) -> list[dict[str, Any]]:
        """Every value that is kept, and what somebody put in the place of one: each under its own name."""
        book = Shelf(self._api, self._location).read()
        known = self._inventory.all()
        kept = {
            each.name: each.id
            for each in known
            if each.book == book.id and each.number in book.page(each.secret).living
        }
        service = self._api.get(f"/services/{self._location.service}")
        listed = service["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets") if service else None
        files = {file.name for files in self._location.delivered.values() for file in files.values()}
        for entry in listed or []:
            if (entry.get("File") or {}).get("Name") in files:
                kept.setdefault(entry["SecretName"], entry["SecretID"])
        return [as_file("Secret", name, id, name) for name, id in kept.items()]


def _remove(job: Job) -> None:
    """It, and what was made for it; what can't be now, the next command removes, and passes on what is left to."""
    try:
        job.remove()
    except SecretopsError as error:
        job.say(f"task {job.name} is not removed: {error.what}; the next one does it")


def _time(text: Any) -> datetime:
    """As Go writes it, with nine digits after the point. What is missing is long ago."""
    return datetime.fromisoformat(str(text)[:19]).replace(tzinfo=UTC) if text else datetime.min.replace(tzinfo=UTC)
