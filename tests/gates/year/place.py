"""The stand-in store's place for the contract suite: a file, because there another process opens it, and is killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tests.gates.year.store import Kept, StandInStore
from tests.real.accidents import killed_around

_KEPT = TypeAdapter(Kept)
_FIELDS = {"it": ("username", "password", "ca.crt")}


class File:
    """`Medium` over one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, _what: str) -> Kept:
        return _KEPT.validate_json(self._path.read_bytes()) if self._path.exists() else Kept()

    def save(self, kept: Kept, _what: str) -> None:
        new = self._path.with_suffix(".new")
        new.write_bytes(_KEPT.dump_json(kept))
        new.replace(self._path)


@dataclass(frozen=True)
class StandInPlace:
    """`Place` over that file."""

    address: str

    @classmethod
    def fresh(cls, _request: pytest.FixtureRequest, folder: Path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder / "kept.json")

    @property
    def file(self) -> File:
        return File(Path(self.address))

    def open(self) -> StandInStore:
        return StandInStore(self.file, _FIELDS, _lives)

    def delivered(self) -> dict[str, str | None]:
        found = self.file.load("").delivered.get("it")
        return {name: found.fields.get(name) if found else None for name in _FIELDS["it"]}

    def keeps(self, text: str) -> list[str]:
        kept = self.file.load("")
        texts = [fields for versions in kept.values.values() for fields in versions.values()]
        return [
            name
            for fields in [*texts, *(one.fields for one in kept.delivered.values())]
            for name, each in fields.items()
            if text in each
        ]

    def edit(self, old: str, new: str) -> None:
        kept = self.file.load("")
        found = kept.delivered["it"]
        assert old in found.fields.values(), "it is not delivered"
        edited = {name: text.replace(old, new) for name, text in found.fields.items()}
        self.file.save(replace(kept, delivered={"it": replace(found, fields=edited)}), "edit")

    def clear(self) -> None:
        self.file.save(replace(self.file.load(""), delivered={}), "clear")

    def records(self) -> list[dict[str, str]]:
        return []

    def killed_at(self, work: Callable[[], object], moment: int) -> bool:
        """Before and after each write."""

        def watch(around: Callable[[], None]) -> None:
            save = File.save

            def saved(medium: File, kept: Kept, what: str) -> None:
                around()
                save(medium, kept, what)
                around()

            File.save = saved  # type: ignore[method-assign, assignment]

        return killed_around(work, moment, watch)


def _lives(token: str) -> bool:
    try:
        os.kill(int(token.partition(":")[0]), 0)
    except ProcessLookupError:
        return False
    return True
