"""The project's program, with the edits of PLANTED in its requests to the engine.

test_planted.py runs it as the __main__.py of a project. PLANTED is a file of edits: {"at": a resource's name or "" for
the outputs, "path": steps, "to": the new entry}, {"at", "protect": false}, or {"type", "name", "inputs"} for an added
resource.
"""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path
from threading import Lock
from typing import Any

import pulumi
from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped]
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.rpc import _special_sig_key


def edited(entry: Any, path: list[str | int], to: Any) -> Any:
    """Return `entry` with `to` at `path`, which also leads into outputs and JSON texts."""
    if isinstance(entry, dict) and _special_sig_key in entry and path:
        return {**entry, "value": edited(entry.get("value"), path, to)}
    if not path:
        return to
    step, *rest = path
    if isinstance(entry, str):
        return json.dumps(edited(json.loads(entry), path, to))
    if isinstance(entry, list):
        return [edited(one, rest, to) if at == step else one for at, one in enumerate(entry)]
    return {**(entry or {}), step: edited((entry or {}).get(step), rest, to)}


class Planter:
    """A proxy between the program and the engine's monitor."""

    def __init__(self, monitor: Any, edits: list[dict[str, Any]]) -> None:
        self._edits = [edit for edit in edits if "at" in edit]
        self._added = [edit for edit in edits if "inputs" in edit]
        self._lock = Lock()
        self._register, self._close = monitor.RegisterResource, monitor.RegisterResourceOutputs
        monitor.RegisterResource, monitor.RegisterResourceOutputs = self.register, self.close

    def register(self, request: Any, **options: Any) -> Any:
        """Register a resource as edited, and the added ones after the first of their provider."""
        # Rows name a resource without the name of its component, which is its alias.
        name = next((alias.spec.name for alias in request.aliases if alias.spec.name), request.name)
        for edit in self._edits:
            if edit["at"] == name and "protect" in edit:
                request.protect = edit["protect"]
            elif edit["at"] == name:
                _edit(request.object, edit)
        made = self._register(request, **options)
        for one in self._with(request.type.partition(":")[0]) if request.provider else ():
            added = resource_pb2.RegisterResourceRequest(
                type=one["type"], name=one["name"], custom=True, provider=request.provider, acceptSecrets=True
            )
            ParseDict(one["inputs"], added.object)
            self._register(added)
        return made

    def close(self, request: Any, **options: Any) -> Any:
        """Register outputs, the stack's as edited."""
        for edit in self._edits:
            if not edit["at"] and "pulumi:pulumi:Stack::" in request.urn:
                _edit(request.outputs, edit)
        return self._close(request, **options)

    def _with(self, package: str) -> list[dict[str, Any]]:
        with self._lock:
            taken = [one for one in self._added if one["type"].startswith(f"{package}:")]
            self._added = [one for one in self._added if one not in taken]
        return taken


def _edit(message: Any, edit: dict[str, Any]) -> None:
    entries = edited(MessageToDict(message), edit["path"], edit["to"])
    message.Clear()
    ParseDict(entries, message)


if __name__ == "__main__":
    Planter(pulumi.runtime.settings.get_monitor(), json.loads(Path(os.environ["PLANTED"]).read_text()))
    runpy.run_path(f"{os.environ['PYTHONPATH']}/__main__.py")
