"""The trail of a Swarm: the daemon's event log, and the records that secretops writes itself.

    docker events --format '{{json .}}'        on a manager: what was made, changed and removed, never by whom
    {"time": …, "actor": …, "operation": …}    in the log of a remote command: who read which version

A Swarm records no read. The event log of a container's node has the commands that were run in it, and copies from it.
The other way to a value is a service that has it mounted, whose event has only its name: each service that is not the
stack's own is reported as undeclared. https://docs.docker.com/reference/cli/docker/system/events/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from secretops.manifest import Secret
from secretops.platforms.swarm.location import SwarmStoreLocation
from secretops.trails.own_records import OwnRecords
from secretops.trails.protocol import ALL, Access

NOBODY_KNOWS = "(Swarm does not say who)"

# Actions on secrets, the config and services.
CHANGES = frozenset({"create", "update", "remove"})

# Actions by which somebody on the container's own node can read its files.
INTO_CONTAINER = frozenset({"exec_create", "archive-path", "attach"})

# Arguments of the one command that the daemon itself runs in the server's containers.
HEALTH = ("-m", "secretops.launcher.health")

# Names of services, after the stack's prefix: of a remote command, which has every value, and of the rotator.
_CARRIED, _ROTATOR = re.compile(r"task-[0-9a-f]{12}"), "rotator"

_OF_SERVICE = "com.docker.swarm.service.name"


class SwarmEvents:
    """`Trail` over lines of either kind. Of a command in a container only that it was run: its words may be secret."""

    form = "docker events as JSON, one a line; or the records of secretops' own log, one a line"

    def __init__(self, location: SwarmStoreLocation, secrets: Sequence[Secret]) -> None:
        self._location, self._own = location, OwnRecords(secrets)
        self._secrets = tuple(secret.name for secret in secrets)

    def read(self, line: bytes) -> Iterable[Access]:
        record = json.loads(line)
        try:
            if record.keys() >= {"actor", "operation"}:
                return self._own.read(line)
            if record.keys() >= {"step", "outcome"}:  # the journal's, on the same log
                return ()
            return list(self._event(record))
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError("no event of a Docker daemon") from error

    def names(self, secret: str) -> frozenset[str]:
        return frozenset({secret} & set(self.known()))

    def known(self) -> Iterable[str]:
        return (*self._secrets, self._location.book, self._location.service)

    def _event(self, event: dict[str, Any]) -> Iterator[Access]:
        kind, action = event["Type"], str(event["Action"])
        attributes = event["Actor"]["Attributes"] or {}
        name = str(attributes.get("name", ""))
        time = datetime.fromtimestamp(event["timeNano"] / 1e9, UTC)
        if kind == "container":
            yield from self._into(action, attributes, time)
            return
        if action not in CHANGES or "updatestate.new" in attributes:
            return
        event_id = f"{event['timeNano']} {event['Actor']['ID']} {action}"
        if what := self._what(kind, name):
            yield Access(
                time=time,
                reader=NOBODY_KNOWS,
                operation=f"{kind} {action}",
                secret=what,
                allowed=True,
                source=str(event.get("scope") or ""),
                given=False,
                done=True,
                declared=True,  # nothing of a Swarm says whether it was secretops
                event=event_id,
            )
        elif kind == "service" and action != "remove":
            is_carried = self._is_carried(name) and action == "create"
            yield Access(
                time=time,
                reader=NOBODY_KNOWS,
                operation=f"service {action}",
                secret=ALL,
                allowed=True,
                source=f"service {name}",
                given=is_carried,
                done=not is_carried,
                declared=is_carried or name == f"{self._location.prefix}{_ROTATOR}",
                event=event_id,
            )

    def _is_carried(self, name: str) -> bool:
        prefix = self._location.prefix
        return name.startswith(prefix) and _CARRIED.fullmatch(name.removeprefix(prefix)) is not None

    def _what(self, kind: str, name: str) -> str | None:
        """Return the part of the stack that an event is about, or None."""
        if kind == "secret" and name.startswith(self._location.prefix):
            rest = name.removeprefix(self._location.prefix)
            return next((each for each in self._secrets if rest.startswith(f"{each}-v")), None)
        if (kind, name) in (("config", self._location.book), ("service", self._location.service)):
            return name
        return None

    def _into(self, action: str, attributes: dict[str, str], time: datetime) -> Iterator[Access]:
        """Yield a command that was run in a container of the server, or a copy from it."""
        verb, _, words = action.partition(":")
        if verb not in INTO_CONTAINER or attributes.get(_OF_SERVICE) != self._location.service:
            return
        if tuple(words.split()[1:]) == HEALTH:
            return
        yield Access(
            time=time,
            reader=NOBODY_KNOWS,
            operation={"exec_create": "exec", "archive-path": "copy"}.get(verb, verb),
            secret=ALL,
            allowed=True,
            source=f"container {attributes.get('name', '')}",
            given=True,
            done=False,
            declared=False,
        )
