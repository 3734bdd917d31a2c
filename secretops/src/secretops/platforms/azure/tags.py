"""What the tags of Key Vault's versions say of ours, and which of Key Vault's are to be forgotten.

Pure, but for `State.of` and `readers_find`, which ask.

A version has 15 tags at most, of up to 256 characters each: https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
We use 11 of them at most, and leave those of others as they are while there is room: a fact of ours takes that of the
journal's entry first, then of theirs, by name from the last. They are of one version: the next one is made without.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from urllib.parse import quote, unquote

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import UsageError
from secretops.platforms.azure.api import Api, Kept
from secretops.platforms.azure.errors import ForbiddenError

LONGEST, MOST = 256, 15

PREFIX = "secretops-"
ID, NUMBER, WRITE, USER, LAST = (f"{PREFIX}{name}" for name in ("id", "number", "write", "user", "last"))
FORGOTTEN, FORGETTING = f"{PREFIX}forgotten", f"{PREFIX}forgetting"
"""A version that is none of ours any more; and one of a secret all of whose are being forgotten. The newest version of
a deleted secret has the second one only where secretops deleted it."""
TIMES = ("created", "published", "verified", "retired", "expires")


@dataclass(frozen=True)
class Copy:
    """One of Key Vault's versions that holds one of ours. Of a write whose answer was lost there may be two."""

    kept: Kept
    number: int
    write: str
    """What made it, which its twins share: those of a lost answer, and those that a person made of it."""
    version: Version


