"""How an update of the server's service goes: which tasks have which list of secrets, and when all of them do.

Docker remembers one spec before the present one, and takes the service back to that when new tasks fail. Whoever writes
over an update that has not ended makes its spec the way back, also one that never worked: so nobody here does.
"""

from __future__ import annotations

import time
from typing import Any

from secretops.errors import StoreError, UnreachableError
from secretops.platforms.swarm.api import Api
from secretops.platforms.swarm.location import SwarmStoreLocation as Location

Entry = dict[str, Any]
"""One of a service's list: which secret, and as which file."""

Service = dict[str, Any]

LONGEST_UPDATE, A_REPLICA = 900.0, 30.0
"""Seconds that an update is waited for, and more for each replica: they follow one after the other, each until it is
healthy. Twice what the settings count on for one (components/swarm/cross_field_rules.py)."""

LOOK = 0.25

SENT = 1.0
"""Seconds within which an update that was sent has begun, and says so."""

STEADY, RUNS_WITHIN = 3.0, 60.0
"""Seconds: where no update is begun, because every task has the list already, how long one has to have run to be called
running; and by when."""

UNDER_WAY = frozenset({"updating", "rollback_started"})
GOING_BACK = frozenset({"rollback_started", "rollback_paused", "rollback_completed"})
_FAILED = frozenset({"failed", "rejected", "orphaned"})


NEVER_RAN = "starting container failed"
"""How a daemon's reason begins where it is its own, and nothing of the image ran."""

STARTS = 3
"""How often is tried what the daemon does not get to run. Docker fails about one start in a hundred with "unable to
remount dir as readonly … busy" where a container has secrets or configs (moby/moby, issue 48783)."""


class UpdateFailedError(StoreError):
    """The service's update was paused or went back: its tasks have the version before, which works."""


class NeverRanError(UpdateFailedError):
    """It did because the daemon did not get a container started: another try may do."""


class Rollout:
    """Looks at the server's service, and waits for it. Writes nothing."""

    def __init__(self, api: Api, location: Location) -> None:
        self._api, self._name = api, location.service

    def service(self) -> Service | None:
        """The server's service; None before it is there."""
        found: Service | None = self._api.get(f"/services/{self._name}")
        return found

    def behind(self, service: Service) -> int:
        """How many tasks that are to run have another list than the service."""
        listed = ids(list_of(service))
        return sum(
            task["DesiredState"] == "running" and ids(task["Spec"]["ContainerSpec"].get("Secrets") or []) != listed
            for task in self._tasks(service)
        )

    def at_rest(self) -> Service | None:
        """The service once no update of it is under way, whoever's; None when it is not there.

        Raises UnreachableError when one takes longer than anybody waits.
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
        """Ids of the tasks that have failed already."""
        return {task["ID"] for task in self._failed_tasks(service)}

    def wait(self, wanted: list[Entry], *, is_new: bool, failed: set[str] | None = None) -> None:
        """Until every task that is to run has `wanted`; where none was ever seen to run with it, until one is.

        `failed`: tasks that had before an update was sent just now; None where none was.

        Raises UpdateFailedError when the tasks have the version before, a NeverRanError if it was sent just now and a
        container of its own did not get started; UnreachableError when it takes too long.
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
        why = next((error for error in self._errors(service, failed or set()) if error), silent)
        never_ran = failed is not None and why.startswith(NEVER_RAN)
        return (NeverRanError if never_ran else UpdateFailedError)(
            f"service {self._name}: the update to the new version {how}: {why}",
            rule="new tasks have to run and be healthy; till then readers keep the version before, which works",
            remedy=f"docker service ps --no-trunc {self._name}, and logs, say why; the next tick tries again",
        )

    def _errors(self, service: Service, failed: set[str]) -> list[str]:
        """Of the tasks that have failed since those had, the last one's first."""
        tasks = [task for task in self._failed_tasks(service) if task["ID"] not in failed]
        tasks.sort(key=lambda task: str(task["Status"].get("Timestamp")), reverse=True)
        return [str(task["Status"].get("Err") or "") for task in tasks]

    def _runs_steadily(self, service: Service, seen: dict[str, float]) -> bool:
        """Whether a task runs and has for a while, or none is asked for."""
        if _replicas(service) == 0:
            return True
        now = time.monotonic()
        running = {str(task["ID"]) for task in self._tasks(service) if task["Status"]["State"] == "running"}
        return any(now - seen.setdefault(task, now) >= STEADY for task in running)

    def _failed_tasks(self, service: Service) -> list[dict[str, Any]]:
        return [task for task in self._tasks(service) if task["Status"]["State"] in _FAILED]

    def _tasks(self, service: Service) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._api.get("/tasks", service=[service["ID"]]) or []
        return found


def longest(replicas: int) -> float:
    """Seconds that an update of so many replicas is waited for."""
    return LONGEST_UPDATE + A_REPLICA * replicas


def state_of(service: Service) -> str:
    """That of its last update; empty when none has begun since it was sent, or there was none."""
    return str((service.get("UpdateStatus") or {}).get("State") or "")


def list_of(service: Service) -> list[Entry]:
    """Its list of secrets."""
    return service["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets") or []


def place(entry: Entry) -> str:
    """The file that an entry is in a container."""
    return str((entry.get("File") or {}).get("Name"))


def ids(entries: list[Entry]) -> set[tuple[str, str]]:
    """Which secret is which file."""
    return {(entry["SecretID"], place(entry)) for entry in entries}


def _replicas(service: Service) -> int | None:
    """How many are asked for; None of a service of another mode."""
    found: int | None = ((service["Spec"].get("Mode") or {}).get("Replicated") or {}).get("Replicas")
    return found
