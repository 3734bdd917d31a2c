"""Watch an update of the server's service until all tasks mount its secrets.

Docker stores one earlier spec, and rolls back to it if new tasks fail. If the service is written during an update, the
earlier spec is that of the unfinished update, even if it never worked.
"""

from __future__ import annotations

import time
from typing import Any, cast

from secretops.errors import UnreachableError
from secretops.platforms.swarm.api import SwarmApi
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.stores.document_versions import UndeliverableError

# Entry of a service's list of secrets: a Swarm secret and its file.
ServiceSecret = dict[str, Any]

Service = dict[str, Any]

# Seconds that an update may take, and additional seconds for each replica, since they are replaced one by one. Twice
# what components/swarm/cross_field_rules.py expects.
LONGEST_UPDATE, A_REPLICA = 900.0, 30.0

# Seconds between two polls, and until an update that was sent must have started.
POLL, SENT = 0.25, 1.0

# Once all tasks have the list, one of them must run for STEADY seconds, within RUNS_WITHIN seconds.
STEADY, RUNS_WITHIN = 3.0, 60.0

UNDER_WAY = frozenset({"updating", "rollback_started"})
GOING_BACK = frozenset({"rollback_started", "rollback_paused", "rollback_completed"})
_FAILED = frozenset({"failed", "rejected", "orphaned"})

# Start of the daemon's error text if the image's process never ran.
NEVER_RAN = "starting container failed"

# Attempts to start a container. About one start in a hundred with secrets or configs fails with "unable to remount dir
# as readonly … busy" (moby/moby, issue 48783).
STARTS = 3


class UpdateFailedError(UndeliverableError):
    """The update was paused or rolled back, so tasks have the previous version."""


class NeverRanError(UpdateFailedError):
    """A container did not start. Another attempt may succeed."""


class Rollout:
    def __init__(self, api: SwarmApi, location: Location) -> None:
        self._api, self._name = api, location.service

    def service(self) -> Service | None:
        return cast("Service | None", self._api.get(f"/services/{self._name}"))

    def outdated_tasks(self, service: Service) -> int:
        listed = _mounts(secrets_of(service))
        return sum(
            task["DesiredState"] == "running" and _mounts(task["Spec"]["ContainerSpec"].get("Secrets") or []) != listed
            for task in self._tasks(service)
        )

    def wait_until_idle(self) -> Service | None:
        """Wait until no update of the service runs. Return the service, or None if it is missing. Raises
        UnreachableError."""
        began, sent = time.monotonic(), None
        while service := self.service():
            state = state_of(service)
            if state in UNDER_WAY:
                self._check_time(service, began, f"to undo the update: docker service rollback {self._name}")
                time.sleep(POLL)
            elif state or "PreviousSpec" not in service or service["Version"] == sent:
                return service
            else:
                sent = service["Version"]
                time.sleep(SENT)
        return None

    def failed(self, service: Service) -> set[str]:
        return {task["ID"] for task in self._failed_tasks(service)}

    def wait(self, wanted: list[ServiceSecret], *, is_new: bool, failed: set[str] | None = None) -> None:
        """Wait until every running task mounts the secrets `wanted`. If `is_new`, also wait until a task has run for
        STEADY seconds.

        `failed`: ids of tasks that failed before the caller sent an update; None if it sent none. Raises
        UpdateFailedError, UnreachableError; after a sent update also NeverRanError.
        """
        began, ended = time.monotonic(), 0.0
        seen: dict[str, float] = {}
        while service := self.service():
            state = state_of(service)
            here = _mounts(wanted) <= _mounts(secrets_of(service))
            if state == "paused" or (state in GOING_BACK and not here):
                if state != "rollback_started":
                    raise self._failed(service, state, failed)
            elif here and state != "updating" and not self.outdated_tasks(service):
                # "completed" alone proves nothing: Docker reports it at once if a paused update is sent again.
                if not is_new or self._runs_steadily(service, seen):
                    return
                ended = ended or time.monotonic()
                if time.monotonic() - ended > RUNS_WITHIN:
                    raise self._failed(service, "stopped", failed)
            self._check_time(service, began, "the next tick repeats the delivery")
            time.sleep(POLL)

    def _check_time(self, service: Service, began: float, next_step: str) -> None:
        if time.monotonic() - began > (limit := longest(_replicas(service) or 0)):
            raise UnreachableError(
                f"service {self._name}: the update has not ended in {limit:.0f} s",
                rule="an update ends once its new tasks are healthy; until then readers have the previous version",
                remedy=f"find out why: docker service ps --no-trunc {self._name}; {next_step}",
                code="service-update-slow",
            )

    def _failed(self, service: Service, state: str, failed: set[str] | None) -> UpdateFailedError:
        how = {"paused": "is paused", "stopped": "left no task that runs"}.get(state, "was rolled back")
        message = (service.get("UpdateStatus") or {}).get("Message") if state != "stopped" else None
        # A task that never becomes healthy ends without an error of its own.
        silent = f"no new task became healthy ({message})" if message else "no new task stayed"
        tasks = [task["Status"] for task in self._failed_tasks(service) if task["ID"] not in (failed or ())]
        tasks.sort(key=lambda status: str(status.get("Timestamp")), reverse=True)
        why = next((str(status["Err"]) for status in tasks if status.get("Err")), silent)
        never_ran = failed is not None and why.startswith(NEVER_RAN)
        return (NeverRanError if never_ran else UpdateFailedError)(
            f"service {self._name}: the update to the new version {how}: {why}",
            rule="a task with the new version must be healthy; until then readers have the previous version",
            remedy=f"find out why: docker service ps --no-trunc {self._name}; then: secretops tick",
            code="service-update-failed",
        )

    def _runs_steadily(self, service: Service, seen: dict[str, float]) -> bool:
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
    return LONGEST_UPDATE + A_REPLICA * replicas


def state_of(service: Service) -> str:
    return str((service.get("UpdateStatus") or {}).get("State") or "")


def secrets_of(service: Service) -> list[ServiceSecret]:
    return service["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets") or []


def file_of(entry: ServiceSecret) -> str:
    return str((entry.get("File") or {}).get("Name"))


def _mounts(entries: list[ServiceSecret]) -> set[tuple[str, str]]:
    return {(entry["SecretID"], file_of(entry)) for entry in entries}


def _replicas(service: Service) -> int | None:
    return cast("int | None", ((service["Spec"].get("Mode") or {}).get("Replicated") or {}).get("Replicas"))
