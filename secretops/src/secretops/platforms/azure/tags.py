"""Tags that record the metadata of versions in Key Vault. They also show which versions to discard.

secretops uses at most 11 tags. It keeps other authors' tags if there is room: a version has at most 15 tags of up to
256 characters. https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
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
# Digits of the longest number to parse; Python refuses numbers of some thousand digits.
_DIGITS = 19
PREFIX = "secretops-"
ID, NUMBER, WRITE, USER, LAST = (f"{PREFIX}{name}" for name in ("id", "number", "write", "user", "last"))
# Marks of a discarded version, and of one whose secret is being forgotten. The newest version of a deleted secret has
# the second mark only if secretops deleted the secret.
FORGOTTEN, FORGETTING = f"{PREFIX}forgotten", f"{PREFIX}forgetting"


@dataclass(frozen=True)
class Copy:
    """A version in Key Vault that secretops wrote. If the answer to a write is lost, a second attempt creates another
    copy."""

    stored: KeyVaultVersion
    number: int
    # Id of the write. Copies share it after a lost answer, or if a person copied a version with its tags.
    write: str
    version: Version


@dataclass(frozen=True)
class TagState:
    """The state of one secret of the stack, which is two secrets in the vault: `main` and `staging`."""

    main: tuple[KeyVaultVersion, ...]
    # Versions of the vault's secret for the pending version.
    staging: tuple[KeyVaultVersion, ...]
    # Id of the version in Key Vault that readers get. Set only if several were created in the same second.
    found: str | None = None

    @classmethod
    def of(cls, api: KeyVaultApi, name: str, staging: str) -> TagState:
        """Return a secret's state. If several versions were created in the same second, reads a value if permitted."""
        state = cls(api.versions(name), api.versions(staging))
        if len({stored.tags.get(WRITE) for stored in state.newest}) > 1:
            with contextlib.suppress(ForbiddenError):
                if current := readers_version(api, name, state.newest):
                    return dataclasses.replace(state, found=current.id)
        return state

    @cached_property
    def versions(self) -> Versions:
        if self.forgetting:
            return Versions()
        published, pending = self._published, self._pending
        current = published[-1] if published else None
        previous = published[-2] if len(published) > 1 else None
        return staged(previous, current, pending)

    @property
    def forgetting(self) -> bool:
        return any(FORGETTING in stored.tags for stored in (*self.main, *self.staging))

    @cached_property
    def rolled_back(self) -> Copy | None:
        """Return the copy with which a person rolled back to an older version. None if that version is retired, or
        Azure wrote the copy too late."""
        copies, newest = self._in_time, self.newest
        found = next((copy for copy in copies if len(newest) == 1 and copy.stored == newest[0]), None)
        if found is None or not found.stored.enabled or found.number == copies[-1].number:
            return None
        retired = any(copy.version.retired for copy in copies if copy.version.id == found.version.id)
        return None if retired else found

    @cached_property
    def late(self) -> frozenset[str]:
        """Return the ids of versions that Azure created too late: after a later version of secretops, or after their
        discard.

        Azure executed such a write after the lease was lost. Since then the version's user may have another password.
        """
        main, staging = self._main, self._staging  # a pending version does not make a publication late
        return self._late(self.main, main, main) | self._late(self.staging, staging, [*main, *staging])

    @property
    def next_number(self) -> int:
        """Return the number of the next version. Numbers order versions, since Key Vault's times have only seconds."""
        return 1 + max((_number(stored) for stored in (*self.main, *self.staging)), default=0)

    def copies(self, version: str) -> tuple[Copy, ...]:
        return tuple(copy for copy in self._main if copy.version.id == version)

    def pending_copies(self, version: str) -> tuple[Copy, ...]:
        return tuple(copy for copy in self._staging if copy.version.id == version and copy.stored.enabled)

    @property
    def newest(self) -> tuple[KeyVaultVersion, ...]:
        """Return the newest version, which readers get. If several were created in the same second, return all of
        these."""
        found = latest(self.main)
        return tuple(stored for stored in found if stored.id == self.found) or found

    @property
    def surplus(self) -> Iterator[Copy]:
        """Yield enabled copies that are not needed any longer, but never the copy that readers get."""
        versions, newest, late = self.versions, self.newest, self.late
        pending = versions.pending
        living = {version.id for version in versions.living if version is not pending}
        for copy in self._main:
            unwanted = copy.version.id not in living or copy.stored.id in late
            if copy.stored.enabled and unwanted and copy.stored not in newest:
                yield copy
        for copy in self._staging:
            unwanted = copy.version.id != (pending and pending.id) or copy.stored.id in late
            if copy.stored.enabled and unwanted:
                yield copy

    def last(self, secret: str) -> Entry | None:
        found = [entry for stored in (*self.main, *self.staging) if (entry := _entry(secret, stored.tags.get(LAST)))]
        return max(found, key=lambda entry: entry.time, default=None)

    @property
    def carrier(self) -> KeyVaultVersion | None:
        """Return the version whose tags contain the newest journal entry: the current one, else the pending one."""
        current, pending = self.versions.current, self.versions.pending
        copies = (current and self.copies(current.id)) or (pending and self.pending_copies(pending.id))
        return copies[-1].stored if copies else None

    @property
    def _in_time(self) -> list[Copy]:
        return [copy for copy in self._main if copy.stored.id not in self.late]

    def _late(
        self, stored: Iterable[KeyVaultVersion], copies: Iterable[Copy], history: Iterable[Copy]
    ) -> frozenset[str]:
        """Return the ids of copies whose write Azure executed late: after the copy was discarded, or after `history`
        had a copy with a higher number."""
        late = {one.tags.get(WRITE) for one in stored if FORGOTTEN in one.tags}
        first = {copy.write: copy for copy in sorted(copies, key=self._made, reverse=True)}
        for other in history:
            late.update(
                w for w, copy in first.items() if copy.number < other.number and self._made(other) < self._made(copy)
            )
        return frozenset(copy.stored.id for copy in copies if copy.write in late)

    def _made(self, copy: Copy) -> tuple[datetime, bool, int]:
        return copy.stored.created, copy.stored.id == self.found, copy.number

    @cached_property
    def _main(self) -> list[Copy]:
        return _copies(self.main)

    @cached_property
    def _staging(self) -> list[Copy]:
        return _copies(self.staging)

    @cached_property
    def _published(self) -> list[Version]:
        """Return each version once, in order of publication."""
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
        found = [copy.version for copy in self._staging if copy.stored.enabled and copy.stored.id not in late]
        return found[-1] if found and found[-1].id not in done else None


