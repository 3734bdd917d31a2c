"""The Secret that only the rotator reads: what each version is in annotations, its value in data, in one write."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import TypeAdapter

from secretops.engine.journal import Entry
from secretops.engine.state import Version, Versions
from secretops.errors import StoreError
from secretops.platforms.kubernetes.secrets import PREFIX, Sheet
from secretops.stores import store_errors
from secretops.values import Value

Kind = TypeVar("Kind")

Names = dict[str, tuple[str, ...]]
"""Name of a Secret -> the keys in it that a secret is, or was, delivered under."""

_STATE = TypeAdapter(tuple[Version, ...])
_VALUE = TypeAdapter(dict[str, str])
_NAMES = TypeAdapter(Names)
_ENTRY = TypeAdapter(Entry)
_VERSIONS, _DELIVERED, _JOURNAL = f"{PREFIX}versions.", f"{PREFIX}delivered.", f"{PREFIX}journal."


class Book:
    """The versions Secret as it was read. Changes are to what was read; `Secrets.change` writes them."""

    def __init__(self, name: str, sheet: Sheet) -> None:
        self._name, self._sheet = name, sheet

    def kept(self) -> tuple[str, ...]:
        """The secrets of which any version is kept."""
        notes = self._sheet.notes
        return tuple(sorted(key.removeprefix(_VERSIONS) for key in notes if key.startswith(_VERSIONS)))

    def versions(self, secret: str) -> Versions:
        """Raises StoreError."""
        return Versions(self._note(_VERSIONS, secret, _STATE) or ())

    def value(self, secret: str, version: str) -> Value:
        """Raises NotFoundError, StoreError."""
        found = self._sheet.data.get(f"{secret}.{version}")
        if found is None:
            raise store_errors.no_value(secret, version)
        try:
            return Value(_VALUE.validate_json(found, strict=True))
        except ValueError:
            raise StoreError(
                f"Secret {self._name}: {secret}.{version} does not read as a value",
                rule="this Secret is written by secretops alone",
                remedy=f"restore it from a backup, or supply a new value: secretops put {secret}",
            ) from None

    def keep(self, secret: str, versions: Versions, values: dict[str, Value] | None = None) -> None:
        """From now on these are the versions of `secret`. `values` are of new ones; those of no living one go."""
        living = {version.id for version in versions.living}
        for version in self.versions(secret).all:
            if version.id not in living:
                self._sheet.data.pop(f"{secret}.{version.id}", None)
        for new, value in (values or {}).items():
            self._sheet.data[f"{secret}.{new}"] = json.dumps(dict(value), ensure_ascii=False).encode()
        state = _STATE.dump_json(versions.all, exclude_none=True).decode()
        self._sheet.notes[f"{_VERSIONS}{secret}"] = state

    def names(self, secret: str) -> Names:
        """Where `secret` is delivered, or was once: kept before it is true, so that it is always found again."""
        return self._note(_DELIVERED, secret, _NAMES) or {}

    def keep_names(self, secret: str, names: Names) -> None:
        if names:
            self._sheet.notes[f"{_DELIVERED}{secret}"] = _NAMES.dump_json(names).decode()
        else:
            self._sheet.notes.pop(f"{_DELIVERED}{secret}", None)

    def last_entry(self, secret: str) -> Entry | None:
        """The newest entry of the journal about `secret`. Raises StoreError."""
        return self._note(_JOURNAL, secret, _ENTRY)

    def keep_entry(self, entry: Entry) -> None:
        self._sheet.notes[f"{_JOURNAL}{entry.secret}"] = _ENTRY.dump_json(entry).decode()

    def drop(self, secret: str) -> None:
        """Remove every version of `secret`. What it was delivered as stays noted, until that is taken back."""
        if secret in self.kept():
            self.keep(secret, Versions())

    def forget(self, secret: str) -> None:
        """Remove every version of `secret`, and all that is written about it."""
        self.drop(secret)
        for prefix in (_VERSIONS, _DELIVERED, _JOURNAL):
            self._sheet.notes.pop(f"{prefix}{secret}", None)

    def _note(self, prefix: str, secret: str, kind: TypeAdapter[Kind]) -> Kind | None:
        text = self._sheet.notes.get(f"{prefix}{secret}")
        if text is None:
            return None
        try:
            return kind.validate_json(text)
        except ValueError:
            raise StoreError(
                f"Secret {self._name}: annotation {prefix}{secret} does not read as secretops wrote it",
                rule="this Secret is written by secretops alone",
                remedy="restore the annotation from a backup; the values beside it are whole",
            ) from None
