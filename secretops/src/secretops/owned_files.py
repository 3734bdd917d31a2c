"""Open files and check folders safely: no symbolic links, no other owners, no folders that others can write to."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from secretops.errors import StoreError

# Write permission for group and others.
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def open_owned(path: Path, flags: int, mode: int = 0o600) -> int:
    """Return a descriptor of the regular file `path`, which must belong to this account and not be a symbolic link.

    Never blocks. `flags` and `mode` are those of os.open. Raises OSError and StoreError.
    """
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode)
    except OSError:
        if path.is_symlink():
            raise _symlink(path) from None
        raise
    try:
        found = os.fstat(file)
        # Every access opens files, so a valid file costs no further system call.
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            _check_regular(path, found)
    except BaseException:
        os.close(file)
        raise
    return file


def read_owned(path: Path) -> bytes:
    """Return the content of the regular file `path`. Raises the errors of `open_owned`."""
    with open(open_owned(path, os.O_RDONLY), "rb") as file:
        return file.read()


def append_line(path: Path, line: str) -> None:
    """Append `line` in a single write, and flush it to disk. A new file has mode 600.

    If the last line is incomplete, starts a new line. Raises the errors of `open_owned`.
    """
    file = open_owned(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        end = os.fstat(file).st_size
        whole = end == 0 or os.pread(file, 1, end - 1) == b"\n"
        data = (b"" if whole else b"\n") + line.encode() + b"\n"
        if os.write(file, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    finally:
        os.close(file)


def check_owner(path: Path, owner: int) -> None:
    """Raise StoreError unless this process runs as `owner`, the uid that owns `path`."""
    if owner != (uid := os.geteuid()):
        raise StoreError(
            f"{path} belongs to uid {owner}, and this process runs as uid {uid}",
            rule="the account that uses secrets must own their files",
            remedy=f"run the command as uid {owner}; or change the owner: chown -R {uid} {path}",
            code="file-owner-mismatch",
        )


def check_file(path: Path) -> None:
    """Raise StoreError if `path` is a symbolic link or belongs to another account."""
    if os.path.lexists(path):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            raise _symlink(path)
        check_owner(path, found.st_uid)


def _check_regular(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(
            f"{path} is not a regular file",
            rule="a store's files must be regular files",
            remedy=f"find out which process created this path, then: rm -r {path}",
            code="file-not-regular",
        )
    check_owner(path, found.st_uid)


def check_folder(path: Path, *, follow: bool = False) -> None:
    """Raise StoreError unless `path` is a folder of this account that no other account can write to.

    Accepts a symbolic link with `follow`. Raises OSError if it does not exist.
    """
    found = path.stat() if follow else path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise _symlink(path)
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(
            f"{path} is not a folder",
            rule="this path must be a folder, in which secretops writes its files",
            remedy=f"mv {path} {path}.former; then: pulumi up",
            code="folder-not-a-folder",
        )
    check_owner(path, found.st_uid)
    if found.st_mode & OTHERS_WRITE:
        mode = stat.S_IMODE(found.st_mode)
        raise StoreError(
            f"{path} has mode {mode:o}: other accounts can write to it",
            rule="only the account that uses a store may write to its folders; others could replace its files",
            remedy=f"chmod go-w {path}, and look for files that you did not create",
            code="folder-writable-by-others",
        )


def _symlink(path: Path) -> StoreError:
    return StoreError(
        f"{path} is a symbolic link",
        rule="secretops follows no links below a store's root: a link may lead to any file of this account",
        remedy=f"find out which process created this path, then: rm {path}",
        code="path-is-symlink",
    )
