"""Run the real Pulumi CLI on this project, with the test's own state, configuration and store."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.prefix) / "bin"
PREFIX = "coreflux-mcp-secrets"
Entry = dict[str, object]


@dataclass
class Stack:
    """One stack of this project. `run` runs the CLI on the stack, and returns the output."""

    name: str
    home: Path
    config: dict[str, Entry]

    @property
    def root(self) -> Path:
        return self.home / "store"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PULUMI_BACKEND_URL": f"file://{self.home / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_HOME": str(self.home / "home"),
            "NO_COLOR": "1",
        }

    def configure(self, text: str | None = None) -> Path:
        """Write the stack file with `text`, by default that of `config`."""
        path = self.home / f"Pulumi.{self.name}.yaml"
        sections = {f"{PREFIX}:{section}": entry for section, entry in self.config.items()}
        path.write_text(text if text is not None else yaml.safe_dump({"config": sections}))
        return path

    def run(self, *arguments: str, config: bool = True) -> subprocess.CompletedProcess[str]:
        (self.home / "state").mkdir(exist_ok=True)
        command = [str(BIN / "pulumi"), *arguments, "--stack", self.name, "--non-interactive"]
        if config:
            command += ["--config-file", str(self.home / f"Pulumi.{self.name}.yaml")]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        return subprocess.CompletedProcess(command, done.returncode, done.stdout + done.stderr, "")

    def create(self) -> None:
        self.configure()
        (self.home / "state").mkdir(exist_ok=True)
        command = [str(BIN / "pulumi"), "stack", "init", self.name, "--no-select", "--non-interactive"]
        subprocess.run(command, cwd=self._project(), env=self.environment, check=True, capture_output=True)

    def use(self, program: str) -> tuple[str, str]:
        """Replace this project's program. Return the options that run it."""
        runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
        (self._project() / "Pulumi.yaml").write_text(json.dumps({"name": PREFIX, "runtime": runtime}))
        (self.home / "project/__main__.py").write_text(program)
        return "--cwd", str(self.home / "project")

    def up(self) -> str:
        done = self.run("up", "--yes", "--skip-preview")
        assert done.returncode == 0, done.stdout
        return done.stdout

    def preview_is_empty(self) -> None:
        done = self.run("preview", "--expect-no-changes")
        assert done.returncode == 0, done.stdout

    def state(self) -> str:
        done = self.run("stack", "export", "--show-secrets", config=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def outputs(self) -> dict[str, object]:
        done = self.run("stack", "output", "--json", config=False)
        assert done.returncode == 0, done.stdout
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def secretops(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "secretops"), *arguments]
        command += ["--manifest", str(self.root / "config" / "secretops.json")]
        done = subprocess.run(
            command, env=self.environment, input=stdin or "", capture_output=True, text=True, check=False
        )
        return subprocess.CompletedProcess(command, done.returncode, done.stdout + done.stderr, "")

    def _project(self) -> Path:
        folder = self.home / "project"
        folder.mkdir(exist_ok=True)
        (folder / "Pulumi.yaml").write_text(f"name: {PREFIX}\nruntime: python\n")
        return folder


@dataclass
class ManifestStack(Stack):
    """A stack whose manifest is only in its output, and in no file of a store."""

    @property
    def manifest(self) -> Path:
        return self.home / "secretops.json"

    def up(self) -> str:
        output = super().up()
        self.manifest.write_text(json.dumps(self.outputs()["secretops"]))
        return output

    def call(self, command: list[str], stdin: str | None) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder."""
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, input=stdin or "", capture_output=True, text=True, check=False
        )
        return subprocess.CompletedProcess(command, done.returncode, done.stdout + done.stderr, "")


def link_plugin(home: Path, program: Path | None, name: str) -> None:
    """Put Pulumi's provider where the engine finds it. Skips the test if it is not built."""
    if program is None:
        pytest.skip(f"the provider {name} is missing: python3 tools/setup.py --parts")
    plugin = home / "home" / "plugins" / f"resource-{name}"
    plugin.mkdir(parents=True, exist_ok=True)
    if not (there := plugin / program.name).exists():  # a clone set up for such a stack has its own
        there.symlink_to(program)


def new_stack(home: Path, *, port: int, name: str = "dev-test") -> Stack:
    """Return a dev stack in `home`, with the shipped stack's settings."""
    if not (BIN / "pulumi").exists():
        pytest.fail("there is no pulumi in the environment: make setup")
    stack = Stack(name, home, {
        "store": {"kind": "dotenv", "root": str(home / "store")}, "server": {"kind": "local"},
        "broker": {"kind": "embedded", "port": port}, "rotation": {"grace_seconds": 1},
    })  # fmt: skip
    stack.create()
    return stack
