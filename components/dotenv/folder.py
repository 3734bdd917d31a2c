"""A folder as a resource: its sub-folders, modes, public files and public lines of config/.env. Never a value.

A dynamic provider. `diff` looks at the disk and not only at the state, so that any `pulumi up` repairs what somebody
changed; the lines and files of others (the rotator's values, a person's own) are not looked at.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from secretops import owned_files
from secretops.errors import StoreError, UsageError
from secretops.stores import env_file, files

ENV = Path("config") / ".env"
UNTRACKED = Path(".gitignore")
"""Keeps a folder of values out of git, whatever it is called. Stays as long as anything else below the root does."""
EVERYTHING = "*\n"


class FolderProvider(ResourceProvider):
    """Creates, compares, repairs and removes what a `Folder` says. Pickled by reference, so it holds nothing."""

    serialize_as_secret_always = False

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse, before anything is changed, what `create` or `update` could not do, or would do harm with."""
        reasons = [*_anothers(olds, news), *_left_behind(olds, news), *unfit(news)]
        return CheckResult(news, [CheckFailure("root", reason) for reason in reasons])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A new root is a new folder; anything else, drift on disk included, is an update in place."""
        moved = olds["root"] != news["root"]
        changed = moved or any(
            olds.get(key) != news.get(key) for key in ("folders", "files", "lines", "modes", "stack")
        )
        return DiffResult(changes=changed or any(drift(news)), replaces=["root"] if moved else [])

    def create(self, props: dict[str, Any]) -> CreateResult:
        make(props)
        return CreateResult(id_=props["root"], outs=dict(props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """A folder that is gone is gone from the state too; anything less is drift, and `diff` finds it."""
        return ReadResult(id_ if Path(props["root"]).is_dir() else "", dict(props))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        make(news)
        unmake(olds, keep=news)
        return UpdateResult(outs=dict(news))

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        unmake(props, keep={})


class Folder(Resource, module="coreflux-mcp-secrets", name="Folder"):
    """Public content below one root, made by `FolderProvider`.

    `folders` and the keys of `files` (path -> text) and `modes` (path -> octal text, for a file that others write) are
    relative to `root`; `lines` are variables of config/.env. `stack` is the one whose values lie there, if any do.
    """

    def __init__(
        self,
        name: str,
        *,
        root: str,
        folders: tuple[str, ...] = (),
        files: Mapping[str, str] | None = None,
        lines: Mapping[str, str] | None = None,
        modes: Mapping[str, str] | None = None,
        stack: str = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "root": root,
            "folders": list(folders),
            "files": dict(files or {}),
            "lines": dict(lines or {}),
            "modes": dict(modes or {}),
            "stack": stack,
        }
        super().__init__(FolderProvider(), name, props, opts)


def _anothers(olds: Mapping[str, Any], news: Mapping[str, Any]) -> Iterator[str]:
    """A folder of two stacks would have the values of one for the other's server.

    One that this stack's own state has under the name in it is its own: the stack was renamed.
    """
    root, stack = Path(news["root"]), news.get("stack")
    renamed = olds.get("root") == news["root"] and olds.get("stack") == files.stack_of(root)
    if stack and not renamed:
        try:
            files.refuse_another_stack(root, stack)
        except UsageError as error:
            yield f"{error.what}: {error.rule}. -> {error.remedy}"


def _left_behind(olds: Mapping[str, Any], news: Mapping[str, Any]) -> Iterator[str]:
    """A store without its history would give the users in use new passwords."""
    old = Path(olds["root"]) if "root" in olds else None
    if old and str(old) != news["root"] and (old / "versions").is_dir() and any((old / "versions").iterdir()):
        yield (
            f"the values are still in {old}. -> Move the folder itself: mv {old} {news['root']}; "
            "or give the values up first: secretops purge --destroy"
        )


def unfit(props: Mapping[str, Any]) -> Iterator[str]:
    """Why `make(props)` could not work, told as value, rule, remedy. Looks only."""
    root = Path(props["root"])
    if not root.is_absolute():
        yield f"{root}: not an absolute path"
        return
    try:
        place = next(path for path in (root, *root.parents) if path.exists())
        wrong = [] if place != root else list(_not_ours(root, props))
        if len(root.parts) <= len(("/", "top")):
            yield f"{root} is the machine's own. -> Name a folder of its own, for example /etc/coreflux-mcp."
        elif not place.is_dir():
            yield _in_the_way(place)
        elif wrong:
            yield from wrong
        elif not os.access(place, os.W_OK | os.X_OK):
            yield f"{place} is read-only for uid {os.geteuid()}. -> Make it writable, or name another root."
        elif _is_full(place):
            yield f"{place}: its disk is full. -> Make room, then run pulumi up again."
    except OSError as error:
        yield (
            f"{error.filename}: {error.strerror} for uid {os.geteuid()}; the store's folder lies below it. "
            "-> Give this account access, or name another root."
        )


def _not_ours(root: Path, props: Mapping[str, Any]) -> Iterator[str]:
    """What lies below `root` where `props` wants something of its own."""
    known = {*props["folders"], "broker", ".lock", ".lease"}
    others = sorted(path.name for path in root.iterdir() if path.name not in known) if root.is_dir() else []
    if props["folders"] and others and not (root / ".lock").exists():
        yield (
            f"{root} holds {others[0]}, and no store. -> Name an empty or a new folder: "
            "this one would be closed to every other account."
        )
        return
    folders = {root} | {root / folder for folder in props["folders"]}
    paths = {root / path for path in (*props["files"], *props["modes"], ENV)}
    folders |= {path.parent for path in paths}
    for path in sorted(folders | paths):
        if not os.path.lexists(path):
            continue
        if path != root and path.is_symlink():
            yield f"{path} is a symbolic link, which may lead anywhere. -> Find out who made it, then: rm {path}"
            return
        try:
            owned_files.check_owner(path, path.lstat().st_uid)
        except StoreError as error:
            yield str(error)
            return  # the same will be said of each file below
        if path in folders and not path.is_dir():
            yield _in_the_way(path)
            return
        if path in paths and path.is_dir():
            yield f"{path} is a folder; a file belongs there. -> Move it away, or name another root."


def _in_the_way(path: Path) -> str:
    return f"{path} is a file; a folder belongs there. -> Name another root, or move the file away."


def _is_full(place: Path) -> bool:
    space = os.statvfs(place)
    return space.f_bavail == 0 or (space.f_files > 0 and space.f_favail == 0)


def drift(props: Mapping[str, Any]) -> Iterator[str]:
    """Each thing on disk that is not as `props` says."""
    root = Path(props["root"])
    for folder in (".", *props["folders"]) if props["folders"] else ():
        if _mode(root / folder) != files.FOLDER:
            yield folder
    if props["folders"] and _text(root / UNTRACKED) != EVERYTHING:
        yield str(UNTRACKED)
    for path, text in props["files"].items():
        if _text(root / path) != text or _mode(root / path) != files.PUBLIC:
            yield path
    for path, mode in props["modes"].items():
        if _mode(root / path) not in (None, int(mode, 8)):
            yield path
    present = env_file.parse(_text(root / ENV) or "")
    yield from (name for name, text in props["lines"].items() if present.get(name) != text)


def make(props: Mapping[str, Any]) -> None:
    """Bring the disk to what `props` says. Idempotent; leaves everything else alone."""
    root = Path(props["root"])
    with files.os_errors(root):
        root.mkdir(mode=files.FOLDER, parents=True, exist_ok=True)
        root.chmod(files.FOLDER)
        for folder in props["folders"]:
            (root / folder).mkdir(mode=files.FOLDER, exist_ok=True)
            (root / folder).chmod(files.FOLDER)
    with files.lock(root):
        if props["folders"] and _text(root / UNTRACKED) != EVERYTHING:
            files.write(root / UNTRACKED, EVERYTHING.encode(), files.PUBLIC)
        for path, text in props["files"].items():
            if _text(root / path) != text or _mode(root / path) != files.PUBLIC:
                files.write(root / path, text.encode(), files.PUBLIC)
        _change_lines(root, props["lines"])
        with files.os_errors(root):
            for path, mode in props["modes"].items():
                if (root / path).exists():
                    (root / path).chmod(int(mode, 8))


def unmake(props: Mapping[str, Any], *, keep: Mapping[str, Any]) -> None:
    """Remove what `make(props)` made and `keep` does not ask for: files, lines, then folders that are empty."""
    root = Path(props["root"])
    if not root.is_dir():
        return
    with files.lock(root):
        for path, text in props["files"].items():
            if path not in keep.get("files", {}) and _text(root / path) == text:
                (root / path).unlink()
        _change_lines(root, dict.fromkeys(name for name in props["lines"] if name not in keep.get("lines", {})))
        if not keep and _text(root / ENV) == env_file.HEADER:
            (root / ENV).unlink()
    if not keep:
        for folder in reversed(props["folders"]):
            with suppress(OSError):  # not empty: it holds values, or what others made
                (root / folder).rmdir()
        if {path.name for path in root.iterdir()} <= {".lock", ".lease", str(UNTRACKED)}:
            shutil.rmtree(root)


def _change_lines(root: Path, changes: Mapping[str, str | None]) -> None:
    text = _text(root / ENV)
    if text is None and not any(changes.values()):
        return
    changed = env_file.update(text or env_file.HEADER, changes)
    if changed != text:
        files.write(root / ENV, changed.encode(errors="surrogateescape"), files.PRIVATE)


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
