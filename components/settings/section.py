"""What every section of a stack file is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from secretops.manifest import Issuer

_ABOVE = Path(__file__).resolve().parents[2]

PROJECT_FOLDER = _ABOVE if (_ABOVE / "Pulumi.yaml").is_file() else Path.cwd()
"""This clone; or, where the components are installed, the folder of the program that uses them: the engine runs it
there. What a section calls relative to the project lies below it."""


OUTPUT = "$output"
"""Key of the mapping that stands for an output in the JSON of a section; its entry is the output's place."""


def place_of_output(entry: Any) -> str | None:
    """Return the place of the output that an entry of a section's JSON stands for, if it is one."""
    return entry[OUTPUT] if isinstance(entry, Mapping) and entry.keys() == {OUTPUT} else None


def decoded(text: str) -> Any:
    """Return a section from the program's form of it: JSON where it is more than a word."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # or JSON so deep that nobody meant it
        return text


class Section(BaseModel):
    """One section of a stack file. Frozen; an unknown key is an error, and so is a string where a number belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
    arguments: ClassVar[tuple[type[Any], ...]] = ()
    """Dataclasses of arguments that document the keys that they share with this section."""

    def arguments_of(self, args: type[Any]) -> dict[str, Any]:
        """Return the entries that a dataclass of arguments has under the same name."""
        names = {field.name for field in fields(args)} & type(self).model_fields.keys()
        return {name: getattr(self, name) for name in names}


class StoreSection(Section):
    """A section `store` of any platform."""

    kind: str
    folders_beside_entry: ClassVar[tuple[str, ...]] = ()
    """Folders that the store's rotator and logins have beside a client entry on this machine."""

    @property
    def has_own_issuer(self) -> bool:
        """Whether the store's platform signs the client certificate."""
        return False

    def certificate_issuer(self, stack: str) -> Issuer | None:  # noqa: ARG002
        """Return who signs the client certificate, if this store does."""
        return None


class ServerSection(Section):
    """A section `server` of any platform."""

    kind: str
    is_remote: ClassVar[bool] = True
    """Whether other machines reach the server, so that it asks MCP clients for a bearer token."""
    keys_for_stores: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Keys of this section that only some stores use, with their kinds."""

    @property
    def expected_replicas(self) -> int | None:
        """Return how many servers report the versions they use; None if nobody knows."""
        found: int | None = getattr(self, "replicas", None)
        return found

    @property
    def has_own_issuer(self) -> bool:
        """Whether the server's platform signs its client certificate, and stores it."""
        return False


class IssuerSection(Section):
    """A section `issuer`."""

    kind: str
    only_with: ClassVar[str | None] = None
    """The one kind of store whose rotator can ask this issuer; None for every store."""

    def issuer_of(self, common_name: str) -> Issuer | None:  # noqa: ARG002
        """Return who signs for the client of that name; None leaves it to an operator."""
        return None
