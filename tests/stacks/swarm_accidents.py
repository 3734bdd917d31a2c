"""What a test does to a rotation on a Swarm while it is under way, and what has to be true afterwards."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from secretops.errors import ExitCode
from tests.stacks.swarm import DEADLINE, REPLICAS, Deployed, attached, events


@contextmanager
def rotating(deployed: Deployed) -> Iterator[subprocess.Popen[str]]:
    """A rotation that has just moved the server to the new version. What becomes of it is for the block to say."""
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
        said, _ = process.communicate(timeout=DEADLINE)
        deployed.said.append(said)
        assert "Traceback" not in said


def is_past(version: str, said: str) -> bool:
    """Whether a tick said of a later version of mqtt's that it works: ids begin with the time."""
    return any(found > version for found in re.findall(r"mqtt: (?:published|verified) (\S+)", said))


def converges(deployed: Deployed) -> None:
    """By a tick, once whoever worked has ended or is known to be gone."""
    done: list[subprocess.CompletedProcess[str]] = []

    def ticked() -> bool:
        done.append(deployed.stack.secretops("tick"))
        deployed.said.append(done[-1].stdout)
        return done[-1].returncode != ExitCode.BUSY

    deployed.until("nobody holds the lease", ticked)
    assert done[-1].returncode == ExitCode.DONE, done[-1].stdout[-4000:]
    deployed.learn()
    all_is_well(deployed)


def all_is_well(deployed: Deployed) -> None:
    """It works, and Pulumi finds nothing that is not as declared."""
    it_works(deployed)
    deployed.preview_is_empty()


def it_works(deployed: Deployed) -> None:
    """Every task has the one current version and works with it, and nothing else is left of any rotation."""
    deployed.until("both replicas are ready", lambda: deployed.ready() == REPLICAS)
    tasks = deployed.tasks()
    assert [attached(task["Spec"]) for task in tasks] == [deployed.attached()] * REPLICAS, "a task on another version"
    kept = {int(found[1]) for name in deployed.secrets() if (found := re.search(r"_mqtt-v(\d+)-", name))}
    if not any(name.startswith(f"{deployed.store.prefix}task-") for name in deployed.services()):
        assert len(kept) <= 2, "a secret beyond current and previous"  # what a killed one left still has others
    assert deployed.version() == max(kept)
    assert not deployed.at_work(), "something still carries a command"
    assert deployed.log_in() == "Success"
