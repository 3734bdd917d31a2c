"""The embedded broker as a process: started in the background, found again by its pid file, stopped.

The server holds a lock on its pid file as long as it lives. So a pid file that nobody locks is a leftover, whoever has
that pid by now, and no process is ever signalled by mistake.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from logging.handlers import RotatingFileHandler
from pathlib import Path

from secretops import printable, redaction
from secretops.broker import server
from secretops.broker.users import Users
from secretops.errors import SecretopsError, UsageError
from secretops.stores import files

PID_FILE = "broker.pid"
LOG_FILE = "broker.log"

# The log has two files of this size.
LOG_BYTES = 2**20

# glibc gives the 16 MiB of a login back to the system, instead of keeping them for each thread.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**20), "MALLOC_ARENA_MAX": "1"}

START_SECONDS = 30.0
STOP_SECONDS = 10.0
LOCK_SECONDS = 2.0
"""How long a server waits for its pid file's lock: whoever looks at the file holds it for microseconds."""

POLL_SECONDS = 0.02

log = logging.getLogger(__name__)


class EmbeddedBrokerError(SecretopsError):
    """The embedded broker could not be started or stopped."""


class Listener(StrEnum):
    """Who listens at the broker's address after a start."""

    STARTED = "started"
    """This home's broker, by this start."""
    OURS = "ours"
    """This home's broker, from before."""
    FOREIGN = "foreign"
    """Somebody else; nothing was started."""


@dataclass(frozen=True)
class Running:
    """This home's broker, alive."""

    pid: int
    address: str


def serve(home: Path, host: str, port: int, *, ready: int | None = None) -> None:
    """Be the broker until SIGTERM or SIGINT. `ready` is a file descriptor that is told once clients are let in.

    Raises UsageError (not loopback, no users), EmbeddedBrokerError (already running, port taken), StoreError.
    """
    host = loopback(host)
    printable.install()
    users = Users.load(home)
    os.umask(0o077)
    log_file = RotatingFileHandler(home / LOG_FILE, maxBytes=LOG_BYTES, backupCount=1)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=[log_file])
    logging.getLogger("secretops").setLevel(logging.INFO)
    redaction.install()

    async def main(owned: Callable[[], bool]) -> None:
        listening = asyncio.Event()
        serving = asyncio.create_task(server.run(users, host, port, listening=listening, owned=owned))
        told = asyncio.create_task(listening.wait())
        await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if listening.is_set() and ready is not None:
            os.write(ready, b"1")
            os.close(ready)
        await serving

    with _claimed(home, f"{host}:{port}") as owned:
        try:
            asyncio.run(main(owned))
        except OSError as error:
            raise EmbeddedBrokerError(
                f"{host}:{port}: {error.strerror}",
                rule="the embedded broker needs this address for itself",
                remedy="stop what listens there, or give the stack's broker another port",
            ) from error


def start(home: Path, host: str, port: int) -> Listener:
    """Start the broker in the background unless something listens there already, and wait until it lets clients in.

    Raises UsageError (not loopback), StoreError (its home cannot be written), EmbeddedBrokerError (it ended, with the
    log and its last line, or it runs at another address).
    """
    host = loopback(host)
    address = f"{host}:{port}"
    taken = accepts(host, port)  # first: our own broker has its pid file before it listens
    if (already := running(home)) is not None:
        return _ours(home, already, host, port)
    if taken:
        return Listener.FOREIGN
    with files.told(home):
        home.mkdir(mode=files.FOLDER, parents=True, exist_ok=True)
        process, told = _spawn(home, host, port)
    try:
        readable, _, _ = select.select([told], [], [], START_SECONDS)
        if readable and os.read(told, 1):
            process.returncode = 0  # it is meant to outlive us: no warning that it does
            return Listener.STARTED
    finally:
        os.close(told)
    process.kill()
    process.wait()
    if (other := running(home)) is not None:  # somebody started it in the same moment
        return _ours(home, other, host, port)
    raise EmbeddedBrokerError(
        f"the embedded broker at {address} did not start: {_last_line(home / LOG_FILE)}",
        rule=f"its log is {home / LOG_FILE}",
        remedy="mend what the log says, then start it again",
    )


