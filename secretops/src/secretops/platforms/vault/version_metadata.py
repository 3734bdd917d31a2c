"""The custom_metadata of a path ("notes") that hold the facts of a secret's versions.

    secretops-version-<id>   facts of one version of ours, and the numbers of its documents
    secretops-last           the newest entry of the journal
    secretops-kept-<secret>  at the lease's path: where that secret is

A path has 64 notes, of 128 and 512 bytes: https://openbao.org/api-docs/secret/kv/kv-v2/#create-update-metadata
Notes are on the path and not on a document. So facts are written first, with the number that check-and-set will give
the document: it is planned. After a crash in between, the document of that number itself says whether it is ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import UsageError
from secretops.platforms.vault.api import NONE, Api, Found, Metadata
from secretops.platforms.vault.documents import VERSION
from secretops.stores.version_facts import TIMES, fit_outcome, staged

NAMED, LAST, KEPT = "secretops-version-", "secretops-last", "secretops-kept-"
LONGEST_KEY, LONGEST_NOTE = 128, 512
# Bytes of one time in a note, with its name and a number.
_LONGEST_TIME = 45


@dataclass(frozen=True, kw_only=True)
class Noted:
    """A version of ours by a path's notes."""

    version: Version
    # Its documents, the newest one last. Older ones are to be destroyed.
    numbers: tuple[int, ...] = ()
    # The number that its next document will get, while there is none of that number: it may be on its way.
    planned: int | None = None
    # Documents of somebody else with the same value, destroyed with the older ones.
    copies: tuple[int, ...] = ()

    @property
    def newest(self) -> int:
        return self.numbers[-1] if self.numbers else 0

    @property
    def older(self) -> tuple[int, ...]:
        """Documents to be destroyed, now that there is a newer one."""
        return (*self.numbers[:-1], *(number for number in self.copies if number < self.newest))

    def note(self) -> tuple[str, str]:
        """Return its key and text. Raises UsageError for what is longer than a note."""
        version = self.version
        said: dict[str, Any] = {name: _written(time) for name in TIMES if (time := getattr(version, name)) is not None}
        said |= {} if version.user is None else {"user": version.user}
        said |= {"numbers": list(self.numbers)} if self.numbers else {}
        said |= {"planned": self.planned} if self.planned else {}
        said |= {"copies": list(self.copies)} if self.copies else {}
        key, text = f"{NAMED}{version.id}", json.dumps(said, ensure_ascii=False, separators=(",", ":"))
        room = _LONGEST_TIME * sum(getattr(version, name) is None for name in TIMES)
        if len(key.encode()) > LONGEST_KEY or len(text.encode()) + room > LONGEST_NOTE:
            raise UsageError(
                f"version {version.id} of user {version.user}: the names are too long",
                rule=f"the Vault store keeps both in a note, which has {LONGEST_KEY} and {LONGEST_NOTE} bytes",
                remedy="give a user of up to 60 characters",
            )
        return key, text


def noted(metadata: Metadata) -> dict[str, Noted]:
    """Return our versions by id. Notes that do not parse are somebody else's."""
    found = {}
    for key, text in metadata.notes.items():
        if key.startswith(NAMED) and (one := _read(key.removeprefix(NAMED), text)):
            found[one.version.id] = one
    return found


