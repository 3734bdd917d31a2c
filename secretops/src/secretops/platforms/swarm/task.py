"""The task of a remote command: its files and values, and its entry point.

    python -m secretops.platforms.swarm.task COMMAND...

An operator-supplied value is passed as a Swarm secret made for the command, never in an argument or a variable.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from secretops import signals
from secretops.access import this_actor
from secretops.errors import UsageError
from secretops.redaction import forbid_core_dumps

if TYPE_CHECKING:
    from secretops.manifest import Manifest
    from secretops.values import Value

# Variables of the task: its name, and who started it, as `account@host`. Anybody who may start a task can set them.
VARIABLE, STARTER = "SECRETOPS_TASK", "SECRETOPS_STARTER"

# Folder of the task's secrets: files with their names in the Swarm. SUPPLIED: the file of the operator-supplied value.
SECRETS, SUPPLIED = Path("/run/secrets"), "supplied"

MANIFEST_FILE = "/etc/coreflux-mcp/secretops.json"

# Field of the broker -> its file in the task. A private key is a Swarm secret, the others are configs.
_BROKER_FILES = {
    "ca_file": "/etc/coreflux-mcp/broker-ca.crt",
    "certificate_file": "/etc/coreflux-mcp/broker-client.crt",
    "key_file": f"{SECRETS}/broker-client.key",
}


# Files of a task, by path: public configs, then secrets.
Payload = tuple[Mapping[str, bytes], Mapping[str, bytes]]


def is_task() -> bool:
    """Return whether this process is the task of a remote command. Only such a task can read values."""
    return bool(os.environ.get(VARIABLE))


def actor(role: str) -> str:
    """Return the actor for access records: in a task, the account that started it; else this account."""
    starter = os.environ.get(STARTER)
    return f"{role}:{starter}" if is_task() and starter else this_actor(role)


def payload_of(manifest: Manifest, supplied: Value | None, files: Mapping[str, bytes] | None = None) -> Payload:
    remote_files: dict[str, str] = {}
    configs = dict(files or {})
    values: dict[str, bytes] = {}
    for field, to in _BROKER_FILES.items():
        if path := getattr(manifest.broker, field):
            try:
                (values if field == "key_file" else configs)[to] = Path(path).read_bytes()
            except OSError as error:
                raise UsageError(
                    f"{path}: {error.strerror}",
                    rule=f"broker.{field} of the manifest must be a file that this account can read on this machine",
                    remedy="copy the file to this path, or run the command on the machine that has the file",
                    code="broker-file-unreadable",
                ) from None
            remote_files[field] = to
    if supplied is not None:
        values[f"{SECRETS}/{SUPPLIED}"] = json.dumps(dict(supplied), ensure_ascii=False).encode()
    remote = manifest.model_copy(update={"broker": manifest.broker.model_copy(update=remote_files)})
    configs[MANIFEST_FILE] = remote.model_dump_json().encode()
    return configs, values


def main() -> None:
    signals.install()
    forbid_core_dumps()
    from secretops import cli

    supplied = SECRETS / SUPPLIED
    if supplied.is_file():
        sys.stdin = supplied.open(encoding="utf-8")
    cli.main()


if __name__ == "__main__":
    main()