def stop(home: Path) -> bool:
    """Stop this home's broker and wait until it is gone. False if it wasn't running."""
    if (found := running(home)) is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(found.pid, number)
        if _within(STOP_SECONDS, lambda: running(home) is None):
            with suppress(ChildProcessError):
                os.waitpid(found.pid, 0)  # if this very process started it
            return True
    raise EmbeddedBrokerError(
        f"process {found.pid} does not end", remedy=f"see {home / LOG_FILE}, then end it by hand: kill -9 {found.pid}"
    )


def running(home: Path) -> Running | None:
    """This home's broker if it is alive: if somebody holds the pid file's lock."""
    path = home / PID_FILE
    with files.told(path):
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text: list[str] = []

        def written() -> bool:  # it is locked first and filled next
            text[:] = os.pread(file, 200, 0).decode().split()
            return len(text) == 2  # noqa: PLR2004 - pid and address

        return Running(int(text[0]), text[1]) if _within(LOCK_SECONDS, written) else None
    finally:
        os.close(file)
    return None


def accepts(host: str, port: int) -> bool:
    """Whether anything listens there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def vacated(host: str, port: int) -> bool:
    """Wait for a broker that has lost its pid file to end. Return whether nothing listens there."""
    return _within(3 * server.OWNED_SECONDS, lambda: not accepts(host, port))


def loopback(host: str) -> str:
    """The address to listen on. Raises UsageError unless `host` is this machine alone."""
    if host == "localhost":
        return "127.0.0.1"  # its ::1 may be configured and not there, as in many containers
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.version == 4 and address.is_loopback:  # noqa: PLR2004 - IPv4
            return host
    raise UsageError(
        f"{host}: not a loopback address",
        rule="the embedded broker has no TLS, so it listens on this machine alone, over IPv4",
        remedy="use localhost, or a real broker with TLS",
    )


def _ours(home: Path, already: Running, host: str, port: int) -> Listener:
    if already.address != f"{host}:{port}":
        raise EmbeddedBrokerError(
            f"the broker of {home} runs at {already.address}, not at {host}:{port}",
            rule="one home has one broker",
            remedy="stop it first, or give the stack's broker that address",
        )
    if not _within(START_SECONDS, lambda: accepts(host, port)):  # it may be starting
        raise EmbeddedBrokerError(
            f"process {already.pid} is the broker of {home} and does not listen at {already.address}",
            remedy=f"see {home / LOG_FILE}, and stop it",
        )
    return Listener.OURS


def _spawn(home: Path, host: str, port: int) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and where it tells that it lets clients in: a byte, or the end of the pipe when it ends instead."""
    told, tell = os.pipe()
    argv = [sys.executable, "-P", "-m", "secretops.broker", str(home.resolve()), host, str(port), "--ready", str(tell)]
    log_file = os.open(home / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, files.PRIVATE)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            env={**os.environ, **MALLOC},
            cwd=home,
            pass_fds=(tell,),
            start_new_session=True,
        )
    except OSError:
        os.close(told)
        raise
    finally:
        os.close(tell)
        os.close(log_file)
    return process, told


@contextmanager
def _claimed(home: Path, address: str) -> Iterator[Callable[[], bool]]:
    """Hold the pid file. Yields a function that returns False once the file was removed or replaced."""
    path = home / PID_FILE
    claimed: list[int] = []

    def claim() -> bool:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, file):  # else its last owner has just removed it
                claimed.append(file)
                return True
        except BlockingIOError:
            pass
        os.close(file)
        return False

    with files.told(path):
        mine = _within(LOCK_SECONDS, claim)
    if not mine:
        raise EmbeddedBrokerError(
            f"{path} is locked", rule="one home has one broker, and it runs", remedy="stop it first"
        )
    try:
        os.ftruncate(claimed[0], 0)
        os.write(claimed[0], f"{os.getpid()} {address}\n".encode())
        yield lambda: _is_at(path, claimed[0])
    finally:
        if _is_at(path, claimed[0]):
            path.unlink(missing_ok=True)
        os.close(claimed[0])


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


def _within(seconds: float, done: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _last_line(path: Path) -> str:
    with suppress(OSError):
        lines = path.read_text(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "its log is empty"
