"""A stack file read without the engine, for what needs no state: as the engine's own reading of `config:` has it.

A word stays a word, a structure becomes JSON, nothing becomes "". A `secure:` entry stays encrypted, and is refused by
`Settings`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.naming import PROJECT


class _Loader(yaml.SafeLoader):
    """YAML as the engine's parser has it: only true and false are truth values, only digits are numbers."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if not tag.endswith((":bool", ":timestamp"))]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


class StackFileError(Exception):
    """No stack file: what is wrong, in words."""


@dataclass(frozen=True)
class StackFile:
    """`Pulumi.<stack>.yaml`: its stack, section -> text, and the sections with a `secure:` entry."""

    stack: str
    entries: dict[str, str]
    encrypted: list[str]

    @classmethod
    def read(cls, path: Path) -> StackFile:
        """Raises StackFileError."""
        named = re.fullmatch(r"Pulumi\.(.+)\.ya?ml", path.name)
        if not named:
            raise StackFileError(f"{path.name}: a stack file is called Pulumi.<stack>.yaml")
        try:
            sections = sections_of(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise StackFileError(f"{path}: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError):
            raise StackFileError(f"{path}: no YAML") from None
        except StackFileError as error:
            raise StackFileError(f"{path}: {error}") from None
        return cls(
            stack=named[1],
            entries={name: handed_over(entry) for name, entry in sections.items()},
            encrypted=encrypted_of(sections),
        )


def sections_of(text: str) -> dict[str, Any]:
    """Section -> what `config:` has there, with or without the project's name before it; other programs' are left out.

    Raises StackFileError, yaml.YAMLError.
    """
    given = yaml.load(text, _Loader)  # noqa: S506 # nosec B506 - a SafeLoader
    config = given.get("config") if isinstance(given, dict) else None
    if not isinstance(config, dict):
        raise StackFileError("it has no config:")
    return {
        str(key).removeprefix(f"{PROJECT}:"): entry
        for key, entry in config.items()
        if ":" not in str(key) or str(key).startswith(f"{PROJECT}:")
    }


def encrypted_of(sections: Mapping[str, Any]) -> list[str]:
    """Those that have a `secure:` entry anywhere."""
    return [name for name, entry in sections.items() if any(_secure(entry))]


def handed_over(entry: Any) -> str:
    """A section as the program gets it."""
    if entry is None:
        return ""
    return entry if isinstance(entry, str) else json.dumps(entry)


def _secure(entry: Any) -> Iterator[bool]:
    match entry:
        case {"secure": _, **rest} if not rest:
            yield True
        case dict():
            for inner in entry.values():
                yield from _secure(inner)
        case list():
            for inner in entry:
                yield from _secure(inner)
