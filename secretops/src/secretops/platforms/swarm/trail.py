"""Read a Swarm's trail: the daemon's event log, and the records that secretops writes itself.

    docker events --format '{{json .}}'        on a manager: creations, changes and removals, without an actor
    {"time": …, "actor": …, "operation": …}    in the log of a command in the Swarm: who read which version

A Swarm records no read. The nearest event is on the container's node: somebody ran a command in a container, or copied
from it. A service may also mount a value. The event has only the service's name, so each service that does not belong
to the stack is reported as undeclared. https://docs.docker.com/reference/cli/docker/system/events/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from secretops.manifest import Secret
from secretops.platforms.swarm.location import SwarmStoreLocation
from secretops.trails import ALL, Access, AccessRecordTrail, parsing

# CHANGES: actions on secrets, configs and services. INTO_CONTAINER: actions that give access to a container's files.
CHANGES = frozenset({"create", "update", "remove"})
INTO_CONTAINER = frozenset({"exec_create", "archive-path", "attach"})

# End of the server's health check, which Docker runs as a command in its containers.
HEALTH = ("-m", "secretops.launcher.health")

# Service names after the stack's prefix. _JOB: a job, which mounts every value. _ROTATOR: the rotator.
_JOB = re.compile(r"task-[0-9a-f]{12}")
_ROTATOR = "rotator"
_SERVICE_NAME = "com.docker.swarm.service.name"


class SwarmEvents:
    """The trail of a Swarm. For a command that somebody ran in a container it omits the command line, which may contain
    a value."""

    log_format = "docker events as JSON, or the records of secretops' own log, one per line"

    def __init__(self, location: SwarmStoreLocation, secrets: Sequence[Secret]) -> None:
        self._location, self._own = location, AccessRecordTrail(secrets)
        self._secrets = tuple(secret.name for secret in secrets)

    def read(self, line: bytes) -> Iterable[Access]:
        record = json.loads(line)
        with parsing("an event of a Docker daemon"):
            if record.keys() >= {"actor", "operation"}:
                return self._own.read(line)
            # entries of the journal are in the same log
            return () if record.keys() >= {"step", "outcome"} else list(self._event(record))

    def names(self, secret: str) -> frozenset[str]:
        return frozenset({secret} & set(self.known_names()))

    def known_names(self) -> Iterable[str]:
        return (*self._secrets, self._location.state_config, self._location.service)

    def _event(self, event: dict[str, Any]) -> Iterator[Access]:
        kind, action = event["Type"], str(event["Action"])
        attributes = event["Actor"]["Attributes"] or {}
        name = str(attributes.get("name", ""))
        time = datetime.fromtimestamp(event["timeNano"] / 1e9, UTC)
        access = partial(Access, time=time, reader="(Swarm does not say who)", allowed=True)
        if kind == "container":
            if operation := self._into(action, attributes):
                yield access(
                    operation=operation,
                    secret=ALL,
                    source=f"container {attributes.get('name', '')}",
                    value_returned=True,
                    changed=False,
                    declared=False,
                )
            return
        if action not in CHANGES or "updatestate.new" in attributes:
            return
        event_id = f"{event['timeNano']} {event['Actor']['ID']} {action}"
        if what := self._what(kind, name):
            yield access(
                operation=f"{kind} {action}",
                secret=what,
                source=str(event.get("scope") or ""),
                value_returned=False,
                changed=True,
                declared=True,  # the event does not show whether secretops was the actor
                event=event_id,
            )
        elif kind == "service" and action != "remove":
            is_job = self._is_job(name) and action == "create"
            yield access(
                operation=f"service {action}",
                secret=ALL,
                source=f"service {name}",
                value_returned=is_job,
                changed=not is_job,
                declared=is_job or name == f"{self._location.prefix}{_ROTATOR}",
                event=event_id,
            )

    def _is_job(self, name: str) -> bool:
        prefix = self._location.prefix
        return name.startswith(prefix) and _JOB.fullmatch(name.removeprefix(prefix)) is not None

    def _what(self, kind: str, name: str) -> str | None:
        if kind == "secret" and name.startswith(self._location.prefix):
            rest = name.removeprefix(self._location.prefix)
            return next((each for each in self._secrets if rest.startswith(f"{each}-v")), None)
        if (kind, name) in (("config", self._location.state_config), ("service", self._location.service)):
            return name
        return None

    def _into(self, action: str, attributes: dict[str, str]) -> str | None:
        verb, _, words = action.partition(":")
        if verb not in INTO_CONTAINER or attributes.get(_SERVICE_NAME) != self._location.service:
            return None
        if tuple(words.split()[1:]) == HEALTH:
            return None
        return {"exec_create": "exec", "archive-path": "copy"}.get(verb, verb)
