"""The files of a release: two builds have the same bytes, and the files suffice for a stack without a clone.

GitHub, PyPI, a registry and the image are not tested. The wheels' requirements come from the package index, in the
versions of the lock file.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.ports import free_port
from tests.stacks.project import BIN
from tests.stacks.runbook import OPERATIONS, new_clone, run_of

pytestmark = [pytest.mark.real, pytest.mark.slow]

PAGE = OPERATIONS / "install.md"
PROJECT, PROGRAM = (
    re.findall(rf"```{kind}\n(.*?)```", (OPERATIONS / "component.md").read_text(), re.DOTALL)[0]
    for kind in ("yaml", "python")
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """Yield the files of two builds of one commit, in clones with different paths, time zones and umasks."""
    first = new_clone(tmp_path_factory.mktemp("one") / "clone", {}).folder
    second = tmp_path_factory.mktemp("two") / "another"
    subprocess.run(["git", "clone", "--quiet", first, second], check=True)
    for clone, zone, mask in ((first, "UTC", "022"), (second, "Asia/Tokyo", "077")):
        # It builds the clone that it runs in, by this environment's Python.
        subprocess.run(
            ["sh", "-c", f'umask {mask}; exec "$0" -m tools.release', sys.executable],
            cwd=clone,
            env={**os.environ, "TZ": zone},
            check=True,
        )
    yield [clone / "dist/release" for clone in (first, second)]


def test_two_builds_of_a_commit_have_the_same_bytes(built: list[Path]) -> None:
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in built)
    assert one == two
    assert len([name for name in one if name.endswith(".whl")]) == 2 and {"lambda.zip", "notes.md"} < one.keys()
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=built[0], check=True)


@dataclass(frozen=True)
class Machine:
    """A folder and an empty HOME. There is no clone, and only Pulumi of the clone's tools."""

    folder: Path

    def sh(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-ec", script],
            cwd=self.folder,
            env={
                "HOME": str(self.folder / "home"),
                "PATH": f"{self.folder / 'bin'}:{os.defpath}",
                "PULUMI_CONFIG_PASSPHRASE": "",
                "PULUMI_BACKEND_URL": f"file://{self.folder / 'state'}",
                **{name: text for name, text in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))},
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 3), done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def machine(built: list[Path], tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    for folder in ("home", "bin", "state"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bin/pulumi").symlink_to(BIN / "pulumi")
    shutil.copytree(built[0], tmp_path / "release")
    yield made
    made.sh("venv/bin/secretops broker stop --stack dev || true")


def test_wheel_alone_deploys_and_rotates_a_stack(machine: Machine) -> None:
    (machine.folder / "Pulumi.yaml").write_text(PROJECT)
    port = f'"kind": "embedded", "port": {free_port()}'
    (machine.folder / "__main__.py").write_text(PROGRAM.replace('"kind": "embedded"', port))
    output = machine.sh(
        "\n".join(run_of(PAGE)).replace("secretops tick --stack dev", "secretops tick --stack dev || [ $? = 3 ]")
    )
    assert re.search(r"^mqtt +verified +coreflux-mcp-dev-b", output, re.MULTILINE), output
    assert not [path for path in (machine.folder / "home").rglob("*") if path.suffix in (".py", ".yaml")]
