"""The component from its wheel, in a program that is not this one: the example, by the real engine, in its own venv.

A program of another language is proven by the plugin it would ask: a Python program that knows no more of the component
than its name stands in for it, for no other language's host is here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.real.ports import free_port
from tests.stacks.prod import OF_CLOUDS
from tests.stacks.project import BIN, ROOT
from tests.stacks.runbook import OPERATIONS, new_clone, run_of
from tests.unit.harness import ca_file
from tools.clone import CLOUDS, base_python, provide_uv
from tools.standin import choice

pytestmark = [pytest.mark.real, pytest.mark.slow]

EXAMPLE = ROOT / "examples/another-program"
PAGE = OPERATIONS / "component.md"
COMPONENT = "coreflux-mcp-secrets:index:CorefluxSecrets"

ELSEWHERE = f"""\
import pulumi

class Mcp(pulumi.ComponentResource):
    def __init__(self, **sections):
        outputs = dict.fromkeys(["secretops", "server", "next"])
        super().__init__({COMPONENT!r}, "mcp", {{**outputs, **sections}}, remote=True)

mcp = Mcp(**pulumi.Config().require_object("mcp"))
for name in ("secretops", "server", "next"):
    pulumi.export(name, getattr(mcp, name))
"""
"""What a generated SDK does, whatever its language: it sends the arguments, and gets the outputs."""


def ran(command: Sequence[str | Path], *, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    ran([provide_uv(), "build", "--quiet", "--wheel", "--out-dir", folder, ROOT / "package"])
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has it from a repository, of what the lock has, and nothing of the clone."""
    folder = tmp_path_factory.mktemp("environment")
    repository = new_clone(folder / "repository", {}).folder
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{one['name']}=={one['version']}\n" for one in packages if "sdist" in one))
    uv, made = provide_uv(), folder / "venv"
    ran([uv, "venv", "--quiet", "--python", base_python(), made])
    ran(
        [
            *(uv, "pip", "install", "--quiet", "--python", made / "bin/python", "--constraint", constraints),
            f"coreflux-mcp-secrets[aws] @ git+{repository.as_uri()}#subdirectory=package",
        ]
    )
    return made


