"""The dotenv store: a folder as in the server's Secret Management Guide, for one machine and one account.

    <root>/config/.env          what the server reads: public lines, current values, an operator's own lines
    <root>/certs/, secrets/     values that are delivered as files
    <root>/versions/<secret>/   the value of each version, and state.json with the stages
    <root>/log/                 access records, the rotation journal

state.json records which version is current; config/.env and the files deliver it. `forget` first renames state.json,
and removes the renamed file last.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from secretops import owned_files
from secretops.access import AccessRecords
from secretops.engine.journal import Entry, read_entry
from secretops.engine.state import Version, Versions
from secretops.errors import LeaseHeldError, NotFoundError, SecretopsError, StoreError
from secretops.platforms.dotenv.delivery import DELIVERED, Content, Delivery
from secretops.platforms.dotenv.location import DotenvStoreLocation as Location
from secretops.printable import printable
from secretops.stores import files, store_errors
from secretops.stores.document_versions import STATE, VALUE, Change, DocumentVersionStore, deliverable
from secretops.values import Value

STATE_FILE, FORGETTING = "state.json", "forgetting.json"
VERSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}")


class SecretFolder:
    """A secret's folder, with its state.json and its values. Caches what it reads."""

    def __init__(self, root: Path, secret: str) -> None:
        self._records, self.secret = root / files.RECORDS, secret
        self.path = root / "versions" / secret
        self.state, self.mark = self.path / STATE_FILE, self.path / FORGETTING
        # Values by version id.
        self._values: dict[str, Value] = {}
        self.contents: dict[str, Content] = {}

    @functools.cached_property
    def versions(self) -> Versions:
        text = files.read(self.state)
        if text is None:
            if not self.is_lost():
                return Versions()
            raise StoreError(
                f"{self.state} is missing, but its folder has values of published versions",
                rule="this file must exist: it records which version is current",
                remedy=self._remedy,
                code="dotenv-state-missing",
            )
        try:
            return Versions(STATE.validate_json(text))
        except ValueError:
            raise self._invalid(self.state, "list of versions") from None

    def value(self, version: str) -> Value:
        if version not in self._values:
            path = self.value_path(version)
            text = files.read(path)
            if text is None:
                raise store_errors.no_value(self.secret, version)
            try:
                self._values[version] = Value(VALUE.validate_json(text, strict=True))
            except ValueError:
                raise self._invalid(path, "value") from None
        return self._values[version]

    def value_path(self, version: str) -> Path:
        if not VERSION_ID.fullmatch(version):
            entry = printable(version)[:80]
            raise StoreError(
                f"{self.state}: {entry!r} is not a valid version id",
                rule="an id may have only letters, digits, dashes and dots; only secretops may write this file",
                remedy=f"restore {self.state} from a backup; the values in its folder are intact",
                code="dotenv-version-invalid",
            )
        return self.path / f"{version}.json"

    def write(self, versions: Versions) -> None:
        files.write(self.state, STATE.dump_json(versions.all, indent=1), files.PRIVATE)
        self.versions = versions

    def sweep(self) -> None:
        needed = {self.state, self.path / DELIVERED, *[self.value_path(version.id) for version in self.versions.living]}
        try:
            for path in self.path.iterdir():
                if path not in needed:
                    path.unlink()
        except OSError as error:
            raise files.os_error(self.path, error) from error

    def is_lost(self) -> bool:
        """Return whether state.json is missing although there are values of published versions."""
        with files.os_errors(self.path):
            if self.state.exists() or self.mark.exists() or not self.path.is_dir():
                return False
            present = {path.stem for path in self.path.glob("*.json")}
        return not present.isdisjoint(self.published()) if present else False

    def published(self) -> list[str]:
        found, lines = list[str](), list[bytes]()
        with contextlib.suppress(OSError, SecretopsError):
            lines = owned_files.read_owned(self._records).splitlines()
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                record = json.loads(line)
                if (record["secret"], record["operation"], record["purpose"]) == (self.secret, "write", "publish"):
                    found.append(str(record["version"]))
        return found

    @property
    def _remedy(self) -> str:
        return (
            f"restore the file from a backup; or replace the value: secretops rotate {self.secret} --now "
            f"(if an operator supplies the value: secretops put {self.secret} --now); "
            f"or delete all values: secretops purge {self.secret} --destroy"
        )

    def _invalid(self, path: Path, what: str) -> StoreError:
        rule = "only secretops may write this file"
        return StoreError(f"{path} is not a valid {what}", rule=rule, remedy=self._remedy, code="dotenv-file-invalid")


