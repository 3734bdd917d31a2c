"""What is measured side by side: a shipped stack, the same without components, and one resource of its provider."""

from __future__ import annotations

import yaml

from bench.engine import Program, new_project
from bench.flat import flat_program
from bench.measured import ROOT
from bench.places import Place
from components.core.naming import PROJECT
from tests.real.ports import free_port
from tests.unit.aws_stack import a_kubeconfig, a_package
from tests.unit.harness import ca_file, deploy
from tests.unit.stack_file import StackFile

STACKS = ("dev", "staging", "prod")
OURS, FLAT, ONE, EMPTY = "the stack", "flat", "one resource", "empty"

_EMPTY = "import pulumi\n"

_ONE_RESOURCE = {
    "dev": """\
from components.dotenv.folder import Folder

Folder("one", root={root!r}, folders=("config",))
""",
    "staging": """\
import pulumi
import pulumi_kubernetes as kubernetes

cluster = kubernetes.Provider("cluster", context={context!r}, kubeconfig="")
kubernetes.core.v1.Namespace("one", metadata={{"name": "one"}}, opts=pulumi.ResourceOptions(provider=cluster))
""",
    "prod": """\
import pulumi
import pulumi_aws as aws

provider = aws.Provider("aws", region="eu-central-1", skip_credentials_validation=True)
aws.secretsmanager.Secret("one", name="one", opts=pulumi.ResourceOptions(provider=provider))
""",
}


def programs(stack: str, place: Place, *, secrets: int = 0) -> dict[str, Program]:
    """The stack and the flat program, of that many secrets more than the shipped file has; without any more, the one
    resource and the empty program, too. All with a state that knows nothing."""
    home = place.home / f"with-{secrets}-more"
    home.mkdir()
    text = stack_file(stack, place, secrets)
    config = home / f"Pulumi.{stack}.yaml"
    config.write_text(text)
    modules = {FLAT: flat(stack, text)}
    if not secrets:
        modules[ONE] = _ONE_RESOURCE[stack].format(root=str(place.home / "one"), context=place.context)
        modules[EMPTY] = _EMPTY
    found = {OURS: Program(ROOT, stack, home / "ours", config, place.more)}
    for name, module in modules.items():
        own = home / name.replace(" ", "-")
        folder = new_project(own / "program", module)
        found[name] = Program(folder, stack, own, None, {**place.more, "PYTHONPATH": str(ROOT)})
    for program in found.values():
        (program.home / "home").mkdir(parents=True)
        if (plugins := place.home / "home" / "plugins").exists():
            (program.home / "home" / "plugins").symlink_to(plugins)
        program.begin()
    return found


def stack_file(stack: str, place: Place, secrets: int = 0) -> str:
    """The shipped file of a stack with what this machine has in place of the examples'."""
    shipped = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    sections = {name.removeprefix(f"{PROJECT}:"): entry for name, entry in shipped.items()}
    if stack == "dev":
        sections["store"]["root"] = str(place.home / "store")
        sections["broker"]["port"] = free_port()
    else:
        sections["broker"]["ca_file"] = str(ca_file(place.home))
    if place.context:
        sections["server"]["context"] = place.context
    if secrets:
        one = {"fields": ["value"], "readers": ["rotator"]}
        sections["secrets"] = {f"extra-{number:04}": dict(one) for number in range(secrets)}
    return yaml.safe_dump({"config": {f"{PROJECT}:{name}": entry for name, entry in sections.items()}})


def flat(stack: str, text: str) -> str:
    """The flat program of that stack file."""
    file = StackFile.read(text)
    with a_package(), a_kubeconfig():
        return flat_program(deploy(file, stack), deploy(file, stack, preview=True))
