"""Start the embedded broker in the background, find it by its pid file, and stop it.

A broker's home is the folder with its files. A running broker locks its pid file. A pid in an unlocked file is stale:
its process receives no signal.
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

# The log rotates between two files, each of at most this size.
LOG_BYTES = 2**20

# Makes glibc free the 16 MiB that each login needs.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**20), "MALLOC_ARENA_MAX": "1"}

START_SECONDS = 120.0  # for a slow machine: a broker that fails ends the wait at once
STOP_SECONDS = 30.0
LOCK_SECONDS = 2.0  # for a lock on the pid file, which readers lock for microseconds
POLL_SECONDS = 0.02

log = logging.getLogger(__name__)


class EmbeddedBrokerError(SecretopsError): ...


class Listener(StrEnum):
    """Which process listens at the broker's address after a start."""

    STARTED = "started"  # this home's broker
    OURS = "ours"  # the broker of this home, which was running before
    FOREIGN = "foreign"  # another process; nothing was started


@dataclass(frozen=True)
class Running:
    pid: int
    address: str


def serve(home: Path, host: str, port: int, *, ready: int | None = None) -> None:
    """Run the broker until SIGTERM or SIGINT. Writes a byte to the descriptor `ready` once it accepts clients.

    Raises UsageError (not loopback, no users), EmbeddedBrokerError, StoreError.
    """
    host = loopback(host)
    printable.install()
    users = Users.load(home)
    os.umask(0o077)
    log_file = RotatingFileHandler(home / LOG_FILE, maxBytes=LOG_BYTES, backupCount=1)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=[log_file])
    logging.getLogger("secretops").setLevel(logging.INFO)
    redaction.install()

    def report_ready() -> None:
        if ready is not None:
            os.write(ready, b"1")
            os.close(ready)

    with _claimed(home, f"{host}:{port}") as owned:
        try:
            asyncio.run(server.run(users, host, port, on_listening=report_ready, owned=owned))
        except OSError as error:
            raise EmbeddedBrokerError(
                f"{host}:{port}: {error.strerror}",
                rule="no other process may listen at the address of the embedded broker",
                remedy="stop the process that listens at this address; or set another broker.port in the stack file, "
                "then pulumi up",
                code="broker-address-in-use",
            ) from error


def start(home: Path, host: str, port: int) -> Listener:
    """Start the broker in the background, unless a process already listens at the address, and wait until it accepts
    clients.

    Raises UsageError (not loopback), StoreError, EmbeddedBrokerError.
    """
    host = loopback(host)
    address = f"{host}:{port}"
    taken = is_listening(host, port)  # before the pid file is read: our broker writes it first, then listens
    if (already := running(home)) is not None:
        return _ours(home, already, host, port)
    if taken:
        return Listener.FOREIGN
    with files.os_errors(home):
        home.mkdir(mode=files.FOLDER, parents=True, exist_ok=True)
        process, ready = _spawn(home, host, port)
    try:
        readable, _, _ = select.select([ready], [], [], START_SECONDS)
        if readable and os.read(ready, 1):
            process.returncode = 0  # suppresses Popen's warning that the child outlives this process
            return Listener.STARTED
    finally:
        os.close(ready)
    process.kill()
    process.wait()
    if (other := running(home)) is not None:  # another process started it at the same time
        return _ours(home, other, host, port)
    log = home / LOG_FILE
    reason = _last_line(log)
    raise EmbeddedBrokerError(
        f"the embedded broker at {address} did not start: {reason}",
        rule="the broker must listen at its address within seconds of its start",
        remedy=f"find the cause in the broker's log {log}, then run: secretops broker start",
        code="broker-start-failed",
    )


def stop(home: Path) -> bool:
    """Stop this home's broker, and wait until it has exited. Return False if it was not running."""
    if (found := running(home)) is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(found.pid, number)
        if _within(STOP_SECONDS, lambda: running(home) is None):
            with suppress(ChildProcessError):
                os.waitpid(found.pid, 0)  # reap the child, if this very process started it
            return True
    raise EmbeddedBrokerError(
        f"the embedded broker, process {found.pid}, does not exit",
        rule="the broker must exit within seconds; secretops sent SIGTERM, then SIGKILL",
        remedy=f"show the state of the process: ps -o stat= -p {found.pid}; if the state is D, the process waits for a "
        "disk: check the disk; then run: secretops broker stop",
        code="broker-stop-failed",
    )


