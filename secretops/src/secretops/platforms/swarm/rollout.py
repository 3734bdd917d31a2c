"""Watches an update of the server's service: which tasks have which list of secrets, and when all of them do.

Docker remembers one earlier spec, and rolls the service back to it when new tasks fail. A write over an update that has
not ended would make that spec the way back, also one that never worked.
"""

from __future__ import annotations

import time
from typing import Any, cast

from secretops.errors import UnreachableError
from secretops.platforms.swarm.api import SwarmApi
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.stores.document_versions import UndeliverableError

# An entry of a service's list: a secret, and its file.
Entry = dict[str, Any]

Service = dict[str, Any]

# Seconds that an update may take, and more for each replica, which follow one after the other, each until it is
# healthy. Twice what the settings count on for one (components/swarm/cross_field_rules.py).
LONGEST_UPDATE, A_REPLICA = 900.0, 30.0

# Seconds between two polls, and until an update that was sent has begun.
LOOK, SENT = 0.25, 1.0

# Seconds that a task has to have run if every task has the list already, and until one has.
STEADY, RUNS_WITHIN = 3.0, 60.0

UNDER_WAY = frozenset({"updating", "rollback_started"})
GOING_BACK = frozenset({"rollback_started", "rollback_paused", "rollback_completed"})
_FAILED = frozenset({"failed", "rejected", "orphaned"})

# Begin of the daemon's reason if nothing of the image ran.
NEVER_RAN = "starting container failed"

# Tries to start a container. Docker fails about one start in a hundred with "unable to remount dir as readonly … busy"
# if a container has secrets or configs (moby/moby, issue 48783).
STARTS = 3


class UpdateFailedError(UndeliverableError):
    """The service's update was paused or rolled back: its tasks have the version before, which works."""


class NeverRanError(UpdateFailedError):
    """The daemon failed to start a container: another try may succeed."""


class Rollout:
    """Reads the server's service, and waits for it. Writes nothing."""

    def __init__(self, api: SwarmApi, location: Location) -> None:
        self._api, self._name = api, location.service

    def service(self) -> Service | None:
        """Return the server's service; None before it is there."""
        return cast("Service | None", self._api.get(f"/services/{self._name}"))

    def behind(self, service: Service) -> int:
        """Return how many tasks that are to run have another list than the service."""
        listed = ids(list_of(service))
        return sum(
            task["DesiredState"] == "running" and ids(task["Spec"]["ContainerSpec"].get("Secrets") or []) != listed
            for task in self._tasks(service)
        )

    def at_rest(self) -> Service | None:
        """Return the service once no update of it is under way; None if it is not there.

        Raises UnreachableError if the update takes too long.
        """
        began, sent = time.monotonic(), None
        while service := self.service():
            state = state_of(service)
            if state not in UNDER_WAY:
                if state or "PreviousSpec" not in service or service["Version"] == sent:
                    return service
                sent = service["Version"]
                time.sleep(SENT)
                continue
            if time.monotonic() - began > (limit := longest(_replicas(service) or 0)):
                raise UnreachableError(
                    f"service {self._name}: an update that was under way has not ended in {limit:.0f} s",
                    rule="a version is delivered once it has: over it, Docker's way back would be to what is under way",
                    remedy=f"docker service ps {self._name} says what it waits for, docker service rollback "
                    f"{self._name} takes it back; the next tick delivers",
                )
            time.sleep(LOOK)
        return None

    def failed(self, service: Service) -> set[str]:
        return {task["ID"] for task in self._failed_tasks(service)}

    def wait(self, wanted: list[Entry], *, is_new: bool, failed: set[str] | None = None) -> None:
        """Wait until every task that is to run has `wanted`; if it is new, also until one was seen to run with it.

        `failed`: tasks that had failed before an update was just sent; None if none was.

        Raises UpdateFailedError if the tasks have the version before, NeverRanError if the update was just sent and its
        container did not start; UnreachableError if it takes too long.
        """
        began, ended = time.monotonic(), 0.0
        seen: dict[str, float] = {}
        while True:
            service = self.service()
            if service is None:
                return
            state = state_of(service)
            here = ids(wanted) <= ids(list_of(service))
            if state == "paused" or (state in GOING_BACK and not here):
                if state != "rollback_started":
                    raise self._failed(service, state, failed)
            elif here and state != "updating" and not self.behind(service):
                # "completed" is no proof: of a paused update that is sent again Docker says so at once.
                if not is_new or self._runs_steadily(service, seen):
                    return
                ended = ended or time.monotonic()
                if time.monotonic() - ended > RUNS_WITHIN:
                    raise self._failed(service, "stopped", failed)
            if time.monotonic() - began > (limit := longest(_replicas(service) or 0)):
                raise UnreachableError(
                    f"service {self._name}: its update has not ended in {limit:.0f} s",
                    rule="readers have the version before until a task with the new one runs, and is healthy",
                    remedy=f"docker service ps {self._name} says what it waits for; the next tick looks again",
                )
            time.sleep(LOOK)

    def _failed(self, service: Service, state: str, failed: set[str] | None) -> UpdateFailedError:
        how = {"paused": "is paused", "stopped": "left no task that runs"}.get(state, "went back")
        told = (service.get("UpdateStatus") or {}).get("Message") if state != "stopped" else None
        # A task that is given up because it never got healthy ends by itself, without an error of its own.
        silent = f"no new task became healthy ({told})" if told else "no new task stayed"
        tasks = [task["Status"] for task in self._failed_tasks(service) if task["ID"] not in (failed or ())]
        tasks.sort(key=lambda status: str(status.get("Timestamp")), reverse=True)
        why = next((str(status["Err"]) for status in tasks if status.get("Err")), silent)
        never_ran = failed is not None and why.startswith(NEVER_RAN)
        return (NeverRanError if never_ran else UpdateFailedError)(
            f"service {self._name}: the update to the new version {how}: {why}",
            rule="new tasks have to run and be healthy; till then readers keep the version before, which works",
            remedy=f"docker service ps --no-trunc {self._name}, and logs, say why; the next tick tries again",
        )

    def _runs_steadily(self, service: Service, seen: dict[str, float]) -> bool:
        """Return whether a task has run for a while, or none is to run."""
        if _replicas(service) == 0:
            return True
        now = time.monotonic()
        running = {str(task["ID"]) for task in self._tasks(service) if task["Status"]["State"] == "running"}
        return any(now - seen.setdefault(task, now) >= STEADY for task in running)

    def _failed_tasks(self, service: Service) -> list[dict[str, Any]]:
        return [task for task in self._tasks(service) if task["Status"]["State"] in _FAILED]

    def _tasks(self, service: Service) -> list[dict[str, Any]]:
        return self._api.get("/tasks", service=[service["ID"]]) or []


def longest(replicas: int) -> float:
    """Return the seconds that an update of so many replicas may take."""
    return LONGEST_UPDATE + A_REPLICA * replicas


def state_of(service: Service) -> str:
    """Return the state of the last update; empty if none has begun since it was sent, or there was none."""
    return str((service.get("UpdateStatus") or {}).get("State") or "")


def list_of(service: Service) -> list[Entry]:
    return service["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets") or []


def place(entry: Entry) -> str:
    return str((entry.get("File") or {}).get("Name"))


def ids(entries: list[Entry]) -> set[tuple[str, str]]:
    return {(entry["SecretID"], place(entry)) for entry in entries}


def _replicas(service: Service) -> int | None:
    """Return how many are to run; None for a service of another mode."""
    return cast("int | None", ((service["Spec"].get("Mode") or {}).get("Replicated") or {}).get("Replicas"))
