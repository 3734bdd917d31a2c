"""The dotenv store's folder: whose it is, who else could read it, and whether its records are kept."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from secretops import own_files
from secretops.check import Check, Repair, Result, attention, ok, unknown
from secretops.engine.journal import read_entry
from secretops.errors import StoreError
from secretops.platform import PUBLIC_LINES
from secretops.platforms.dotenv import public_lines
from secretops.platforms.dotenv.location import DotenvStoreLocation
from secretops.platforms.dotenv.salvage import ASIDE
from secretops.stores import files
from secretops.trails.own_records import OwnRecords

MOST_NAMED = 5
"""How many of the paths that are wrong are named."""


def reach(root: Path) -> None:
    """Raise StoreError where the folder is gone: then nothing can be said of what was in it."""
    with files.told(root):
        there = root.is_dir()
    if not there:
        raise StoreError(
            f"{root} is not there",
            rule="every value is in that folder; a server that runs goes on with what it has",
            remedy="start no server again; docs/operations/lost-store.md says what to do first",
        )


def dotenv_checks(location: DotenvStoreLocation) -> list[Check]:
    """The store's own checks."""
    root = Path(location.root)
    return [FolderClosed(root), PublicLines(location), RecordsKept(root), NothingAside(root)]


@dataclass(frozen=True)
class FolderClosed:
    """Folders 700, what holds values 600, all of it the account's own: as the Secret Management Guide has it."""

    root: Path
    name: str = "folder"

    def look(self) -> Result:
        with files.told(self.root):
            if not self.root.is_dir():
                return attention(f"{self.root} is not there", "`pulumi up` makes the store's folder", "pulumi up")
            wrong, open_to_others = dict(self._wrong()), list(self._open())
        if wrong:
            named = "; ".join([*wrong.values()][:MOST_NAMED]) + ("; …" if len(wrong) > MOST_NAMED else "")
            return attention(
                named,
                "folders have mode 700, files with values 600; all are the account's own, and none is a link",
                "pulumi up sets the modes of what it made; chmod and chown the rest; find out who made a link, then rm",
                Repair("chmod: take the rights of others off the store's folders and files", self._close)
                if open_to_others
                else None,
            )
        return ok(f"{self.root}: only uid {os.geteuid()} may read it")

    def _wrong(self) -> Iterator[tuple[Path, str]]:
        for path in (self.root, *self._parts()):
            owner = (path.stat() if path == self.root else path.lstat()).st_uid
            if path.is_symlink() and path != self.root:
                yield path, f"{path} is a symbolic link"
            elif owner != os.geteuid():
                yield path, f"{path} belongs to uid {owner}, and this is uid {os.geteuid()}"
        for path in self._open():
            yield path, f"{path} has mode {stat.S_IMODE(path.stat().st_mode):o}"

    def _open(self) -> Iterator[Path]:
        """What of our own others may use: its mode is ours to change."""
        for path in (self.root, *self._parts()):
            found = path.stat() if path == self.root else path.lstat()
            if stat.S_ISLNK(found.st_mode):
                continue
            if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & ~self._most(path):
                yield path

    def _close(self) -> str:
        """Only ever narrower, and nothing of another account."""
        with files.told(self.root):
            closing = list(self._open())
            for path in closing:
                path.chmod(stat.S_IMODE(path.stat().st_mode) & self._most(path))
        return f"{len(closing)} of them closed"

    def _parts(self) -> Iterator[Path]:
        """Yield what the store keeps below its root, links too; what a link leads to is not looked at."""
        yield from (self.root / name for name in files.LOCKS if os.path.lexists(self.root / name))
        for top in (self.root / folder for folder in files.FOLDERS):
            if os.path.lexists(top):
                yield top
            if top.is_dir() and not top.is_symlink():
                yield from sorted(top.rglob("*"))

    def _most(self, path: Path) -> int:
        """The widest mode it may have: what holds no value may be read."""
        if path.is_dir():
            return files.FOLDER
        private = path.suffix != ".crt" and (path.name == ".env" or path.parent != self.root / "config")
        return files.PRIVATE if private else files.PUBLIC


@dataclass(frozen=True)
class PublicLines:
    """The lines of config/.env that `pulumi up` writes are as the manifest has them."""

    location: DotenvStoreLocation
    name: str = PUBLIC_LINES

    def look(self) -> Result:
        reach(Path(self.location.root))
        if not self.location.lines:
            return unknown(
                "the manifest names none", "an older `pulumi up` wrote it; doctor compares what it names", "pulumi up"
            )
        if drift := public_lines.drift(self.location):
            return attention(
                "; ".join(drift),
                "the server sends its password to the broker that config/.env names; the stack file says which",
                f"{public_lines.REMEDY}; or pulumi up",
                Repair(
                    "restore the public lines of config/.env from the manifest",
                    lambda: public_lines.restore(self.location),
                ),
            )
        return ok(f"{len(self.location.lines)} lines of config/.env are as the manifest has them")


@dataclass(frozen=True)
class RecordsKept:
    """The store's own records are whole and can be written. A healthy result names the reads that they do not show."""

    root: Path
    name: str = "audit"

    def look(self) -> Result:
        reach(self.root)
        path, journal = self.root / files.RECORDS, self.root / files.JOURNAL
        with files.told(path):
            there = path.exists()
        for each in (path, journal):
            if each.exists() and not os.access(each, os.R_OK | os.W_OK):
                return attention(
                    f"{each} can't be written by uid {os.geteuid()}",
                    "every access and step is recorded before it happens, and one that can't be is refused",
                    f"chown {os.geteuid()} {each}, and chmod 600",
                )
        broken = [
            *_broken(path, lambda line: list(OwnRecords(()).read(line))),
            *_broken(journal, read_entry),
        ]
        if broken:
            return attention(
                "; ".join(broken),
                "secretops writes whole lines of JSON; a full disk cut this one short, or somebody else wrote it",
                "find out who wrote them; then keep that file elsewhere (mv): secretops begins a new one",
            )
        where = path if there else f"{path} (no record yet)"
        return ok(f"{where}; a read by another program of this account is not seen (see docs/stores.md)")


@dataclass(frozen=True)
class NothingAside:
    """No file is left that an emergency set aside: it may hold values."""

    root: Path
    name: str = "set aside"

    def look(self) -> Result:
        reach(self.root)
        folder = self.root / ASIDE
        with files.told(folder):
            found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        if not found:
            return ok("no broken file is left")
        return attention(
            f"{folder}: {', '.join(found[:MOST_NAMED])}{', …' if len(found) > MOST_NAMED else ''}",
            "compromise and --now set broken files aside, which may hold values",
            f"look at them, then rm -r {folder}",
        )


def _broken(path: Path, read: Callable[[bytes], object]) -> list[str]:
    """Return how many lines of `path` are no record, and which is the first."""
    broken = []
    with files.told(path):
        if not path.exists():
            return []
        with open(own_files.open_own(path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - a descriptor
            for number, line in enumerate(file, 1):
                try:
                    read(line)
                except (ValueError, RecursionError):
                    broken += [number] if line.endswith(b"\n") else []  # else it is being written
    return [f"{path}: {len(broken)} lines are no record, the first is line {broken[0]}"] if broken else []
