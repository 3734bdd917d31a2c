from __future__ import annotations

import re
import stat
from functools import partial
from pathlib import Path
from typing import Any

from secretops.check import (
    Check,
    Repair,
    Result,
    attention,
    clock_skew,
    expired_lease,
    judge,
    ok,
    poll,
    reached,
    table,
    unknown,
)
from secretops.errors import SecretopsError
from secretops.formats import counted
from secretops.platforms.swarm.checks.manager import Manager
from secretops.platforms.swarm.daemon import address_of, certificates_of
from secretops.platforms.swarm.inventory import SwarmSecret
from secretops.platforms.swarm.rollout import GOING_BACK
from secretops.stores.lease import Timing

# First releases whose encrypted overlay networks drop unencrypted packets: CVE-2023-28840 and its two siblings
# (https://github.com/moby/moby/security/advisories/GHSA-232p-vwff-86mp). 21 and 22 do not exist.
OLDEST_ENGINES = ((20, 10, 24), (23, 0, 3))


def swarm_checks(manager: Manager, tick: Repair) -> list[Check]:
    return table(
        manager,
        {
            "manager": lambda it: reached(
                it.reach, lambda: f"{it.get('/info').get('Name')}, of {counted(len(it.get('/nodes')), 'node', 'nodes')}"
            ),
            "docker": docker,
            "clock": lambda it: clock_skew(it.ahead, "the manager", both=True),
            "socket": guarded_socket,
            "nodes": nodes,
            "encryption at rest": encryption,
            "server": server,
            "version state": version_state,
            "lease": partial(lease, take_over=tick),
            "orphaned secrets": orphaned_secrets,
            "leftover commands": leftover_commands,
            "readers": readers,
        },
    )


def docker(manager: Manager) -> Result:
    """Check that all nodes run one major version of Docker, in a secure release."""
    engines = sorted({_engine(node) for node in manager.get("/nodes")})
    rule = (
        "Docker must be 20.10.24 or a later 20, or 23.0.3 or newer: older releases accept plain packets in encrypted "
        "networks (CVE-2023-28840)"
    )
    if broken := sorted(f"{_host(node)} ({_engine(node)})" for node in manager.get("/nodes") if _is_broken(node)):
        return attention(f"Docker is too old on {', '.join(broken)}", rule, "upgrade Docker on these nodes")
    if len({engine.partition(".")[0] for engine in engines}) > 1:
        return attention(
            f"the nodes run Docker {', '.join(engines)}",
            "all nodes must run the same major version of Docker: a task may start on any node",
            "upgrade Docker on the older nodes (docker node ls shows the versions)",
        )
    if nameless := sorted(_host(node) for node in manager.get("/nodes") if not _release(node)):
        return unknown(
            f"the release of Docker {', '.join(engines)} is unknown",
            rule,
            f"compare the release of Docker on {', '.join(nameless)} yourself: docker version",
        )
    return ok(f"Docker {', '.join(engines)}")


def _engine(node: dict[str, Any]) -> str:
    return str(node["Description"]["Engine"]["EngineVersion"])


def _host(node: dict[str, Any]) -> str:
    return str(node["Description"]["Hostname"])


def _release(node: dict[str, Any]) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", _engine(node))
    return tuple(map(int, found.groups())) if found else ()


def _is_broken(node: dict[str, Any]) -> bool:
    release, (first, second) = _release(node), OLDEST_ENGINES
    return bool(release) and (release < first or (first[0] < release[0] and release < second))


def guarded_socket(manager: Manager) -> Result:
    host = address_of(manager.environment)
    rule = (
        "access to the Docker daemon must be restricted: such access gives root rights on the machine, and every "
        "secret value"
    )
    if host.startswith("tcp://") and certificates_of(manager.environment) is None:
        remedy = "start the daemon with --tlsverify, or use ssh:// (https://docs.docker.com/engine/security/)"
        return attention(f"{host}: without TLS", rule, remedy)
    path = Path(host.removeprefix("unix://"))
    if not host.startswith("unix://") or not path.exists():
        return ok(host)
    if path.stat().st_mode & stat.S_IWOTH:
        return attention(f"{path}: everybody on this machine may write to it", rule, f"chmod o-rw {path}")
    return ok(f"{path}: only its owner and its group may write to it")


