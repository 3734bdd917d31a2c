"""Read and atomically write files of secrets. Defines the layout of a dotenv store's folder."""

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

# Modes that the server's Secret Management Guide requires: of keys and .env, of certificates, and of folders.
PRIVATE, PUBLIC, FOLDER = 0o600, 0o644, 0o700

# Folders of a dotenv store's root with values, or records of them.
FOLDERS = ("config", "certs", "secrets", "versions", "log", "aside")

# Folder of a dotenv store's root with the systemd units. It contains no values.
UNITS = "systemd"

# A unit with `{stack}` in it. Persistent: systemd catches up on a tick that was missed while the machine was off.
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

# Files below a dotenv store's root: locks, access records and rotation journal. FILES: these and config/.env.
LOCKS = (".lock", ".lease")
RECORDS, JOURNAL = "log/access.jsonl", "log/rotation.jsonl"
FILES = (*LOCKS, "config/.env", RECORDS, JOURNAL)

# File of a dotenv store's root that names the stack.
MANIFEST = Path("config") / "secretops.json"


class AnotherStackError(UsageError): ...


@contextlib.contextmanager
def os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise os_error(path, error) from error


def os_error(path: Path, error: OSError) -> StoreError:
    file = Path(error.filename) if isinstance(error.filename, str) else path
    reason = error.strerror or type(error).__name__
    return StoreError(
        f"{file}: {reason}",
        rule="this account must be able to read and write the store's files; nothing was half-written",
        remedy="free disk space, or correct the owner and mode of this path and its folder; then try again",
        code="file-not-accessible",
    )


def check_store(root: Path, *, secrets: bool = True) -> None:
    """Raise StoreError if `root` is missing, or if another account owns it or its folders, or may write to them.

    Its folders may be missing. Only `root` may be a symbolic link. `secrets`: also check the folders of versions, and
    the owner of FILES.
    """
    # Every access calls this: one lstat for each path, and no other call if all is fine.
    account = os.geteuid()
    try:
        status = root.stat() if root.is_dir() else None
        if status is None:
            raise StoreError(
                f"{root} does not exist",
                rule="the store's folder must exist: it contains every secret value",
                remedy="if the stack is new: pulumi up; else follow docs/operations/lost-store.md",
                code="store-folder-missing",
            )
        if status.st_uid != account or status.st_mode & owned_files.OTHERS_WRITE:
            owned_files.check_folder(root, follow=True)
        folders = [*FOLDERS, UNITS]
        if secrets and (root / "versions").is_dir():
            folders.extend(map("versions/{}".format, os.listdir(root / "versions")))  # noqa: PTH208 - without Path objects
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(f"{root}/{folder}")
                is_open = not stat.S_ISDIR(status.st_mode) or status.st_mode & owned_files.OTHERS_WRITE
                if status.st_uid != account or is_open:
                    owned_files.check_folder(root / folder)
        for file in FILES if secrets else ():
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(f"{root}/{file}")
                if status.st_uid != account or not stat.S_ISREG(status.st_mode):
                    owned_files.check_file(root / file)
    except OSError as error:
        raise os_error(root, error) from error


def stack_of(root: Path) -> str | None:
    """Return the name of the stack whose manifest is below `root`, or None."""
    try:
        found = json.loads((root / MANIFEST).read_bytes())["stack"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def refuse_another_stack(root: Path, stack: str) -> None:
    found = stack_of(root)
    if found not in (None, stack):
        raise AnotherStackError(
            f"{root} is the store of stack {found}, and this is stack {stack}",
            rule="a folder must store the secret values of only one stack; nothing was changed",
            remedy=f"write root: .coreflux-mcp-{stack} in section store of Pulumi.{stack}.yaml; or, to take over the "
            "values "
            "of "
            f"{found}, once that stack is destroyed: rm {root / MANIFEST}, then pulumi up",
            code="store-of-another-stack",
        )


def read(path: Path) -> bytes | None:
    """Return a file's content; None if it is missing. Raises StoreError, also if it is a link."""
    try:
        with open(owned_files.open_owned(path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - a descriptor
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise os_error(path, error) from error


def write(path: Path, data: bytes, mode: int) -> None:
    """Replace `path` atomically and durably. The caller must hold `lock`. Raises StoreError."""
    # The name is fixed, so a crash leaves at most one temporary file, which the next write replaces.
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
    """Rename `path` within its folder, atomically and durably. Raises StoreError."""
    with os_errors(path):
        path.replace(new)
        _sync(path.parent)


def remove(path: Path) -> None:
    """Remove `path`, and the temporary file of a killed `write`. Raises StoreError."""
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
    return path.with_name(f".{path.name}.new")


def make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=FOLDER, exist_ok=True)
    except OSError as error:
        raise os_error(path, error) from error


def private_folder() -> Path:
    """Create a folder for this account only, in memory if possible. It is removed when the process exits."""
    memory = Path("/dev/shm")  # noqa: S108  # nosec B108 - the folder made in it is private
    folder = Path(tempfile.mkdtemp(prefix="secretops-", dir=memory if os.access(memory, os.W_OK) else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """Exclude other writers, such as `pulumi up` or a rotator, during the block, which must take only milliseconds."""
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
