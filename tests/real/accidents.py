"""Planned accidents: a process killed between two system calls, an account without rights, a full disk."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534
_write = os.write  # before anything is wrapped
# System calls that change a file on disk or make a change durable.
CHANGES = ("open", "write", "fchmod", "fsync", "replace", "unlink", "mkdir", "rmdir")


def in_child(work: Callable[[], object]) -> tuple[int, Any]:
    """Return the result of `work` (as JSON) or [error class, error text], and the exit code or minus the signal."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            try:
                answer, code = work(), 0
            except Exception as error:
                answer = [type(error).__name__, str(error)]
                if os.environ.get("SHOW_CHILDREN"):
                    traceback.print_exc()
            _write(write, json.dumps(answer).encode())
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), json.loads(text) if text else None


def killed_at(work: Callable[[], object], call: int) -> bool:
    """Run `work` in a child that kills itself with SIGKILL before its system call number `call` that changes a file."""

    def counted() -> None:
        left = call

        def before(real: Callable[..., Any], name: str) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR):
                    return real(*args, **kwargs)
                if left == 0:
                    if name == "write":
                        real(args[0], bytes(args[1])[: len(args[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
                return real(*args, **kwargs)

            return wrapped

        for name in CHANGES:
            setattr(os, name, before(getattr(os, name), name))
        work()

    code, answer = in_child(counted)
    assert code in (0, -signal.SIGKILL), answer
    return code != 0


def killed_around(work: Callable[[], object], moment: int, watch: Callable[[Callable[[], None]], None]) -> bool:
    """Run `work` in a child that kills itself with SIGKILL at moment number `moment`. Return False if `work` ended
    first."""

    def counted() -> None:
        left = moment

        def around() -> None:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

        watch(around)
        work()

    code, answer = in_child(counted)
    assert code in (0, -signal.SIGKILL), answer
    return code != 0


def killed_around_writes(work: Callable[[], object], moment: int, owner: type, method: str) -> bool:
    """Run `work` in a child that kills itself with SIGKILL before or after an HTTP request other than GET."""

    def watch(around: Callable[[], None]) -> None:
        send = getattr(owner, method)

        def sent(client: Any, request: Any, *arguments: Any, **more: Any) -> Any:
            if getattr(request, "method", request) == "GET":
                return send(client, request, *arguments, **more)
            around()
            answer = send(client, request, *arguments, **more)
            around()
            return answer

        setattr(owner, method, sent)

    return killed_around(work, moment, watch)


class KilledError(BaseException):
    """The simulated end of the process."""


def killed_in_memory(work: Callable[[], object], moment: int, double: Any) -> bool:
    """Do the same as `killed_around` in this process, with a fake that calls `before` and `after` around each write."""
    counted = itertools.count()

    def dies(*_: object) -> None:
        if next(counted) == moment:
            raise KilledError

    double.before = double.after = dies
    try:
        work()
    except KilledError:
        return True
    finally:
        double.before = double.after = lambda *_: None
    return False


@contextlib.contextmanager
def small_disk(place: Path, size: str = "128k") -> Iterator[Path]:
    """Yield a tmpfs. Skips the test if it cannot be mounted."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip() or 'needs root'}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk of `folder`. Return the file that fills it, which the caller removes."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return filler


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(b"\xff\0'garbage\n{")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_foreign(path: Path) -> None:
    if os.geteuid() == 0:
        path.chmod(0o666)
        os.chown(path, NOBODY, NOBODY)
    else:
        path.unlink()
        path.symlink_to("elsewhere")


SPOILS = (fill_with_garbage, empty, replace_by_a_folder, make_foreign)
# Lose the record of a secret's versions, in their folder. The values are still there after the first.
LOSSES = (lambda at: (at / "state.json").unlink(), shutil.rmtree, lambda at: [p.write_bytes(b"") for p in at.iterdir()])


def each_broken(root: Path, spoil: Callable[[Path], object]) -> Iterator[Path]:
    """Break each file of a folder store in turn, and the value of each secret once. Undo each afterwards."""

    def kind(path: Path) -> str:
        return str((path.with_name("value") if path.name.startswith("2") else path).relative_to(root))

    def found() -> dict[str, Path]:
        return {kind(path): path for path in sorted(root.rglob("*")) if path.is_file()}

    kinds = list(found())
    assert {"config/.env", ".lease", "log/access.jsonl", "versions/mqtt/value", "versions/mqtt/delivered.json"} < {
        *kinds
    }
    for each in kinds:
        path = found()[each]
        content, mode = path.read_bytes(), path.stat().st_mode
        spoil(path)
        yield path
        shutil.rmtree(root / "aside", ignore_errors=True)
        if path.is_dir() or path.is_symlink():
            path.unlink() if path.is_symlink() else path.rmdir()
            path.write_bytes(content)
        if path.exists():
            path.chmod(mode)
            os.chown(path, os.geteuid(), -1)
