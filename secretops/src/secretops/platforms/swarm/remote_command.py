"""A command that needs values, carried into the Swarm: it runs as a task that has them, and is gone afterwards.

No daemon gives a value back, so `tick`, `rotate` and `put` run where values can be read: in a job of one task beside
the daemon that was asked, with every kept version attached. Whoever started it passes on what it prints and how it
ends. A value that an operator supplies travels as a Swarm secret of the occasion, never in an argument or a variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import IO

from secretops.errors import UsageError
from secretops.manifest import Manifest
from secretops.platforms.swarm.api import Api
from secretops.platforms.swarm.job import NotStartedError
from secretops.platforms.swarm.job_runner import Tasks
from secretops.platforms.swarm.location import SwarmStoreLocation
from secretops.platforms.swarm.rollout import STARTS
from secretops.platforms.swarm.task_payload import Load, load_of
from secretops.values import Value


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
    if not isinstance(manifest.store, SwarmStoreLocation):
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
    with tasks.running(load, command) as job:
        try:
            return job.follow()
        except NotStartedError as error:
            if starts == 1:
                raise
            job.say(f"{error.what}; nothing was begun, it is started again")
    return _carried(tasks, load, command, starts=starts - 1)