@dataclass(frozen=True, repr=False)
class State:
    """One secret by its two paths. Never printed: it may hold what somebody else wrote."""

    main: Metadata
    apart: Metadata
    # By id: versions with a published document, and plans.
    published: Mapping[str, Noted]
    pending: Noted | None = None
    # Whether a person made an older version of ours current again, and since when is not recorded yet.
    rolled_back: bool = False
    # What readers find, if that is no document of ours.
    theirs: Found | None = None

    @classmethod
    def of(cls, api: Api, path: str, apart: str) -> State:
        """Return the state now. Reads a document only where notes leave its author open."""
        main = api.metadata(path) or NONE
        published = {name: _proven(api, path, main, one) for name, one in noted(main).items()}
        state = cls(main, api.metadata(apart) or NONE, published)
        state = dataclasses.replace(state, pending=state._lying_apart(api, apart))
        newest = main.versions.get(main.current)
        if newest is None or not newest.is_given or any(main.current in one.numbers for one in published.values()):
            return state
        return state._told(api, path)

    @property
    def versions(self) -> Versions:
        shown = sorted((one for one in self.published.values() if one.numbers), key=lambda one: one.newest)
        current = next((one for one in reversed(shown) if not one.version.retired), None)
        previous = next((one for one in reversed(shown) if one is not current), None)
        return staged(*(one.version if one else None for one in (previous, current, self.pending)))

    @property
    def is_found(self) -> bool:
        """Whether readers find the current version."""
        return self._is_current_newest and self.main.versions[self.main.current].is_given

    @property
    def may_yet_come(self) -> bool:
        """Whether the document of a plan may still come, from a process that lost the lease."""
        return any(one.planned for one in self.published.values())

    @property
    def taken_away(self) -> bool:
        """Whether somebody deleted or destroyed the current version where readers find it."""
        return self._is_current_newest and not self.main.versions[self.main.current].is_given

    @property
    def _is_current_newest(self) -> bool:
        """Whether the newest document is one of the current version."""
        newest, current = self.main.current, self.versions.current
        return newest in self.main.versions and current is not None and newest in self.published[current.id].numbers

    def surplus(self) -> list[int]:
        """Return the numbers of our documents that are to be destroyed."""
        living = {version.id for version in self.versions.living}
        numbers = {number for one in self.published.values() for number in one.older}
        numbers |= {one.newest for name, one in self.published.items() if name not in living}
        return sorted(number for number in numbers if (one := self.main.versions.get(number)) and not one.destroyed)

    def changes(self) -> dict[str, str | None]:
        """Return the changes of notes once the surplus is destroyed: None removes the note of a version."""
        kept = {version.id for version in self.versions.all} - {self.pending.version.id if self.pending else None}
        wanted: dict[str, str | None] = {}
        for name, one in self.published.items():
            if name in kept:
                key, text = dataclasses.replace(one, numbers=one.numbers[-1:], copies=()).note()
                wanted[key] = text
            elif not one.planned:
                wanted[f"{NAMED}{name}"] = None
        return {key: text for key, text in wanted.items() if self.main.notes.get(key) != text}

    def _lying_apart(self, api: Api, apart: str) -> Noted | None:
        """Return the pending version. Of two that claim the same document the document says which is ours."""
        newest = self.apart.versions.get(self.apart.current)
        if newest is None or not newest.is_given:
            return None
        claims = {name: one for name, one in noted(self.apart).items() if self.apart.current in one.numbers}
        if len(claims) > 1:
            found = api.read(apart, self.apart.current)
            claims = {name: one for name, one in claims.items() if found and found.data.get(VERSION) == name}
        return next(
            (one for name, one in claims.items() if name not in self.published or not self.published[name].numbers),
            None,
        )

    def _told(self, api: Api, path: str) -> State:
        """Return the state with what readers find without a note: a version of ours again, or somebody else's."""
        found = api.read(path, self.main.current)
        if found is None:
            return self
        one = self.published.get(str(found.data.get(VERSION)))
        if one and one.numbers and not one.version.retired:
            ours = api.read(path, one.newest)
            if ours and dict(ours.data) == dict(found.data):
                dated = one.version.at(published=None)
                again = dataclasses.replace(one, numbers=(*one.numbers, found.number), version=dated)
                return dataclasses.replace(self, published={**self.published, dated.id: again}, rolled_back=True)
        return dataclasses.replace(self, theirs=found)


def entry_note(entry: Entry) -> str:
    """Return an entry of the journal as a note, its outcome cut to what a note holds."""
    said = {"time": _written(entry.time), "version": entry.version, "step": entry.step}

    def written(outcome: str) -> str:
        return json.dumps({**said, "outcome": outcome}, ensure_ascii=False, separators=(",", ":"))

    return fit_outcome(entry, written, LONGEST_NOTE)


def last_entry(secret: str, metadata: Metadata) -> Entry | None:
    """Return the newest entry of the journal at a path."""
    try:
        said = json.loads(metadata.notes[LAST])
        texts = {name: str(said[name]) for name in ("version", "step", "outcome")}
        return Entry(time=_time(said["time"]), secret=secret, **texts)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _proven(api: Api, path: str, main: Metadata, one: Noted) -> Noted:
    """Return it without its plan once there is a document of that number, which says whether it is ours."""
    if one.planned is None or one.planned > main.current:
        return one
    kept = main.versions.get(one.planned)
    found = api.read(path, one.planned) if kept and kept.is_given else None
    came = found is not None and found.data.get(VERSION) == one.version.id
    return dataclasses.replace(one, planned=None, numbers=(*one.numbers, one.planned) if came else one.numbers)


def _read(name: str, text: str) -> Noted | None:
    try:
        said = json.loads(text)
        times = {name: _time(said[name]) for name in TIMES if name in said}
        return Noted(
            version=Version(id=name, stage=Stage.PENDING, user=said.get("user"), **times),
            numbers=tuple(int(number) for number in said.get("numbers", ())),
            planned=int(said["planned"]) if "planned" in said else None,
            copies=tuple(int(number) for number in said.get("copies", ())),
        )
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _written(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class SecretIndex:
    """The secrets that were added and not forgotten, also those that left the stack: notes on the lease's path.

    No policy lets anybody list a mount.
    """

    def __init__(self, api: Api, lease: str) -> None:
        self._api, self._lease = api, lease

    def paths(self) -> dict[str, tuple[str, str]]:
        """Return secret -> the path that readers ask for, and that of the pending version."""
        known = self._api.metadata(self._lease) or NONE
        found = {}
        for key, text in known.notes.items():
            with contextlib.suppress(ValueError, TypeError, RecursionError):  # somebody else's note
                if key.startswith(KEPT):
                    path, apart = json.loads(text)
                    found[key.removeprefix(KEPT)] = (str(path), str(apart))
        return found

    def add(self, secret: str, paths: tuple[str, str]) -> None:
        """Add a secret before its value is kept, so that it is always found again."""
        if self.paths().get(secret) != paths:
            self._api.note(self._lease, {f"{KEPT}{secret}": json.dumps(paths)})

    def remove(self, secret: str) -> None:
        """Remove a secret that is forgotten."""
        if secret in self.paths():
            self._api.note(self._lease, {f"{KEPT}{secret}": None})
