"""A command that needs values runs as a task of the Swarm that has them, and is removed afterwards.

No daemon returns a value, so `tick`, `rotate` and `put` run in a job of one task on the manager that is asked, with
every kept version mounted. The process that starts it passes on its output and its exit code. A value that an operator
supplies travels as a Swarm secret made for the command, never in an argument or a variable.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from secretops.access import this_actor
from secretops.errors import UsageError
from secretops.manifest import Manifest
from secretops.platforms.swarm.location import SwarmStoreLocation
from secretops.registry import extra
from secretops.values import Value

if TYPE_CHECKING:
    from secretops.platforms.swarm.job import JobRunner

# Variables of the task: its name, and who started it, as `account@host`. Public, and as true as whoever may start one.
VARIABLE, STARTER = "SECRETOPS_TASK", "SECRETOPS_STARTER"

# Folder of the task's secrets, each under the name that it has in the Swarm; and the one that an operator supplied.
SECRETS, GIVEN = Path("/run/secrets"), "given"

MANIFEST_FILE = "/etc/coreflux-mcp/secretops.json"

# Field of the broker -> where its file is in the task. A private key is a secret, the others are configs.
_BROKER_FILES = {
    "ca_file": "/etc/coreflux-mcp/broker-ca.crt",
    "certificate_file": "/etc/coreflux-mcp/broker-client.crt",
    "key_file": f"{SECRETS}/broker-client.key",
}


@dataclass(frozen=True, kw_only=True)
class TaskPayload:
    """What a task needs: files by their paths in it, and values by theirs."""

    manifest: Manifest
    configs: Mapping[str, bytes]
    secrets: Mapping[str, bytes]


def is_task() -> bool:
    """Return whether this process is the task of a remote command, which can read values."""
    return bool(os.environ.get(VARIABLE))


def actor(role: str) -> str:
    """Return who acts in `role`, for an access record: in a task who started it, else this process's account."""
    starter = os.environ.get(STARTER)
    return f"{role}:{starter}" if is_task() and starter else this_actor(role)


def carry(
    manifest: Manifest,
    command: Sequence[str],
    *,
    given: Value | None = None,
    also: Mapping[str, bytes] | None = None,
    out: IO[bytes] | None = None,
    err: IO[bytes] | None = None,
) -> int:
    """Run `secretops` with `command` as a task, and return its exit code. Its output goes to `out` and `err`.

    `also`: further files of the task, by their paths; everybody who may ask the daemon can read them.

    Raises StoreError if no such task can run, UnreachableError, UsageError.
    """
    with extra("swarm"):
        from secretops.platforms.swarm.api import Api
        from secretops.platforms.swarm.job import JobRunner
        from secretops.platforms.swarm.rollout import STARTS
    if not isinstance(manifest.store, SwarmStoreLocation):
        raise UsageError(
            f"store {manifest.store.kind}: its commands run where they are typed",
            rule="only the values of a Swarm can't be read there",
            remedy="run the command itself",
        )
    payload = payload_of(manifest, given)
    payload = replace(payload, configs={**payload.configs, **(also or {})})
    api = Api(was_there="--scheduled" in command)  # the rotator begins when its daemon does, and waits for it
    runner = JobRunner(manifest.store, api, out=out, err=err)
    runner.clean()
    return _run(runner, payload, command, starts=STARTS)


def _run(runner: JobRunner, payload: TaskPayload, command: Sequence[str], *, starts: int) -> int:
    from secretops.platforms.swarm.job import NotStartedError

    with runner.running(payload, command) as job:
        try:
            return job.follow()
        except NotStartedError as error:
            if starts == 1:
                raise
            job.print(f"{error.what}; nothing was begun, it is started again")
    return _run(runner, payload, command, starts=starts - 1)


def payload_of(manifest: Manifest, given: Value | None) -> TaskPayload:
    """Return what the task needs. The broker's files are read here, and the task's manifest has their paths there."""
    arriving: dict[str, str] = {}
    configs: dict[str, bytes] = {}
    values: dict[str, bytes] = {}
    for field, to in _BROKER_FILES.items():
        if path := getattr(manifest.broker, field):
            (values if field == "key_file" else configs)[to] = _content(path)
            arriving[field] = to
    if given is not None:
        values[f"{SECRETS}/{GIVEN}"] = json.dumps(dict(given), ensure_ascii=False).encode()
    remote = manifest.model_copy(update={"broker": manifest.broker.model_copy(update=arriving)})
    configs[MANIFEST_FILE] = remote.model_dump_json().encode()
    return TaskPayload(manifest=remote, configs=configs, secrets=values)


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}",
            rule="the stack's broker asks for this file, and the task that speaks to it needs its content",
            remedy="put it there, or run the command where it is",
        ) from None
