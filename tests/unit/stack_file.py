"""A stack file as a user writes it, converted as the engine converts it.

This follows `pulumi preview` 3.272: a word stays a word, a structure becomes JSON, an empty value becomes "", `no` is a
word and not false, and a section with a `secure:` entry is decrypted and listed among the secret keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.settings.settings import Settings
from components.settings.stack_file import encrypted_of, handed_over, sections_of


@dataclass(frozen=True)
class StackFile:
    """Section -> text, and the sections with a `secure:` entry."""

    entries: dict[str, str]
    encrypted: list[str]

    @classmethod
    def read(cls, text: str) -> StackFile:
        """Read the stack file `text`. Its sections may have the project's prefix."""
        sections = sections_of(text)
        return cls({name: handed_over(_decrypted(entry)) for name, entry in sections.items()}, encrypted_of(sections))

    def parse(self, stack: str) -> Settings:
        """Return the settings of `stack`. Raises ConfigurationError."""
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
