"""The tables of stack files: broken_stack_files.yaml with invalid ones, unusual_stack_files.yaml with valid ones."""

import copy
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from components.core.naming import PROJECT
from components.settings.settings import ConfigurationError, Settings
from components.settings.stack_file import encrypted_of, handed_over

TABLE = Path(__file__).with_suffix(".yaml")
UNUSUAL = TABLE.with_name("unusual_stack_files.yaml")
CANARY = f"Canary{secrets.token_hex(8)}"
LOGIN = f"user:{CANARY}"
RANDOM = f"{CANARY}x9{secrets.token_hex(12)}"
GONE = "GONE"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A stack file: the stack's name and the file's sections."""

    stack: str
    sections: Mapping[str, Any]

    @property
    def text(self) -> str:
        config = {key if ":" in key else f"{PROJECT}:{key}": entry for key, entry in self.sections.items()}
        return yaml.safe_dump({"config": config}, allow_unicode=True, sort_keys=False)

    def parse(self) -> Settings:
        """Return the program's settings. Raises ConfigurationError."""
        texts = {key: handed_over(entry) for key, entry in self.sections.items()}
        return Settings.parse(
            self.stack,
            {key: text for key, text in texts.items() if ":" not in key},
            encrypted=encrypted_of(self.sections),
            others={key: text for key, text in texts.items() if ":" in key},
        )


@dataclass(frozen=True, kw_only=True)
class Broken(Row):
    """A broken stack file and its errors: for each, the place and a part of the rule or remedy."""

    errors: tuple[tuple[str, str], ...]

    def refusal(self) -> ConfigurationError | None:
        """Return the error that the program raises."""
        try:
            self.parse()
        except ConfigurationError as error:
            return error
        return None


def unusual_names() -> list[str]:
    return [line.removeprefix("- ") for line in UNUSUAL.read_text().splitlines() if line.startswith("- [")]


def unusual(name: str) -> tuple[Row, dict[str, Any]]:
    """Return the stack file `name`, and the settings that differ from its text."""
    where, changes, *settings = yaml.safe_load(name)
    return _changed(where, changes), settings[0] if settings else {}


def names() -> list[str]:
    lines = TABLE.read_text().partition("\nbroken:\n")[2].splitlines()
    return [line.removeprefix("  - [").partition("}, {")[0] for line in lines if line.startswith("  - [")]


def row(name: str) -> Broken:
    return _rows()[name]


def bases() -> list[str]:
    lines = TABLE.read_text().partition("\nbases:\n")[2].partition("\nbroken:\n")[0].splitlines()
    return [line.strip().removesuffix(":") for line in lines if line.endswith(":")]


def base(name: str) -> dict[str, Any]:
    return copy.deepcopy(_table()["bases"][name])


@cache
def _table() -> Any:
    return yaml.safe_load(
        TABLE.read_text().replace("<login>", LOGIN).replace("<random>", RANDOM).replace("<value>", CANARY)
    )


@cache
def _rows() -> dict[str, Broken]:
    found = []
    for where, changes, errors in _table()["broken"]:
        changed = _changed(where, changes)
        pairs = [
            (place, part) for place, parts in errors.items() for part in ([parts] if isinstance(parts, str) else parts)
        ]
        found.append(Broken(stack=changed.stack, sections=changed.sections, errors=tuple(pairs)))
    rows = dict(zip(names(), found, strict=True))
    assert len(rows) == len(found), "two rows are the same"
    return rows


def _changed(where: str, changes: Mapping[str, Any]) -> Row:
    stack, _, kind = where.rpartition("/")
    sections = base(kind)
    for key, entry in changes.items():
        _change(sections, key, entry)
    return Row(stack=stack or "dev", sections=sections)


def _change(sections: dict[str, Any], key: str, entry: Any) -> None:
    above, _, last = (key, "", key) if ":" in key else key.rpartition(".")
    place = sections if not above or ":" in key else sections[above]
    if entry == GONE:
        del place[last]
    else:
        place[last] = entry
