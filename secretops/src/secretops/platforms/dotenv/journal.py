"""The rotation journal of a folder: an append-only file of JSON lines."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC
from pathlib import Path
from typing import BinaryIO

from secretops.engine.journal import Entry, read_entry
from secretops.errors import StoreError
from secretops.owned_files import append_line, open_owned


class JournalFile:
    """A journal in a file of mode 600. Reads each line once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._end = 0
        self._last: dict[str, Entry] = {}

    def write(self, entry: Entry) -> None:
        time = entry.time.astimezone(UTC).isoformat(timespec="milliseconds")
        try:
            append_line(self._path, json.dumps({**asdict(entry), "time": time}))
        except OSError as error:
            remedy = "make the file writable and its disk not full; the next tick goes on from here"
            what, rule = f"{self._path}: {error.strerror}", "every step of a rotation is written down"
            raise StoreError(what, rule=rule, remedy=remedy) from error

    def last(self, secret: str) -> Entry | None:
        try:
            with open(open_owned(self._path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - a descriptor
                self._read_on(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            what, rule = f"{self._path}: {error.strerror}", "the journal says how the last rotation went"
            raise StoreError(what, rule=rule, remedy="run it as the account that owns the folder") from error
        return self._last.get(secret)

    def _read_on(self, file: BinaryIO) -> None:
        """Read the new lines, or all of another file. Leave a line that is being written."""
        found = os.fstat(file.fileno())
        if self._file != (found.st_dev, found.st_ino) or found.st_size < self._end:
            self._file, self._end, self._last = (found.st_dev, found.st_ino), 0, {}
        file.seek(self._end)
        for line in file:
            if not line.endswith(b"\n"):
                break
            self._end += len(line)
            with suppress(ValueError, RecursionError):  # a line cut short by a full disk
                entry = read_entry(line)
                self._last[entry.secret] = entry
