"""A Docker Swarm end to end: the real engine and Pulumi's own provider, a real Swarm of one manager, a real broker.

There are two replicas of the image, with the upstream server if available, otherwise the small one. Their clients
connect through a stand-in for a reverse proxy (tests/real/swarm_client.py). A second node is not tested.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
import pytest

from secretops.errors import ExitCode
from secretops.values import Value, new_password
from tests.gates.test_leak import forms, watching_processes
from tests.real.launcher_image import load_launcher_image
from tests.real.load import OtherClient
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.stack import log_in
from tests.real.swarm import BROKER_HOST, Swarm, running_swarm
from tests.real.swarm_client import ReplicaLoad
from tests.stacks.swarm import DEADLINE, NAME, REPLICAS, Deployed, attached, events, new_swarm_stack

pytestmark = [pytest.mark.real, pytest.mark.slow]

ROTATIONS = 3


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Yield a broker for this stack alone. Tasks use another host name for it than this machine does."""
    made = start_mosquitto(tmp_path_factory.mktemp("mosquitto"), also=(BROKER_HOST,))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def own_swarm() -> Iterator[Swarm]:
    with running_swarm() as made:
        yield made


@pytest.fixture(scope="module")
def deployed(own_swarm: Swarm, broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    image = load_launcher_image(own_swarm.docker)
    stack = new_swarm_stack(tmp_path_factory.mktemp(NAME), own_swarm, broker, image)
    made = Deployed(stack, own_swarm, broker)
    preview = stack.run("preview")
    assert preview.returncode == 0, preview.stdout
    made.output += [preview.stdout, stack.up()]
    assert not [output for output in made.output if "warning:" in output]
    return made


@pytest.fixture(scope="module")
def serving(deployed: Deployed) -> Deployed:
    deployed.until("both replicas run", lambda: len(deployed.replicas()) == REPLICAS)
    for url in deployed.replicas():
        answer = httpx.get(f"{url}/readyz", timeout=DEADLINE)
        assert answer.status_code == 503
        assert "mqtt" in answer.json()["waiting_for"]
    assert deployed.secrets() == deployed.attached() == []
    deployed.preview_is_empty()
    deployed.values.add(deployed.broker.admin["password"])
    with watching_processes() as seen:
        deployed.operator("put", "broker-admin", stdin=json.dumps(dict(deployed.broker.admin)))
    deployed.processes += seen
    deployed.operator("put", "http-token", stdin=new_password())
    deployed.operator("put", "agent-key", "--untested", stdin=f"canary-{new_password()}/+%")
    deployed.operator("tick")
    deployed.until("both replicas are ready", lambda: deployed.ready() == REPLICAS)
    return deployed


@pytest.fixture(scope="module")
def load(serving: Deployed) -> ReplicaLoad:
    token = serving.stdin("http-token")["token"]

    async def scenario() -> ReplicaLoad:
        made = ReplicaLoad(serving.replicas, token, other)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(made.run)
            await made.all_answered()
            for _ in range(ROTATIONS):
                await anyio.to_thread.run_sync(serving.operator, "rotate", "mqtt")
                await made.all_answered()  # so that each rotation came under load
            made.stop()
        await anyio.to_thread.run_sync(serving.until, "every acknowledged message arrives", lambda: not made.lost())
        return made

    with OtherClient(serving.broker) as other:
        return anyio.run(scenario)


@pytest.fixture(scope="module")
def rotated(serving: Deployed, load: ReplicaLoad) -> Deployed:
    assert load.calls
    serving.operator("tick")
    return serving


def test_the_first_values_come_as_files_that_only_the_launcher_may_read(serving: Deployed) -> None:
    for task in serving.tasks():
        spec = task["Spec"]["ContainerSpec"]
        files = {one["File"]["Name"]: one["File"] for one in spec["Secrets"]}
        assert {"mqtt_user", "mqtt_password", "api_key", "http_token"} <= files.keys(), "as the guide names them"
        for file in files.values():
            assert (file["UID"], file["GID"], file["Mode"]) == ("10001", "10001", 0o400)
        container = task["Status"]["ContainerStatus"]["ContainerID"]
        for name in files:
            found = serving.swarm.docker.check_output("exec", container, "stat", "-c", "%u %a", f"/run/secrets/{name}")
            assert found == "10001 400", name
        status = serving.swarm.docker.check_output("exec", container, "cat", "/proc/1/status")
        assert "Uid:\t10001\t10001" in status
        assert "CapEff:\t0000000000000000" in status
        assert serving.swarm.docker.start("exec", container, "touch", "/here").returncode != 0
        declared = dict(one.split("=", 1) for one in spec["Env"])
        assert declared["MQTT_PASSWORD_FILE"] == "/run/secrets/mqtt_password"
        assert declared["DO_AGENT_API_KEY_FILE"] == "/run/secrets/api_key"
        assert "MQTT_PASSWORD" not in declared


def test_no_call_fails_while_two_replicas_are_rotated(load: ReplicaLoad, serving: Deployed) -> None:
    print(f"{load.calls} calls in {load.sessions} sessions, {len(load.failures)} failed")
    assert load.failures == [], serving.log()[-8000:]
    assert load.lost() == set()
    assert load.done_twice() == []
    assert load.sessions > REPLICAS * 2, "no replica was replaced"


def test_after_rotations_no_task_is_on_an_old_version_and_no_secret_is_left(rotated: Deployed) -> None:
    assert rotated.version() >= ROTATIONS + 1
    all_is_well(rotated)
    assert "wrong" not in rotated.operator("doctor")


def test_unrelated_update_keeps_the_rotators_list_of_secrets(rotated: Deployed) -> None:
    """The update changes the log level, and runs ticks by a service of the Swarm instead of a timer."""
    before = rotated.attached()
    rotated.stack.config["log_level"] = "DEBUG"  # type: ignore[assignment]
    rotated.stack.config["store"] |= {"rotator": "service"}
    rotated.stack.configure()
    rotated.output.append(rotated.stack.up())
    rotated.until("it is updated", lambda: rotated.service()["UpdateStatus"]["State"] == "completed")
    assert rotated.attached() == before
    assert "LOG_LEVEL=DEBUG" in rotated.service()["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]
    rotated.until("the rotator's first tick is over", lambda: "agent-key:" in rotated.log_of(rotator(rotated)))
    rotated.until("what carried it is removed", lambda: rotated.services() == [rotator(rotated), rotated.store.service])
    all_is_well(rotated)


def rotator(deployed: Deployed) -> str:
    return f"{deployed.store.prefix}rotator"


def test_manager_killed_in_mid_rotation_only_delays_it(rotated: Deployed) -> None:
    was = rotated.version_id()
    with rotating(rotated) as process:
        rotated.swarm.kill()
    assert process.returncode == ExitCode.FAILED
    rotated.swarm.start()
    service = rotator(rotated)
    rotated.swarm.docker.check_output("service", "update", "--detach", "--args", "5", service)  # seconds, not an hour
    rotated.until("its lease is over, and a tick finishes it", lambda: is_past(was, rotated.log_of(service)))
    rotated.until("both replicas are ready", lambda: rotated.ready() >= REPLICAS)
    del rotated.stack.config["store"]["rotator"]  # a timer is to start ticks again
    rotated.stack.configure()
    rotated.output.append(rotated.stack.up())
    assert service not in rotated.services()
    # Docker may have begun one task too many (moby/swarmkit#2242); the next update ends it.
    rotated.operator("rotate", "mqtt", "--now")
    converges(rotated)


def test_compromise_runs_as_a_task_and_its_incident_is_kept_locally(rotated: Deployed, tmp_path: Path) -> None:
    old = rotated.stdin()
    output = rotated.operator("compromise", "mqtt", "--yes", "--to", str(tmp_path), code=ExitCode.ATTENTION)
    (path,) = tmp_path.glob("incident-mqtt-*.json")
    incident = json.loads(path.read_text())
    assert incident["ended"]
    assert set(incident["manual"]) <= {"trail", "proof"}, "nobody keeps docker's events"
    assert log_in(rotated.broker.broker(), Value(old)) != "Success"
    assert leaks(rotated, output.encode(), path.read_bytes(), path.with_suffix(".md").read_bytes()) == 0
    all_is_well(rotated)


def leaks(deployed: Deployed, *shown: bytes) -> int:
    """Return how many values, in any encoding, occur in `shown`. It is a number, so that a failure prints no value."""
    whole = b"\0".join(shown)
    return sum(form in whole for value in deployed.values for form in forms(value))


def test_no_value_is_visible_in_the_swarm(rotated: Deployed) -> None:
    """Users of the daemon, the image and Pulumi's state see the name of each version, but not its value."""
    docker = rotated.swarm.docker
    rotated.learn()  # what rotators made, too
    shown = [*rotated.output, rotated.stack.state(), rotated.log(), (rotated.swarm.socket.parent / "log").read_text()]
    for kind, ask in {
        "service": ("service", "ls", "--quiet"),
        "container": ("ps", "--all", "--quiet"),
        "secret": ("secret", "ls", "--quiet"),
        "config": ("config", "ls", "--quiet"),
        "network": ("network", "ls", "--quiet"),
        "node": ("node", "ls", "--quiet"),
        "image": ("images", "--quiet"),
    }.items():
        shown.append(json.dumps(rotated.inspect(kind, *docker.check_output(*ask).split())))
    shown.append(json.dumps(rotated.tasks()))
    kept = [path.read_bytes() for path in rotated.stack.home.rglob("*") if path.is_file()]
    assert len(rotated.values) >= ROTATIONS + 3, "an admin's, a token, an agent key, and mqtt's passwords"
    found = rotated.stdin()["password"] in rotated.values
    assert found, "what is looked for can be found"
    assert leaks(rotated, *(text.encode() for text in shown), *kept) == 0
    assert leaks(rotated, *rotated.processes) == 0


def test_leftovers_of_killed_commands_are_removed_by_a_tick(rotated: Deployed) -> None:
    def tidied() -> bool:
        rotated.operator("tick")
        return rotated.services() == [rotated.store.service]

    rotated.until("a tick finds a log without readers", tidied)
    it_works(rotated)


@contextmanager
def rotating(deployed: Deployed) -> Iterator[subprocess.Popen[str]]:
    """Yield a process whose rotation has just moved the server to the new version. The block continues or kills it."""
    with (
        events(deployed.swarm, "type=service", "event=update") as happening,
        subprocess.Popen(
            deployed.stack.command("rotate", "mqtt"),
            env=deployed.stack.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        moved = (event["Actor"]["Attributes"]["name"] == deployed.store.service for event in happening)
        assert any(moved), "the server was never moved"
        yield process
        output, _ = process.communicate(timeout=DEADLINE)
        deployed.output.append(output)
        assert "Traceback" not in output


def is_past(version: str, output: str) -> bool:
    """Return whether a tick reported that a later version of mqtt works. Ids begin with the time."""
    return any(found > version for found in re.findall(r"mqtt: (?:published|verified) (\S+)", output))


def converges(deployed: Deployed) -> None:
    """Run ticks until one acquires the lease, because the former holder has ended or is known to be gone. Check that
    this tick succeeds."""
    done: list[subprocess.CompletedProcess[str]] = []

    def ticked() -> bool:
        done.append(deployed.stack.secretops("tick"))
        deployed.output.append(done[-1].stdout)
        return done[-1].returncode != ExitCode.BUSY

    deployed.until("nobody holds the lease", ticked)
    assert done[-1].returncode == ExitCode.DONE, done[-1].stdout[-4000:]
    deployed.learn()
    all_is_well(deployed)


def all_is_well(deployed: Deployed) -> None:
    it_works(deployed)
    deployed.preview_is_empty()


def it_works(deployed: Deployed) -> None:
    """Check that every task works with the current version, and that no rotation has left anything else."""
    deployed.until("both replicas are ready", lambda: deployed.ready() == REPLICAS)
    tasks = deployed.tasks()
    assert [attached(task["Spec"]) for task in tasks] == [deployed.attached()] * REPLICAS, "a task on another version"
    kept = {int(found[1]) for name in deployed.secrets() if (found := re.search(r"_mqtt-v(\d+)-", name))}
    if not any(name.startswith(f"{deployed.store.prefix}task-") for name in deployed.services()):
        assert len(kept) <= 2, "a secret beyond current and previous"  # a killed command's leftovers still have others
    assert deployed.version() == max(kept)
    assert not deployed.at_work(), "something still carries a command"
    assert deployed.log_in() == "Success"
