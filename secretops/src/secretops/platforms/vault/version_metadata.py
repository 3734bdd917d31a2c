"""The custom_metadata of a path, with the metadata of a secret's versions.

    secretops-version-<id>   one version, and the numbers of its documents
    secretops-last           the newest entry of the journal
    secretops-path-<secret>  at the lease's path: the paths of that secret

A path has at most 64 keys of 128 bytes, with texts of 512: https://openbao.org/api-docs/secret/kv/kv-v2/

A version is recorded before its document, with the number that the document will get (`planned`). After a crash between
both, the document with this number has the version's id.
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
from secretops.platforms.vault.api import EMPTY, VERSION, Api, Document, Metadata
from secretops.stores.version_facts import TIMES, fit_outcome, staged

VERSION_KEY, JOURNAL_KEY, INDEX_KEY = "secretops-version-", "secretops-last", "secretops-path-"
MAX_KEY_BYTES, MAX_TEXT_BYTES = 128, 512
# Bytes to reserve for a time that is not recorded yet, with its name, and for a document's number.
_MAX_TIME_BYTES = 45
# Errors that the parser raises for a text of another program.
_INVALID = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, kw_only=True)
class VersionRecord:
    version: Version
    # Numbers of its documents, the newest last. Older ones must be destroyed.
    numbers: tuple[int, ...] = ()
    # Number of its next document, which may not be written yet.
    planned: int | None = None
    # Numbers of another writer's documents with the same value, destroyed together with the older ones.
    copies: tuple[int, ...] = ()

    @property
    def newest(self) -> int:
        return self.numbers[-1] if self.numbers else 0

    @property
    def older(self) -> tuple[int, ...]:
        return (*self.numbers[:-1], *(number for number in self.copies if number < self.newest))

    def entry(self) -> tuple[str, str]:
        """Return the record as a key and a text of custom_metadata. Raises UsageError if it is too long."""
        version = self.version
        facts: dict[str, Any] = {name: _format(time) for name in TIMES if (time := getattr(version, name)) is not None}
        others = {"user": version.user, "numbers": self.numbers, "planned": self.planned, "copies": self.copies}
        facts |= {name: fact for name, fact in others.items() if fact}
        key, text = f"{VERSION_KEY}{version.id}", json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
        room = _MAX_TIME_BYTES * sum(getattr(version, name) is None for name in TIMES)
        if len(key.encode()) > MAX_KEY_BYTES or len(text.encode()) + room > MAX_TEXT_BYTES:
            raise UsageError(
                f"version {version.id} of user {version.user}: these names are too long",
                rule="version id and user name must fit into custom_metadata, whose keys have at most "
                f"{MAX_KEY_BYTES} bytes, and texts {MAX_TEXT_BYTES}",
                remedy="use a user name of at most 60 characters, and a UUID as the version id",
                code="version-names-too-long",
            )
        return key, text


def version_records(metadata: Metadata) -> dict[str, VersionRecord]:
    found = {}
    for key, text in metadata.custom.items():
        if key.startswith(VERSION_KEY):
            with contextlib.suppress(*_INVALID):
                facts, name = json.loads(text), key.removeprefix(VERSION_KEY)
                times = {name: _parse(facts[name]) for name in TIMES if name in facts}
                found[name] = VersionRecord(
                    version=Version(id=name, stage=Stage.PENDING, user=facts.get("user"), **times),
                    numbers=tuple(int(number) for number in facts.get("numbers", ())),
                    planned=int(facts["planned"]) if "planned" in facts else None,
                    copies=tuple(int(number) for number in facts.get("copies", ())),
                )
    return found


@dataclass(frozen=True, repr=False)
class State:
    """The state of one secret, from its two paths. Its repr shows no value."""

    main: Metadata
    pending_metadata: Metadata
    # Id -> version with a published or planned document.
    published: Mapping[str, VersionRecord]
    pending: VersionRecord | None = None
    # An operator made an older version current again, and the time is not recorded yet.
    rolled_back: bool = False
    # Newest document, if another writer wrote it.
    foreign: Document | None = None

    @classmethod
    def of(cls, api: Api, path: str, pending_path: str) -> State:
        """Return the state of a secret. Reads its newest document only if the metadata does not identify the writer."""
        main = api.metadata(path) or EMPTY
        published = {name: _resolve_plan(api, path, main, each) for name, each in version_records(main).items()}
        state = cls(main, api.metadata(pending_path) or EMPTY, published)
        state = dataclasses.replace(state, pending=state._find_pending(api, pending_path))
        newest = main.documents.get(main.current)
        if newest and newest.is_readable and not any(main.current in each.numbers for each in published.values()):
            return state._with_foreign(api, path)
        return state

    @property
    def versions(self) -> Versions:
        ordered = sorted((each for each in self.published.values() if each.numbers), key=lambda each: each.newest)
        current = next((each for each in reversed(ordered) if not each.version.retired), None)
        previous = next((each for each in reversed(ordered) if each is not current), None)
        return staged(*(each.version if each else None for each in (previous, current, self.pending)))

    @property
    def is_found(self) -> bool:
        return self._is_current_newest and self.main.documents[self.main.current].is_readable

    @property
    def may_still_arrive(self) -> bool:
        """Return whether a process that lost the lease may still write a planned document."""
        return any(each.planned for each in self.published.values())

    @property
    def is_removed(self) -> bool:
        return self._is_current_newest and not self.main.documents[self.main.current].is_readable

    @property
    def _is_current_newest(self) -> bool:
        newest, current = self.main.current, self.versions.current
        return newest in self.main.documents and current is not None and newest in self.published[current.id].numbers

    def surplus(self) -> list[int]:
        living = {version.id for version in self.versions.living}
        numbers = {number for each in self.published.values() for number in each.older}
        numbers |= {each.newest for name, each in self.published.items() if name not in living}
        documents = self.main.documents
        return sorted(number for number in numbers if number in documents and not documents[number].destroyed)

    def changes(self) -> dict[str, str | None]:
        """Return the texts to write to custom_metadata, by key; None removes a key."""
        staged_ids = {version.id for version in self.versions.all} - {self.pending.version.id if self.pending else None}
        wanted: dict[str, str | None] = {}
        for name, each in self.published.items():
            if name in staged_ids:
                key, text = dataclasses.replace(each, numbers=each.numbers[-1:], copies=()).entry()
                wanted[key] = text
            elif not each.planned:
                wanted[f"{VERSION_KEY}{name}"] = None
        return {key: text for key, text in wanted.items() if self.main.custom.get(key) != text}

    def _find_pending(self, api: Api, path: str) -> VersionRecord | None:
        current = self.pending_metadata.current
        newest = self.pending_metadata.documents.get(current)
        if newest is None or not newest.is_readable:
            return None
        claims = {
            name: each for name, each in version_records(self.pending_metadata).items() if current in each.numbers
        }
        if len(claims) > 1:
            found = api.read(path, current)
            claims = {name: each for name, each in claims.items() if found and found.data.get(VERSION) == name}
        unpublished = (name for name in claims if name not in self.published or not self.published[name].numbers)
        return next((claims[name] for name in unpublished), None)

    def _with_foreign(self, api: Api, path: str) -> State:
        found = api.read(path, self.main.current)
        if found is None:
            return self
        record = self.published.get(str(found.data.get(VERSION)))
        if record and record.numbers and not record.version.retired:
            ours = api.read(path, record.newest)
            if ours and dict(ours.data) == dict(found.data):
                version = record.version.at(published=None)
                again = dataclasses.replace(record, numbers=(*record.numbers, found.number), version=version)
                return dataclasses.replace(self, published={**self.published, version.id: again}, rolled_back=True)
        return dataclasses.replace(self, foreign=found)


def _resolve_plan(api: Api, path: str, main: Metadata, record: VersionRecord) -> VersionRecord:
    """Return `record`, with its `planned` number moved to `numbers` if that document exists."""
    if record.planned is None or record.planned > main.current:
        return record
    info = main.documents.get(record.planned)
    found = api.read(path, record.planned) if info and info.is_readable else None
    arrived = found is not None and found.data.get(VERSION) == record.version.id
    numbers = (*record.numbers, record.planned) if arrived else record.numbers
    return dataclasses.replace(record, planned=None, numbers=numbers)


def journal_text(entry: Entry) -> str:
    facts = {"time": _format(entry.time), "version": entry.version, "step": entry.step, "actor": entry.actor}

    def text_of(outcome: str) -> str:
        return json.dumps({**facts, "outcome": outcome}, ensure_ascii=False, separators=(",", ":"))

    return fit_outcome(entry, text_of, MAX_TEXT_BYTES)


def last_entry(secret: str, metadata: Metadata) -> Entry | None:
    with contextlib.suppress(*_INVALID):
        facts = json.loads(metadata.custom[JOURNAL_KEY])
        texts = {name: str(facts[name]) for name in ("version", "step", "outcome")}
        return Entry(time=_parse(facts["time"]), secret=secret, actor=str(facts.get("actor", "")), **texts)
    return None


def _format(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class SecretIndex:
    """Records the paths of all secrets, also of removed ones, since no policy permits listing a mount."""

    def __init__(self, api: Api, lease: str) -> None:
        self._api, self._lease = api, lease

    def paths(self) -> dict[str, tuple[str, str]]:
        """Return the path and the pending path of each secret."""
        found = {}
        for key, text in (self._api.metadata(self._lease) or EMPTY).custom.items():
            with contextlib.suppress(*_INVALID):
                if key.startswith(INDEX_KEY):
                    path, pending_path = json.loads(text)
                    found[key.removeprefix(INDEX_KEY)] = (str(path), str(pending_path))
        return found

    def add(self, secret: str, paths: tuple[str, str]) -> None:
        """Add a secret's paths. Call it before the secret's first write."""
        if self.paths().get(secret) != paths:
            self._api.update_metadata(self._lease, {f"{INDEX_KEY}{secret}": json.dumps(paths)})

    def remove(self, secret: str) -> None:
        if secret in self.paths():
            self._api.update_metadata(self._lease, {f"{INDEX_KEY}{secret}": None})
