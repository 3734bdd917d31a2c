"""docs/operations/swarm.md against the program: its keys, its files, its first steps; and Docker's commands on it.

What the commands of secretops do is run by tests/stacks/test_swarm.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from components.section import Section
from components.swarm import deployer
from components.swarm.names import variables_to
from components.swarm.sections import SwarmServer, SwarmStore
from secretops.manifest import Manifest, Secret, SecretKind
from tests.unit.harness import Deployed, ca_file, deploy
from tests.unit.page import rows
from tests.unit.stack_file import StackFile
from tests.unit.test_docs import commands

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "docs/operations/swarm.md"
PAGE = PATH.read_text()


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """A preview of the shipped example, with a CA file that is there."""
    ca = ca_file(tmp_path_factory.mktemp("ca"))
    shipped = (ROOT / "examples/Pulumi.prod-swarm.yaml").read_text()
    file = StackFile.read(shipped.replace("/etc/ssl/certs/prod-ca.crt", str(ca)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deployer, "ask_manager", lambda: None)
        return deploy(file, "prod-swarm", preview=True)


@pytest.mark.parametrize(("section", "model"), [("`store`", SwarmStore), ("`server`", SwarmServer)])
def test_the_page_has_every_key_of_a_section_with_its_default(section: str, model: type[Section]) -> None:
    told = rows(PAGE, section)
    assert told.keys() == model.model_fields.keys()
    for name, field in model.model_fields.items():
        default = told[name].partition("|")[0].strip()
        if field.is_required():
            assert default == "", name
        elif field.default in (None, ()):
            assert default.startswith("none"), name
        else:
            assert default == str(field.default).lower(), name


def test_the_page_tells_each_file_that_the_server_is_given_and_the_variable_that_names_it(prod: Deployed) -> None:
    secrets = Manifest.model_validate(prod.exports["secretops"]).secrets
    pair = ("client.crt", "client.key")
    certificate = Secret(name="client-cert", kind=SecretKind.X509, fields=pair, readers=(), cadence_days=1)
    told = rows(PAGE, "file below `/run/secrets`")
    for secret in (*secrets, certificate):
        if secret.kind is SecretKind.BROKER_ADMIN:
            continue
        for variable, path in variables_to(secret, has_ca=True).items():
            name = path.rpartition("/")[2]
            if not name.endswith("-version"):
                assert variable in told[name], name
    assert "SECRETOPS_VERSION_MQTT_FILE" in told["mqtt-version"]


def test_the_pages_first_steps_are_those_that_the_stack_tells(prod: Deployed) -> None:
    block = PAGE.partition("## From nothing to ready\n")[2].partition("```sh\n")[2].partition("```")[0]
    steps = prod.exports["next"].split(", then ")
    places = [block.index(step) for step in steps]
    assert len(places) >= 4
    assert places == sorted(places)


@pytest.mark.real
@pytest.mark.slow
def test_every_docker_command_on_the_page_is_one_and_takes_its_options() -> None:
    """By Docker's own client, which is asked for its help and starts nothing."""
    client = shutil.which("docker", path=f"/usr/bin:{os.environ.get('PATH', '')}")
    if client is None:
        pytest.skip("dockerd is not installed: apt-get install docker.io")
    told = [words[1:] for words in commands(PATH, "docker")]
    assert len(told) > 8
    for words in told:
        name = [word for word in words[:2] if re.fullmatch(r"[a-z-]+", word)]
        if name[0] in ("events", "ps"):
            name = name[:1]
        help_of = subprocess.run([client, *name, "--help"], check=True, capture_output=True, text=True).stdout
        usage = re.search(rf"Usage:\s+docker {' '.join(name)}\b", help_of)
        assert usage, words
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options <= set(re.findall(r"--[a-z-]+", help_of)), words
