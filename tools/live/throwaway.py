"""The throwaway copy of a stack: a development stack with its own name, locations and state, which can be removed as a
whole."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from components.core.naming import PROJECT
from components.settings.schema import model_of
from components.settings.settings import ConfigurationError, Settings
from components.settings.stack_file import document, handed_over
from secretops.errors import UsageError
from tools.steps import write_whole

# Seconds of grace that are tried, shortest first: some servers need more time for a new version.
GRACE = (5, 60, 300, 600, 1200, 3600)


@dataclass(frozen=True)
class Throwaway:
    """The copy of the stack `original`, in the project folder `project`."""

    original: str
    project: Path

    @property
    def name(self) -> str:
        return f"{self.original}-live"

    @property
    def folder(self) -> Path:
        return self.project / ".coreflux-mcp-live" / self.original

    @property
    def file(self) -> Path:
        return self.project / f"Pulumi.{self.name}.yaml"

    @cached_property
    def _document(self) -> dict[str, Any]:
        path = self.project / f"Pulumi.{self.original}.yaml"
        try:
            found = document(path.read_text())
            return {**found, "config": {key.removeprefix(f"{PROJECT}:"): one for key, one in found["config"].items()}}
        except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError):
            what, rule = (
                f"{path.name}: no valid stack file",
                "STACK must name a stack with a valid stack file, which make live copies",
            )
            raise UsageError(what, rule=rule, remedy="make live STACK=dev", code="live-file-missing") from None

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of the stack, such as `store: aws`. Raises UsageError."""
        config = self._document["config"].items()
        return tuple(f"{name}: {one['kind']}" for name, one in config if isinstance(one, Mapping) and "kind" in one)

    @property
    def requires_certificate(self) -> bool:
        return bool(self._document["config"]["broker"].get("client_certificate"))

    @property
    def has_subnet(self) -> bool:
        return bool(self._document["config"]["store"].get("subnet"))

    @property
    def client(self) -> dict[str, str]:
        """Return the stack file's region and context for the platform's client, each "" if not set."""
        config = self._document["config"]
        return {"region": config["store"].get("region") or "", "context": config["server"].get("context") or ""}

    def write(self) -> None:
        """Write the stack file of the copy, unless it exists. Raises ConfigurationError."""
        if not self.file.exists():
            config = {key if ":" in key else f"{PROJECT}:{key}": one for key, one in self._isolated().items()}
            # The salt and the key are of another state.
            kept = {key: one for key, one in self._document.items() if not key.startswith("encrypt")}
            write_whole(self.file, yaml.safe_dump({**kept, "config": config}, sort_keys=False))

    def _isolated(self) -> dict[str, Any]:
        # Places that no other stack uses, and the shortest valid grace period.
        config, own = dict(self._document["config"]), {"environment": "development"}
        places: dict[str, dict[str, Any]] = {
            "store": {"root": str(self.folder / "store"), "generation": 2 + secrets.randbelow(998)},
            "server": {"namespace": f"coreflux-mcp-{self.name}", "create_namespace": True},
            "broker": {"port": _free_port()} if config["broker"]["kind"] == "embedded" else {},
        }
        if config["server"].get("port"):
            places["server"]["port"] = _free_port()
        if config["store"]["kind"] != "dotenv":  # whose folder has all files of the server
            places["server"]["folder"] = str(self.folder / "server")
        for name, found in places.items():
            model = model_of(name, config[name]["kind"])
            keys = model.model_fields if model else {}
            config[name] = config[name] | {key: one for key, one in found.items() if key in keys}
        for seconds in GRACE:
            shorter = {**config, **own, "rotation": {**config.get("rotation", {}), "grace_seconds": seconds}}
            try:
                entries = {name: handed_over(one) for name, one in shorter.items() if ":" not in name}
                Settings.parse(self.name, entries)
            except ConfigurationError:
                if seconds == GRACE[-1]:
                    raise
            else:
                return shorter
        raise AssertionError("unreachable: the last grace period returns or raises")


def _free_port() -> int:
    with socket.create_server(("localhost", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
