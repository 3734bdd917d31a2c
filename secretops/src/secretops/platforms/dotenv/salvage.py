"""Move broken files of a dotenv store to the folder `aside`, so that the command `compromise` or the option `--now` can
continue."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from secretops import owned_files
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import SecretopsError
from secretops.platforms.dotenv.delivery import DELIVERED, DeliveredNames, Delivery, read_text
from secretops.platforms.dotenv.location import DotenvStoreLocation as Location
from secretops.platforms.dotenv.store import FORGETTING, STATE_FILE, VERSION_ID, DotenvVersionStore, SecretFolder
from secretops.stores import env_file, files
from secretops.stores.document_versions import STATE, VALUE
from secretops.values import Value

ASIDE = "aside"


class Salvage:
    """Sets broken files aside. Methods return a message for each changed file."""

    def __init__(self, location: Location, store: DotenvVersionStore) -> None:
        self._location, self._store = location, store
        self._root = location.folder
        self._delivery = Delivery(location)

    def unblock(self) -> list[str]:
        """Set aside broken files of `files.FILES`, and anything in `versions` that is not a folder. Raises
        StoreError."""
        if not self._root.is_dir():
            return []
        files.check_store(self._root, secrets=False)
        printed = [line for name in files.LOCKS for line in self._broken(self._root / name)]
        with files.lock(self._root):
            for name in files.FILES:
                printed += self._broken(self._root / name)
            versions = self._root / "versions"
            strays = [path for path in versions.glob("*") if path.is_symlink() or not path.is_dir()]
            return [*printed, *(self._move(path, "not a secret's folder") for path in strays)]

    def set_aside(self, secret: str, *, edits: bool) -> list[str]:
        """Set aside a secret's invalid files, and if `edits` also edited ones. Rebuild its state.json if it is lost.
        Requires the lease."""
        if not self._root.is_dir():
            return []
        with files.lock(self._root):
            printed = self._versions(secret)
            return [*printed, *self._delivered(secret)] if edits else printed

    def was_published(self, secret: str) -> bool:
        return bool(SecretFolder(self._root, secret).published())

    def delivered_users(self, secret: str) -> set[str]:
        name = self._location.variables.get(secret, {}).get("username", "")
        with suppress(SecretopsError):
            user = env_file.parse(read_text(self._delivery.env) or "").get(name)
            return {user} if user else set()
        return set()

    def rebuilt(self, secret: str) -> Versions:
        """Return the versions whose values are valid. The last published of these is current, or else the newest."""
        values = {}
        for path in self._values(secret):
            with suppress(OSError, ValueError, SecretopsError):
                values[path.stem] = Value(VALUE.validate_json(owned_files.read_owned(path), strict=True))
        ids = sorted(values)
        if not ids:
            return Versions()
        published = SecretFolder(self._root, secret).published()
        chosen = next((each for each in reversed(published) if each in values), ids[-1])
        stages = {chosen: Stage.CURRENT}
        if older := [each for each in ids if each < chosen]:
            stages[older[-1]] = Stage.PREVIOUS
        if newer := [each for each in ids if each > chosen]:
            stages[newer[-1]] = Stage.PENDING
        return Versions(
            tuple(
                Version(id=each, stage=stages[each], created=_created(each), user=values[each].get("username"))
                for each in ids
                if each in stages
            )
        )

    def _versions(self, secret: str) -> list[str]:
        folder, printed = SecretFolder(self._root, secret), list[str]()
        if not folder.path.is_dir():
            return []
        for path in self._values(secret):
            printed += self._broken(path, lambda text: VALUE.validate_json(text, strict=True))
        printed += self._broken(folder.path / DELIVERED, lambda text: text and DeliveredNames.model_validate_json(text))
        is_lost = folder.is_lost()
        lost_state = [f"{folder.state}: missing"] if is_lost else self._broken(folder.state, _check_state)
        printed += [f"{line}; rebuilt from the values" for line in lost_state]
        versions = self.rebuilt(secret) if lost_state else folder.versions
        pending = versions.pending
        if pending and not folder.value_path(pending.id).exists():
            versions = versions.without_pending(pending.id)
        if lost_state or pending != versions.pending:
            folder.write(versions)
        return printed

    def _values(self, secret: str) -> list[Path]:
        folder = self._root / "versions" / secret
        others = {STATE_FILE, FORGETTING, DELIVERED}
        return sorted(
            path for path in folder.glob("*.json") if path.name not in others and VERSION_ID.fullmatch(path.stem)
        )

    def _delivered(self, secret: str) -> list[str]:
        """Undo edits of delivered values, and set copies of edited files aside. If config/.env is too large for the
        server, its other lines are removed."""
        printed = list[str]()
        before = read_text(self._delivery.env)
        text = _readable(before or "")
        if len(text.encode()) > env_file.MOST_BYTES:
            text = ""
        folder, names = SecretFolder(self._root, secret), self._location.files.get(secret, {}).values()
        known = self._store.known(folder)
        delivered = [self._root / name.format(version=each.id) for each in folder.versions.living for name in names]
        for path in dict.fromkeys(delivered):
            printed += self._broken(path)
        variables, paths = self._delivery.edits(known, self._delivery.variables(secret), text, delivered)
        text = env_file.update(text, dict.fromkeys(variables))
        public = self._delivery.public_drift(text)
        text = env_file.update(text or env_file.HEADER, public)
        if before is not None and text != before:
            copy = self._new_path(self._delivery.env)
            files.write(copy, before.encode(errors="surrogateescape"), files.PRIVATE)
            changed = ", ".join([*variables, *public]) or "invalid lines"
            printed.append(f"{self._delivery.env}: restored {changed}; a copy of the former file is {copy}")
        if text != before:
            files.make_folder(self._delivery.env.parent)
            files.write(self._delivery.env, text.encode(), files.PRIVATE)
        return [*printed, *(self._move(path, "edited") for path in paths)]

    def _broken(self, path: Path, parse: Callable[[bytes], object] = len) -> list[str]:
        if not os.path.lexists(path):
            return []
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return [self._move(path, "not a regular file")]
        if found.st_uid != os.geteuid():
            return [self._move(path, f"owned by uid {found.st_uid}")]
        printed = []
        if not os.access(path, os.R_OK | os.W_OK):
            with files.os_errors(path):
                path.chmod(files.PRIVATE)
            printed = [f"{path}: made readable again"]
        try:
            parse(path.read_bytes())
        except (ValueError, OSError):
            return [self._move(path, "invalid")]
        return printed

    def _move(self, path: Path, why: str) -> str:
        new = self._new_path(path)
        with files.os_errors(path), suppress(PermissionError):  # the path may belong to another account
            if not path.is_symlink():
                path.chmod(files.FOLDER if path.is_dir() else files.PRIVATE)
        files.rename(path, new)
        return f"{path}: {why}; set aside as {new}"

    def _new_path(self, path: Path) -> Path:
        files.make_folder(self._root / ASIDE)
        stem = str(path.relative_to(self._root)).replace("/", "_")
        return self._root / ASIDE / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{stem}"


def _created(version: str) -> datetime:
    try:
        return datetime.strptime(version.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return datetime.now(UTC)


def _check_state(text: bytes) -> None:
    if not all(VERSION_ID.fullmatch(version.id) for version in STATE.validate_json(text)):
        raise ValueError("invalid version id")


def _readable(text: str) -> str:
    lines = list[str]()
    for binding in parse_stream(StringIO(text)):
        with suppress(SecretopsError):
            env_file.check_text(".env", binding.original.string)
            lines += [] if binding.error else [binding.original.string]
    return "".join(lines)
