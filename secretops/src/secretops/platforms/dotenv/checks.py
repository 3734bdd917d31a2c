"""Doctor's checks of a dotenv store's folder: its owner and modes, the public lines, its records, leftovers."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from secretops import owned_files
from secretops.check import Check, Repair, Result, attention, judge, ok, table, unknown
from secretops.engine.journal import read_entry
from secretops.errors import StoreError
from secretops.platform import PUBLIC_LINES
from secretops.platforms.dotenv.delivery import RESTORE, Delivery
from secretops.platforms.dotenv.location import DotenvStoreLocation
from secretops.platforms.dotenv.salvage import ASIDE
from secretops.stores import files
from secretops.trails import AccessRecordTrail

# How many of the paths that are wrong are named.
MOST_NAMED = 5


def dotenv_checks(location: DotenvStoreLocation) -> list[Check]:
    found = table(Path(location.root), {"folder": folder, "audit": records, "set aside": set_aside})
    return [found[0], Check(PUBLIC_LINES, partial(env_lines, location)), *found[1:]]


def reach(root: Path) -> None:
    """Raise StoreError if the folder is gone: then nothing is known of its contents."""
    with files.os_errors(root):
        there = root.is_dir()
    if not there:
        raise StoreError(
            f"{root} is not there",
            rule="every value is in that folder; a server that runs goes on with what it has",
            remedy="start no server again; docs/operations/lost-store.md says what to do first",
        )


def folder(root: Path) -> Result:
    """Check modes and owner: folders 700, files with values 600, as the Secret Management Guide demands."""
    with files.os_errors(root):
        if not root.is_dir():
            return attention(f"{root} is not there", "`pulumi up` makes the store's folder", "pulumi up")
        wrong, is_open = list(dict(_wrong(root)).values()), any(_open(root))
    if len(wrong) > MOST_NAMED:
        wrong = [*wrong[:MOST_NAMED], "…"]
    return judge(
        wrong,
        "folders have mode 700, files with values 600; all are the account's own, and none is a link",
        "pulumi up sets the modes of what it made; chmod and chown the rest; find out who made a link, then rm",
        f"{root}: only uid {os.geteuid()} may read it",
        Repair("chmod: take the rights of others off the store's folders and files", lambda: _close(root))
        if is_open
        else None,
    )


def _wrong(root: Path) -> Iterator[tuple[Path, str]]:
    for path, found in _parts(root):
        if path.is_symlink() and path != root:
            yield path, f"{path} is a symbolic link"
        elif found.st_uid != os.geteuid():
            yield path, f"{path} belongs to uid {found.st_uid}, and this is uid {os.geteuid()}"
    for path in _open(root):
        yield path, f"{path} has mode {stat.S_IMODE(path.stat().st_mode):o}"


def _open(root: Path) -> Iterator[Path]:
    """Yield the account's own files and folders that others may use."""
    for path, found in _parts(root):
        mode = found.st_mode
        if not stat.S_ISLNK(mode) and found.st_uid == os.geteuid() and stat.S_IMODE(mode) & ~_most(root, path):
            yield path


def _close(root: Path) -> str:
    """Remove rights of others, and change nothing of another account."""
    with files.os_errors(root):
        closing = list(_open(root))
        for path in closing:
            path.chmod(stat.S_IMODE(path.stat().st_mode) & _most(root, path))
    return f"{len(closing)} of them closed"


def _parts(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the root and everything below it. A link is not followed, except if the root is one."""
    yield root, root.stat()
    yield from ((root / name, (root / name).lstat()) for name in files.LOCKS if os.path.lexists(root / name))
    for top in (root / name for name in files.FOLDERS):
        if os.path.lexists(top):
            yield top, top.lstat()
        if top.is_dir() and not top.is_symlink():
            yield from ((path, path.lstat()) for path in sorted(top.rglob("*")))


def _most(root: Path, path: Path) -> int:
    """Return the widest mode that a path may have: what holds no value may be read."""
    if path.is_dir():
        return files.FOLDER
    private = path.suffix != ".crt" and (path.name == ".env" or path.parent != root / "config")
    return files.PRIVATE if private else files.PUBLIC


def env_lines(location: DotenvStoreLocation) -> Result:
    """Compare the public lines of config/.env with the manifest."""
    reach(Path(location.root))
    if not location.lines:
        rule = "an older `pulumi up` wrote it; doctor compares what it names"
        return unknown("the manifest names none", rule, "pulumi up")
    delivery = Delivery(location)
    return judge(
        delivery.public_findings(),
        "the server sends its password to the broker that config/.env names; the stack file says which",
        f"{RESTORE}; or pulumi up",
        f"{len(location.lines)} lines of config/.env are as the manifest has them",
        Repair("restore the public lines of config/.env from the manifest", delivery.restore_public),
    )


def records(root: Path) -> Result:
    """Check that the store's records are whole and writable. A healthy result names the reads that they don't show."""
    reach(root)
    path, journal = root / files.RECORDS, root / files.JOURNAL
    with files.os_errors(path):
        there = path.exists()
    for each in (path, journal):
        if each.exists() and not os.access(each, os.R_OK | os.W_OK):
            return attention(
                f"{each} can't be written by uid {os.geteuid()}",
                "every access and step is recorded before it happens, and one that can't be is refused",
                f"chown {os.geteuid()} {each}, and chmod 600",
            )
    where = path if there else f"{path} (no record yet)"
    return judge(
        [*_broken(path, lambda line: list(AccessRecordTrail(()).read(line))), *_broken(journal, read_entry)],
        "secretops writes whole lines of JSON; a full disk cut this one short, or somebody else wrote it",
        "find out who wrote them; then keep that file elsewhere (mv): secretops begins a new one",
        f"{where}; a read by another program of this account is not seen (see docs/stores.md)",
    )


def set_aside(root: Path) -> Result:
    """Find files that an emergency set aside, which may hold values."""
    reach(root)
    path = root / ASIDE
    with files.os_errors(path):
        found = sorted(each.name for each in path.iterdir()) if path.is_dir() else []
    if not found:
        return ok("no broken file is left")
    return attention(
        f"{path}: {', '.join(found[:MOST_NAMED])}{', …' if len(found) > MOST_NAMED else ''}",
        "compromise and --now set broken files aside, which may hold values",
        f"look at them, then rm -r {path}",
    )


def _broken(path: Path, read: Callable[[bytes], object]) -> list[str]:
    """Return how many lines of `path` are no record, and which is the first."""
    broken = []
    with files.os_errors(path):
        if not path.exists():
            return []
        with open(owned_files.open_owned(path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - a descriptor
            for number, line in enumerate(file, 1):
                try:
                    read(line)
                except (ValueError, RecursionError):
                    broken += [number] if line.endswith(b"\n") else []  # else it is being written
    return [f"{path}: {len(broken)} lines are no record, the first is line {broken[0]}"] if broken else []
