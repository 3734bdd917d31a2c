"""The image, built from the real Dockerfile and run by a real dockerd without a registry."""

import hashlib
import importlib.metadata
import json
import os
import re
import secrets
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import anyio
import httpx
import pytest

from secretops.launcher.checkout import UPSTREAM_COMMIT, UPSTREAM_REPOSITORY
from secretops.values import Value, new_password
from tests.real.dockerd import Dockerd
from tests.real.launched import DEADLINE, let_in, until
from tests.real.mcp_client import call_tool, http_session
from tests.real.mosquitto import Mosquitto
from tests.real.stack import make_stack
from tests.real.workshop import PYTHON, ROOT, SERVER_FOLDER, Workshop, files_of, open_workshop
from tests.stacks.runbook import Clone, Page
from tools import sbom
from tools.steps import SetupError

DOCKERFILE = (ROOT / "Dockerfile").read_text()
PAGE = (ROOT / "docs" / "operations" / "image.md").read_text()
SERVER_HOME = "opt/coreflux-mcp-server"
USER = "10001"

ALLOWED = (
    r"pyproject\.toml|uv\.lock|secretops/.*\.(py|toml|typed|css|html)|tools/wheels/uv\.txt|"
    r"\.tools/server/([a-z_]+\.py|LICENSE)"
)
# Without --tmpfs: no writable path unless a test mounts it.
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


ON_THE_MACHINES_NETWORK = """#!/bin/sh
if [ "$1" = build ]; then
    shift
    set -- build --network host "$@"
fi
exec {client} "$@"
"""

real = pytest.mark.real


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with open_workshop(tmp_path_factory.mktemp("image")) as made:
        yield made


@pytest.fixture(scope="module")
def image(workshop: Workshop) -> str:
    done = workshop.build("--build-arg", f"UPSTREAM={SERVER_FOLDER}", "--build-arg", "REVISION=abc", "--tag", "image:1")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return "image:1"


def test_the_dockerfile_clones_what_the_launcher_is_written_for() -> None:
    output = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    assert (output["UPSTREAM_REPOSITORY"], output["UPSTREAM_COMMIT"]) == (UPSTREAM_REPOSITORY, UPSTREAM_COMMIT)


@real
@pytest.mark.slow
def test_nothing_reaches_the_builder_but_what_the_image_is_made_of(workshop: Workshop) -> None:
    probe = workshop.tree.parent / "probe"
    probe.write_text("FROM scratch\nCOPY . /context/\n")
    assert workshop.build("--file", str(probe), "--tag", "probe:1").returncode == 0
    names = {name.removeprefix("context/") for name in files_of(workshop.docker.copy("probe:1", "/context"))}
    assert {"uv.lock", "secretops/src/secretops/__main__.py", f"{SERVER_FOLDER}/server.py"} <= names
    assert {name for name in names if not re.fullmatch(ALLOWED, name)} == set()


@real
@pytest.mark.slow
@pytest.mark.parametrize("buildkit", [False, True], ids=["legacy", "buildkit"])
def test_either_builder_takes_the_server_by_cloning_it(workshop: Workshop, buildkit: bool) -> None:
    tag = f"server:{buildkit}".lower()
    build_args = (f"UPSTREAM_REPOSITORY={workshop.repository}", f"UPSTREAM_COMMIT={workshop.commit}")
    options = [word for argument in build_args for word in ("--build-arg", argument)]
    done = workshop.build(*options, "--target", "server", "--tag", tag, buildkit=buildkit)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = files_of(workshop.docker.copy(tag, f"/{SERVER_HOME}"))
    assert {Path(name).name: found[name] for name in found if "__pycache__" not in name} == workshop.server_files


