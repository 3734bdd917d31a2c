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

# The most paths in a finding.
MOST_NAMED = 5


def dotenv_checks(location: DotenvStoreLocation) -> list[Check]:
    found = table(location.folder, {"folder": folder, "audit": records, "set aside": set_aside})
    return [found[0], Check(PUBLIC_LINES, partial(env_lines, location)), *found[1:]]


def reach(root: Path) -> None:
    with files.os_errors(root):
        exists = root.is_dir()
    if not exists:
        raise StoreError(
            f"{root} does not exist",
            rule="the store's folder must exist: it contains every secret value; running servers still have their "
            "values",
            remedy="if the stack is new: pulumi up; else restart no server, and follow docs/operations/lost-store.md",
            code="dotenv-folder-missing",
        )


def folder(root: Path) -> Result:
    try:
        reach(root)
    except StoreError as error:
        return Result.of(error)
    with files.os_errors(root):
        wrong, is_open = list(dict(_faults(root)).values()), any(_open(root))
    if len(wrong) > MOST_NAMED:
        wrong = [*wrong[:MOST_NAMED], "…"]
    return judge(
        wrong,
        "this account must own the store's folders (mode 700 or less) and files (600; public ones 644), and none may "
        "be a symbolic link",
        f"{RESTORE} removes excess rights; for the rest: chown {os.geteuid()} PATH, and remove links",
        f"{root}: only uid {os.geteuid()} may read it",
        Repair("chmod: remove the rights of other accounts on the store's files", lambda: _close(root))
        if is_open
        else None,
    )


def _faults(root: Path) -> Iterator[tuple[Path, str]]:
    for path, found in _walk(root):
        if path.is_symlink() and path != root:
            yield path, f"{path} is a symbolic link"
        elif found.st_uid != os.geteuid():
            yield path, f"{path} is owned by uid {found.st_uid}, not {os.geteuid()}"
    for path in _open(root):
        yield path, f"{path} has mode {stat.S_IMODE(path.stat().st_mode):o}"


def _open(root: Path) -> Iterator[Path]:
    for path, found in _walk(root):
        mode = found.st_mode
        if not stat.S_ISLNK(mode) and found.st_uid == os.geteuid() and stat.S_IMODE(mode) & ~_max_mode(root, path):
            yield path


def _close(root: Path) -> str:
    with files.os_errors(root):
        closing = list(_open(root))
        for path in closing:
            path.chmod(stat.S_IMODE(path.stat().st_mode) & _max_mode(root, path))
    return f"changed the mode of {len(closing)}"


def _walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    yield root, root.stat()
    yield from ((root / name, (root / name).lstat()) for name in files.LOCKS if os.path.lexists(root / name))
    for top in (root / name for name in files.FOLDERS):
        if os.path.lexists(top):
            yield top, top.lstat()
        if top.is_dir() and not top.is_symlink():
            yield from ((path, path.lstat()) for path in sorted(top.rglob("*")))


def _max_mode(root: Path, path: Path) -> int:
    if path.is_dir():
        return files.FOLDER
    private = path.suffix != ".crt" and (path.name == ".env" or path.parent != root / "config")
    return files.PRIVATE if private else files.PUBLIC


def env_lines(location: DotenvStoreLocation) -> Result:
    reach(location.folder)
    if not location.lines:
        return unknown(
            "the manifest has no public lines of config/.env",
            "the manifest must have these lines; an older version of the program wrote this manifest",
            "pulumi up",
        )
    delivery = Delivery(location)
    return judge(
        delivery.public_findings(),
        "the public lines of config/.env must be those of the manifest: they name the broker to which the server sends "
        "its password",
        f"{RESTORE}; or pulumi up",
        f"{len(location.lines)} lines of config/.env match the manifest",
        Repair("restore the public lines of config/.env from the manifest", delivery.restore_public),
    )


def records(root: Path) -> Result:
    reach(root)
    path, journal = root / files.RECORDS, root / files.JOURNAL
    with files.os_errors(path):
        exists = path.exists()
    for each in (path, journal):
        if each.exists() and not os.access(each, os.R_OK | os.W_OK):
            return attention(
                f"uid {os.geteuid()} can't read and write {each}",
                "the file must be readable and writable: an access or a step that can't be recorded is rejected",
                f"chown {os.geteuid()} {each}; then: chmod 600 {each}",
            )
    where = path if exists else f"{path} (no record yet)"
    return judge(
        [
            *_invalid_lines(path, lambda line: list(AccessRecordTrail(()).read(line))),
            *_invalid_lines(journal, read_entry),
        ],
        "each line must be a JSON record by secretops: a full disk truncated such a line, or another program wrote it",
        "find the cause, then move the file away (mv): secretops starts a new one",
        f"{where}; reads by other programs of this account are not recorded (see docs/stores.md)",
    )


def set_aside(root: Path) -> Result:
    reach(root)
    path = root / ASIDE
    with files.os_errors(path):
        found = sorted(each.name for each in path.iterdir()) if path.is_dir() else []
    if not found:
        return ok("no broken file is left")
    return attention(
        f"{path}: {', '.join(found[:MOST_NAMED])}{', …' if len(found) > MOST_NAMED else ''}",
        "a file that `compromise` or --now set aside must be checked and removed: it may contain secret values",
        f"check these files; then: rm -r {path}",
    )


def _invalid_lines(path: Path, read: Callable[[bytes], object]) -> list[str]:
    invalid = []
    with files.os_errors(path):
        if not path.exists():
            return []
        with open(owned_files.open_owned(path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - a descriptor
            for number, line in enumerate(file, 1):
                try:
                    read(line)
                except (ValueError, RecursionError):
                    invalid += [number] if line.endswith(b"\n") else []  # an incomplete line is being written
    return [f"{path}: {len(invalid)} invalid lines, the first is line {invalid[0]}"] if invalid else []
