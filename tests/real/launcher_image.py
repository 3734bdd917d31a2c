"""The project's image in a test's Docker daemon, built from the Dockerfile, with the modules of this tree.

Everything else is built once per content, and cached for the user, so that a change of `secretops` costs seconds.
tests/tools/test_image.py proves that the Dockerfile brings the modules.
"""

import compileall
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

from tests.real.dockerd import Dockerd
from tests.real.workshop import PYTHON_VERSION, ROOT, SERVER_FOLDER, open_workshop, server_of_image
from tools.toolchain.gobuild import cache_root, only_one

IMAGE = "coreflux-mcp-secrets:test"
MODULES = f"/opt/secretops/lib/python{PYTHON_VERSION}/site-packages/secretops"

THIS_TREE = f"""
FROM {IMAGE}
USER 0:0
RUN rm -r {MODULES}
COPY . {MODULES}
USER 10001:10001
"""


def load_launcher_image(docker: Dockerd) -> str:
    """Load the image into a daemon, and return its name. Skips the test if the image cannot be built."""
    docker.check_output("load", "--quiet", "--input", _archive())
    with tempfile.TemporaryDirectory(prefix="modules-") as folder:
        modules = Path(folder) / "modules"
        shutil.copytree(ROOT / "secretops/src/secretops", modules, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(
            modules,
            quiet=1,
            invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
            stripdir=str(modules),
            prependdir=MODULES,
        )
        for path in (modules, *modules.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        supplied = Path(folder) / "Dockerfile"
        supplied.write_text(THIS_TREE)
        done = docker.build("--network", "none", "--tag", IMAGE, "--file", supplied, modules)
        assert done.returncode == 0, done.stdout + done.stderr
    return IMAGE


def _archive() -> Path:
    made = cache_root() / f"launcher-image-{_key()}.tar"
    with only_one(cache_root() / "launcher-image.lock", "the launcher's image"):
        if not made.exists():
            _build(made)
            # An image of an earlier tree stays: two clones of a user would delete each other's.
            for older in sorted(cache_root().glob("launcher-image-*.tar"), key=lambda path: path.stat().st_mtime)[:-2]:
                older.unlink()
    return made


def _build(made: Path) -> None:
    for left_by_a_killed_build in made.parent.glob("launcher-image-*.part"):
        left_by_a_killed_build.unlink()
    part = made.with_suffix(".part")
    with tempfile.TemporaryDirectory(prefix="image-") as folder, open_workshop(Path(folder)) as workshop:
        done = workshop.build("--build-arg", f"UPSTREAM={SERVER_FOLDER}", "--tag", IMAGE)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        workshop.docker.check_output("save", "--output", part, IMAGE)
    part.replace(made)


def _key() -> str:
    key = hashlib.sha256()
    for path in _sources():
        key.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return key.hexdigest()[:16]


def _sources() -> Iterator[Path]:
    yield from (ROOT / name for name in ("Dockerfile", ".dockerignore", "uv.lock", "secretops/pyproject.toml"))
    yield from sorted(server_of_image().glob("*.py"))
