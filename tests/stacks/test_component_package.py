"""The component from its wheel, in a program that is not this one: the example, by the real engine, in its own venv."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from secretops.errors import ExitCode
from tests.real.ports import free_port
from tests.stacks.prod import OF_CLOUDS
from tests.stacks.project import BIN, ROOT
from tests.stacks.runbook import OPERATIONS, new_clone, run_of
from tests.unit.harness import ca_file
from tools.clone import CLOUDS, base_python, provide_uv
from tools.standin import choice
from tools.toolchain.gobuild import cached_path, find_go, module_folder
from tools.toolchain.pulumi_cli import MODULE, YAML_HOST

pytestmark = [pytest.mark.real, pytest.mark.slow]

EXAMPLE = ROOT / "examples/another-program"
PAGE = OPERATIONS / "component.md"
COMPONENT = "coreflux-mcp-secrets:index:CorefluxSecrets"


@pytest.fixture(scope="module")
def installer(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("environment")
    repository = new_clone(folder / "repository", {}).folder
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{one['name']}=={one['version']}\n" for one in packages if "sdist" in one))
    uv, made = provide_uv(), folder / "venv"
    subprocess.run([uv, "venv", "--quiet", "--python", base_python(), made], check=True)

    def install(extras: str) -> Path:
        command = [str(uv), "pip", "install", "--quiet", "--python", str(made / "bin/python")]
        wanted = f"coreflux-mcp-secrets[{extras}] @ git+{repository.as_uri()}#subdirectory=package"
        subprocess.run([*command, "--constraint", str(constraints), wanted], check=True)
        return made

    return install


@pytest.fixture(scope="module")
def declaring(installer: Callable[[str], Path]) -> Path:
    """An environment that has what declares a stack of AWS, and not the command, unless `venv` came before."""
    return installer("aws")


@pytest.fixture(scope="module")
def venv(installer: Callable[[str], Path]) -> Path:
    return installer("aws,cli")


@dataclass
class Program:
    home: Path
    stack: str
    clone: Path = ROOT

    @property
    def folder(self) -> Path:
        return self.home / "program"

    @property
    def venv(self) -> Path:
        return (self.folder if self.clone == ROOT else self.clone / "package/plugin") / "venv"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith((*OF_CLOUDS, "VIRTUAL_ENV"))}
        path = (self.home / "bin", BIN, provide_uv().parent, os.environ.get("PATH", os.defpath))
        return {
            **kept, "PATH": os.pathsep.join(map(str, path)), "PULUMI_BACKEND_URL": f"file://{self.home / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "", "PULUMI_HOME": str(self.home / "home"), "NO_COLOR": "1",
            choice.VARIABLE: "up",
        }  # fmt: skip

    def configure(self, sections: dict[str, object]) -> None:
        config = {"config": {"shop:mcp": sections}}
        (self.folder / f"Pulumi.{self.stack}.yaml").write_text(yaml.safe_dump(config))

    def pulumi(self, *arguments: str, fails: bool = False) -> str:
        command = [str(BIN / "pulumi"), *arguments, "--non-interactive"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def sh(self, *lines: str, path: str | None = None) -> str:
        wants_a_person = f"[ $? -eq {ExitCode.ATTENTION} ] || exit"
        done = subprocess.run(
            ["bash", "-c", "\n".join(f"{line} || {wants_a_person}" for line in lines)],
            cwd=self.folder,
            env=self.environment | ({"PATH": path} if path else {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, ExitCode.ATTENTION), done.stdout + done.stderr
        return done.stdout

    def follow(self, blocks: Sequence[str]) -> str:
        kept = [one for one in self.environment["PATH"].split(os.pathsep) if not (Path(one) / "pulumi").exists()]
        lines = [line.replace("/path/to/clone", str(self.clone)) for block in blocks for line in block.splitlines()]
        return self.sh(*lines, path=os.pathsep.join(kept))

    def has_all_below_the_component(self, at_least: int) -> None:
        made = json.loads(self.pulumi("stack", "export"))["deployment"]["resources"]
        urns = [one["urn"] for one in made if "::pulumi:p" not in one["urn"]]
        assert len(urns) >= at_least
        assert [urn for urn in urns if f"::{COMPONENT}" not in urn] == []


def program(home: Path, venv: Path, stack: str, **broker: object) -> Program:
    made = Program(home, stack)
    (home / "state").mkdir()
    shutil.copytree(EXAMPLE, made.folder)
    (made.folder / "venv").symlink_to(venv)
    sections = yaml.safe_load((EXAMPLE / f"Pulumi.{stack}.yaml").read_text())["config"]["shop:mcp"]
    made.configure({**sections, "broker": {**sections["broker"], **broker}})
    return made


def in_yaml(home: Path, venv: Path) -> Program:
    """The page's program in YAML, which Pulumi's own language host runs, and a clone whose plugin has `venv`."""
    if not (host := cached_path(*YAML_HOST)).exists():
        pytest.skip("Pulumi's language host for YAML is missing: python3 tools/setup.py --parts")
    made = Program(home, "dev", clone=home / "clone")
    shutil.copytree(ROOT / "package/plugin", made.venv.parent)
    for folder in ("bin", "program", "state"):
        (home / folder).mkdir()
    for link, there in {home / "bin" / host.name: host, made.clone / ".venv": BIN.parent, made.venv: venv}.items():
        link.symlink_to(there)
    (shown,) = re.findall(r"```yaml\n(name: .*?)```", PAGE.read_text(), re.DOTALL)
    shown = shown.replace("kind: embedded", f"kind: embedded, port: {free_port()}")
    (made.folder / "Pulumi.yaml").write_text(shown.replace("/path/to/clone", str(made.clone)))
    return made


@pytest.fixture(params=["python", "yaml"])
def dev(request: pytest.FixtureRequest, venv: Path, tmp_path: Path) -> Iterator[Program]:
    made = in_yaml(tmp_path, venv) if request.param == "yaml" else program(tmp_path, venv, "dev", port=free_port())
    yield made
    subprocess.run([venv / "bin/secretops", "broker", "stop"], cwd=made.folder, env=made.environment, check=False)


def test_component_page_shows_the_example() -> None:
    shown = re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL)[:2]
    assert shown == [(EXAMPLE / name).read_text() for name in ("__main__.py", "Pulumi.dev.yaml")]


def test_component_of_aws_wants_its_package_then_changes_nothing_and_is_destroyed(
    declaring: Path, tmp_path: Path
) -> None:
    """On the stand-in for Pulumi's provider, which checks inputs and reaches no account (tools/standin)."""
    prod, aws = program(tmp_path, declaring, "prod", ca_file=str(ca_file(tmp_path))), CLOUDS["aws"]
    assert not (declaring / "bin/typer").exists()
    prod.pulumi("stack", "init", prod.stack)
    choice.lay(tmp_path / "bin", aws.package, aws.version, clone=ROOT, python=BIN / "python")
    said = prod.pulumi("up", "--yes", "--skip-preview", fails=True)
    remedy = re.search(r"-> (\S+/bin/python\S* -m coreflux_mcp_secrets\.aws\.lambda_package)$", said, re.MULTILINE)
    assert remedy, said
    prod.sh(shlex.join(shlex.split(remedy[1])))
    prod.pulumi("up", "--yes", "--skip-preview")
    prod.has_all_below_the_component(90)
    prod.pulumi("preview", "--refresh", "--expect-no-changes")
    assert "protected" in prod.pulumi("destroy", "--yes", "--skip-preview", fails=True)
    prod.pulumi("state", "unprotect", "--all", "--yes")
    prod.pulumi("destroy", "--yes", "--skip-preview")


