"""One program for each platform, in which the real engine deploys each component on its own. No server or rotator runs.

Kubernetes, Swarm and dotenv use Pulumi's own providers, on a real API server, manager and folder. For AWS, Azure and
`vault`, a stand-in checks inputs against the SDK's types and documented rules; this does not prove that a cloud accepts
them. For `vault-openbao`, a stand-in creates all resources in a real OpenBao except audit devices, which OpenBao's API
refuses.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from components.aws import lambda_package
from tests.stacks.prod import ProdStack
from tests.stacks.project import BIN, PREFIX, ROOT, link_plugin
from tests.stacks.staging import link_provider
from tests.unit.alone import ALONE
from tools import docker_provider
from tools.clone import CLOUDS
from tools.standin import choice
from tools.standin.vault.openbao import VARIABLE

pytestmark = [pytest.mark.real, pytest.mark.slow]

PROGRAM = """\
from tests.unit.alone import ALONE

for number, alone in enumerate(ALONE["{}"]):
    alone.deploy(f"x{{number}}")
"""


def place_of(platform: str, home: Path, request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Install the platform's provider into `home`. Return the variables by which it finds a server."""
    match platform.partition("-"):
        case "kubernetes", *_:
            link_provider(home)
            return {"KUBECONFIG": str(request.getfixturevalue("cluster").admin)}
        case "swarm", *_:
            link_plugin(home, docker_provider.built(), f"docker-v{docker_provider.PROVIDER}")
            return {"DOCKER_HOST": request.getfixturevalue("swarm").host, "DOCKER_CONFIG": str(home / "docker")}
        case name, _, server if name != "dotenv":
            if name == "aws":
                assert lambda_package.main() == 0, "make lambda says why"
            cloud = CLOUDS[name]
            choice.write_shim(home / "bin", cloud.package, cloud.version, clone=ROOT, python=BIN / "python")
            if server:
                openbao = request.getfixturevalue("openbao")
                return {**openbao.environment(openbao.root), VARIABLE: openbao.address}
    return {}


@pytest.mark.parametrize("platform", [*ALONE, "vault-openbao"])
def test_each_component_is_deployed_alone_and_changes_nothing_then(
    platform: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = platform.partition("-")[0]
    leads = {"PYTHONPATH": str(ROOT), **place_of(platform, tmp_path, request)}
    stack = ProdStack("shop", tmp_path, {}, leads)
    stack.create()
    runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
    (tmp_path / "project/Pulumi.yaml").write_text(json.dumps({"name": PREFIX, "runtime": runtime}))
    (tmp_path / "project/__main__.py").write_text(PROGRAM.format(name))
    for command in (("up", "--yes", "--skip-preview"), ("preview", "--diff", "--expect-no-changes")):
        done = stack.run(*command, "--cwd", str(tmp_path / "project"))
        assert done.returncode == 0, done.stdout
    urns = [one["urn"] for one in json.loads(stack.state())["deployment"]["resources"]]
    assert all(any(urn.endswith(f"::x{number}") for urn in urns) for number in range(len(ALONE[name])))
    if name == "swarm":  # No node has the image. Docker would start tasks again and again, while later tests run.
        client = request.getfixturevalue("swarm").docker
        client.check_output("service", "rm", *client.check_output("service", "ls", "--quiet").split())
