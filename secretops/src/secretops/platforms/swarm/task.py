"""The task that a remote command runs as: what it needs, and whether this process is one.

    python -m secretops.platforms.swarm.task COMMAND...

A value that an operator supplies travels as a Swarm secret made for the command, never in an argument or a variable.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secretops import signals
from secretops.access import this_actor
from secretops.errors import UsageError
from secretops.redaction import forbid_core_dumps

if TYPE_CHECKING:
    from secretops.manifest import Manifest
    from secretops.values import Value

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


def payload_of(manifest: Manifest, given: Value | None, also: Mapping[str, bytes] | None = None) -> TaskPayload:
    """Return what the task needs. The broker's files are read here, and the task's manifest has their paths there.

    `also`: further configs by their paths.
    """
    arriving: dict[str, str] = {}
    configs = dict(also or {})
    values: dict[str, bytes] = {}
    for field, to in _BROKER_FILES.items():
        if path := getattr(manifest.broker, field):
            try:
                (values if field == "key_file" else configs)[to] = Path(path).read_bytes()
            except OSError as error:
                raise UsageError(
                    f"{path}: {error.strerror}",
                    rule="the stack's broker asks for this file, and the task that speaks to it needs its content",
                    remedy="put it there, or run the command where it is",
                ) from None
            arriving[field] = to
    if given is not None:
        values[f"{SECRETS}/{GIVEN}"] = json.dumps(dict(given), ensure_ascii=False).encode()
    remote = manifest.model_copy(update={"broker": manifest.broker.model_copy(update=arriving)})
    configs[MANIFEST_FILE] = remote.model_dump_json().encode()
    return TaskPayload(manifest=remote, configs=configs, secrets=values)


def main() -> None:
    """Run `secretops` with what an operator supplied as its input. End with the command's exit code."""
    signals.install()
    forbid_core_dumps()
    from secretops import cli

    given = SECRETS / GIVEN
    if given.is_file():
        sys.stdin = given.open(encoding="utf-8")
    cli.main()


if __name__ == "__main__":
    main()