@dataclass
class Program:
    """A program in a folder of its own, with its own state."""

    home: Path
    stack: str
    venv: Path

    @property
    def folder(self) -> Path:
        return self.home / "program"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith((*OF_CLOUDS, "VIRTUAL_ENV"))}
        path = os.pathsep.join(map(str, (self.home / "bin", BIN, provide_uv().parent)))
        return {
            **kept,
            "PATH": f"{path}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PULUMI_BACKEND_URL": f"file://{self.home / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_HOME": str(self.home / "home"),
            "NO_COLOR": "1",
            choice.VARIABLE: "up",
        }

    def lay(self) -> None:
        (self.home / "state").mkdir()
        self.folder.mkdir(exist_ok=True)
        (self.folder / "venv").symlink_to(self.venv)

    def create(self) -> None:
        self.lay()
        assert self.pulumi("stack", "init", self.stack)[0] == 0

    def configure(self, **sections: object) -> None:
        config = {"config": {"shop:mcp": sections}}
        (self.folder / f"Pulumi.{self.stack}.yaml").write_text(yaml.safe_dump(config))

    def pulumi(self, *arguments: str) -> tuple[int, str]:
        command = [str(BIN / "pulumi"), *arguments, "--non-interactive"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def done(self, *arguments: str) -> str:
        code, said = self.pulumi(*arguments)
        assert code == 0, said
        return said

    def sh(self, line: str) -> str:
        """A line as a person types it, with the program's environment active."""
        return self.typed(f". venv/bin/activate; {line}", self.environment)

    def follow(self, blocks: Sequence[str]) -> str:
        """A page's lines in one shell, which has no `pulumi` but what they put there."""
        kept = [one for one in self.environment["PATH"].split(os.pathsep) if not (Path(one) / "pulumi").exists()]
        wants_a_person = "[ $? -eq 3 ] || exit"
        lines = [f"{line} || {wants_a_person}" for block in blocks for line in block.splitlines()]
        script = "\n".join(lines).replace("/path/to/clone", str(ROOT))
        return self.typed(script, self.environment | {"PATH": os.pathsep.join(kept)})

    def typed(self, script: str, environment: dict[str, str]) -> str:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        wants_a_person = 3  # the agent's key, which nobody has put
        assert done.returncode in (0, wants_a_person), done.stdout + done.stderr
        return done.stdout

    def urns(self) -> list[str]:
        """Without the stack's and the providers'."""
        made = json.loads(self.done("stack", "export"))["deployment"]["resources"]
        return [one["urn"] for one in made if "::pulumi:p" not in one["urn"]]


@pytest.fixture
def example(venv: Path, tmp_path: Path) -> Iterator[Program]:
    """The example as it is cloned, on a port of its own: it has no stack."""
    program = Program(tmp_path, "dev", venv)
    shutil.copytree(EXAMPLE, program.folder)
    program.lay()
    given = yaml.safe_load((EXAMPLE / "Pulumi.dev.yaml").read_text())["config"]["shop:mcp"]
    program.configure(**given | {"broker": {**given["broker"], "port": free_port()}})
    yield program
    subprocess.run([venv / "bin/secretops", "broker", "stop"], cwd=program.folder, env=program.environment, check=False)


@pytest.fixture
def shop(example: Program) -> Program:
    """Its dev stack."""
    assert example.pulumi("stack", "init", example.stack)[0] == 0
    return example


def test_the_wheel_has_two_names_that_are_its_own_and_asks_no_index_for_either(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        asked = [line for line in archive.read(metadata).decode().splitlines() if line.startswith("Requires-Dist:")]

    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"coreflux_mcp_secrets", "secretops"}
    assert "coreflux_mcp_secrets/kubernetes/audit-policy.yaml" in names
    assert "coreflux_mcp_secrets/py.typed" in names
    assert not [name for name in names if "__pycache__" in name]
    assert not [line for line in asked if "secretops" in line or "coreflux" in line]
    assert [line for line in asked if "pulumi-aws" in line and "extra == 'aws'" in line]


def test_the_page_shows_the_example_as_it_is() -> None:
    shown = re.findall(r"```(python|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL)[:2]
    assert shown == [
        ("python", (EXAMPLE / "__main__.py").read_text()),
        ("yaml", (EXAMPLE / "Pulumi.dev.yaml").read_text()),
    ]


def test_another_program_has_a_dev_stack_below_one_resource_and_lives_with_it_as_the_page_says(
    example: Program,
) -> None:
    shop = example
    said = shop.follow(run_of(PAGE))
    root = shop.folder / ".coreflux-mcp"
    assert re.search(r"^mqtt +verified", said, re.MULTILINE), said
    assert len(shop.urns()) == 6
    assert all(f"::{COMPONENT}" in urn for urn in shop.urns())
    entry = json.loads((root / "config/mcp.json").read_text())["mcpServers"]["coreflux"]
    assert entry["command"] == str(shop.folder / "venv/bin/secretops")

    shop.sh("secretops rotate mqtt --stack dev")
    shop.done("preview", "--expect-no-changes")
    shop.sh("secretops purge --destroy --yes --stack dev")
    shop.done("destroy", "--yes", "--skip-preview")
    assert not (root / "config").exists()


def test_a_stack_of_aws_wants_its_package_then_goes_up_changes_nothing_and_is_destroyed(
    venv: Path, tmp_path: Path
) -> None:
    """On the stand-in for Pulumi's provider, which checks inputs and reaches no account (tools/standin)."""
    prod = Program(tmp_path, "prod", venv)
    shutil.copytree(EXAMPLE, prod.folder)
    prod.create()
    given = yaml.safe_load((EXAMPLE / "Pulumi.prod.yaml").read_text())["config"]["shop:mcp"]
    prod.configure(**given | {"broker": {**given["broker"], "ca_file": str(ca_file(tmp_path))}})
    aws = CLOUDS["aws"]
    choice.lay(tmp_path / "bin", aws.package, aws.version, clone=ROOT, python=BIN / "python")

    code, said = prod.pulumi("up", "--yes", "--skip-preview")
    remedy = re.search(r"-> (\S+/bin/python\S* -m coreflux_mcp_secrets\.tools\.lambda_package)$", said, re.MULTILINE)
    assert code != 0
    assert remedy, said
    assert prod.urns() == []

    ran(shlex.split(remedy[1]), cwd=prod.folder, env=prod.environment)
    assert (prod.folder / "dist/lambda.zip").is_file()
    prod.done("up", "--yes", "--skip-preview")
    assert len(prod.urns()) > 100
    assert all(f"::{COMPONENT}" in urn for urn in prod.urns())
    prod.done("preview", "--refresh", "--expect-no-changes")
    code, said = prod.pulumi("destroy", "--yes", "--skip-preview")
    assert code != 0
    assert "protected" in said
    prod.done("state", "unprotect", "--all", "--yes")
    prod.done("destroy", "--yes", "--skip-preview")


@pytest.fixture
def elsewhere(venv: Path, tmp_path: Path) -> Program:
    """A program that asks the plugin, which has the wheel."""
    plugin = tmp_path / "plugin"
    shutil.copytree(ROOT / "package/plugin", plugin)
    (plugin / "venv").symlink_to(venv)
    program = Program(tmp_path, "dev", venv)
    program.folder.mkdir()
    (program.folder / "__main__.py").write_text(ELSEWHERE)
    runtime = {"name": "python", "options": {"virtualenv": "venv"}}
    providers = [{"name": "coreflux-mcp-secrets", "path": str(plugin)}]
    project = {"name": "shop", "runtime": runtime, "plugins": {"providers": providers}}
    (program.folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    program.create()
    return program


def test_a_program_that_asks_the_plugin_has_the_same(elsewhere: Program) -> None:
    elsewhere.configure(
        store={"kind": "dotenv"},
        server={"kind": "local"},
        broker={"kind": "embedded", "port": free_port()},
        rotation={"grace_seconds": 5},
    )
    elsewhere.done("up", "--yes", "--skip-preview")
    assert all(f"::{COMPONENT}" in urn for urn in elsewhere.urns())
    outputs = json.loads(elsewhere.done("stack", "output", "--json"))
    assert outputs["secretops"]["grace_seconds"] == 5
    assert outputs["server"] == str(elsewhere.folder / ".coreflux-mcp/config/mcp.json"), "below the asking program"
    elsewhere.done("preview", "--expect-no-changes")
    elsewhere.done("destroy", "--yes", "--skip-preview")


def test_the_engine_reads_the_components_schema_from_the_plugin(elsewhere: Program) -> None:
    said = elsewhere.done("package", "get-schema", str(elsewhere.home / "plugin"))
    schema, _ = json.JSONDecoder().raw_decode(said)  # what the language host says comes after it
    told = schema["resources"][COMPONENT]
    assert told["isComponent"]
    assert sorted(told["requiredInputs"]) == ["broker", "server", "store"]
    assert all(one["plain"] and one["description"] for one in told["inputProperties"].values())
