"""Who rotates: a document, changed by check-and-set alone. It names its holder, or nobody: then it is free.

Each renewal is a new document, with a number one higher. So whoever watches sees by that number that the holder lives;
and of a renewal and a follower's write after the same number only one is made.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from functools import partial

from secretops.errors import StoreError
from secretops.platforms.vault.api import NONE, Api, Found
from secretops.stores.lease import Held, Timing, Watch, awake_or_not, held_by

TRIES = 5
"""How often somebody else may be quicker, one after the other."""

HOLDER, SINCE, TOKEN, RENEWED = "holder", "since", "token", "renewed"
FREE = {HOLDER: ""}


class HeldDocument(Held):
    """A document at `path` that names us."""

    def __init__(self, api: Api, path: str, said: dict[str, str], number: int, *, asked: float, timing: Timing) -> None:
        super().__init__(timing, asked=asked)
        self._api, self._path, self._said, self._number = api, path, said, number

    def _renew(self, *, patiently: bool) -> bool:
        new = {**self._said, RENEWED: str(int(self._said[RENEWED]) + 1)}
        number = self._api.write(self._path, new, self._number, patiently=patiently)
        if number is None:
            found = self._api.read(self._path, patiently=patiently)
            if found is None or dict(found.data) != new:  # else it is ours, and its answer was lost
                self._follower = _text(found, HOLDER) or "somebody who gave it back"
                return False
            number = found.number
        self._said, self._number = new, number
        return True

    def _release(self) -> None:
        self._api.write(self._path, FREE, self._number, patiently=False)


def take(api: Api, path: str, holder: str, timing: Timing) -> Held:
    """The lease at `path`, for `holder`. Raises LeaseHeldError, StoreError, UnreachableError."""
    said = {
        HOLDER: holder,
        SINCE: datetime.now(UTC).isoformat(timespec="seconds"),
        TOKEN: secrets.token_hex(8),
        RENEWED: "0",
    }
    watch = _Watch(api, path, timing)
    for _ in range(TRIES):
        after = watch.until_it_may_be_taken()
        asked = awake_or_not()
        number = api.write(path, said, after)
        if number is None and (found := api.read(path)) and dict(found.data) == said:
            number = found.number  # ours, whose answer was lost
        if number is not None:
            return HeldDocument(api, path, said, number, asked=asked, timing=timing)
    raise StoreError(
        f"{api.mount}/{path} at {api.server.host}: somebody else took the lease {TRIES} times in a row",
        rule="one rotation at a time; nothing was begun",
        remedy="find out who does (the server's audit log says), then try again",
    )


def holder_of(found: Found | None) -> tuple[str, datetime | None] | None:
    """Whoever holds the lease, or was killed before it was given back, and since when; None when it is free."""
    name = _text(found, HOLDER)
    if not name:
        return None
    try:
        return name, datetime.fromisoformat(_text(found, SINCE)).astimezone(UTC)
    except ValueError:
        return name, None


class _Watch:
    """A look at the lease. Each renewal is another number."""

    def __init__(self, api: Api, path: str, timing: Timing) -> None:
        self._api, self._path, self._watch = api, path, Watch[int](timing)

    def until_it_may_be_taken(self) -> int:
        """The number to write after when nobody holds it, or who does was not seen to renew for its duration.

        Raises LeaseHeldError when it was.
        """
        while True:
            asked = time.monotonic()
            found = self._api.read(self._path)
            if found is None:
                if (number := self._deleted()) is not None:
                    return number
                continue
            held = holder_of(found)
            if held is None:
                return found.number
            holder, since = held
            if self._watch.is_over(found.number, asked=asked, held=partial(held_by, holder, since)):
                return found.number

    def _deleted(self) -> int | None:
        """The number of the document that somebody deleted, 0 where there never was one; None if there is one now."""
        known = self._api.metadata(self._path) or NONE
        newest = known.versions.get(known.current)
        return None if newest and newest.is_given else known.current


def _text(found: Found | None, key: str) -> str:
    text = found.data.get(key) if found else None
    return text if isinstance(text, str) else ""
