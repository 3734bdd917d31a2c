"""A Swarm stack's own parts: the manager and its socket, and the service. Its secrets are in `swarm_secrets`."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secretops.check import Check, Level, Repair, Result, attention, ok, unknown
from secretops.errors import SecretopsError
from secretops.platforms.swarm.checks.manager import Manager
from secretops.platforms.swarm.checks.secrets import (
    BookThere,
    LeaseFree,
    NoOtherReaders,
    NothingLeft,
    NothingOrphaned,
)
from secretops.platforms.swarm.rollout import GOING_BACK

OLDEST_API = (1, 41)
"""Of Docker 20.10, the first with jobs, which commands are carried in."""

# The first releases whose encrypted overlay networks drop what is not encrypted: CVE-2023-28840 and its two siblings
# (https://github.com/moby/moby/security/advisories/GHSA-232p-vwff-86mp). 21 and 22 do not exist.
OLDEST_ENGINES = ((20, 10, 24), (23, 0, 3))

SKEW_SECONDS = 60.0
"""How far this machine's clock may be from the daemon's: versions are named by their time."""


def swarm_checks(manager: Manager, tick: Repair | None = None) -> list[Check]:
    """The store's own checks, in the order in which one rests on the other."""
    return [
        ManagerAnswers(manager),
        NewEnough(manager),
        ClockTogether(manager),
        SocketGuarded(manager),
        ManagersAgree(manager),
        EncryptedAtRest(manager),
        ServiceRuns(manager),
        BookThere(manager),
        LeaseFree(manager, follow=tick),
        NothingOrphaned(manager),
        NothingLeft(manager),
        NoOtherReaders(manager),
    ]


@dataclass(frozen=True)
class ManagerAnswers:
    """The daemon answers, and is a manager."""

    manager: Manager
    name: str = "manager"

    def look(self) -> Result:
        try:
            self.manager.reach()
        except SecretopsError as error:
            return Result.of(error, Level.ATTENTION)
        return ok(f"{self.manager.info.get('Name')}, of {len(self.manager.nodes)} nodes")


@dataclass(frozen=True)
class NewEnough:
    """Docker has all that is used of it."""

    manager: Manager
    name: str = "docker"

    def look(self) -> Result:
        told = str(self.manager.version.get("ApiVersion") or "0.0")
        major, _, minor = told.partition(".")
        if (int(major), int(minor)) < OLDEST_API:
            return attention(
                f"its API is {told}",
                "1.41 (Docker 20.10) is the first with jobs: a tick runs as one",
                "upgrade Docker on the managers",
            )
        engines = sorted({_engine(node) for node in self.manager.nodes})
        least = (
            "20.10.24 or 23.0.3: in older ones anybody may inject packets into an encrypted network (CVE-2023-28840)"
        )
        if broken := sorted(f"{_host(node)} ({_engine(node)})" for node in self.manager.nodes if _is_broken(node)):
            return attention(f"Docker of {', '.join(broken)}", least, "upgrade Docker on these nodes")
        if len({engine.partition(".")[0] for engine in engines}) > 1:
            return attention(
                f"the nodes run Docker {', '.join(engines)}",
                "nodes are of one release: a task may be started on any of them",
                "upgrade the older ones; docker node ls names them",
            )
        if nameless := sorted(_host(node) for node in self.manager.nodes if not _release(node)):
            return unknown(
                f"Docker {', '.join(engines)}", least, f"compare the release of {', '.join(nameless)} yourself"
            )
        return ok(f"Docker {', '.join(engines)}, API {told}")


def _engine(node: dict[str, Any]) -> str:
    return str(node["Description"]["Engine"]["EngineVersion"])


def _host(node: dict[str, Any]) -> str:
    return str(node["Description"]["Hostname"])


