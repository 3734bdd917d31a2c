"""What doctor asks a manager of the stack's Swarm: as an operator, and for no value."""

from __future__ import annotations

import functools
import os
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from secretops.platforms.swarm.api import Api, check_manager
from secretops.platforms.swarm.inventory import Found, Inventory
from secretops.platforms.swarm.job import ENTRYPOINT, OF_JOBS, JobRunner
from secretops.platforms.swarm.lease import hold
from secretops.platforms.swarm.location import SwarmStoreLocation
from secretops.platforms.swarm.names import INSTANCE, TASK
from secretops.platforms.swarm.version_state import VersionState, VersionStateClient
from secretops.printable import ScreenedBytes
from secretops.stores.lease import Timing

YOUNG = timedelta(hours=3)
"""How old a carried command is at most: it may wait for an update of many replicas, for one secret after another."""

BEGUN = timedelta(minutes=15)
"""How long what a command is carried with may be there before its service is: nobody waits so long for a start."""


class Manager:
    """One stack's Swarm. What is asked for twice is looked at once: doctor describes one moment."""

    def __init__(
        self, location: SwarmStoreLocation, *, api: Api | None = None, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.location, self.environment = location, environment
        self._api = api or Api(patient=False)
        self._shelf = VersionStateClient(self._api, location)

    def reach(self) -> None:
        """Raise SecretopsError unless a manager answers."""
        check_manager(self.info)

    @functools.cached_property
    def info(self) -> dict[str, Any]:
        """Of the daemon that was asked."""
        return self._api.get("/info") or {}

    @functools.cached_property
    def version(self) -> dict[str, Any]:
        return self._api.get("/version") or {}

    @functools.cached_property
    def nodes(self) -> list[dict[str, Any]]:
        return self._api.get("/nodes") or []

    @functools.cached_property
    def swarm(self) -> dict[str, Any]:
        return self._api.get("/swarm") or {}

    @functools.cached_property
    def services(self) -> list[dict[str, Any]]:
        """Every one, whoever's: any of them may have a secret of the stack."""
        return self._api.get("/services") or []

    @property
    def service(self) -> dict[str, Any] | None:
        """The server's."""
        return next((each for each in self.services if each["Spec"]["Name"] == self.location.service), None)

    @property
    def left(self) -> list[str]:
        """What commands were carried in and with, and nobody waits for any more: services, and what has none."""
        labels = [f"{INSTANCE}={self.location.instance}", TASK]
        services = [each for each in self.services if self._is_labelled(each)]
        names = {each["Spec"]["Name"] for each in services}
        return [
            *(f"service {each['Spec']['Name']}" for each in services if self._age(each) > YOUNG),
            *(
                f"{kind.removesuffix('s')} {each['Spec']['Name']}"
                for kind in OF_JOBS
                for each in self._api.get(f"/{kind}", label=labels) or []
                if each["Spec"]["Labels"][TASK] not in names and self._age(each) > BEGUN
            ),
        ]

    def clean(self) -> str:
        """Remove what is left, but for what runs."""
        JobRunner(self.location, self._api, out=ScreenedBytes(sys.stderr), begun=BEGUN).clean()
        return "what runs no more is removed"

    def sweep(self) -> str:
        """Under the lease, remove the versions that the book keeps no more and no service uses."""
        with hold(self._shelf, f"secretops doctor --repair (pid {os.getpid()} on {socket.gethostname()})", Timing()):
            book = self._shelf.read()
            for secret in book.secrets:
                Inventory(self._api, self.location).sweep(secret, book.secret(secret))
        return "what no service uses is removed"

    def tasks(self, service: dict[str, Any]) -> list[dict[str, Any]]:
        return self._api.get("/tasks", service=[service["ID"]]) or []

    @functools.cached_property
    def book(self) -> VersionState:
        return self._shelf.read()

    def look_again(self) -> VersionState:
        """The book as it is now."""
        return self._shelf.read()

    @functools.cached_property
    def secrets(self) -> list[Found]:
        return Inventory(self._api, self.location).all()

    def users(self, secret: Found) -> list[str]:
        """The services that have a secret, but for carried commands."""
        return [
            str(each["Spec"]["Name"])
            for each in self.services
            if not self._is_carried(each) and any(one["SecretID"] == secret.id for one in _list(each))
        ]

    @property
    def ahead(self) -> float:
        """Seconds by which this machine's clock is ahead of the daemon's."""
        return (datetime.now(UTC) - _time(self.info["SystemTime"])).total_seconds()

    def _is_carried(self, service: dict[str, Any]) -> bool:
        """Whether a command of the stack runs in it now. Anybody can write labels: it has to be ours, and young."""
        container = service["Spec"]["TaskTemplate"].get("ContainerSpec") or {}
        return (
            self._is_labelled(service)
            and container.get("Image") == self.location.image
            and tuple(container.get("Command") or ()) == ENTRYPOINT
            and self._age(service) <= YOUNG
        )

    def _is_labelled(self, service: dict[str, Any]) -> bool:
        labels = service["Spec"].get("Labels") or {}
        return TASK in labels and labels.get(INSTANCE) == self.location.instance

    def _age(self, found: dict[str, Any]) -> timedelta:
        """By the daemon's clock, as it was when it was asked."""
        return _time(self.info["SystemTime"]) - _time(found["CreatedAt"])


def _time(text: Any) -> datetime:
    """As Go writes it, with nine digits after the point."""
    return datetime.fromisoformat(str(text)[:19]).replace(tzinfo=UTC)


def _list(service: dict[str, Any]) -> list[dict[str, Any]]:
    container = service["Spec"]["TaskTemplate"].get("ContainerSpec") or {}
    return container.get("Secrets") or []
