"""A Docker Swarm end to end: the real engine and Pulumi's own provider, a real Swarm of one manager, a real broker.

Two replicas of the image with the upstream server, where that can be had, else the small one. Their clients go through
a stand-in for a reverse proxy (tests/real/swarm_client.py). One node: what a second one would do is not proven.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
import yaml

from secretops.errors import ExitCode
from secretops.targets.mosquitto import MosquittoTarget
from secretops.values import new_password
from tests.gates.test_leak import forms, watching_processes
from tests.real.launcher_image import load_launcher_image
from tests.real.load import OtherClient
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.swarm import BROKER_HOST, Swarm, running_swarm
from tests.real.swarm_client import ReplicaLoad
from tests.stacks.swarm import NAME, REPLICAS, Deployed, docker_environment, new_swarm_stack
from tests.stacks.swarm_accidents import (
    MOVE,
    START,
    all_is_well,
    carrier,
    converges,
    health_checks,
    is_past,
    it_works,
    rotating_until,
)
from tests.stacks.swarm_leaks import found_in_image, leaks

pytestmark = [pytest.mark.real, pytest.mark.slow]

ROTATIONS = 5

CHECKS = 5
"""In a row that a replica may fail before it is given up, by the compose file of this test; 24 are shipped."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Its admin is this stack's alone; tasks know it by another name than this machine does."""
    made = start_mosquitto(tmp_path_factory.mktemp("mosquitto"), also=(BROKER_HOST,))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def own_swarm() -> Iterator[Swarm]:
    """This stack's alone: its daemon is killed."""
    with running_swarm() as made:
        yield made