class DotenvVersionStore(DocumentVersionStore[SecretFolder]):
    """The version store of a folder, which writes its own access records."""

    def __init__(self, location: Location, records: AccessRecords) -> None:
        super().__init__(records)
        self._delivery, self._root = Delivery(location), Path(location.root)
        # Secret -> its folder as read under the lock; None without the lock.
        self._locked: dict[str, SecretFolder] | None = None

    def secret_names(self) -> tuple[str, ...]:
        folder = self._root / "versions"
        with files.os_errors(folder):
            if self._root.exists():
                files.check_store(self._root)
            return tuple(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else ()

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        files.check_store(self._root)
        path = self._root / ".lease"
        with files.os_errors(path):
            file = owned_files.open_owned(path, os.O_RDWR | os.O_CREAT, files.PRIVATE)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LeaseHeldError(
                    f"{os.pread(file, 1000, 0).decode(errors='replace').strip() or 'another process'} holds the lease",
                    rule="only the process that holds the stack's lease may rotate",
                    remedy="wait until that process ends, then try again",
                    code="lease-held",
                ) from None
            with files.os_errors(path):
                os.ftruncate(file, 0)
                os.pwrite(file, f"{holder} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode(), 0)
            yield
        finally:
            os.close(file)  # the kernel releases the lock, also when the process dies

    def known(self, folder: SecretFolder, chosen: Version | None = None) -> list[Content]:
        """Return the contents that secretops may have delivered. Any other delivered content is an edit."""
        found = []
        for version in deliverable(folder.versions, chosen):
            with contextlib.suppress(NotFoundError):
                found.append(self._content(folder, version))
        return found

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        files.check_store(self._root)
        with files.lock(self._root):
            self._locked = {}
            try:
                yield
            finally:
                self._locked = None

    def _read(self, secret: str) -> SecretFolder:
        if self._locked is not None:
            if secret not in self._locked:
                self._locked[secret] = SecretFolder(self._root, secret)
            return self._locked[secret]
        if self._root.exists():  # without a root there are no versions, which is an error only for a write
            files.check_store(self._root)
        return SecretFolder(self._root, secret)

    def _change(self, secret: str, decide: Change) -> SecretFolder:
        folder = self._read(secret)
        versions = decide(folder.versions)
        if versions != folder.versions:
            folder.write(versions)
        return folder

    def _store_pending(self, secret: str, version: Version, value: Value) -> SecretFolder:
        folder = self._read(secret)
        for path in (folder.path.parent, folder.path):
            files.make_folder(path)
        files.write(folder.value_path(version.id), json.dumps(value.as_dict()).encode(), files.PRIVATE)
        return self._change(secret, lambda versions: versions.with_pending(version))

    def _value(self, secret: str, folder: SecretFolder, version: str) -> Value:  # noqa: ARG002
        return folder.value(version)

    def _content(self, folder: SecretFolder, version: Version) -> Content:
        if version.id not in folder.contents:
            value = folder.value(version.id)
            folder.contents[version.id] = self._delivery.content(folder.secret, version.id, value)
        return folder.contents[version.id]

    def _check_delivery(self, secret: str, folder: SecretFolder, chosen: Version | None) -> None:
        if edited := self._delivery.edited(self.known(folder, chosen)):
            raise store_errors.edited(secret, *edited)

    def _compare(self, secret: str, folder: SecretFolder, current: Version) -> None:
        self._records.write("read", secret, current.id, "compare with what is delivered")
        self._check_delivery(secret, folder, None)

    def _write_delivery(
        self, secret: str, folder: SecretFolder, current: Version, _chosen: Version | None, _now: datetime
    ) -> bool:
        self._delivery.deliver(
            secret, self._content(folder, current), lambda: self._records.write("write", secret, current.id, "deliver")
        )
        return True

    def _drift(self, secret: str, folder: SecretFolder, current: Version) -> str | None:
        self._records.write("read", secret, current.id, "compare with what is delivered")
        if edited := self._delivery.edited(self.known(folder)):
            return store_errors.edited(secret, *edited).note
        return None if self._delivery.is_delivered(self._content(folder, current)) else store_errors.NOT_DELIVERED

    def _missing_fields(self, secret: str, folder: SecretFolder, current: Version) -> Iterator[str]:
        value = folder.value(current.id)
        yield from (field for field in self._delivery.fields(secret) if field not in value)

    def _sweep(self, secret: str, folder: SecretFolder) -> None:
        if folder.state.exists():
            folder.sweep()
            self._delivery.prune(secret, folder.versions)
        else:
            with contextlib.suppress(OSError):
                folder.path.rmdir()  # a killed add or forget leaves it empty

    def _forget(self, secret: str) -> None:
        self._records.write("delete", secret, "all", "purge")
        folder = SecretFolder(self._root, secret)
        with files.os_errors(folder.state):
            if folder.state.exists():
                files.rename(folder.state, folder.mark)
        self._delivery.withdraw(secret)
        with files.os_errors(self._root):
            if folder.path.is_dir():
                for path in sorted(folder.path.iterdir(), key=folder.mark.__eq__):  # the mark last
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                folder.path.rmdir()

    def _finish_forgetting(self, secret: str, folder: SecretFolder) -> SecretFolder:
        try:
            if not folder.mark.exists():
                return folder
        except OSError as error:
            raise files.os_error(folder.mark, error) from error
        self._forget(secret)
        if self._locked:
            del self._locked[secret]
        return self._read(secret)


class JournalFile:
    """The rotation journal: an append-only file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._end = 0
        self._last: dict[str, Entry] = {}

    def write(self, entry: Entry) -> None:
        time = entry.time.astimezone(UTC).isoformat(timespec="milliseconds")
        try:
            owned_files.append_line(self._path, json.dumps({**asdict(entry), "time": time}))
        except OSError as error:
            raise self._failed(
                error, "let this account write to the file, or free disk space; the next tick tries again"
            ) from error

    def last(self, secret: str) -> Entry | None:
        try:
            with open(owned_files.open_owned(self._path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - a descriptor
                self._read_on(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed(error, f"run the command as the account that owns {self._path.parent}") from error
        return self._last.get(secret)

    def _failed(self, error: OSError, remedy: str) -> StoreError:
        rule = "this account must be able to read and write the journal, which records each step of a rotation"
        return StoreError(f"{self._path}: {error.strerror}", rule=rule, remedy=remedy, code="journal-inaccessible")

    def _read_on(self, file: BinaryIO) -> None:
        found = os.fstat(file.fileno())
        if self._file != (found.st_dev, found.st_ino) or found.st_size < self._end:
            self._file, self._end, self._last = (found.st_dev, found.st_ino), 0, {}
        file.seek(self._end)
        for line in file:
            if not line.endswith(b"\n"):
                break
            self._end += len(line)
            with contextlib.suppress(ValueError, RecursionError):  # a full disk truncates a line
                entry = read_entry(line)
                self._last[entry.secret] = entry
