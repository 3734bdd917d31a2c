from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from secretops.manifest import Issuer

_ABOVE = Path(__file__).resolve().parents[2]

# Folder to which relative paths refer: this clone or, for an installed package, the folder in which the engine starts
# the program.
PROJECT_FOLDER = _ABOVE if (_ABOVE / "Pulumi.yaml").is_file() else Path.cwd()

# The only key of the mapping that represents an output in a section's JSON. Its entry is the path of the output's key.
OUTPUT = "$output"


def place_of_output(entry: Any) -> str | None:
    """Return the path of an output if `entry` is its placeholder in a section's JSON, otherwise None."""
    return entry[OUTPUT] if isinstance(entry, Mapping) and entry.keys() == {OUTPUT} else None


def decoded(text: str) -> Any:
    """Return a section parsed from JSON. Return other text, such as a word, unchanged."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # RecursionError: nested too deeply
        return text


class Section(BaseModel):
    """One section of a stack file. Unknown keys, and strings in place of numbers, are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
    arguments: ClassVar[tuple[type[Any], ...]] = ()
    """Dataclasses whose docstrings document the keys that they share with this section."""

    def arguments_of(self, args: type[Any]) -> dict[str, Any]:
        names = {field.name for field in fields(args)} & type(self).model_fields.keys()
        return {name: getattr(self, name) for name in names}


class StoreSection(Section):
    kind: str
    folders_beside_entry: ClassVar[tuple[str, ...]] = ()
    """Further folders that the stack creates next to the folder `config` of a local server."""

    @property
    def has_own_issuer(self) -> bool:
        """Whether the store's platform signs the client certificate."""
        return False

    def certificate_issuer(self, stack: str) -> Issuer | None:  # noqa: ARG002
        """Return the issuer of the client certificate, or None if the store issues none."""
        return None


class ServerSection(Section):
    kind: str
    is_remote: ClassVar[bool] = True
    """Whether the server is reachable from other machines, so that MCP clients need a bearer token."""
    keys_for_stores: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Key -> the kinds of store for which it is valid. Other keys are valid for all kinds."""

    @property
    def expected_replicas(self) -> int | None:
        """Return the number of servers expected to report their versions; None if unknown."""
        found: int | None = getattr(self, "replicas", None)
        return found

    @property
    def has_own_issuer(self) -> bool:
        """Whether the server's platform signs and stores the client certificate."""
        return False


class IssuerSection(Section):
    kind: str
    only_with: ClassVar[str | None] = None
    """The only kind of store that works with this issuer; None if all do."""

    def issuer_of(self, common_name: str) -> Issuer | None:  # noqa: ARG002
        """Return the issuer for the client with this common name, or None if an operator supplies its certificate."""
        return None
