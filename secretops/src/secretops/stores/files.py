"""Files that hold secrets: owned by the right account, private, and never half-written. And what is in a dotenv
store's folder, which stack it belongs to, and that nobody else can write there.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from secretops import owned_files
from secretops.errors import StoreError, UsageError

# Modes that the Secret Management Guide gives to keys and .env, to certificates, and to their folders.
PRIVATE, PUBLIC, FOLDER = 0o600, 0o644, 0o700

# Folders of a dotenv store's root that hold values, or records of them.
FOLDERS = ("config", "certs", "secrets", "versions", "log", "aside")

# Folder of a dotenv store's root with units that systemd runs as this account. They hold no value.
UNITS = "systemd"

# A unit file with `{stack}` in it. Persistent: what was missed while the machine was off is caught up.
TIMER = """\
[Unit]
Description=Every hour: secretops tick, stack {stack}

[Timer]
OnCalendar=hourly
RandomizedDelaySec=5min
Persistent=yes

[Install]
WantedBy=timers.target
"""

# Files of a dotenv store's root: those that a process locks, the records of accesses, and the rotation journal.
LOCKS = (".lock", ".lease")
RECORDS, JOURNAL = "log/access.jsonl", "log/rotation.jsonl"

# Files of a dotenv store's root that every command opens.
FILES = (*LOCKS, "config/.env", RECORDS, JOURNAL)

# File of a dotenv store's root that names the stack.
MANIFEST = Path("config") / "secretops.json"


class AnotherStackError(UsageError):
    """The folder belongs to another stack."""


@contextlib.contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals about `path` into a StoreError."""
    try:
        yield
    except OSError as error:
        raise os_error(path, error) from error


def os_error(path: Path, error: OSError) -> StoreError:
    named = Path(error.filename) if isinstance(error.filename, str) else path
    return StoreError(
        f"{named}: {error.strerror or type(error).__name__}",
        rule="a secret's file is written whole or not at all; this one is as it was",
        remedy="make room, or make the folder writable for this account, then try again",
    )


def check_store(root: Path, *, secrets: bool = True) -> None:
    """Raise StoreError unless `root`, its folders and FILES are this account's own, no links, and closed to writers.

    The root alone may be a link: to a folder that is checked in its place. A folder that is not there passes. Without
    `secrets` the folders of secrets and FILES are left out. Every access to a store does this: a path that is fine
    costs one lstat, and no call.
    """
    account = os.geteuid()
    try:
        status = root.stat() if root.is_dir() else None
        if status is None:
            raise StoreError(
                f"{root} is not there", rule="`pulumi up` makes the store's folder", remedy="pulumi up, then try again"
            )
        if status.st_uid != account or status.st_mode & owned_files.OTHERS_WRITE:
            owned_files.check_folder(root, follow=True)
        folders = [*FOLDERS, UNITS]
        if secrets and (root / "versions").is_dir():
            with os.scandir(root / "versions") as found:
                for entry in found:
                    folders.append(f"versions/{entry.name}")
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(f"{root}/{folder}")
                if (
                    status.st_uid != account
                    or not stat.S_ISDIR(status.st_mode)
                    or status.st_mode & owned_files.OTHERS_WRITE
                ):
                    owned_files.check_folder(root / folder)
        for file in FILES if secrets else ():
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(f"{root}/{file}")
                if status.st_uid != account or not stat.S_ISREG(status.st_mode):
                    owned_files.check_file(root / file)
    except OSError as error:
        raise os_error(root, error) from error


def stack_of(root: Path) -> str | None:
    """Return the stack that keeps its values below `root`; None if no manifest names one: new, or destroyed."""
    try:
        found = json.loads((root / MANIFEST).read_bytes())["stack"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def refuse_another_stack(root: Path, stack: str) -> None:
    """Raise AnotherStackError if `root` is the store of another stack than `stack`."""
    found = stack_of(root)
    if found not in (None, stack):
        raise AnotherStackError(
            f"{root} is the store of stack {found}, and this is stack {stack}",
            rule="a folder holds the values of one stack: a second would write over them, and take them for its own",
            remedy=f"in Pulumi.{stack}.yaml, at store: root: .coreflux-mcp-{stack}; or, if {found} is no more and its "
            f"values are to be {stack}'s: rm {root / MANIFEST}, then pulumi up",
        )


def read(path: Path) -> bytes | None:
    """Return the content of a store's file, None if there is none. Raises StoreError, for a link too."""
    try:
        with open(owned_files.open_owned(path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - a descriptor
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise os_error(path, error) from error


def write(path: Path, data: bytes, mode: int) -> None:
    """Replace `path` by a file with `data` and `mode`: a temporary file in the same folder, fsync, rename, fsync.

    The temporary file's name is fixed, so that a crash leaves at most one behind, which the next write replaces.
    Call it under `lock`. Raises StoreError.
    """
    new, folder = temporary(path), path.parent
    try:
        if (owner := folder.lstat().st_uid) != os.geteuid():
            owned_files.check_owner(folder, owner)
        try:
            new.unlink(missing_ok=True)
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
                os.fchmod(file, mode)
                os.fsync(file)
            finally:
                os.close(file)
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        _sync(folder)
    except OSError as error:
        raise os_error(path, error) from error


def rename(path: Path, new: Path) -> None:
    """Give `path` another name in its folder, atomically and durably. Raises StoreError."""
    with os_errors(path):
        path.replace(new)
        _sync(path.parent)


def remove(path: Path) -> None:
    """Remove `path`, and what a killed `write` of it may have left. Fine when there is neither. Raises StoreError."""
    with os_errors(path):
        path.unlink(missing_ok=True)
        temporary(path).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def temporary(path: Path) -> Path:
    """Return where `write` first writes `path`: a killed one may have left it."""
    return path.with_name(f".{path.name}.new")


def make_folder(path: Path) -> None:
    """Make a folder for this account alone. An existing one is left as it is."""
    try:
        path.mkdir(mode=FOLDER, exist_ok=True)
    except OSError as error:
        raise os_error(path, error) from error


def private_folder() -> Path:
    """Make a folder of this process alone, in memory where the system allows; it is removed when the process ends."""
    memory = Path("/dev/shm")  # noqa: S108  # nosec B108 - the folder made in it is private
    folder = Path(tempfile.mkdtemp(prefix="secretops-", dir=memory if os.access(memory, os.W_OK) else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """Exclude other writers below `root`. Held for milliseconds; a second writer waits.

    `pulumi up` and a rotator both write config/.env, each its own lines.
    """
    path = root / ".lock"
    try:
        file = owned_files.open_owned(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    except OSError as error:
        raise os_error(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
