"""A stack file as a user writes it, turned into what the engine hands to the program.

A stand-in for the engine's own reading of `config:`, made after what `pulumi preview` 3.272 did: a word stays a word, a
structure becomes JSON, nothing becomes "", `no` is a word and not false, and a section with a `secure:` entry anywhere
comes decrypted and is named among the secret keys. All but the decryption is the program's own reading of a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.settings.settings import Settings
from components.settings.stack_file import encrypted_of, handed_over, sections_of


@dataclass(frozen=True)
class StackFile:
    """What the engine makes of one: section -> text, and the sections with a `secure:` entry."""

    entries: dict[str, str]
    encrypted: list[str]

    @classmethod
    def read(cls, text: str) -> StackFile:
        """The stack file `text`, its sections with or without the project's name before them."""
        sections = sections_of(text)
        return cls({name: handed_over(_decrypted(entry)) for name, entry in sections.items()}, encrypted_of(sections))

    def parse(self, stack: str) -> Settings:
        """As the program of stack `stack` does. Raises ConfigurationError."""
        return Settings.parse(stack, self.entries, encrypted=self.encrypted)


def _decrypted(entry: Any) -> Any:
    match entry:
        case {"secure": text, **rest} if not rest:
            return text
        case dict():
            return {str(key): _decrypted(inner) for key, inner in entry.items()}
        case list():
            return [_decrypted(inner) for inner in entry]
    return entry