def nodes(manager: Manager) -> Result:
    away = [
        _host(node)
        for node in manager.get("/nodes")
        if (node.get("Status") or {}).get("State") != "ready"
        or (node.get("ManagerStatus") or {"Reachability": "reachable"}).get("Reachability") != "reachable"
    ]
    if away:
        return attention(
            f"node {', '.join(away)}: not ready, or not reachable as a manager",
            "every node must be ready, and every manager reachable: a Swarm without more than half of its managers "
            "changes nothing",
            "start Docker on these nodes, and check the network; docker node ls shows the nodes' state",
        )
    own = str((manager.get("/info").get("Swarm") or {}).get("NodeID"))
    managers = [node for node in manager.get("/nodes") if node["Spec"].get("Role") == "manager"]
    availability = {node["ID"]: str(node["Spec"].get("Availability")) for node in managers}.get(own, "active")
    if availability != "active":
        return attention(
            f"manager {manager.get('/info').get('Name')}: the availability is {availability}",
            "the connected manager must accept tasks: put, rotate and tick run as a task",
            f"docker node update --availability active {own}; or point DOCKER_HOST at an active manager",
        )
    return ok(f"{counted(len(managers), 'manager', 'managers')} reachable")


def encryption(manager: Manager) -> Result:
    """Report where Docker stores the key that encrypts values on the managers' disks."""
    config = (manager.get("/swarm").get("Spec") or {}).get("EncryptionConfig") or {}
    if config.get("AutoLockManagers"):
        return ok("by a key that is on no disk: unlock a restarted manager with docker swarm unlock")
    return ok(
        "by a key on the same disk: a copy of a manager's disk has the values. docker swarm update --autolock removes "
        "the key; then a person unlocks each restarted manager"
    )


def server(manager: Manager) -> Result:
    name = manager.location.service
    service = next((each for each in manager.get("/services") if each["Spec"]["Name"] == name), None)
    rule = "every replica must run, and an update must replace them one after the other, start-first"
    if service is None:
        return attention(f"no service {name}", rule, "pulumi up; if it has run, check DOCKER_HOST")
    why = f"find out why: docker service ps --no-trunc {name}"
    state = (service.get("UpdateStatus") or {}).get("State") or ""
    if state == "paused" or state in GOING_BACK:
        return attention(
            f"service {name}: the last update {'is paused' if state == 'paused' else 'was rolled back'}",
            "a task with the new version must be healthy; until then readers have the previous version",
            f"{why}; then: secretops tick",
        )
    if (order := (service["Spec"].get("UpdateConfig") or {}).get("Order")) != "start-first":
        return attention(
            f"service {name}: the update order is {order or 'stop-first'}",
            "the update order must be start-first: otherwise each new version stops a replica before its successor "
            "runs",
            f"pulumi up; or at once: docker service update --update-order start-first {name}",
        )
    tasks = [task for task in manager.tasks(service) if task["DesiredState"] == "running"]
    running = sum(task["Status"]["State"] == "running" for task in tasks)
    wanted = ((service["Spec"].get("Mode") or {}).get("Replicated") or {}).get("Replicas", len(tasks))
    value, is_updating = f"{running} of {counted(wanted, 'replica runs', 'replicas run')}", state == "updating"
    if running < wanted and not is_updating:
        return attention(f"service {name}: {value}", rule, why)
    return ok(f"{value}, an update is under way" if is_updating else value)


