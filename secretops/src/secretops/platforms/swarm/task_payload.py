"""What a command is given that is carried into the Swarm: files, and values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secretops.errors import UsageError
from secretops.manifest import Manifest
from secretops.values import Value

MANIFEST_FILE = "/etc/coreflux-mcp/secretops.json"
GIVEN = "given"
"""The file, among the task's secrets, that has what an operator supplied."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a task is given: files by their paths in it, and values by theirs."""

    manifest: Manifest
    configs: Mapping[str, bytes]
    secrets: Mapping[str, bytes]


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
