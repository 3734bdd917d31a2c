"""What every section of a stack file is."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

_ABOVE = Path(__file__).resolve().parents[2]

PROJECT_FOLDER = _ABOVE if (_ABOVE / "Pulumi.yaml").is_file() else Path.cwd()
"""This clone; or, where the components are installed, the folder of the program that uses them: the engine runs it
there. What a section calls relative to the project lies below it."""


class Section(BaseModel):
    """One section of a stack file. Frozen; an unknown key is an error, and so is a string where a number belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