def version_state(manager: Manager) -> Result:
    name = manager.location.state_config
    try:
        state = manager.state
        living = [(secret, number) for secret in state.secrets for number in state.secret(secret).living]
    except SecretopsError as error:
        return Result.of(error)
    if not state.id and manager.secrets:
        return attention(
            f"Docker config {name} does not exist, but the stack has Docker secrets: {len(manager.secrets)}",
            "the config must exist: its labels record which version is current; the server keeps the secrets in use",
            "remove no Docker secret that a service uses; begin again with the first values: secretops put "
            "broker-admin; then: secretops tick",
        )
    if not state.id:
        return ok(f"no Docker config {name} yet: the first value creates the config")
    existing = {(found.secret, found.number) for found in manager.secrets if found.config == state.id}
    gone = [f"{secret}-v{number}" for secret, number in living if (secret, number) not in existing]
    return judge(
        [f"Docker secret {', '.join(gone)} does not exist"] if gone else [],
        f"each version that Docker config {name} records must have its Docker secrets",
        "for a new version: secretops rotate SECRET, or put; to see the removal: docker events --since 24h --filter "
        "type=secret",
        f"{name}: {', '.join(state.kept) or 'no version yet'}",
    )


def lease(manager: Manager, take_over: Repair | None = None, pause: float = Timing.poll) -> Result:
    record = manager.state.lease
    if record is None:
        return ok("free")
    for _ in poll(record.duration, pause):
        found = manager.read_state().lease
        if found is None:
            return ok("free")
        if found != record:
            return ok(f"held by {found.holder}, which renews the lease")
    return expired_lease(record.holder, record.duration, take_over)


def orphaned_secrets(manager: Manager) -> Result:
    state, retired, wrong = manager.state, list[SwarmSecret](), dict[str, str]()  # `wrong`: problem -> remedy
    for found in manager.secrets:
        secret = state.secret(found.secret)
        if found.config == state.id and found.number < secret.next and found.number not in secret.living:
            retired.append(found)
    for found in [*retired, *(each for each in manager.secrets if each.config != state.id)]:
        users = manager.users(found)
        used = f" (service {', '.join(users)} uses it)" if users else ""
        if found in retired:
            remedy = "secretops tick removes Docker secrets of retired versions once no service uses them"
            wrong[f"Docker secret {found.name} is of a retired version{used}"] = remedy
        else:
            remove = f"if the server works without {found.name}: docker secret rm {found.name}"
            remedy = (
                f"do not remove {found.name}, which is in use until the next version is delivered" if users else remove
            )
            wrong[f"Docker secret {found.name} is of a Docker config that no longer exists{used}"] = remedy
    is_removable = any(not manager.users(each) for each in retired)
    return judge(
        wrong,
        "only pending, current and previous versions may have Docker secrets, once no service uses older ones",
        "; ".join(dict.fromkeys(wrong.values())),
        "none",
        Repair("remove the unused Swarm secrets of retired versions", manager.sweep) if is_removable else None,
    )


def leftover_commands(manager: Manager) -> Result:
    left = manager.left
    return judge(
        [f"{', '.join(left)}: left by a command that was killed"] if left else [],
        "a command must remove the objects of its task when it ends: an object may contain an operator-supplied value",
        "secretops tick removes these objects",
        "none",
        Repair("remove the jobs of killed commands", manager.clean),
    )


def readers(manager: Manager) -> Result:
    """Find services, except the stack's own, that mount a secret of the stack."""
    own = manager.location.service
    others = {user: found for found in manager.secrets for user in manager.users(found) if user != own}
    if not others:
        return ok(f"only {own}")
    user, found = next(iter(others.items()))
    return attention(
        "; ".join(f"service {user} mounts Docker secret {found.name}" for user, found in others.items()),
        f"only service {own} may mount the stack's Docker secrets: a Swarm records no reads",
        f"docker service update --secret-rm {found.name} {user}, then secretops rotate {found.secret}",
    )
