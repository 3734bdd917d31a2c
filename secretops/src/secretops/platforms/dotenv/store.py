"""The dotenv store: a folder as the Secret Management Guide draws it, for one machine and one account.

    <root>/config/.env          what the server reads: Pulumi's public lines, the current values, a person's own lines
    <root>/certs/, secrets/     values that are delivered as files
    <root>/versions/<secret>/   every version kept, and state.json, which says which of them is current
    <root>/log/                 access records, the rotation journal

state.json is the truth; config/.env and the files are its delivery. `publish` moves the truth in one rename, then
delivers; a crash in between leaves readers on the previous version, which still works, and `settle` delivers. `forget`
renames it first: from then on no version is kept, what is left is on its way out, and any crash leaves that mark last.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from secretops import own_files
from secretops.access import AccessRecords
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import LeaseHeldError, SecretopsError, StoreError
from secretops.platforms.dotenv.delivery import NAMES, Content, Delivery
from secretops.platforms.dotenv.location import DotenvStoreLocation as Location
from secretops.printable import printable
from secretops.stores import env_file, files, store_errors
from secretops.values import Value

STATE = TypeAdapter(tuple[Version, ...])
VALUE = TypeAdapter(dict[str, str])
STATE_FILE, FORGETTING = "state.json", "forgetting.json"
VERSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}")


class DotenvVersionStore:
    """`VersionStore` over a folder. Records every access itself: the file system keeps no trail."""

    def __init__(self, location: Location, records: AccessRecords) -> None:
        self._records, self._delivery = records, Delivery(location)
        self._root = Path(location.root)

    def versions(self, secret: str) -> Versions:
        self._check_if_there()
        path = self._folder(secret) / STATE_FILE
        text = files.read(path)
        if text is None:
            if not self.is_lost(secret):
                return Versions()
            raise StoreError(
                f"{path} is gone, and values of published versions are in its folder",
                rule="this file says which of them is current",
                remedy=f"restore it from a backup; or {_way_out(secret)}",
            )
        try:
            return Versions(STATE.validate_json(text))
        except ValueError:
            raise StoreError(
                f"{path} does not read as a list of versions",
                rule="this file is written by secretops alone",
                remedy=f"restore it from a backup; or {_way_out(secret)}",
            ) from None

    def read(self, secret: str, version: str, *, purpose: str) -> Value:
        self._check()
        self._records.write("read", secret, version, purpose)
        return self._load(secret, version)

    def add(self, secret: str, version: Version, value: Value) -> None:
        for field, text in value.items():
            env_file.check_text(f"{secret}.{field}", text)
        with self._changing():
            self._end_forgetting(secret)
            versions = self.versions(secret)
            if any(kept.id == version.id for kept in versions.all):
                return
            self._records.write("write", secret, version.id, "keep as pending")
            with files.told(self._root):
                for folder in (self._root / "versions", self._folder(secret)):
                    files.make_folder(folder)
            files.write(self._value_path(secret, version.id), json.dumps(dict(value)).encode(), files.PRIVATE)
            self._save(secret, versions.with_pending(version))

    def publish(self, secret: str, version: str, now: datetime) -> None:
        with self._changing():
            versions = self.versions(secret)
            chosen = versions.known(secret, version)
            if chosen.stage is not Stage.CURRENT:
                self._refuse_edits(secret, versions, chosen)
                if (now_current := versions.current) and not now_current.published and self._has(secret, now_current):
                    self._deliver(secret, now)  # else what readers hold would be of no version that is kept
                    versions = self.versions(secret)
                self._records.write("write", secret, version, "publish")
                self._save(secret, versions.promoted(chosen))
            self._deliver(secret, now)

    def settle(self, secret: str, now: datetime) -> None:
        with self._changing():
            self._end_forgetting(secret)
            versions = self.versions(secret)
            current = versions.current
            if current is None:
                with contextlib.suppress(OSError):
                    self._folder(secret).rmdir()  # that a killed add or forget may have left empty
                return
            self._records.write("read", secret, current.id, "compare with what is delivered")
            self._refuse_edits(secret, versions)
            self._deliver(secret, now)
            value = self._load(secret, current.id)
            if lacking := [field for field in self._delivery.fields(secret) if field not in value]:
                raise store_errors.lacking(secret, lacking)

    def astray(self, secret: str) -> str | None:
        self._check()
        versions = self.versions(secret)
        current = versions.current
        if current is None:
            return None
        self._records.write("read", secret, current.id, "compare with what is delivered")
        if edited := self._delivery.edited(self._ours(secret, versions)):
            return edited[0]
        return None if self._delivery.is_there(self._content(secret, current)) else "not delivered: secretops tick"

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        with self._changing():
            versions = self.versions(secret)
            versions.known(secret, version)
            if retired:
                self._records.write("delete", secret, version, "retire")
            self._save(secret, versions.changed(version, verified=verified, retired=retired))

    def discard(self, secret: str, version: str) -> None:
        with self._changing():
            versions = self.versions(secret)
            kept = versions.without_pending(version)
            if kept != versions:
                self._records.write("delete", secret, version, "discard")
                self._save(secret, kept)

    def kept(self) -> tuple[str, ...]:
        self._check_if_there()
        folder = self._root / "versions"
        with files.told(folder):
            return tuple(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else ()

    def forget(self, secret: str) -> None:
        with self._changing():
            self._forget(secret)

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        self._check()
        path = self._root / ".lease"
        with files.told(path):
            file = own_files.open_own(path, os.O_RDWR | os.O_CREAT, files.PRIVATE)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LeaseHeldError(
                    f"{os.pread(file, 1000, 0).decode(errors='replace').strip() or 'another process'} holds the lease",
                    rule="one rotation at a time",
                    remedy="nothing to do: it ends with its process; try again then",
                ) from None
            with files.told(path):
                os.ftruncate(file, 0)
                os.pwrite(file, f"{holder} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode(), 0)
            yield
        finally:
            os.close(file)  # the kernel drops the lock, as it does when the process dies

    def confirm(self) -> None:
        """A lock of the kernel's is ours until we let it go."""

    def _forget(self, secret: str) -> None:
        self._records.write("delete", secret, "all", "purge")
        state, mark = self._folder(secret) / STATE_FILE, self._folder(secret) / FORGETTING
        with files.told(state):
            if state.exists():
                files.rename(state, mark)
        self._delivery.take_back(secret)
        with files.told(self._root):
            if self._folder(secret).is_dir():
                for path in sorted(self._folder(secret).iterdir(), key=mark.__eq__):  # the mark last
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                self._folder(secret).rmdir()

    def _end_forgetting(self, secret: str) -> None:
        """Go on with a `forget` that was cut short: what it had not yet taken back is of no version any more."""
        mark = self._folder(secret) / FORGETTING
        with files.told(mark):
            cut_short = mark.exists()
        if cut_short:
            self._forget(secret)

    def _folder(self, secret: str) -> Path:
        return self._root / "versions" / secret

    def _value_path(self, secret: str, version: str) -> Path:
        """Return the file of a version. Raises StoreError for an id that would lead out of the folder."""
        if not VERSION_ID.fullmatch(version):
            raise StoreError(
                f"{self._folder(secret) / STATE_FILE}: {printable(version)[:80]!r} is no version's id",
                rule="letters, digits, dashes and dots; this file is written by secretops alone",
                remedy="restore it from a backup; the values beside it are whole",
            )
        return self._folder(secret) / f"{version}.json"

    def _check(self) -> None:
        files.check_store(self._root)

    def _check_if_there(self) -> None:
        """Check the folder unless it is gone: then nothing is kept, which only a write has to refuse."""
        with files.told(self._root):
            there = self._root.exists()
        if there:
            self._check()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        self._check()
        with files.lock(self._root):
            yield

    def _load(self, secret: str, version: str) -> Value:
        path = self._value_path(secret, version)
        text = files.read(path)
        if text is None:
            raise store_errors.no_value(secret, version)
        try:
            return Value(VALUE.validate_json(text, strict=True))
        except ValueError:
            raise StoreError(
                f"{path} does not read as a value",
                rule="this file is written by secretops alone",
                remedy=f"restore it from a backup; or {_way_out(secret)}",
            ) from None

    def _save(self, secret: str, versions: Versions) -> None:
        """Write state.json, then remove the values that no version needs, delivered ones too, and what a killed write
        left behind. In this order: a crash leaves too much, never too little.
        """
        state = self._folder(secret) / STATE_FILE
        files.write(state, STATE.dump_json(versions.all, indent=1), files.PRIVATE)
        living = [version.id for version in versions.living]
        needed = {state, self._folder(secret) / NAMES} | {self._value_path(secret, version) for version in living}
        with files.told(self._folder(secret)):
            for path in self._folder(secret).iterdir():
                if path not in needed:
                    path.unlink()
        self._delivery.prune(secret, living)

    def _content(self, secret: str, version: Version) -> Content:
        return self._delivery.content(secret, version.id, self._load(secret, version.id))

    def _deliver(self, secret: str, now: datetime) -> None:
        """Bring readers to the current version, and note since when they are."""
        versions = self.versions(secret)
        current = versions.current
        if current is None:
            return
        content = self._content(secret, current)
        if not self._delivery.is_there(content):
            self._records.write("write", secret, current.id, "deliver")
        self._delivery.bring(secret, content)
        if current.published is None:
            self._save(secret, versions.changed(current.id, published=now))

    def _refuse_edits(self, secret: str, versions: Versions, chosen: Version | None = None) -> None:
        """Raise StoreError when what is delivered is no version of ours: somebody's work would be lost.

        An edit that says just what `chosen` says is no loss: that is how `secretops put` adopts it.
        """
        if edited := self._delivery.edited(self._ours(secret, versions, chosen)):
            raise store_errors.edited(secret, *edited)

    def is_lost(self, secret: str) -> bool:
        """Return whether `secret` has no state.json, although values of its published versions are there.

        A killed first `add` leaves a value that was never published, and a killed `forget` leaves its mark.
        """
        folder = self._folder(secret)
        with files.told(folder):
            if (folder / STATE_FILE).exists() or (folder / FORGETTING).exists() or not folder.is_dir():
                return False
            kept = {path.stem for path in folder.glob("*.json")}
        return not kept.isdisjoint(self.published(secret)) if kept else False

    def published(self, secret: str) -> list[str]:
        """Return the versions that the access records have as published, oldest first."""
        found = []
        try:
            lines = own_files.read_own(self._root / files.RECORDS).splitlines()
        except (OSError, SecretopsError):
            return []
        for line in lines:
            try:
                record = json.loads(line)
                if (record["secret"], record["operation"], record["purpose"]) == (secret, "write", "publish"):
                    found.append(str(record["version"]))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
        return found

    def ours(self, secret: str) -> list[Content]:
        """Return what readers may find of the versions kept, for `salvage`."""
        return self._ours(secret, self.versions(secret))

    def _ours(self, secret: str, versions: Versions, chosen: Version | None = None) -> list[Content]:
        """What readers may find without anybody having edited it. A version whose value is lost has none of it."""
        return [
            self._content(secret, version)
            for version in versions.living
            if (version is chosen or version.stage is not Stage.PENDING) and self._has(secret, version)
        ]

    def _has(self, secret: str, version: Version) -> bool:
        return self._value_path(secret, version.id).exists()


def _way_out(secret: str) -> str:
    return (
        f"set it aside with a new value: secretops rotate {secret} --now (put {secret} --now, if you supply it); "
        f"or give its values up: secretops purge {secret} --destroy"
    )
