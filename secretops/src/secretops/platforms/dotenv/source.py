from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from secretops.access import AccessRecords, this_actor
from secretops.errors import StoreError
from secretops.launcher.settings import ServerSettings
from secretops.launcher.sources import EnvFile
from secretops.stores import files


class DotenvSource(EnvFile):
    """The source `dotenv:<root>`. Records each read of a value before the server gets it."""

    def __init__(self, place: str) -> None:
        self._root = Path(place).expanduser()
        super().__init__(str(self._root / "config" / ".env"))

    def variables(self) -> Mapping[str, str]:
        if self._root.is_dir():
            files.check_store(self._root)
        files.read(self._path)  # raises an error for a symbolic link
        return super().variables()

    def read(self) -> ServerSettings:
        settings = super().read()
        log = self._root / "log"
        try:
            log.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            uid, root = os.geteuid(), self._root
            raise StoreError(
                f"{log}: {error.strerror}",
                rule="the server must write a record to this folder for each access to a secret",
                remedy=f"let uid {uid} write to {root} (owner, mode, read-write mount), then start the server again",
                code="access-log-inaccessible",
            ) from error
        records = AccessRecords(log / "access.jsonl", this_actor("server"))
        for secret, version in settings.versions.items():
            records.write("read", secret, version, "serve")
        return settings
