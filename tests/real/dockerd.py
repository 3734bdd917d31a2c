"""A dockerd for tests, and a Debian base image that comes from no registry.

It runs in its own process and mount namespace, on a disk in memory. So it ends with the test, and all containers and
mounts with it. It creates no network, except in a network namespace (tests/real/swarm.py).
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.parts import SYSTEM_PATH
from tools.steps import SetupError, run_step
from tools.toolchain.gobuild import cache_root, only_one

DEADLINE = 600.0  # Seconds to wait for the daemon, or for one command of its client.
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,git,ca-certificates"
# Debian's python3 where an official image has its own: images built on it look up `python3` in PATH.
BASE = "debian-with-python:1"

BUILD_SECONDS = 1800
# Log lines of a daemon that may not run on this machine.
NOT_ALLOWED = ("cgroup", "mount", "not permitted", "ermission denied")

DISK = "4g"  # Memory limit of images and containers; the image's tests take 1 GB.


@dataclass(frozen=True)
class Dockerd:
    """A running daemon, and its command line client."""

    client: str
    folder: Path

    def start(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command of the client with `stdin`. Any exit code is accepted."""
        return self._client(arguments, stdin=stdin, timeout=DEADLINE)

    def check_output(self, *arguments: str | Path, stdin: str = "") -> str:
        done = self.start(*arguments, stdin=stdin)
        assert done.returncode == 0, f"docker {arguments[0]}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def read(self, *arguments: str | Path) -> bytes:
        return subprocess.run(
            [self.client, *arguments], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, check=True
        ).stdout

    def copy(self, image: str, path: str) -> bytes:
        return self.read("cp", f"{self.check_output('create', image, 'nothing')}:{path}", "-")

    def build(
        self, *arguments: str | Path, stdin: str = "", buildkit: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return self._client(
            ["build", "--network", "host", *arguments], stdin=stdin, buildkit=buildkit, timeout=BUILD_SECONDS
        )

    def _client(
        self, arguments: Iterable[str | Path], *, stdin: str = "", buildkit: bool = False, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.client, *arguments],
            env=self.environment | {"DOCKER_BUILDKIT": str(int(buildkit))},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "DOCKER_HOST": f"unix://{self.folder}/docker.sock",
            "DOCKER_CONFIG": str(self.folder / "config"),
        }


class Daemon:
    """The process of dockerd. Its namespaces and its disk outlive it."""

    def __init__(self, folder: Path, options: tuple[str, ...], *, own_network: bool) -> None:
        # Debian's client before a newer one, which has no BuildKit unless a plugin is there.
        path = f"/usr/bin:{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
        program, client = shutil.which("dockerd", path=path), shutil.which("docker", path=path)
        if not program or not client:
            pytest.skip("dockerd is not installed: apt-get install docker.io")
        if os.geteuid() != 0:
            pytest.skip("dockerd needs root")
        self.docker = Dockerd(client, folder)
        self._folder, self._log = folder, folder / "log"
        disk = folder / "disk"
        disk.mkdir()
        # The namespace's first process starts a daemon for each line of its input.
        start = (
            'PATH="$PATH:/usr/sbin:/sbin"; mount -t tmpfs -o size=$1 dockerd "$2" || exit; shift 2; '
            'while read -r _; do "$@" || [ $? -eq 137 ] || exit; done'
        )
        own = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
        own += ["--mount-proc", *(["--net"] if own_network else [])]
        place: list[str | Path] = ["--host", f"unix://{folder}/docker.sock", "--pidfile", folder / "pid"]
        place += ["--data-root", disk / "data", "--exec-root", disk / "exec"]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [*own, "sh", "-c", start, "sh", DISK, disk, program, *place, *options],
                env={"PATH": os.environ["PATH"]},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )

    @property
    def namespaces(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start the daemon, and wait until it answers. Skips the test if no daemon can run here."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it ended: its log has the reason
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        end, pause = time.monotonic() + DEADLINE, threading.Event()
        while self.docker.start("info").returncode:
            if self._process.poll() is not None or time.monotonic() > end:
                output = self._log.read_text(errors="replace")
                last = (output.splitlines() or ["it says nothing"])[-1]
                if any(word in output for word in NOT_ALLOWED):
                    pytest.skip(f"dockerd does not run here: {last}")
                pytest.fail(f"dockerd did not start: {last}")
            pause.wait(0.1)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon, and wait. SIGTERM is what a service manager sends; SIGKILL simulates a crash."""
        (first,) = _children(self._process.pid)
        (daemon,) = [child for child in _children(first) if _program(child) == "dockerd"]
        os.kill(daemon, how)
        end, pause = time.monotonic() + DEADLINE, threading.Event()
        while Path(f"/proc/{daemon}").exists():
            assert time.monotonic() < end, "dockerd did not end"
            pause.wait(0.05)
        # Docker does not start if a pid file has the number of a live process, and each namespace counts from 1.
        (self._folder / "pid").unlink(missing_ok=True)

    def end(self) -> None:
        # One by one: the cgroup of a remaining container would outlive the daemon.
        if left := self.docker.start("ps", "--all", "--quiet").stdout.split():
            self.docker.start("rm", "--force", *left)
        if self._process.poll() is None:
            for child in _children(self._process.pid):
                os.kill(child, signal.SIGKILL)  # the namespace's first process: the kernel ends the rest
            self._process.wait(DEADLINE)


@contextmanager
def running_dockerd(folder: Path) -> Iterator[Dockerd]:
    """Yield a daemon in `folder`, whose path is short enough for a socket (unix(7)). Skips the test if none can run."""
    daemon = Daemon(folder, ("--bridge", "none", "--iptables=false", "--ip6tables=false"), own_network=False)
    try:
        daemon.start()
        yield daemon.docker
    finally:
        daemon.end()


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _program(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text().strip()


def import_base(docker: Dockerd) -> str:
    docker.check_output("import", _debian(), BASE)
    return BASE


def _debian() -> Path:
    """Return the root file system. It is made once per user, in 40 s."""
    if not shutil.which("mmdebstrap"):
        pytest.skip("no Debian to build an image on: apt-get install mmdebstrap")
    made = cache_root() / f"debian-{SUITE}-{PACKAGES.replace(',', '-')}.tar"
    with only_one(made.with_suffix(".lock"), made.name):
        if not made.exists():
            part = made.with_suffix(".part.tar")
            command = ["mmdebstrap", "--mode=root", "--variant=essential"]
            unread = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "locale", "man")]
            try:
                run_step(
                    f"a Debian {SUITE} with {PACKAGES}",
                    [*command, f"--include={PACKAGES}", *unread, SUITE, part],
                    remedy="check that this machine reaches a Debian mirror",
                )
            except SetupError as error:
                pytest.skip(f"no Debian to build an image on: {error}")
            part.replace(made)
    return made