def test_component_page_makes_a_dev_stack_below_one_resource(dev: Program) -> None:
    *in_python, in_yaml = run_of(PAGE)
    said = dev.follow(in_python if dev.clone == ROOT else [in_yaml])
    assert re.search(r"^mqtt +verified", said, re.MULTILINE), said
    dev.has_all_below_the_component(6)
    root = dev.folder / ".coreflux-mcp"
    entry = json.loads((root / "config/mcp.json").read_text())["mcpServers"]["coreflux"]
    assert entry["command"] == str(dev.venv / "bin/secretops")
    dev.sh(f". {dev.venv}/bin/activate", "secretops --version", "secretops rotate mqtt --stack dev")
    dev.sh(f". {dev.venv}/bin/activate", "pulumi preview --expect-no-changes")
    dev.sh(f". {dev.venv}/bin/activate", "secretops purge --destroy --yes --stack dev", "pulumi destroy --yes")
    assert not (root / "config").exists()


def test_plugin_has_a_schema_by_the_metaschema_of_pulumi(venv: Path, tmp_path: Path) -> None:
    made = in_yaml(tmp_path, venv)
    said = made.pulumi("package", "get-schema", str(made.venv.parent))
    schema, _ = json.JSONDecoder().raw_decode(said)  # what the language host says comes after it
    component = schema["resources"][f"{COMPONENT}Dotenv"]
    assert sorted(component["requiredInputs"]) == ["broker", "server", "store"]
    assert "pulumi.json#/Any" not in said and schema["version"] != "0.0.0"
    sources = module_folder(find_go(MODULE), MODULE, "github.com/pulumi/pulumi/pkg/v3")
    metaschema = (sources / "codegen/schema/pulumi.json").read_text().replace("(?<", "(?P<")  # as Python names groups
    Draft202012Validator(json.loads(metaschema)).validate(schema)