def running(home: Path) -> Running | None:
    """Return the broker that locks this home's pid file, or None."""
    path = home / PID_FILE
    with files.os_errors(path):
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text: list[str] = []

        def written() -> bool:  # the pid file is locked before it is written
            text[:] = os.pread(file, 200, 0).decode().split()
            return len(text) == 2  # noqa: PLR2004 - pid and address

        return Running(int(text[0]), text[1]) if _within(LOCK_SECONDS, written) else None
    finally:
        os.close(file)
    return None


def is_listening(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def wait_until_free(host: str, port: int) -> bool:
    """Wait for a broker to exit after its pid file was removed. Return whether the address is free."""
    return _within(10 * server.OWNED_SECONDS, lambda: not is_listening(host, port))


def loopback(host: str) -> str:
    """Return the IPv4 address to listen on. Raises UsageError if `host` is not loopback."""
    if host == "localhost":
        return "127.0.0.1"  # ::1 may be configured but unavailable, as in many containers
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.version == 4 and address.is_loopback:  # noqa: PLR2004 - IPv4
            return host
    raise UsageError(
        f"{host} is not a loopback address",
        rule="the embedded broker must listen on loopback, over IPv4, because it has no TLS",
        remedy="write broker.host: localhost in the stack file, or use a broker with TLS",
        code="broker-not-loopback",
    )


def _ours(home: Path, already: Running, host: str, port: int) -> Listener:
    if already.address != f"{host}:{port}":
        raise EmbeddedBrokerError(
            f"the broker of folder {home} runs at {already.address}, not at {host}:{port}",
            rule="only one embedded broker may run in a folder",
            remedy="secretops broker stop, then secretops broker start; or write the running broker's address in "
            "broker.host and broker.port of the stack file, then pulumi up",
            code="broker-address-mismatch",
        )
    if not _within(START_SECONDS, lambda: is_listening(host, port)):  # the broker may still be starting
        log = home / LOG_FILE
        raise EmbeddedBrokerError(
            f"process {already.pid} is the broker of folder {home}, but does not listen at {already.address}",
            rule="a running broker must listen at its address",
            remedy=f"read the broker's log {log}, then run: secretops broker stop; secretops broker start",
            code="broker-not-listening",
        )
    return Listener.OURS


def _spawn(home: Path, host: str, port: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start the broker's process. Return it, and a pipe that receives a byte once the broker accepts clients."""
    ready, write_end = os.pipe()
    argv = [sys.executable, "-P", "-m", "secretops.broker", str(home.resolve()), host, str(port), str(write_end)]
    log_file = os.open(home / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, files.PRIVATE)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            env={**os.environ, **MALLOC},
            cwd=home,
            pass_fds=(write_end,),
            start_new_session=True,
        )
    except OSError:
        os.close(ready)
        raise
    finally:
        os.close(write_end)
        os.close(log_file)
    return process, ready


@contextmanager
def _claimed(home: Path, address: str) -> Iterator[Callable[[], bool]]:
    """Lock the pid file. Yield a function that returns False once the file was deleted or replaced."""
    path = home / PID_FILE
    locked: list[int] = []

    def lock() -> bool:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE)
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, file):  # else the previous owner has just removed the file
                locked.append(file)
                return True
        os.close(file)
        return False

    with files.os_errors(path):
        if not _within(LOCK_SECONDS, lock):
            raise EmbeddedBrokerError(
                f"{path} is locked: the broker already runs",
                rule="only one embedded broker may run in a folder",
                remedy="to restart the broker: secretops broker stop; secretops broker start",
                code="broker-already-running",
            )
    file = locked[0]
    try:
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()} {address}\n".encode())
        yield lambda: _is_at(path, file)
    finally:
        if _is_at(path, file):
            path.unlink(missing_ok=True)
        os.close(file)


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
