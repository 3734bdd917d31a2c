"""Everything that a build of the image needs: a dockerd, a Python image, a work tree, and on loopback a package index
and a git server.

These replace all remote sources of the real Dockerfile. The wheels are fetched once per user, by hash.
"""

import functools
import hashlib
import io
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.real.dockerd import Dockerd, import_base, running_dockerd
from tests.real.launched import until
from tests.real.ports import free_port
from tests.real.upstream import SMALL_SERVER, real_server
from tools.clone import provide_uv
from tools.toolchain.gobuild import WHEELS, cache_root, only_one

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 600.0
PYTHON = "python-here:1"  # The image that replaces the official Python.
PYTHON_VERSION = "3.11"
SERVER_FOLDER = ".tools/server"  # Where a work tree may have the upstream server (.dockerignore).
# Files of a used clone that must not be in an image.
UNINVITED = (
    ".env", ".git/config", ".venv/pyvenv.cfg", ".coreflux-mcp/config/.env", ".tools/venv/pyvenv.cfg",
    f"{SERVER_FOLDER}/.env", f"{SERVER_FOLDER}/docs/server.py", "secretops/.env",
    "secretops/src/secretops/__pycache__/x.cpython-311.pyc",
    "secretops/src/secretops/stores/__pycache__/x.cpython-311.pyc", "tests/test_it.py", "tools/wheels/.env",
    "Pulumi.dev.yaml",
)  # fmt: skip


@dataclass(frozen=True)
class Workshop:
    """Everything that a build needs, and the data to check its result."""

    docker: Dockerd
    tree: Path
    repository: str  # URL of a git repository of the server, whose one commit is `commit`.
    commit: str
    server_files: dict[str, bytes]  # Files of the server in `tree` and in `repository`: name -> content.
    canary: str  # A text in every one of UNINVITED.

    def build(self, *options: str, buildkit: bool = False) -> subprocess.CompletedProcess[str]:
        """Run `docker build` in `tree`, with the real Dockerfile unless an option names another. Any exit code is
        accepted."""
        return self.docker.build("--build-arg", f"PYTHON_IMAGE={PYTHON}", *options, self.tree, buildkit=buildkit)


@contextmanager
def open_workshop(folder: Path) -> Iterator[Workshop]:
    """Yield a workshop. Skips the test if no dockerd can run."""
    server = server_of_image()
    server_files = {path.name: path.read_bytes() for path in (*server.glob("*.py"), *server.glob("LICENSE"))}
    canary = secrets.token_hex(20)
    with tempfile.TemporaryDirectory(prefix="dockerd-") as short, running_dockerd(Path(short)) as docker:
        _lay_tree(folder / "tree", server_files, canary)
        commit = _commit(server_files, folder / "git" / "server")
        with _git_daemon(folder / "git") as url, _serving(_wheels()) as index:
            pip = f"[global]\\nno-index = true\\nfind-links = {index}\\n"
            stdin = f"FROM {import_base(docker)}\nRUN printf '{pip}' > /etc/pip.conf\n"
            done = docker.build("--tag", PYTHON, "-", stdin=stdin)
            assert done.returncode == 0, done.stderr
            yield Workshop(docker, folder / "tree", f"{url}/server", commit, server_files, canary)


def server_of_image() -> Path:
    """Return the folder of the MCP server in a built image: upstream's if available, else the small one."""
    return real_server() or SMALL_SERVER


def files_of(archive: bytes) -> dict[str, bytes]:
    """Return path -> content of the regular files in a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: read.read() for one in tar if one.isfile() and (read := tar.extractfile(one))}


def _lay_tree(tree: Path, server_files: dict[str, bytes], canary: str) -> None:
    tree.mkdir()
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "secretops", tree / "secretops")
    shutil.copytree(WHEELS, tree / "tools" / "wheels")
    _write(tree / SERVER_FOLDER, server_files)
    _write(tree, dict.fromkeys(UNINVITED, canary.encode()))
    for path in tree.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


def _commit(server_files: dict[str, bytes], folder: Path) -> str:
    """Create a git repository of the server in `folder`. Return its only commit."""
    _write(folder, server_files)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in ("init --quiet", "add --all", "commit --quiet --message all", "rev-parse HEAD"):
        done = subprocess.run([*git, *command.split()], env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """Serve `folder` over HTTP on loopback, without a log. Yield the URL."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(DEADLINE)


@contextmanager
def _git_daemon(folder: Path) -> Iterator[str]:
    """Serve the repositories in `folder` over git's protocol on loopback. Yield the URL."""
    port = free_port()
    command = ["git", "daemon", "--listen=127.0.0.1", f"--port={port}", "--export-all", f"--base-path={folder}"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("git daemon listens", lambda: _connects(port))
        yield f"git://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(DEADLINE)


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _wheels() -> Path:
    """Return the folder with uv's wheel and the wheels of uv.lock for the image's Python. They are downloaded once, so
    that a build needs no package index."""
    key = hashlib.sha256((ROOT / "uv.lock").read_bytes() + (WHEELS / "uv.txt").read_bytes()).hexdigest()[:16]
    made = cache_root() / f"image-wheels-{key}"
    with only_one(made.with_suffix(".lock"), made.name):
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=made.parent) as work:
                _download(Path(work)).rename(made)
    return made


def _download(work: Path) -> Path:
    locked, fresh = work / "locked.txt", work / "wheels"
    export = ["export", "--quiet", "--frozen", "--no-dev", "--no-emit-workspace", "--format=requirements-txt"]
    _run(provide_uv(), *export, "--package=coreflux-secretops", "--all-extras", f"--output-file={locked}")
    _run(sys.executable, "-m", "venv", work / "venv")
    pip: list[str | Path] = [
        work / "venv/bin/pip", "download", "--quiet", "--no-deps", "--require-hashes", f"--dest={fresh}",
    ]  # fmt: skip
    for requirements in (locked, WHEELS / "uv.txt"):
        _run(*pip, "--only-binary=:all:", f"--python-version={PYTHON_VERSION}", f"--requirement={requirements}")
    return fresh


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
