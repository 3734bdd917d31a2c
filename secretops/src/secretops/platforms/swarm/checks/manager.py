"""Doctor's requests to a manager. They read no secret value."""

from __future__ import annotations

import functools
import os
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from secretops.platforms.swarm.api import SwarmApi, check_manager
from secretops.platforms.swarm.inventory import Inventory, SwarmSecret
from secretops.platforms.swarm.job import ENTRYPOINT, MAX_START, TASK, JobRunner, job_objects, parse_time
from secretops.platforms.swarm.location import SWARM_INSTANCE, SwarmStoreLocation
from secretops.platforms.swarm.version_state import VersionState, VersionStateClient, hold
from secretops.printable import ScreenedBytes
from secretops.stores.lease import Timing

# Maximum age of a running job: it may update many replicas, for one secret after another.
MAX_JOB_AGE = timedelta(hours=3)


class Manager:
    def __init__(
        self, location: SwarmStoreLocation, *, api: SwarmApi | None = None, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.location, self.environment = location, environment
        self._api = api or SwarmApi(patient=False)
        self._client, self._answers = VersionStateClient(self._api, location), dict[str, Any]()

    def reach(self) -> None:
        check_manager(self.get("/info"))

    def get(self, path: str) -> Any:
        """Return the JSON at an API path, or an empty object if it is missing. Caches answers."""
        if path not in self._answers:
            self._answers[path] = self._api.get(path) or {}
        return self._answers[path]

    @property
    def left(self) -> list[str]:
        services = [each for each in self.get("/services") if self._is_labeled(each)]
        names = {each["Spec"]["Name"] for each in services}
        return [
            *(f"service {each['Spec']['Name']}" for each in services if self._age(each) > MAX_JOB_AGE),
            *(
                f"{kind.removesuffix('s')} {each['Spec']['Name']}"
                for kind, each in job_objects(self._api, f"{SWARM_INSTANCE}={self.location.instance}", TASK)
                if each["Spec"]["Labels"][TASK] not in names and self._age(each) > MAX_START
            ),
        ]

    def clean(self) -> str:
        JobRunner(self.location, self._api, out=ScreenedBytes(sys.stderr), max_start=MAX_START).remove_leftovers()
        return "jobs of killed commands are removed"

    def sweep(self) -> str:
        with hold(self._client, f"secretops doctor --repair (pid {os.getpid()} on {socket.gethostname()})", Timing()):
            state = self.read_state()
            for secret in state.secrets:
                Inventory(self._api, self.location).sweep(secret, state.secret(secret))
        return "unused secrets are removed"

    def tasks(self, service: dict[str, Any]) -> list[dict[str, Any]]:
        return self._api.get("/tasks", service=[service["ID"]]) or []

    @functools.cached_property
    def state(self) -> VersionState:
        return self.read_state()

    def read_state(self) -> VersionState:
        return self._client.read()

    @functools.cached_property
    def secrets(self) -> list[SwarmSecret]:
        return Inventory(self._api, self.location).all()

    def users(self, secret: SwarmSecret) -> list[str]:
        return [
            str(each["Spec"]["Name"])
            for each in self.get("/services")
            if not self._is_job(each)
            and any(entry["SecretID"] == secret.id for entry in _container(each).get("Secrets") or [])
        ]

    @property
    def ahead(self) -> timedelta:
        return datetime.now(UTC) - parse_time(self.get("/info")["SystemTime"])

    def _is_job(self, service: dict[str, Any]) -> bool:
        # Labels alone are no proof, since anybody can write them.
        container = _container(service)
        return (
            self._is_labeled(service)
            and container.get("Image") == self.location.image
            and tuple(container.get("Command") or ()) == ENTRYPOINT
            and self._age(service) <= MAX_JOB_AGE
        )

    def _is_labeled(self, service: dict[str, Any]) -> bool:
        labels = service["Spec"].get("Labels") or {}
        return TASK in labels and labels.get(SWARM_INSTANCE) == self.location.instance

    def _age(self, found: dict[str, Any]) -> timedelta:
        return parse_time(self.get("/info")["SystemTime"]) - parse_time(found["CreatedAt"])


def _container(service: dict[str, Any]) -> dict[str, Any]:
    return service["Spec"]["TaskTemplate"].get("ContainerSpec") or {}
