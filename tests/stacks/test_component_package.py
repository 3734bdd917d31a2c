"""The components, installed from their wheel in a separate venv, in other programs that the real engine runs.

AWS components use the stand-in for Pulumi's provider, which checks inputs and invents ids. It is not proven that AWS
accepts them, that a network is open, and that ECS starts a task.
"""

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
from jsonschema import Draft202012Validator

from secretops.errors import ExitCode
from tests.real.ports import free_port
from tests.stacks.prod import OF_CLOUDS
from tests.stacks.project import BIN, ROOT
from tests.stacks.runbook import OPERATIONS, new_clone, run_of
from tools.clone import CLOUDS, base_python, provide_uv
from tools.standin import choice
from tools.toolchain.gobuild import cached_path, find_go, module_folder
from tools.toolchain.pulumi_cli import MODULE, YAML_HOST

pytestmark = [pytest.mark.real, pytest.mark.slow]

PAGE = OPERATIONS / "component.md"
PROJECT, PROGRAM = (re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)[0] for kind in ("yaml", "python"))
PROGRAMS = {path.stem: path.read_text() for path in (ROOT / "examples/programs").glob("own_*.py")}
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
    """Return an environment that can declare a stack of AWS. It lacks the command `secretops`, unless `venv` was used
    before."""
    return installer("aws")


@pytest.fixture(scope="module")
def venv(installer: Callable[[str], Path]) -> Path:
    return installer("aws,cli")


@dataclass
class Program:
    home: Path
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

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment | environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return subprocess.CompletedProcess(command, done.returncode, done.stdout + done.stderr)

    def pulumi(self, *arguments: str, fails: bool = False) -> str:
        done = self.run(str(BIN / "pulumi"), *arguments, "--non-interactive")
        assert (done.returncode != 0) is fails, done.stdout
        return done.stdout

    def sh(self, *lines: str, **environment: str) -> str:
        wants_a_person = f"[ $? -eq {ExitCode.ATTENTION} ] || exit"
        done = self.run("bash", "-c", "\n".join(f"{line} || {wants_a_person}" for line in lines), **environment)
        assert done.returncode in (0, ExitCode.ATTENTION), done.stdout
        return done.stdout

    def follow(self, blocks: Sequence[str]) -> str:
        kept = [one for one in self.environment["PATH"].split(os.pathsep) if not (Path(one) / "pulumi").exists()]
        lines = [line.replace("/path/to/clone", str(self.clone)) for block in blocks for line in block.splitlines()]
        return self.sh(*lines, PATH=os.pathsep.join(kept))

    def has_all_below_the_component(self, at_least: int) -> None:
        made = json.loads(self.pulumi("stack", "export"))["deployment"]["resources"]
        urns = [one["urn"] for one in made if "::pulumi:p" not in one["urn"]]
        assert len(urns) >= at_least
        assert [urn for urn in urns if f"::{COMPONENT}" not in urn] == []


def program(home: Path, venv: Path, text: str) -> Program:
    made = Program(home)
    (home / "state").mkdir()
    made.folder.mkdir()
    (made.folder / "Pulumi.yaml").write_text(PROJECT)
    (made.folder / "__main__.py").write_text(text)
    (made.folder / "venv").symlink_to(venv)
    return made


def in_yaml(home: Path, venv: Path) -> Program:
    """Return the page's program in YAML, which Pulumi's own language host runs. The plugin is in a clone below `home`,
    and uses `venv`."""
    if not (host := cached_path(*YAML_HOST)).exists():
        pytest.skip("Pulumi's language host for YAML is missing: python3 tools/setup.py --parts")
    made = Program(home, home / "clone")
    shutil.copytree(ROOT / "package/plugin", made.venv.parent)
    for folder in ("bin", "program", "state"):
        (home / folder).mkdir()
    for link, there in {home / "bin" / host.name: host, made.clone / ".venv": BIN.parent, made.venv: venv}.items():
        link.symlink_to(there)
    *_, shown = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown = shown.replace("kind: embedded", f"kind: embedded, port: {free_port()}")
    (made.folder / "Pulumi.yaml").write_text(shown.replace("/path/to/clone", str(made.clone)))
    return made


@pytest.fixture(params=["python", "yaml"])
def dev(request: pytest.FixtureRequest, venv: Path, tmp_path: Path) -> Iterator[Program]:
    text = PROGRAM.replace('"kind": "embedded"', f'"kind": "embedded", "port": {free_port()}')
    made = in_yaml(tmp_path, venv) if request.param == "yaml" else program(tmp_path, venv, text)
    yield made
    subprocess.run([venv / "bin/secretops", "broker", "stop"], cwd=made.folder, env=made.environment, check=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_example_of_aws_changes_nothing_after_its_deployment(name: str, declaring: Path, tmp_path: Path) -> None:
    shop, aws = program(tmp_path, declaring, PROGRAMS[name]), CLOUDS["aws"]
    assert not (declaring / "bin/typer").exists()
    shop.pulumi("stack", "init", "prod")
    shop.pulumi("config", "set", "aws:region", "eu-central-1")
    choice.write_shim(tmp_path / "bin", aws.package, aws.version, clone=ROOT, python=BIN / "python")
    if name != "own_store":  # which rotates nothing
        output = shop.pulumi("preview", fails=True)
        remedy = re.search(
            r"-> (\S+/bin/python\S* -m coreflux_mcp_secrets\.aws\.lambda_package)$", output, re.MULTILINE
        )
        assert remedy, output
        shop.sh(shlex.join(shlex.split(remedy[1])))
    if name == "own_network":
        (shop.folder / "__main__.py").write_text(PROGRAMS[name].replace("vpc.private_subnet_ids,", "[vpc.id],"))
        shop.pulumi("preview")  # no id is known
        output = shop.pulumi("up", "--yes", "--skip-preview", fails=True)
        assert re.search(r"error: server\.subnets\.0: vpc-\w+ \[invalid-entry\]", output), output
        (shop.folder / "__main__.py").write_text(PROGRAMS[name])
    shop.pulumi("preview")
    shop.pulumi("up", "--yes", "--skip-preview")
    shop.pulumi("preview", "--refresh", "--expect-no-changes")
    if name == "own_network":
        assert "protected" in shop.pulumi("destroy", "--yes", "--skip-preview", fails=True)
        shop.pulumi("state", "unprotect", "--all", "--yes")
        shop.pulumi("destroy", "--yes", "--skip-preview")


def test_component_page_makes_a_dev_stack_below_one_resource(dev: Program) -> None:
    *before, last = run_of(PAGE)
    output = dev.follow(before if dev.clone == ROOT else [last])
    assert re.search(r"^mqtt +verified", output, re.MULTILINE), output
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
    output = made.pulumi("package", "get-schema", str(made.venv.parent))
    schema, _ = json.JSONDecoder().raw_decode(output)  # the language host's output comes after it
    component = schema["resources"][f"{COMPONENT}Dotenv"]
    assert sorted(component["requiredInputs"]) == ["broker", "server", "store"]
    assert "pulumi.json#/Any" not in output and schema["version"] != "0.0.0"
    sources = module_folder(find_go(MODULE), MODULE, "github.com/pulumi/pulumi/pkg/v3")
    metaschema = (
        (sources / "codegen/schema/pulumi.json").read_text().replace("(?<", "(?P<")
    )  # like Python's group names
    Draft202012Validator(json.loads(metaschema)).validate(schema)
