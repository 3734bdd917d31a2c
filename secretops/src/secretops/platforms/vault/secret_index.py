"""Which secrets are kept, and where: notes on the lease's path, since no policy lets anybody list a mount."""

from __future__ import annotations

import contextlib
import json

from secretops.platforms.vault.api import NONE, Api

KEPT = "secretops-kept-"
"""Begins the name of such a note."""


class Register:
    """The secrets that were ever added and not forgotten, also those that left the stack."""

    def __init__(self, api: Api, lease: str) -> None:
        self._api, self._lease = api, lease

    def paths(self) -> dict[str, tuple[str, str]]:
        """secret -> the path that readers ask for, and that of what is pending."""
        known = self._api.metadata(self._lease) or NONE
        found = {}
        for key, text in known.notes.items():
            with contextlib.suppress(ValueError, TypeError, RecursionError):  # somebody else's note
                if key.startswith(KEPT):
                    path, apart = json.loads(text)
                    found[key.removeprefix(KEPT)] = (str(path), str(apart))
        return found

    def enter(self, secret: str, paths: tuple[str, str]) -> None:
        """Before it is kept, so that it is always found again. No-op when it is there."""
        if self.paths().get(secret) != paths:
            self._api.note(self._lease, {f"{KEPT}{secret}": json.dumps(paths)})

    def strike(self, secret: str) -> None:
        """Once it is forgotten. No-op when it is not there."""
        if secret in self.paths():
            self._api.note(self._lease, {f"{KEPT}{secret}": None})
