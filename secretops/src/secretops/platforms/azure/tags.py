"""The tags that hold the facts of our versions on Key Vault's, and which of Key Vault's are to be discarded.

Pure, except `TagState.of` and `readers_find`.

A version has 15 tags at most, of up to 256 characters each: https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
secretops uses 11 at most, and keeps those of others while there is room: a fact of ours replaces the journal's entry
first, then theirs, by name from the last. A new version has none of them.
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
from secretops.platforms.azure.api import KeyVaultApi, KeyVaultVersion
from secretops.platforms.azure.errors import ForbiddenError
from secretops.stores.version_facts import TIMES, fit_outcome, merge, staged, timestamp

LONGEST, MOST = 256, 15
# Of a number that nobody reaches; Python reads no more than some thousands.
_DIGITS = 19
PREFIX = "secretops-"
ID, NUMBER, WRITE, USER, LAST = (f"{PREFIX}{name}" for name in ("id", "number", "write", "user", "last"))
# A discarded version; and a version of a secret that is being forgotten. The newest version of a deleted secret has
# the second one only if secretops deleted it.
FORGOTTEN, FORGETTING = f"{PREFIX}forgotten", f"{PREFIX}forgetting"


@dataclass(frozen=True)
class Copy:
    """One of Key Vault's versions that holds one of ours. After a lost answer there may be two of a write."""

    kept: KeyVaultVersion
    number: int
    # Id of the write that made it. Its twins share it: those of a lost answer, and those that a person made of it.
    write: str
    version: Version


@dataclass(frozen=True)
class TagState:
    """One secret by the versions of its two secrets in the vault."""

    main: tuple[KeyVaultVersion, ...]
    # Those of the secret that holds the pending version.
    apart: tuple[KeyVaultVersion, ...]
    # Which of Key Vault's versions readers find. Known only if it was read, because one second made several.
    found: str | None = None

    @classmethod
    def of(cls, api: KeyVaultApi, name: str, apart: str) -> TagState:
        """Return the state now. Which version of one second readers find takes a read; without that right our own
        numbers decide."""
        state = cls(api.versions(name), api.versions(apart))
        if len({kept.tags.get(WRITE) for kept in state.newest}) > 1:
            with contextlib.suppress(ForbiddenError):
                if asked := readers_find(api, name, state.newest):
                    return dataclasses.replace(state, found=asked.id)
        return state

    @cached_property
    def versions(self) -> Versions:
        """Ours: versions with a tag of ours."""
        if self.forgetting:
            return Versions()
        published, pending = self._published, self._pending
        current = published[-1] if published else None
        previous = published[-2] if len(published) > 1 else None
        return staged(previous, current, pending)

    @property
    def forgetting(self) -> bool:
        return any(FORGETTING in kept.tags for kept in (*self.main, *self.apart))

    @cached_property
    def rolled_back(self) -> Copy | None:
        """The version that a person made after the current one with the tags of an older one.

        Not of a retired one, which no target accepts; nor of a late one, which readers never had.
        """
        copies, newest = self._in_time, self.newest
        found = next((copy for copy in copies if len(newest) == 1 and copy.kept == newest[0]), None)
        if found is None or not found.kept.enabled or found.number == copies[-1].number:
            return None
        retired = any(copy.version.retired for copy in copies if copy.version.id == found.version.id)
        return None if retired else found

    @cached_property
    def late(self) -> frozenset[str]:
        """Ids of Key Vault's versions that were made after a later one of ours, or after they were discarded.

        Azure carried out late what a process had sent that has lost the lease since. Readers must not get it: its user
        may have another password by now. What a person makes of a version that was written in time is not late.
        """
        main, apart = self._main, self._apart  # what is pending overtakes no publication
        return self._late(self.main, main, main) | self._late(self.apart, apart, [*main, *apart])

    @property
    def next_number(self) -> int:
        """Numbers order our versions: Key Vault's own times are to the second."""
        return 1 + max((_number(kept) for kept in (*self.main, *self.apart)), default=0)

    def copies(self, version: str) -> tuple[Copy, ...]:
        """Return those of the published secret that hold `version`, the newest last."""
        return tuple(copy for copy in self._main if copy.version.id == version)

    def pending_copies(self, version: str) -> tuple[Copy, ...]:
        """Return the enabled ones of the other secret that hold `version`."""
        return tuple(copy for copy in self._apart if copy.version.id == version and copy.kept.enabled)

    @property
    def newest(self) -> tuple[KeyVaultVersion, ...]:
        """The version that readers find: one, none, or several that only Key Vault can tell apart."""
        found = latest(self.main)
        return tuple(kept for kept in found if kept.id == self.found) or found

    @property
    def surplus(self) -> Iterator[tuple[bool, Copy]]:
        """Enabled copies to be discarded, each with whether it is in the pending secret. Not what readers find."""
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
        """Return the newest entry of the journal."""
        found = [entry for kept in (*self.main, *self.apart) if (entry := _entry(secret, kept.tags.get(LAST)))]
        return max(found, key=lambda entry: entry.time, default=None)

    @property
    def carrier(self) -> tuple[bool, KeyVaultVersion] | None:
        """The version whose tag is the journal's entry (current, else pending), and if it is in the pending secret."""
        versions = self.versions
        if versions.current and (copies := self.copies(versions.current.id)):
            return False, copies[-1].kept
        if versions.pending and (copies := self.pending_copies(versions.pending.id)):
            return True, copies[-1].kept
        return None

    @property
    def _in_time(self) -> list[Copy]:
        return [copy for copy in self._main if copy.kept.id not in self.late]

    def _late(self, kept: Iterable[KeyVaultVersion], copies: Iterable[Copy], history: Iterable[Copy]) -> frozenset[str]:
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
        """Each version of ours once, in the order of publication. A new rollback has no publish time yet."""
        known: dict[str, Version] = {}
        back = self.rolled_back
        for copy in (*self._in_time, *([back] if back else [])):
            known[copy.version.id] = merge(copy.version, known.pop(copy.version.id, copy.version))
        if back:
            known[back.version.id] = dataclasses.replace(known[back.version.id], published=None)
        return list(known.values())

    @property
    def _pending(self) -> Version | None:
        late, done = self.late, {version.id for version in self._published}
        found = [copy.version for copy in self._apart if copy.kept.enabled and copy.kept.id not in late]
        return found[-1] if found and found[-1].id not in done else None