@dataclass(frozen=True)
class State:
    """One secret as the versions of its two secrets in the vault tell it."""

    main: tuple[Kept, ...]
    apart: tuple[Kept, ...]
    """Of the secret that holds what is pending."""
    found: str | None = None
    """Which of Key Vault's versions readers find, if it was asked: only one second that made several takes that."""

    @classmethod
    def of(cls, api: Api, name: str, apart: str) -> State:
        """Of secret `name` and the one that holds what is pending, as the vault tells it now.

        Which of one second readers find only Key Vault can tell, and only by a read. Whoever may not read goes by what
        we count ourselves.
        """
        state = cls(api.versions(name), api.versions(apart))
        if len({kept.tags.get(WRITE) for kept in state.newest}) > 1:
            with contextlib.suppress(ForbiddenError):
                if asked := readers_find(api, name, state.newest):
                    return dataclasses.replace(state, found=asked.id)
        return state

    @cached_property
    def versions(self) -> Versions:
        """Ours. Those that somebody else made are none of them: they have no tag of ours."""
        if self.forgetting:
            return Versions()
        published, pending = self._published, self._pending
        current = published[-1] if published else None
        previous = published[-2] if len(published) > 1 else None
        staged = ((previous, Stage.PREVIOUS), (current, Stage.CURRENT), (pending, Stage.PENDING))
        return Versions(tuple(version.at(stage=stage) for version, stage in staged if version))

    @property
    def forgetting(self) -> bool:
        """Whether every version is being forgotten: none is ours any more, and whoever finds it ends that."""
        return any(FORGETTING in kept.tags for kept in (*self.main, *self.apart))

    @cached_property
    def rolled_back(self) -> Copy | None:
        """What somebody gave to readers again: a version made after the current one, of an older one's tags.

        Not of a retired one, whose user no target takes any more; nor of one that came late: a person can only give
        again what readers were given before.
        """
        copies, newest = self._in_time, self.newest
        found = next((copy for copy in copies if len(newest) == 1 and copy.kept == newest[0]), None)
        if found is None or not found.kept.enabled or found.number == copies[-1].number:
            return None
        retired = any(copy.version.retired for copy in copies if copy.version.id == found.version.id)
        return None if retired else found

    @cached_property
    def late(self) -> frozenset[str]:
        """Key Vault's versions that came when what was to follow them had come already, or after they were given up.

        So comes what whoever was followed had sent, and Azure was long in carrying out. Readers were never to get it:
        its user may have another password by now. A person gives again what was written in time, and it is not late.
        """
        main, apart = self._main, self._apart  # what is pending overtakes no publication
        return self._late(self.main, main, main) | self._late(self.apart, apart, [*main, *apart])

    @property
    def next_number(self) -> int:
        """Tells which of two versions of ours was made later: Key Vault's own times are to the second."""
        return 1 + max((_number(kept) for kept in (*self.main, *self.apart)), default=0)

    def copies(self, version: str) -> tuple[Copy, ...]:
        """Those of the published secret that hold `version` of ours, the newest last."""
        return tuple(copy for copy in self._main if copy.version.id == version)

    def pending_copies(self, version: str) -> tuple[Copy, ...]:
        """The same of the secret that holds what is pending: only those that are given to whoever asks."""
        return tuple(copy for copy in self._apart if copy.version.id == version and copy.kept.enabled)

    @property
    def newest(self) -> tuple[Kept, ...]:
        """Which of Key Vault's versions readers find: one; none; or several that only Key Vault can tell apart."""
        found = latest(self.main)
        return tuple(kept for kept in found if kept.id == self.found) or found

    @property
    def surplus(self) -> Iterator[tuple[bool, Copy]]:
        """What is to be forgotten: copies that can be read, of versions that are not kept, and if they lie apart.

        Not what readers find: whoever made that is told before it is taken from them.
        """
        versions, newest, late = self.versions, self.newest, self.late
        pending = versions.pending
        living = {version.id for version in versions.living if version is not pending}
        for copy in self._main:
            unwanted = copy.version.id not in living or copy.kept.id in late
            if copy.kept.enabled and unwanted and copy.kept not in newest:
                yield False, copy
        for copy in self._apart:
            unwanted = copy.version.id != (pending and pending.id) or copy.kept.id in late
            if copy.kept.enabled and unwanted:
                yield True, copy

    def last(self, secret: str) -> Entry | None:
        """The newest entry of the journal, as of `secret`."""
        found = [entry for kept in (*self.main, *self.apart) if (entry := _entry(secret, kept.tags.get(LAST)))]
        return max(found, key=lambda entry: entry.time, default=None)

    @property
    def carrier(self) -> tuple[bool, Kept] | None:
        """The version that the journal's entry is a tag of, and if it lies apart: the current one, else the pending."""
        versions = self.versions
        if versions.current and (copies := self.copies(versions.current.id)):
            return False, copies[-1].kept
        if versions.pending and (copies := self.pending_copies(versions.pending.id)):
            return True, copies[-1].kept
        return None

    @property
    def _in_time(self) -> list[Copy]:
        """Copies of what was published while nothing later was."""
        late = self.late
        return [copy for copy in self._main if copy.kept.id not in late]

    def _late(self, kept: Iterable[Kept], copies: Iterable[Copy], history: Iterable[Copy]) -> frozenset[str]:
        """Return the ids of `copies` whose write was given up, or first came after a later write of `history`."""
        late = {one.tags.get(WRITE) for one in kept if FORGOTTEN in one.tags}
        first = {copy.write: copy for copy in sorted(copies, key=self._made, reverse=True)}
        for other in history:
            late.update(
                w for w, copy in first.items() if copy.number < other.number and self._made(other) < self._made(copy)
            )
        return frozenset(copy.kept.id for copy in copies if copy.write in late)

    def _made(self, copy: Copy) -> tuple[datetime, bool, int]:
        """Return a sort key: when Key Vault made it, as far as that is known, then our number."""
        return copy.kept.created, copy.kept.id == self.found, copy.number

    @cached_property
    def _main(self) -> list[Copy]:
        return _copies(self.main)

    @cached_property
    def _apart(self) -> list[Copy]:
        return _copies(self.apart)

    @cached_property
    def _published(self) -> list[Version]:
        """Each version of ours once, in the order of their publication; no time is ever taken back.

        Since when a version is out again that somebody rolled back to is not known, until it is noted.
        """
        known: dict[str, Version] = {}
        back = self.rolled_back
        for copy in (*self._in_time, *([back] if back else [])):
            other = known.pop(copy.version.id, copy.version)
            times = {
                name: max(filter(None, (getattr(copy.version, name), getattr(other, name))), default=None)
                for name in TIMES
            }
            known[copy.version.id] = dataclasses.replace(copy.version, **times)  # type: ignore[arg-type]
        if back:
            known[back.version.id] = dataclasses.replace(known[back.version.id], published=None)
        return list(known.values())

    @property
    def _pending(self) -> Version | None:
        late, done = self.late, {version.id for version in self._published}
        found = [copy.version for copy in self._apart if copy.kept.enabled and copy.kept.id not in late]
        return found[-1] if found and found[-1].id not in done else None


