"""A stack file as a user writes it, turned into what the engine hands to the program.

A stand-in for the engine's own reading of `config:`, made after what `pulumi preview` 3.272 did: a word stays a word, a
structure becomes JSON, nothing becomes "", `no` is a word and not false, and a section with a `secure:` entry anywhere
comes decrypted and is named among the secret keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from components.naming import PROJECT
from settings import Settings


class _Loader(yaml.SafeLoader):
    """YAML as the engine's parser has it: only true and false are truth values, only digits are numbers."""


_Loader.yaml_implicit_resolvers = {
    char: [(tag, pattern) for tag, pattern in known if not tag.endswith((":bool", ":timestamp"))]
    for char, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


@dataclass(frozen=True)
class StackFile:
    """What the engine makes of one: section -> text, and the sections with a `secure:` entry."""

    entries: dict[str, str]
    encrypted: list[str]

    @classmethod
    def read(cls, text: str) -> StackFile:
        """The stack file `text`, its sections with or without the project's name before them."""
        given = yaml.load(text, _Loader)["config"]  # noqa: S506  a SafeLoader
        sections = {str(key).removeprefix(f"{PROJECT}:"): entry for key, entry in given.items()}
        return cls(
            {name: _handed_over(_decrypted(entry)) for name, entry in sections.items()},
            [name for name, entry in sections.items() if any(_secure(entry))],
        )

    def parse(self, stack: str) -> Settings:
        """As the program of stack `stack` does. Raises ConfigurationError."""
        return Settings.parse(stack, self.entries, encrypted=self.encrypted)


def _handed_over(entry: Any) -> str:
    if entry is None:
        return ""
    return entry if isinstance(entry, str) else json.dumps(entry)


def _decrypted(entry: Any) -> Any:
    match entry:
        case {"secure": text, **rest} if not rest:
            return text
        case dict():
            return {str(key): _decrypted(inner) for key, inner in entry.items()}
        case list():
            return [_decrypted(inner) for inner in entry]
    return entry


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
