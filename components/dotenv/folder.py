"""A folder as a dynamic resource: sub-folders, modes, public files and lines of config/.env.

`diff` compares them with the disk, so that every `pulumi up` repairs drift. It ignores other lines and files, such as
secret values.
"""

from __future__ import annotations

import os
import shlex
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
# Keeps the folder out of git. It is removed last, with the empty root.
UNTRACKED = Path(".gitignore")
EVERYTHING = "*\n"


class FolderProvider(ResourceProvider):
    """Creates, compares, repairs and removes a `Folder`. Pulumi pickles it by reference, so it has no state."""

    serialize_as_secret_always = False

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Return a failure for each reason why `create` or `update` would fail, or would lose values."""
        reasons = [*_anothers(olds, news), *_left_behind(olds, news), *unfit(news)]
        return CheckResult(news, [CheckFailure("root", reason) for reason in reasons])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Compare with `news` and with the disk. A new root replaces the folder; any other difference updates it."""
        moved = olds["root"] != news["root"]
        changed = moved or any(
            olds.get(key) != news.get(key) for key in ("folders", "files", "lines", "modes", "stack")
        )
        return DiffResult(changes=changed or any(drift(news)), replaces=["root"] if moved else [])

    def create(self, props: dict[str, Any]) -> CreateResult:
        make(props)
        return CreateResult(id_=props["root"], outs=dict(props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return an empty id if the folder is missing. `diff` finds other drift."""
        return ReadResult(id_ if Path(props["root"]).is_dir() else "", dict(props))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        make(news)
        unmake(olds, keep=news)
        return UpdateResult(outs=dict(news))

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        unmake(props, keep={})


class Folder(Resource, module="coreflux-mcp-secrets", name="Folder"):
    """A folder's public content, below `root`. All paths are relative to `root`.

    `files` has the text of each file. `modes` has the octal mode of each file that another program writes. `lines` are
    variables of config/.env. `stack` is the name of the stack with values in the folder, or empty.
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
    root, stack = Path(news["root"]), news.get("stack")
    renamed = olds.get("root") == news["root"] and olds.get("stack") == files.stack_of(root)
    if stack and not renamed:
        try:
            files.refuse_another_stack(root, stack)
        except UsageError as error:
            yield f"{error.what}: {error.rule}. -> {error.remedy}"


def _left_behind(olds: Mapping[str, Any], news: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error if the root changes while the old root contains values: a rotation in an empty folder would change
    passwords in use."""
    old = Path(olds["root"]) if "root" in olds else None
    if old and str(old) != news["root"] and (old / "versions").is_dir() and any((old / "versions").iterdir()):
        move = f"Move the folder: {shlex.join(['mv', str(old), news['root']])}"
        if Path(news["root"]).exists():
            move = f"{news['root']} exists: use a root that does not exist, then move the folder there with mv"
        yield f"the values are still in {old}. -> {move}; or delete the values: secretops purge --destroy"


def unfit(props: Mapping[str, Any]) -> Iterator[str]:
    """Yield each reason why `make(props)` would fail, with its remedy. Changes nothing."""
    root = Path(props["root"])
    if not root.is_absolute():
        yield f"{root}: not an absolute path"
        return
    try:
        place = next(path for path in (root, *root.parents) if path.exists())
        wrong = [] if place != root else list(_not_ours(root, props))
        if len(root.parts) <= len(("/", "top")):
            yield f"{root} is a system folder. -> Use a folder for the stack alone, for example /etc/coreflux-mcp."
        elif not place.is_dir():
            yield _in_the_way(place)
        elif wrong:
            yield from wrong
        elif not os.access(place, os.W_OK | os.X_OK):
            yield f"{place} is read-only for uid {os.geteuid()}. -> Make it writable, or use another root."
        elif _is_full(place):
            yield f"{place}: its disk is full. -> Make room, then run pulumi up again."
    except OSError as error:
        yield (
            f"{error.filename}: {error.strerror} for uid {os.geteuid()}; the store's folder is below it. "
            "-> Grant this account access, or use another root."
        )


def _not_ours(root: Path, props: Mapping[str, Any]) -> Iterator[str]:
    known = {*props["folders"], "broker", ".lock", ".lease"}
    others = sorted(path.name for path in root.iterdir() if path.name not in known) if root.is_dir() else []
    if props["folders"] and others and not (root / ".lock").exists():
        yield (
            f"{root} contains {others[0]}, and no store. -> Use an empty or a new folder: "
            "other accounts would lose access to this one."
        )
        return
    folders = {root} | {root / folder for folder in props["folders"]}
    paths = {root / path for path in (*props["files"], *props["modes"], ENV)}
    folders |= {path.parent for path in paths}
    for path in sorted(folders | paths):
        if not os.path.lexists(path):
            continue
        if path != root and path.is_symlink():
            yield f"{path} is a symbolic link, which may lead anywhere. -> Find out who created it, then: rm {path}"
            return
        try:
            owned_files.check_owner(path, path.lstat().st_uid)
        except StoreError as error:
            yield str(error)
            return  # files below it would get the same error
        if path in folders and not path.is_dir():
            yield _in_the_way(path)
            return
        if path in paths and path.is_dir():
            yield f"{path} is a folder, in place of a file. -> Move it away, or use another root."


def _in_the_way(path: Path) -> str:
    return f"{path} is a file, in place of a folder. -> Use another root, or move the file away."


def _is_full(place: Path) -> bool:
    space = os.statvfs(place)
    return space.f_bavail == 0 or (space.f_files > 0 and space.f_favail == 0)


def drift(props: Mapping[str, Any]) -> Iterator[str]:
    """Yield the path or variable of each difference between the disk and `props`."""
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
    """Create or repair what `props` lists, and the folder's .gitignore. Change nothing else. Idempotent."""
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
    """Remove the files, lines and empty folders in `props` that are not in `keep`."""
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
            with suppress(OSError):  # not empty
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
