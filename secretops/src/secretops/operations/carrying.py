"""A command that needs values, carried into the Swarm: it runs as a task that has them, and is gone afterwards.

No daemon gives a value back, so `tick`, `rotate` and `put` run where values can be read: in a job of one task beside
the daemon that was asked, with every kept version attached. Whoever started it passes on what it prints and how it
ends. A value that an operator supplies travels as a Swarm secret of the occasion, never in an argument or a variable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from secretops.errors import UsageError
from secretops.manifest import Manifest, SwarmStore
from secretops.stores import lacking
from secretops.task import is_task
from secretops.values import Value

if TYPE_CHECKING:
    from secretops.operations.tasks import Tasks

MANIFEST_FILE = "/etc/coreflux-mcp/secretops.json"
GIVEN = "given"
"""The file, among the task's secrets, that has what an operator supplied."""

START_SECONDS = 600.0
"""How long a task may be in starting: its image may have to be pulled."""

LOOK = 0.5

ENDED = frozenset({"complete", "failed", "rejected", "shutdown", "orphaned", "remove"})

STOP_SECONDS = 60
"""What a task has, once it is told to stop, to end what it is at."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a task is given: files by their paths in it, and values by theirs."""

    manifest: Manifest
    configs: Mapping[str, bytes]
    secrets: Mapping[str, bytes]


def is_needed(manifest: Manifest) -> bool:
    """Whether a command that needs values can't run in this process."""
    return isinstance(manifest.store, SwarmStore) and not is_task()


def carry(
    manifest: Manifest,
    command: Sequence[str],
    *,
    given: Value | None = None,
    also: Mapping[str, bytes] | None = None,
    out: IO[bytes] | None = None,
    err: IO[bytes] | None = None,
) -> int:
    """Run `secretops` with `command` as a task, and give its exit code; what it prints goes to `out` and `err`.

    `also`: further files of the task, by their paths; whoever may ask the daemon can read them.

    Raises StoreError where no such task can run, UnreachableError, UsageError.
    """
    try:
        from secretops.operations.tasks import Tasks
        from secretops.stores.swarm.api import Api
        from secretops.stores.swarm.rollout import STARTS
    except ModuleNotFoundError as error:
        raise lacking(error, "swarm") from None
    if not isinstance(manifest.store, SwarmStore):
        raise UsageError(
            f"store {manifest.store.kind}: nothing to carry",
            rule="only what is in a Swarm can't be read where a command is asked for",
            remedy="run the command itself",
        )
    load = load_of(manifest, given)
    api = Api(was_there="--scheduled" in command)  # the rotator begins when its daemon does, and waits for it
    tasks = Tasks(manifest.store, api, out=out, err=err)
    tasks.clean()
    if also:
        load = replace(load, configs={**load.configs, **also})
    return _carried(tasks, load, command, starts=STARTS)


def _carried(tasks: Tasks, load: Load, command: Sequence[str], *, starts: int) -> int:
    from secretops.operations.job import NotStartedError

    with tasks.running(load, command) as job:
        try:
            return job.follow()
        except NotStartedError as error:
            if starts == 1:
                raise
            job.say(f"{error.what}; nothing was begun, it is started again")
    return _carried(tasks, load, command, starts=starts - 1)


def load_of(manifest: Manifest, given: Value | None) -> Load:
    """The broker's files are on this machine, and travel; the manifest says where they arrive."""
    broker = manifest.broker
    arriving: dict[str, str] = {}
    configs: dict[str, bytes] = {}
    values: dict[str, bytes] = {}
    for field, to in (
        ("ca_file", "/etc/coreflux-mcp/broker-ca.crt"),
        ("certificate_file", "/etc/coreflux-mcp/broker-client.crt"),
        ("key_file", "/run/secrets/broker-client.key"),
    ):
        if path := getattr(broker, field):
            (values if field == "key_file" else configs)[to] = _content(path)
            arriving[field] = to
    if given is not None:
        values[f"/run/secrets/{GIVEN}"] = json.dumps(dict(given), ensure_ascii=False).encode()
    carried = manifest.model_copy(update={"broker": broker.model_copy(update=arriving)})
    return Load(
        manifest=carried, configs={**configs, MANIFEST_FILE: carried.model_dump_json().encode()}, secrets=values
    )


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}",
            rule="the stack's broker asks for this file, and the task that speaks to it is given its content",
            remedy="put it there, or run the command where it is",
        ) from None
