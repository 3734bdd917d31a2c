"""Opens files and checks folders so that nobody else can lead secretops elsewhere, or write where it reads.

A store's folder that another account can write to is a place where it can plant a link. So such a folder is refused,
and no link below a store's root is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from secretops.errors import StoreError

# Write permission of the group and of all others.
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def open_owned(path: Path, flags: int, mode: int = 0o600) -> int:
    """Return a descriptor of the regular file `path` of this account; the last part of `path` is never a link followed.

    `flags` and `mode` are those of os.open. Raises OSError, and StoreError for a link, another account's file, or
    what is no regular file; a FIFO does not block.
    """
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode)
    except OSError:
        if path.is_symlink():
            raise _link(path) from None
        raise
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            _check_regular(path, found)
    except BaseException:
        os.close(file)
        raise
    return file


def read_owned(path: Path) -> bytes:
    """Return the content of the regular file `path`. Raises as `open_owned`."""
    with open(open_owned(path, os.O_RDONLY), "rb") as file:
        return file.read()


def append_line(path: Path, line: str) -> None:
    """Add `line` to a file and wait until it is on disk. A new file gets mode 600. Raises as `open_owned`.

    One write, so that lines of two processes never mix. After a line that a full disk cut short it begins a new one.
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
    """Raise StoreError unless `owner`, the uid that `path` belongs to, runs this process."""
    if owner != os.geteuid():
        raise StoreError(
            f"{path} belongs to uid {owner}, and this is uid {os.geteuid()}",
            rule="what holds secrets belongs to the account that uses them, and to no other",
            remedy=f"run as uid {owner}, or change the owner: chown -R {os.geteuid()} {path}",
        )


def check_file(path: Path) -> None:
    """Raise StoreError where `path` is a link or another account's. What is no regular file is refused when opened."""
    if os.path.lexists(path):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            raise _link(path)
        check_owner(path, found.st_uid)


def _check_regular(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(
            f"{path} is not a regular file",
            rule="secretops reads and writes regular files below a store's root",
            remedy=f"find out who made it, then remove it: rm {path}",
        )
    check_owner(path, found.st_uid)


def check_folder(path: Path, *, follow: bool = False) -> None:
    """Raise StoreError unless `path` is a folder of this account that no other account can write to.

    A link to a folder passes with `follow` alone. Raises OSError where there is nothing.
    """
    found = path.stat() if follow else path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise _link(path)
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(
            f"{path} is not a folder", rule="a store keeps its files in folders", remedy="move it away, then pulumi up"
        )
    check_owner(path, found.st_uid)
    if found.st_mode & OTHERS_WRITE:
        raise StoreError(
            f"{path} has mode {stat.S_IMODE(found.st_mode):o}: other accounts can write to it",
            rule="only the account that uses a store may write to its folders; others could replace what is in them",
            remedy=f"chmod go-w {path}, and look for files that you did not put there",
        )


def _link(path: Path) -> StoreError:
    return StoreError(
        f"{path} is a symbolic link",
        rule="no link below a store's root is followed: it may lead to any file of this account",
        remedy=f"find out who made it, then remove it: rm {path}",
    )