def facts(version: Version, number: int, write: str) -> dict[str, str]:
    """Return the tags of a new version. Raises UsageError for too long a user's name."""
    times = {f"{PREFIX}{name}": getattr(version, name) for name in TIMES}
    made = {ID: version.id, NUMBER: str(number), WRITE: write}
    made |= {name: timestamp(time) for name, time in times.items() if time}
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


def noted(kept: KeyVaultVersion, **times: datetime | None) -> dict[str, str]:
    """Return the tags of `kept` with these times; None leaves a time as it is."""
    return _fitting({**kept.tags, **{f"{PREFIX}{name}": timestamp(time) for name, time in times.items() if time}})


def forgotten(kept: KeyVaultVersion, now: datetime) -> dict[str, str]:
    """Return the tags of a discarded version: if somebody enables it, it is none of ours."""
    stay = (NUMBER, WRITE, FORGETTING)
    left = {name: text for name, text in kept.tags.items() if name in stay or not name.startswith(PREFIX)}
    return _fitting({**left, FORGOTTEN: timestamp(now)})


def being_forgotten(tags: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Return the tags that mark a secret as being forgotten, or deleted by secretops: a deleted secret shows them."""
    return _fitting({**tags, FORGETTING: timestamp(now)})


def with_last(kept: KeyVaultVersion, entry: Entry) -> dict[str, str]:
    """Return the tags of `kept` with a journal entry, its outcome cut to what a tag holds."""

    def written(outcome: str) -> str:
        return json.dumps([timestamp(entry.time), entry.version, entry.step, quote(outcome, safe=" ")])

    return _fitting({**kept.tags, LAST: fit_outcome(entry, written, LONGEST)})


def latest(kept: Iterable[KeyVaultVersion]) -> tuple[KeyVaultVersion, ...]:
    """Return the versions of the last second that made any, our highest number last."""
    found = sorted(kept, key=lambda one: (one.created, _number(one)))
    return tuple(one for one in found if one.created == found[-1].created)


def readers_find(api: KeyVaultApi, name: str, newest: Sequence[KeyVaultVersion]) -> KeyVaultVersion | None:
    """Return which of these versions, all of one second, readers of secret `name` find."""
    if len(newest) > 1:
        return api.value(name) or next((kept for kept in reversed(newest) if not kept.enabled), None)
    return newest[0] if newest else None


def _fitting(tags: Mapping[str, str]) -> dict[str, str]:
    """Return as many as a version may have: our facts first, then those of others, the journal's entry last."""
    ranked = sorted(tags, key=lambda name: (name == LAST, not name.startswith(PREFIX), name))
    return {name: tags[name] for name in ranked[:MOST]}


def _copies(kept: Iterable[KeyVaultVersion]) -> list[Copy]:
    ours = ((one, version) for one in kept if (version := _version(one.tags)))
    made = (Copy(one, _number(one), one.tags.get(WRITE, one.id), version) for one, version in ours)
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


def _number(kept: KeyVaultVersion) -> int:
    """0 for a version that somebody else made."""
    text = kept.tags.get(NUMBER, "")
    return int(text) if text.isdecimal() and len(text) < _DIGITS else 0


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except (ValueError, OverflowError):
        return None
