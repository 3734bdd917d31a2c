"""Sets broken files of a dotenv store aside, so that an emergency command can go on without them.

`compromise` and `rotate --now` need neither a broken value nor an edited config/.env. Nothing is thrown away: each file
moves to <root>/aside, mode 600, until an operator removes it.
"""

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
from secretops.platforms.dotenv.delivery import NAMES, Delivery, Names, text_of
from secretops.platforms.dotenv.location import DotenvStoreLocation as Location
from secretops.platforms.dotenv.store import FORGETTING, STATE_FILE, VERSION_ID, DotenvVersionStore, SecretFolder
from secretops.stores import env_file, files
from secretops.stores.document_versions import STATE, VALUE
from secretops.values import Value

ASIDE = "aside"


class Salvage:
    """The broken files of one store. Each method returns a line for each file that it set aside or changed."""

    def __init__(self, location: Location, store: DotenvVersionStore) -> None:
        self._location, self._store = location, store
        self._root = Path(location.root)
        self._delivery = Delivery(location)

    def unblock(self) -> list[str]:
        """Make usable what every command checks: `files.FILES`, and the folders of secrets.

        Raises StoreError, also where others can write to the store's own folders.
        """
        if not self._root.is_dir():
            return []
        files.check_store(self._root, secrets=False)
        printed = [line for name in files.LOCKS for line in self._broken(self._root / name)]
        with files.lock(self._root):
            for name in files.FILES:
                printed += self._broken(self._root / name)
            versions = self._root / "versions"
            strays = [path for path in versions.glob("*") if path.is_symlink() or not path.is_dir()]
            return [*printed, *(self._move(path, "it is no folder of a secret") for path in strays)]

    def set_aside(self, secret: str, *, edits: bool) -> list[str]:
        """Set aside the files of `secret` that do not read. `edits`: also edited files, and a copy of an edited .env.

        Call it under the lease. A lost state is rebuilt from the values. Raises StoreError.
        """
        if not self._root.is_dir():
            return []
        with files.lock(self._root):
            printed = self._versions(secret)
            return [*printed, *self._delivered(secret)] if edits else printed

    def was_published(self, secret: str) -> bool:
        """Return whether the access records have a version of `secret` as published."""
        return bool(SecretFolder(self._root, secret).published())

    def delivered_users(self, secret: str) -> set[str]:
        """Return the user that config/.env names for `secret`, if it reads."""
        name = self._location.variables.get(secret, {}).get("username", "")
        with suppress(SecretopsError):
            user = env_file.parse(text_of(self._delivery.env) or "").get(name)
            return {user} if user else set()
        return set()

    def rebuilt(self, secret: str) -> Versions:
        """Return the versions whose values read, in place of a state that does not. Changes nothing.

        The current one is the last that the access records have as published, else the newest.
        """
        values = {}
        for path in self._values(secret):
            with suppress(OSError, ValueError, SecretopsError):
                values[path.stem] = Value(VALUE.validate_json(owned_files.read_owned(path), strict=True))
        ids = sorted(values)
        if not ids:
            return Versions()
        published = SecretFolder(self._root, secret).published()
        chosen = next((one for one in reversed(published) if one in values), ids[-1])
        stages = {chosen: Stage.CURRENT}
        if older := [one for one in ids if one < chosen]:
            stages[older[-1]] = Stage.PREVIOUS
        if newer := [one for one in ids if one > chosen]:
            stages[newer[-1]] = Stage.PENDING
        return Versions(
            tuple(
                Version(id=one, stage=stages[one], created=_created(one), user=values[one].get("username"))
                for one in ids
                if one in stages
            )
        )

    def _versions(self, secret: str) -> list[str]:
        folder, printed = SecretFolder(self._root, secret), list[str]()
        if not folder.path.is_dir():
            return []
        for path in self._values(secret):
            printed += self._broken(path, lambda text: VALUE.validate_json(text, strict=True))
        printed += self._broken(folder.path / NAMES, lambda text: text and Names.model_validate_json(text))
        is_lost = folder.is_lost()
        lost_state = [f"{folder.state}: it is gone"] if is_lost else self._broken(folder.state, _check_state)
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
        others = {STATE_FILE, FORGETTING, NAMES}
        return sorted(
            path for path in folder.glob("*.json") if path.name not in others and VERSION_ID.fullmatch(path.stem)
        )

    def _delivered(self, secret: str) -> list[str]:
        """Take back edits of a secret's delivery. Drop unreadable lines of config/.env and restore its public ones.

        A file that is too large for a server loses all lines that are not the store's.
        """
        printed = list[str]()
        before = text_of(self._delivery.env)
        text = _readable(before or "")
        if len(text.encode()) > env_file.MOST_BYTES:
            text = ""
        folder, names = SecretFolder(self._root, secret), self._location.files.get(secret, {}).values()
        ours = self._store.ours(folder)
        delivered = [self._root / name.format(version=one.id) for one in folder.versions.living for name in names]
        for path in dict.fromkeys(delivered):
            printed += self._broken(path)
        variables, paths = self._delivery.edits(ours, self._delivery.variables(secret), text, delivered)
        text = env_file.update(text, dict.fromkeys(variables))
        public = self._delivery.public_drift(text)
        text = env_file.update(text or env_file.HEADER, public)
        if before is not None and text != before:
            kept = self._place(self._delivery.env)
            files.write(kept, before.encode(errors="surrogateescape"), files.PRIVATE)
            changed = ", ".join([*variables, *public]) or "lines that do not read"
            printed.append(f"{self._delivery.env}: {changed}: set right; a copy of it as it was is {kept}")
        if text != before:
            files.make_folder(self._delivery.env.parent)
            files.write(self._delivery.env, text.encode(), files.PRIVATE)
        return [*printed, *(self._move(path, "it was edited") for path in paths)]

    def _broken(self, path: Path, parse: Callable[[bytes], object] = len) -> list[str]:
        """Set `path` aside unless it is a regular file of this account that `parse` takes. A mode that keeps its owner
        out is changed.
        """
        if not os.path.lexists(path):
            return []
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return [self._move(path, "it is no regular file")]
        if found.st_uid != os.geteuid():
            return [self._move(path, f"it belongs to uid {found.st_uid}")]
        printed = []
        if not os.access(path, os.R_OK | os.W_OK):
            with files.os_errors(path):
                path.chmod(files.PRIVATE)
            printed = [f"{path}: made readable again"]
        try:
            parse(path.read_bytes())
        except (ValueError, OSError):
            return [self._move(path, "it does not read")]
        return printed

    def _move(self, path: Path, why: str) -> str:
        new = self._place(path)
        with files.os_errors(path), suppress(PermissionError):  # another account's
            if not path.is_symlink():
                path.chmod(files.FOLDER if path.is_dir() else files.PRIVATE)
        files.rename(path, new)
        return f"{path}: {why}; set aside as {new}"

    def _place(self, path: Path) -> Path:
        files.make_folder(self._root / ASIDE)
        stem = str(path.relative_to(self._root)).replace("/", "_")
        return self._root / ASIDE / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{stem}"


def _created(version: str) -> datetime:
    """Return the time in a version's id, else the current one."""
    try:
        return datetime.strptime(version.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return datetime.now(UTC)


def _check_state(text: bytes) -> None:
    """Raise ValueError unless `text` is a list of versions whose ids are names of files."""
    if not all(VERSION_ID.fullmatch(one.id) for one in STATE.validate_json(text)):
        raise ValueError("an id that leads elsewhere")


def _readable(text: str) -> str:
    """Return the lines of a .env file that parse and are UTF-8 without NUL."""
    kept = list[str]()
    for binding in parse_stream(StringIO(text)):
        with suppress(SecretopsError):
            env_file.check_text("", binding.original.string)
            kept += [] if binding.error else [binding.original.string]
    return "".join(kept)