@real
@pytest.mark.slow
def test_image_runs_as_a_numeric_user_without_a_shell_or_secrets(workshop: Workshop, image: str) -> None:
    config = json.loads(workshop.docker.check_output("inspect", image))[0]["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == ["/opt/secretops/bin/secretops"]
    assert config["Cmd"] == [
        *("run", "--from", "files:/etc/coreflux-mcp/secrets"),
        *("--transport", "http", "--listen", "0.0.0.0:8080"),
    ]
    assert config["Labels"]["org.opencontainers.image.revision"] == "abc"
    names = {entry.partition("=")[0] for entry in config["Env"]}
    assert names == {"PATH", "COREFLUX_SERVER_DIR", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}


@real
@pytest.mark.slow
def test_sbom_has_the_python_and_debian_packages_of_the_image(workshop: Workshop, image: str) -> None:
    made = sbom.document(image, docker=str(workshop.docker.client), env=workshop.docker.environment)
    purls = {one["purl"].partition("@")[0] for one in made["components"]}
    assert {"pkg:pypi/paho-mqtt", "pkg:pypi/mcp", "pkg:generic/python", "pkg:deb/debian/libc6"} <= purls


@real
@pytest.mark.parametrize(("version", "known"), [("", True), ("0.0.1", False)])
def test_sbom_fails_on_a_package_that_the_lock_lacks(version: str, known: bool, tmp_path: Path) -> None:
    packages = {"coreflux-secretops": "1", "paho_mqtt": version or importlib.metadata.version("paho-mqtt")}
    report = {
        "packages": packages, "debian": [["a", "1:2+3", "amd64"]], "distro": "debian", "release": "12", "python": "3",
    }  # fmt: skip
    (tmp_path / "docker").write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(report)}\nEND\n")
    (tmp_path / "docker").chmod(0o755)
    with nullcontext() if known else pytest.raises(SetupError, match="paho-mqtt"):
        made = sbom.document("image:1", docker=str(tmp_path / "docker"))
        assert "pkg:deb/debian/a@1%3A2%2B3?arch=amd64&distro=debian-12" in {one["purl"] for one in made["components"]}


def test_each_locked_package_with_a_wheel_for_amd64_has_one_for_arm64() -> None:
    for one in tomllib.loads((ROOT / "uv.lock").read_text())[
        "package"
    ]:  # debugpy is a tool of Pulumi's SDK, and in no image
        wheels = [wheel["url"] for wheel in one.get("wheels", ()) if "manylinux" in wheel["url"]]
        both = any("aarch64" in each for each in wheels) >= any("x86_64" in each for each in wheels)
        assert both or one["name"] == "debugpy", one["name"]


@real
@pytest.mark.slow
def test_nothing_of_the_build_machine_is_in_the_image(workshop: Workshop, image: str) -> None:
    assert workshop.canary.encode() not in workshop.docker.read("save", image)


@real
@pytest.mark.slow
def test_image_serves_without_any_rights(workshop: Workshop, image: str, mosquitto: Mosquitto, tmp_path: Path) -> None:
    docker, token = workshop.docker, new_password()
    tmp_path.chmod(0o755)
    credential = Value({"username": f"server-{secrets.token_hex(4)}", "password": new_password()})
    let_in(mosquitto, credential)
    for name, text in {
        "mqtt-user": credential["username"],
        "mqtt-password": credential["password"],
        "http-token": token,
        "ca.crt": mosquitto.ca_file.read_text(),
    }.items():
        path = tmp_path / name
        path.write_text(text)
        os.chown(path, 0, int(USER))  # as kubelet mounts it with fsGroup
        path.chmod(0o440)
    options = ("--env", "MQTT_BROKER=localhost", "--env", f"MQTT_PORT={mosquitto.port}")
    mount = ("--volume", f"{tmp_path}:/etc/coreflux-mcp/secrets:ro")
    command = ("run", "--from", "files:/etc/coreflux-mcp/secrets", "--transport", "http", "--listen", "127.0.0.1:0")
    container = docker.check_output(
        "run", "--detach", "--network", "host", *HARDENED, *options, *mount, image, *command
    )
    url = listening(docker, container)
    until("ready", lambda: httpx.get(f"{url}/readyz", timeout=DEADLINE).status_code == 200)

    async def scenario() -> str:
        async with http_session(url, token) as session:
            assert "mqtt_publish" in {tool.name for tool in (await session.list_tools()).tools}
            return await call_tool(session, "mqtt_publish", topic="test/image", message="{}", qos=1)

    assert "ERROR" not in anyio.run(scenario)
    assert (
        docker.check_output("exec", container, "/opt/secretops/bin/python", "-c", "import os; print(os.getuid())")
        == USER
    )
    docker.check_output("kill", "--signal", "TERM", container)
    assert docker.check_output("wait", container) == "0", log(docker, container)
    assert credential["password"] not in log(docker, container)
    assert "Traceback" not in log(docker, container)