def facts(version: Version, number: int, write: str) -> dict[str, str]:
    """What is kept of `version`, as tags, and which `write` makes it. Raises UsageError for too long a user's name."""
    times = {f"{PREFIX}{name}": getattr(version, name) for name in TIMES}
    made = {ID: version.id, NUMBER: str(number), WRITE: write} | {
        name: _written(time) for name, time in times.items() if time
    }
    if version.user is not None:
        made[USER] = quote(version.user)
    for name, text in made.items():
        if len(text) > LONGEST:
            raise UsageError(
                f"{name.removeprefix(PREFIX)} {version.user if name == USER else version.id}: it is too long",
                rule=f"the Azure store keeps it in a tag, which has {LONGEST} characters; nothing was changed",
                remedy="give a shorter one",
            )
    return made


def noted(kept: Kept, **times: datetime | None) -> dict[str, str]:
    """The tags of `kept` with these times in them; a time that is None stays as it was."""
    return _fitting({**kept.tags, **{f"{PREFIX}{name}": _written(time) for name, time in times.items() if time}})


def forgotten(kept: Kept, now: datetime) -> dict[str, str]:
    """The tags of a version that is none of ours any more: should somebody enable it, it is nobody's."""
    stay = (NUMBER, WRITE, FORGETTING)
    left = {name: text for name, text in kept.tags.items() if name in stay or not name.startswith(PREFIX)}
    return _fitting({**left, FORGOTTEN: _written(now)})


def forgetting(kept: Kept, now: datetime) -> dict[str, str]:
    """The tags of a version that says that all are being forgotten."""
    return _fitting({**kept.tags, FORGETTING: _written(now)})


def ended(kept: Kept, now: datetime) -> dict[str, str]:
    """The tags of the newest version, which a deleted secret shows, of one that secretops is about to delete."""
    return _fitting({**forgotten(kept, now), FORGETTING: _written(now)})


def brought_back(kept: Kept) -> dict[str, str]:
    """The tags of a version of a secret that is in use again."""
    return {name: text for name, text in kept.tags.items() if name != FORGETTING}


def with_last(kept: Kept, entry: Entry) -> dict[str, str]:
    """The tags of `kept` with `entry` as the journal's newest, its outcome cut to what a tag holds."""
    outcome = entry.outcome

    def written() -> str:
        return json.dumps([_written(entry.time), entry.version, entry.step, quote(outcome, safe=" ")])

    while len(written()) > LONGEST and outcome:
        outcome = outcome[:-1]
    return _fitting({**kept.tags, LAST: written()})


def latest(kept: Iterable[Kept]) -> tuple[Kept, ...]:
    """Those of the last second that made any, the highest number of ours last. Key Vault's times are to the second."""
    found = sorted(kept, key=lambda one: (one.created, _number(one)))
    return tuple(one for one in found if one.created == found[-1].created)


def readers_find(api: Api, name: str, newest: Sequence[Kept]) -> Kept | None:
    """Which of these, all of one second, readers of secret `name` find."""
    if len(newest) > 1:
        return api.value(name) or next((kept for kept in reversed(newest) if not kept.enabled), None)
    return newest[0] if newest else None


def _fitting(tags: Mapping[str, str]) -> dict[str, str]:
    """As many as a version may have: our facts first, then those of others, the journal's entry last."""
    ranked = sorted(tags, key=lambda name: (name == LAST, not name.startswith(PREFIX), name))
    return {name: tags[name] for name in ranked[:MOST]}


def _copies(kept: Iterable[Kept]) -> list[Copy]:
    """The later one later."""
    made = [
        Copy(one, _number(one), one.tags.get(WRITE, one.id), version) for one in kept if (version := _version(one.tags))
    ]
    return sorted(made, key=lambda copy: (copy.number, copy.kept.created))


def _version(tags: Mapping[str, str]) -> Version | None:
    times = {name: _time(tags.get(f"{PREFIX}{name}")) for name in TIMES}
    created = times.pop("created")
    if ID not in tags or created is None:
        return None
    user = unquote(tags[USER]) if USER in tags else None
    return Version(id=tags[ID], stage=Stage.PENDING, user=user, created=created, **times)


def _entry(secret: str, text: str | None) -> Entry | None:
    try:
        time, version, step, outcome = json.loads(text or "")
        outcome = unquote(outcome, errors="replace")
        return Entry(time=datetime.fromisoformat(time), secret=secret, version=version, step=step, outcome=outcome)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _number(kept: Kept) -> int:
    """0 for a version that somebody else made."""
    text = kept.tags.get(NUMBER, "")
    return int(text) if text.isdecimal() and len(text) < _DIGITS else 0


_DIGITS = 19
"""Of a number that nobody reaches; Python reads no more than some thousands."""


def _written(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except (ValueError, OverflowError):
        return None