def _release(node: dict[str, Any]) -> tuple[int, ...]:
    """The three numbers of a node's Docker; none if its version begins otherwise."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", _engine(node))
    return tuple(map(int, found.groups())) if found else ()


def _is_broken(node: dict[str, Any]) -> bool:
    release = _release(node)
    first, second = OLDEST_ENGINES
    return bool(release) and (release < first or (first[0] < release[0] and release < second))


@dataclass(frozen=True)
class ClockTogether:
    """This machine and the manager agree on the time."""

    manager: Manager
    name: str = "clock"

    def look(self) -> Result:
        ahead = self.manager.ahead
        if abs(ahead) > SKEW_SECONDS:
            return attention(
                f"this machine is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the manager",
                f"within {SKEW_SECONDS:.0f} s: versions are named by their time",
                "let both take their time from NTP",
            )
        return ok("as the manager's")


@dataclass(frozen=True)
class SocketGuarded:
    """Only root and one group may speak to the daemon: whoever may, is root there, and reads every value by a task."""

    manager: Manager
    name: str = "socket"

    def look(self) -> Result:
        from secretops.platforms.swarm.daemon import address_of, certificates_of

        host = address_of(self.manager.environment)
        rule = "whoever may speak to the daemon is root on its machine, and reads every value by a task"
        if host.startswith("tcp://") and certificates_of(self.manager.environment) is None:
            return attention(
                f"{host}: without TLS",
                rule,
                "let it listen with --tlsverify, or reach it by ssh:// (https://docs.docker.com/engine/security/)",
            )
        path = Path(host.removeprefix("unix://"))
        if not host.startswith("unix://") or not path.exists():
            return ok(host)
        if path.stat().st_mode & stat.S_IWOTH:
            return attention(f"{path}: everybody on this machine may write to it", rule, f"chmod o-rw {path}")
        return ok(f"{path}: its owner's and its group's alone")


@dataclass(frozen=True)
class ManagersAgree:
    """Enough managers are there for the Swarm to change anything when one is away."""

    manager: Manager
    name: str = "nodes"

    def look(self) -> Result:
        managers = [node for node in self.manager.nodes if node["Spec"].get("Role") == "manager"]
        away = [
            str(node["Description"]["Hostname"])
            for node in self.manager.nodes
            if (node.get("Status") or {}).get("State") != "ready"
            or (node.get("ManagerStatus") or {"Reachability": "reachable"}).get("Reachability") != "reachable"
        ]
        if away:
            return attention(
                f"{', '.join(away)}: not ready, or not reachable",
                "a Swarm changes something only while more than half of its managers agree",
                "bring them back; docker node ls shows them",
            )
        own = str((self.manager.info.get("Swarm") or {}).get("NodeID"))
        availability = {node["ID"]: str(node["Spec"].get("Availability")) for node in managers}
        if availability.get(own, "active") != "active":
            return attention(
                f"{self.manager.info.get('Name')}, the manager that was asked, is set to {availability[own]}",
                "put, rotate and tick run as a task of the manager that is asked, and it takes none",
                f"docker node update --availability active {own}, or lead DOCKER_HOST to a manager that is",
            )
        return ok(f"{len(managers)} managers, all there")


@dataclass(frozen=True)
class EncryptedAtRest:
    """The Swarm's log, which has the values, is encrypted on every manager's disk. Where the key is, is said."""

    manager: Manager
    name: str = "encryption at rest"

    def look(self) -> Result:
        config = (self.manager.swarm.get("Spec") or {}).get("EncryptionConfig") or {}
        if config.get("AutoLockManagers"):
            return ok("by a key that is on no disk: a manager that was restarted waits for docker swarm unlock")
        return ok(
            "by a key that lies beside it: a copy of a manager's disk has the values. docker swarm update --autolock "
            "takes it away, and then a person unlocks each manager that was restarted"
        )


@dataclass(frozen=True)
class ServiceRuns:
    """The server's service is there, as many tasks run as it asks for, and no update of it is stuck."""

    manager: Manager
    name: str = "server"

    def look(self) -> Result:
        name, service = self.manager.location.service, self.manager.service
        rule = "every replica runs, and an update replaces them one after the other, start-first"
        if service is None:
            return attention(f"no service {name}", rule, "pulumi up; if it has run: is this the stack's Swarm?")
        state = (service.get("UpdateStatus") or {}).get("State") or ""
        if state == "paused" or state in GOING_BACK:
            return attention(
                f"{name}: its last update {'is paused' if state == 'paused' else 'went back'}",
                "new tasks have to run and be healthy; till then readers keep the version before, which works",
                f"docker service ps --no-trunc {name} says why; then secretops tick",
            )
        if (order := (service["Spec"].get("UpdateConfig") or {}).get("Order")) != "start-first":
            return attention(
                f"{name}: its updates are {order or 'stop-first'}",
                "start-first: else each new version stops a replica before its successor runs",
                f"docker service update --update-order start-first {name}, and pulumi up",
            )
        tasks = [task for task in self.manager.tasks(service) if task["DesiredState"] == "running"]
        running = sum(task["Status"]["State"] == "running" for task in tasks)
        wanted = ((service["Spec"].get("Mode") or {}).get("Replicated") or {}).get("Replicas", len(tasks))
        if running < wanted and state != "updating":
            return attention(
                f"{name}: {running} of {wanted} replicas run",
                rule,
                f"docker service ps --no-trunc {name} says why",
            )
        return ok(f"{running} of {wanted} replicas run" + (", an update is under way" if state == "updating" else ""))
