"""docs/operations/swarm.md, followed word for word by a user on the manager of a real Swarm with a real broker."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from secretops.errors import ExitCode
from tests.real.launcher_image import load_launcher_image
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.swarm import BROKER_HOST, Swarm, running_swarm
from tests.stacks.runbook import Clone, Page, desk
from tests.stacks.swarm import NAME, REPLICAS, Deployed, docker_environment, new_swarm_stack

pytestmark = [pytest.mark.real, pytest.mark.slow]

ANSWER = f"{NAME}\n"  # The input of purge's prompt at a terminal.


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    made = start_mosquitto(tmp_path_factory.mktemp("mosquitto"), also=(BROKER_HOST,))
    yield made
    made.stop()


@pytest.fixture
def own_swarm() -> Iterator[Swarm]:
    with running_swarm() as made:
        yield made


@pytest.fixture
def to_be(own_swarm: Swarm, broker: Mosquitto, tmp_path: Path) -> Deployed:
    image = load_launcher_image(own_swarm.docker)
    return Deployed(new_swarm_stack(tmp_path, own_swarm, broker, image), own_swarm, broker)


@pytest.fixture
def manager(to_be: Deployed) -> Clone:
    stack = to_be.stack
    made = desk(stack.home / "desk", stack.configure())
    made.environment |= stack.environment | docker_environment(to_be.swarm) | {"PULUMI_SKIP_CONFIRMATIONS": "true"}
    return made


def test_swarm_page_works_with_pulumi_and_without_it(to_be: Deployed, manager: Clone) -> None:
    page, admin = Page(manager, "swarm.md"), json.dumps(dict(to_be.broker.admin))
    page.follow("pulumi up")
    page.follow("make preview", stdin=admin, before="secretops doctor")
    to_be.stack.manifest.write_text(json.dumps(to_be.stack.outputs()["secretops"]))
    to_be.until("both replicas are ready", lambda: to_be.ready() == REPLICAS)
    page.follow("secretops doctor")

    page.follow("purge mqtt", typed=ANSWER)
    to_be.until("both replicas are ready", lambda: to_be.ready() == REPLICAS)
    assert to_be.log_in() == "Success"

    page.follow("secretops export timer")
    assert {path.suffix for path in (manager.folder / "timer").iterdir()} >= {".service", ".timer", ".json"}
    assert manager.sh("pulumi destroy").returncode == 0
    page.follow("export compose --stack prod-swarm --to deploy --first", stdin=admin)
    page.follow("export compose --stack prod-swarm --to deploy")
    to_be.until("both replicas are ready", lambda: to_be.ready() == REPLICAS)
    assert to_be.log_in() == "Success"

    to_be.swarm.docker.check_output("stack", "rm", f"coreflux-mcp-{NAME}")
    to_be.until("its network is gone, too", lambda: not to_be.services() and not networks(to_be))
    done = manager.sh("pulumi up")
    assert done.returncode == 0, done.stdout
    events = 'sh -c "$(pulumi stack output trail --json | jq -r .query)" > swarm-events.jsonl'
    assert manager.sh(events).returncode == 0
    assert "service create" in page.follow("secretops audit", code=ExitCode.ATTENTION)

    page.follow("pulumi destroy", typed=ANSWER)
    page.is_followed_to_its_end()
    assert to_be.secrets() == []


def networks(deployed: Deployed) -> list[str]:
    names = deployed.swarm.docker.check_output("network", "ls", "--format", "{{.Name}}").split()
    return [name for name in names if name.startswith(deployed.store.prefix)]