@pytest.fixture(scope="module")
def deployed(own_swarm: Swarm, broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """After `pulumi preview` and `pulumi up`. No value is anywhere yet."""
    image = load_launcher_image(own_swarm.docker)
    stack = new_swarm_stack(tmp_path_factory.mktemp(NAME), own_swarm, broker, image)
    made = Deployed(stack, own_swarm, broker)
    preview = stack.run("preview")
    assert preview.returncode == 0, preview.stdout
    made.said += [preview.stdout, stack.up()]
    assert not [said for said in made.said if "warning:" in said]
    return made


@pytest.fixture(scope="module")
def serving(deployed: Deployed) -> Deployed:
    """With its first values: an operator's, and those that a tick makes."""
    deployed.until("both replicas run", lambda: len(deployed.replicas()) == REPLICAS)
    deployed.values.add(deployed.broker.admin["password"])
    with watching_processes() as seen:
        deployed.operator("put", "broker-admin", given=json.dumps(dict(deployed.broker.admin)))
    deployed.processes += seen
    deployed.operator("put", "http-token", given=new_password())
    deployed.operator("put", "agent-key", "--untested", given=f"canary-{new_password()}/+ %")
    deployed.operator("tick")
    deployed.until("both replicas are ready", lambda: deployed.ready() == REPLICAS)
    return deployed


@pytest.fixture(scope="module")
def load(serving: Deployed) -> ReplicaLoad:
    """What clients who call without pause met with in five rotations."""
    token = serving.given("http-token")["token"]

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
    """After five rotations, and the tick that retires what the last of them replaced."""
    assert load.calls
    serving.operator("tick")
    return serving


def test_before_the_first_values_every_replica_runs_and_says_what_it_waits_for(deployed: Deployed) -> None:
    deployed.until("both replicas run", lambda: len(deployed.replicas()) == REPLICAS)
    for url in deployed.replicas():
        answer = httpx.get(f"{url}/readyz", timeout=60)
        assert answer.status_code == 503
        assert "mqtt" in answer.json()["waiting_for"]
    assert deployed.secrets() == deployed.attached() == []
    deployed.preview_is_empty()


def test_the_first_values_come_as_files_that_only_the_launcher_may_read(serving: Deployed) -> None:
    for task in serving.tasks():
        spec = task["Spec"]["ContainerSpec"]
        files = {one["File"]["Name"]: one["File"] for one in spec["Secrets"]}
        assert {"mqtt_user", "mqtt_password", "api_key", "http_token"} <= files.keys(), "as the guide names them"
        for file in files.values():
            assert (file["UID"], file["GID"], file["Mode"]) == ("10001", "10001", 0o400)
        container = task["Status"]["ContainerStatus"]["ContainerID"]
        for name in files:
            found = serving.swarm.docker.tell("exec", container, "stat", "-c", "%u %a", f"/run/secrets/{name}")
            assert found == "10001 400", name
        declared = dict(one.split("=", 1) for one in spec["Env"])
        assert declared["MQTT_PASSWORD_FILE"] == "/run/secrets/mqtt_password"
        assert declared["DO_AGENT_API_KEY_FILE"] == "/run/secrets/api_key"
        assert "MQTT_PASSWORD" not in declared


def test_a_replica_has_no_rights_and_nothing_to_write_to(serving: Deployed) -> None:
    for task in serving.tasks():
        assert task["Spec"]["ContainerSpec"]["ReadOnly"]
        pid = task["Status"]["ContainerStatus"]["ContainerID"]
        status = serving.swarm.docker.tell("exec", pid, "cat", "/proc/1/status")
        assert "Uid:\t10001\t10001" in status
        assert "CapEff:\t0000000000000000" in status
        refused = serving.swarm.docker.start("exec", pid, "touch", "/here")
        assert refused.returncode != 0


def test_the_trail_that_the_stack_names_shows_a_change_and_whoever_went_into_a_container(serving: Deployed) -> None:
    docker = serving.swarm.docker
    docker.tell("service", "update", "--detach", serving.store.service)  # to what it is
    serving.read(serving.tasks()[0], "mqtt_user")
    trail: Any = serving.stack.outputs()["trail"]
    command = ["sh", "-c", trail["query"]]
    done = subprocess.run(command, env=docker_environment(serving.swarm), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    view = serving.operator("audit", "-", given=done.stdout, code=ExitCode.ATTENTION)
    assert "service update" in view
    assert "exec" in view


def test_no_call_fails_through_five_rotations_of_two_replicas(load: ReplicaLoad, serving: Deployed) -> None:
    print(f"{load.calls} calls in {load.sessions} sessions, {len(load.failures)} failed")
    assert load.failures == [], serving.log()[-8000:]
    assert load.lost() == set()
    assert load.done_twice() == []
    assert load.sessions > 4, "no replica was replaced"


def test_after_rotations_no_task_is_on_an_old_version_and_no_secret_is_left(rotated: Deployed) -> None:
    assert rotated.version() >= ROTATIONS + 1
    all_is_well(rotated)


def test_a_change_of_something_else_leaves_the_list_of_secrets_as_the_rotator_made_it(rotated: Deployed) -> None:
    """Another log level, and ticks from a service of the Swarm instead of a timer."""
    before = rotated.attached()
    rotated.stack.config["log_level"] = "DEBUG"  # type: ignore[assignment]
    rotated.stack.config["store"] |= {"rotator": "service"}
    rotated.stack.configure()
    rotated.said.append(rotated.stack.up())
    rotated.until("it is updated", lambda: rotated.service()["UpdateStatus"]["State"] == "completed")
    assert rotated.attached() == before
    assert "LOG_LEVEL=DEBUG" in rotated.service()["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]
    rotated.until("the rotator's first tick is over", lambda: "agent-key:" in rotated.log_of(rotator(rotated)))
    rotated.until("what carried it is removed", lambda: rotated.services() == [rotator(rotated), rotated.store.service])
    all_is_well(rotated)


def rotator(deployed: Deployed) -> str:
    """The service that starts ticks, where one does."""
    return f"{deployed.store.prefix}rotator"


def test_doctor_finds_nothing_wrong_with_it(rotated: Deployed) -> None:
    said = rotated.operator("doctor")
    assert "wrong" not in said


def test_a_starter_that_is_killed_leaves_a_task_that_goes_on_and_a_tick_converges(rotated: Deployed) -> None:
    with rotating_until(rotated, START) as process:
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert rotated.ready() > 0, "somebody serves all the while"
    converges(rotated)


def test_a_manager_that_dies_in_mid_rotation_only_delays_it_for_the_rotator_comes_back_with_it(
    rotated: Deployed,
) -> None:
    was = rotated.version_id()
    with rotating_until(rotated, MOVE) as process:
        rotated.swarm.kill()
    assert process.returncode == ExitCode.FAILED
    rotated.swarm.start()
    service = rotator(rotated)
    rotated.swarm.docker.tell("service", "update", "--detach", "--args", "5", service)  # seconds, not an hour
    rotated.until("its lease is over, and a tick finishes it", lambda: is_past(was, rotated.log_of(service)))
    rotated.until("both replicas are ready", lambda: rotated.ready() == REPLICAS)


def test_an_image_that_does_not_start_is_rolled_back_and_told_and_the_stack_file_mends_it(rotated: Deployed) -> None:
    """Meanwhile a timer is to start ticks again, and the rotator ends, whatever it is at."""
    server: Any = rotated.stack.config["server"]
    good = server["image"]
    rotated.stack.config["server"] = {**server, "image": "coreflux-mcp:not-there"}
    del rotated.stack.config["store"]["rotator"]
    rotated.stack.configure()
    rotated.said.append(rotated.stack.up())
    assert rotator(rotated) not in rotated.services()
    rotated.until("Docker rolls it back", lambda: rotated.service()["UpdateStatus"]["State"] == "rollback_completed")
    assert rotated.ready() == REPLICAS
    assert "went back" in rotated.operator("doctor", code=ExitCode.ATTENTION)
    rotated.stack.config["server"] = {**server, "image": good}
    rotated.stack.configure()
    rotated.said.append(rotated.stack.up())
    converges(rotated)


def test_a_task_that_is_killed_is_followed_by_the_timer_s_command(rotated: Deployed) -> None:
    was = rotated.version_id()
    with rotating_until(rotated, MOVE) as process:
        rotated.swarm.docker.tell("kill", "--signal", "KILL", carrier(rotated))
    assert process.returncode != 0
    assert rotated.ready() > 0, "somebody serves all the while"
    rotated.until("its lease is over, and a tick finishes it", lambda: is_past(was, rotated.timer_ticks()))
    all_is_well(rotated)


def test_systemd_finds_nothing_wrong_with_the_timer_s_units(rotated: Deployed) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here")
    units = sorted(str(path) for path in rotated.units().iterdir() if path.suffix in {".service", ".timer"})
    done = subprocess.run(
        [analyze, "verify", "--man=no", *units], capture_output=True, text=True, timeout=600, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_value_is_where_somebody_could_see_it(rotated: Deployed) -> None:
    """Who may ask the daemon, pulls the image, or reads Pulumi's state, sees each version's name and not what it is."""
    docker = rotated.swarm.docker
    rotated.learn()  # what rotators made, too
    shown = [*rotated.said, rotated.stack.state(), rotated.log(), (rotated.swarm.socket.parent / "log").read_text()]
    for kind, ask in {
        "service": ("service", "ls", "--quiet"),
        "container": ("ps", "--all", "--quiet"),
        "secret": ("secret", "ls", "--quiet"),
        "config": ("config", "ls", "--quiet"),
        "network": ("network", "ls", "--quiet"),
        "node": ("node", "ls", "--quiet"),
        "image": ("images", "--quiet"),
    }.items():
        shown.append(json.dumps(rotated.inspect(kind, *docker.tell(*ask).split())))
    shown.append(json.dumps(rotated.tasks()))
    kept = [path.read_bytes() for path in rotated.stack.home.rglob("*") if path.is_file()]
    assert len(rotated.values) >= ROTATIONS + 3, "an admin's, a token, an agent key, and mqtt's passwords"
    found = rotated.given()["password"] in rotated.values
    assert found, "what is looked for can be found"
    assert leaks(rotated, *(text.encode() for text in shown), *kept) == 0

    known = b"secretops.entrypoints.carried"  # of its modules
    layers = found_in_image(docker, rotated.store.image, [known, *(f for each in rotated.values for f in forms(each))])
    assert (known in layers, len(layers)) == (True, 1)


def test_what_killed_ones_left_is_removed_by_a_tick(rotated: Deployed) -> None:
    def tidied() -> bool:
        rotated.operator("tick")
        return rotated.services() == [rotated.store.service]

    rotated.until("a tick finds that nobody reads a log any more", tidied)
    it_works(rotated)


@pytest.fixture(scope="module")
def composed(rotated: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """What `docker stack deploy` makes, with the values that `pulumi destroy` left. It gives replicas up sooner."""
    folder, before = tmp_path_factory.mktemp("compose"), rotated.secrets()
    rotated.export("compose", folder)
    done = rotated.stack.run("destroy", "--yes")
    assert done.returncode == 0, done.stdout
    assert rotated.services() == []
    assert rotated.secrets() == before

    file = folder / "compose.yaml"
    document = yaml.safe_load(file.read_text())
    document["services"]["server"]["healthcheck"] |= {"interval": "2s", "retries": CHECKS}
    file.write_text(yaml.safe_dump(document))
    rotated.swarm.docker.tell("stack", "deploy", "--compose-file", file, _stack(rotated))
    rotated.until("both replicas are ready", lambda: rotated.ready() == REPLICAS)
    return rotated


def _stack(deployed: Deployed) -> str:
    """What Docker calls it."""
    return deployed.store.service.removesuffix("_server")


def test_a_compose_file_serves_the_values_that_destroy_left_and_is_rotated(composed: Deployed) -> None:
    was = composed.version()
    with watching_processes() as seen:
        composed.operator("rotate", "mqtt")
    assert composed.version() == was + 1
    it_works(composed)
    processes = [*composed.processes, *seen]
    for words in (b"put\0broker-admin", b"rotate\0mqtt"):
        assert sum(words in each and b"entrypoints.carried" in each for each in processes), "its task was seen"
        assert sum(words in each and b"--manifest" in each for each in processes), "its starter was seen"
    assert leaks(composed, *processes) == 0


def test_a_password_that_the_broker_refuses_takes_the_service_back_to_the_version_that_works(
    composed: Deployed,
) -> None:
    """It is proven at the broker, and somebody changes it there before the first replica logs in.

    Docker ends that replica by its health check and gives no error: it ended well when it was told to.
    """
    before, serving = composed.attached(), {task["ID"] for task in composed.tasks()}
    (mqtt,) = [secret for secret in composed.told.secrets if secret.name == "mqtt"]
    (user,) = set(mqtt.users) - {composed.given()["username"]}
    with rotating_until(composed, MOVE) as process:
        MosquittoTarget(composed.broker.broker(), admin=False).retire(composed.broker.admin, user)
    assert process.returncode == ExitCode.FAILED, composed.said[-1]
    assert "went back" in composed.said[-1]
    assert composed.service()["UpdateStatus"]["State"] == "rollback_completed"
    assert composed.attached() == before
    assert {task["ID"] for task in composed.tasks()} == serving, "start-first: none of them ended"
    assert composed.ready() == REPLICAS
    assert composed.log_in() == "Success"


def test_a_broker_that_is_away_for_longer_than_a_new_replica_may_take_ends_none(composed: Deployed) -> None:
    serving = {task["ID"] for task in composed.tasks()}
    composed.broker.stop()
    composed.until("both say so", lambda: composed.ready() == 0)
    seen = {task: set(checks) for task, checks in health_checks(composed).items()}
    assert seen.keys() == serving

    def asked() -> bool:
        for task, checks in health_checks(composed).items():
            seen[task] |= checks
        return all(len(checks) > 2 * CHECKS + 1 for checks in seen.values())  # Docker shows the last five of them

    composed.until("each was asked more often than a new one may fail", asked)
    assert composed.broker.start()
    composed.until("both replicas are ready", lambda: composed.ready() == REPLICAS)
    assert {task["ID"] for task in composed.tasks()} == serving


def test_purge_leaves_nothing_and_nothing_was_said_of_a_value(composed: Deployed) -> None:
    docker, store = composed.swarm.docker, composed.store
    assert leaks(composed, *(text.encode() for text in (*composed.said, composed.log()))) == 0
    docker.tell("stack", "rm", _stack(composed))
    composed.until("its tasks are gone", lambda: not composed.services())
    composed.operator("purge", "--destroy", "--yes")
    assert composed.secrets() == []
    assert store.book not in docker.tell("config", "ls", "--format", "{{.Name}}").split()