def listening(docker: Dockerd, container: str) -> str:
    def report() -> re.Match[str] | None:
        return re.search(r"Listening on (http://\S+),", log(docker, container))

    until(
        "it listens",
        lambda: report() or docker.check_output("inspect", "--format", "{{.State.Running}}", container) == "false",
    )
    found = report()
    assert found, log(docker, container)
    return found[1]


def log(docker: Dockerd, container: str) -> str:
    done = docker.start("logs", container)
    return done.stdout + done.stderr


@real
@pytest.mark.slow
def test_image_command_answers_the_health_check(workshop: Workshop, image: str, tmp_path: Path) -> None:
    """The container has only its token and no network, so it is alive but not ready."""
    docker = workshop.docker
    found = re.search(r'^\["CMD", (.*)\]$', PAGE, re.MULTILINE)
    assert found
    check = json.loads(f"[{found[1]}]")
    tmp_path.chmod(0o755)
    (tmp_path / "http-token").write_text(new_password())
    mount = ("--volume", f"{tmp_path}:/etc/coreflux-mcp/secrets:ro", "--env", "MQTT_BROKER=localhost")
    options = ("--network", "none", *HARDENED, *mount)
    container = docker.check_output("run", "--detach", *options, image)
    listening(docker, container)
    alive, ready = (
        docker.start("exec", container, *check[:-1], check[-1].replace("healthz", path))
        for path in ("healthz", "readyz")
    )
    assert (alive.returncode, alive.stderr) == (0, "")
    assert ready.returncode == 1
    assert "503" in ready.stderr


@real
@pytest.mark.slow
def test_image_serves_as_the_rotator_too(workshop: Workshop, image: str, mosquitto: Mosquitto, tmp_path: Path) -> None:
    stack = make_stack(tmp_path / "store", mosquitto.broker())
    stack.put("broker-admin", dict(mosquitto.admin))
    for path in (stack.root, *stack.root.rglob("*")):
        os.chown(path, int(USER), int(USER))
    mounts = ("--volume", f"{stack.root}:{stack.root}", "--volume", f"{mosquitto.ca_file}:{mosquitto.ca_file}:ro")
    done = workshop.docker.start(
        "run", "--rm", "--network", "host", *HARDENED, *mounts, image, "tick", "--manifest", stack.file
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.log_in() == "Success"
    assert stack.credential()["password"] not in done.stdout + done.stderr


@real
@pytest.mark.slow
@pytest.mark.usefixtures("image")
def test_documented_commands_build_and_inspect_the_image(workshop: Workshop, tmp_path: Path) -> None:
    """Run `make` in a clone next to the server's source. The base image is made from this machine."""
    shutil.copy(ROOT / "Makefile", workshop.tree)
    shutil.copytree(workshop.tree / SERVER_FOLDER, workshop.tree.parent / "its-clone")
    (workshop.tree / ".git/config").unlink()  # it is none
    (tmp_path / "docker").write_text(ON_THE_MACHINES_NETWORK.format(client=workshop.docker.client))
    (tmp_path / "docker").chmod(0o755)
    environment = workshop.docker.environment | {"PYTHON_IMAGE": PYTHON, "DOCKER_BUILDKIT": "0"}
    clone = Clone(workshop.tree, environment | {"PATH": f"{tmp_path}{os.pathsep}{environment['PATH']}"})
    page = Page(clone, "image.md")
    page.follow("make image UPSTREAM=../its-clone")
    output = page.follow("docker inspect")
    page.is_followed_to_its_end()
    assert f'"User":"{USER}:{USER}"' in output
    assert "Usage: secretops" in output
    assert hashlib.sha256(workshop.server_files["server.py"]).hexdigest() in output