def version_tags(version: Version, number: int, write: str) -> dict[str, str]:
    """Return a version's tags. Raises UsageError if a text is too long for a tag."""
    times = {f"{PREFIX}{name}": getattr(version, name) for name in TIMES}
    tags = {ID: version.id, NUMBER: str(number), WRITE: write}
    tags |= {name: timestamp(time) for name, time in times.items() if time}
    if version.user is not None:
        tags[USER] = quote(version.user)
    for name, text in tags.items():
        if len(text) > LONGEST:
            raise UsageError(
                f"{f'user name {version.user}' if name == USER else f'version id {version.id}'}: too long",
                rule=f"user name and version id must each fit into a tag of {LONGEST} characters, in which special "
                "characters take three; nothing was changed",
                remedy="use a user name of at most 64 letters and digits, and a UUID as the version id",
                code="version-names-too-long",
            )
    return tags


def with_times(stored: KeyVaultVersion, **times: datetime | None) -> dict[str, str]:
    """Return a version's tags, updated by those `times` that are not None."""
    return _fitting({**stored.tags, **{f"{PREFIX}{name}": timestamp(time) for name, time in times.items() if time}})


def discarded(stored: KeyVaultVersion, now: datetime) -> dict[str, str]:
    """Return a version's tags after its discard. They lack its id, so secretops does not count it as its own if a
    person enables it."""
    stay = (NUMBER, WRITE, FORGETTING)
    left = {name: text for name, text in stored.tags.items() if name in stay or not name.startswith(PREFIX)}
    return _fitting({**left, FORGOTTEN: timestamp(now)})


def marked_forgetting(tags: Mapping[str, str], now: datetime) -> dict[str, str]:
    return _fitting({**tags, FORGETTING: timestamp(now)})


def with_entry(stored: KeyVaultVersion, entry: Entry) -> dict[str, str]:

    def written(outcome: str) -> str:
        return json.dumps([timestamp(entry.time), entry.version, entry.step, quote(outcome, safe=" "), entry.actor])

    return _fitting({**stored.tags, LAST: fit_outcome(entry, written, LONGEST)})


def latest(stored: Iterable[KeyVaultVersion]) -> tuple[KeyVaultVersion, ...]:
    """Return the versions that were created in the same second as the newest, sorted by number."""
    found = sorted(stored, key=lambda one: (one.created, _number(one)))
    return tuple(one for one in found if one.created == found[-1].created)


def readers_version(api: KeyVaultApi, name: str, newest: Sequence[KeyVaultVersion]) -> KeyVaultVersion | None:
    """Return the version that readers get. If `newest` has several, reads the secret's value to find it."""
    if len(newest) > 1:
        return api.value(name) or next((stored for stored in reversed(newest) if not stored.enabled), None)
    return newest[0] if newest else None


def _fitting(tags: Mapping[str, str]) -> dict[str, str]:
    ranked = sorted(tags, key=lambda name: (name == LAST, not name.startswith(PREFIX), name))
    return {name: tags[name] for name in ranked[:MOST]}


def _copies(stored: Iterable[KeyVaultVersion]) -> list[Copy]:
    found = ((one, version) for one in stored if (version := _version(one.tags)))
    copies = (Copy(one, _number(one), one.tags.get(WRITE, one.id), version) for one, version in found)
    return sorted(copies, key=lambda copy: (copy.number, copy.stored.created))


def _version(tags: Mapping[str, str]) -> Version | None:
    times = {name: _time(tags.get(f"{PREFIX}{name}")) for name in TIMES}
    created = times.pop("created")
    if ID not in tags or created is None:
        return None
    user = unquote(tags[USER]) if USER in tags else None
    return Version(id=tags[ID], stage=Stage.PENDING, user=user, created=created, **times)


def _entry(secret: str, text: str | None) -> Entry | None:
    try:
        time, version, step, outcome, *actor = json.loads(text or "")
        texts = {"outcome": unquote(outcome, errors="replace"), "actor": "".join(actor)}
        return Entry(time=datetime.fromisoformat(time), secret=secret, version=version, step=step, **texts)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _number(stored: KeyVaultVersion) -> int:
    text = stored.tags.get(NUMBER, "")
    return int(text) if text.isdecimal() and len(text) < _DIGITS else 0


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except (ValueError, OverflowError):
        return None
