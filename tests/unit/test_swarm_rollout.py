"""When an update of the service has ended, and how. Docker's API and the clock are scripted."""

from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from secretops.errors import UnreachableError
from secretops.platforms.swarm import rollout
from secretops.platforms.swarm.api import SwarmApi
from secretops.platforms.swarm.location import SwarmStoreLocation
from secretops.platforms.swarm.rollout import Rollout, UpdateFailedError

NEVER_RAN = "starting container failed: unable to remount dir as readonly: device or resource busy"
OLD, NEW = (({"SecretID": name, "File": {"Name": "it"}},) for name in ("old", "new"))


@dataclass(frozen=True)
class Task:
    has: tuple[dict[str, Any], ...]
    state: str = "running"
    desired: str = "running"
    error: str = ""

    def as_docker(self, number: int) -> dict[str, Any]:
        status = {"State": self.state, "Err": self.error, "Timestamp": "2026-01-01T00:00:00Z"}
        return {
            "ID": f"task {number}",
            "DesiredState": self.desired,
            "Spec": {"ContainerSpec": {"Secrets": list(self.has)}},
            "Status": status,
        }


@dataclass(frozen=True)
class Answer:
    """Docker's answer for `seconds`: the update's state, the service's list, and its tasks."""

    state: str
    tasks: tuple[Task, ...]
    has: tuple[dict[str, Any], ...] = NEW
    replicas: int = 1
    seconds: float = 10


class Docker(SwarmApi):
    """Scripted answers of Docker. They follow a clock that only pauses move. The last answer stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Answer) -> None:
        self.answers, self.now = answers, 0.0
        monkeypatch.setattr(rollout, "time", self)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def number(self) -> int:
        ends, end = [], 0.0
        for answer in self.answers[:-1]:
            ends.append(end := end + answer.seconds)
        return sum(end <= self.now for end in ends)

    def get(self, path: str, **_: Any) -> Any:
        answer = self.answers[self.number]
        if path == "/tasks":
            return [task.as_docker(number) for number, task in enumerate(answer.tasks)]
        spec = {
            "TaskTemplate": {"ContainerSpec": {"Secrets": list(answer.has)}},
            "Mode": {"Replicated": {"Replicas": answer.replicas}},
        }
        return {"ID": "service", "Spec": spec, "UpdateStatus": {"State": answer.state, "Message": "of Docker"}}


def wait(docker: Docker, *, is_new: bool = False, failed: set[str] | None = None) -> None:
    Rollout(docker, SwarmStoreLocation.model_construct(service="server")).wait(list(NEW), is_new=is_new, failed=failed)


BEFORE, AFTER = Task(OLD), Task(NEW)
STARTING = Task(NEW, state="starting")
DONE = Answer("completed", (AFTER,))


@pytest.mark.parametrize(("answers", "is_new"), [
    pytest.param((Answer("completed", (AFTER, BEFORE)), DONE), False, id="a task has the old version"),
    pytest.param((Answer("updating", (AFTER,)), DONE), False, id="under way"),
    pytest.param((Answer("completed", (STARTING,)), DONE), True, id="completed, and no task runs"),
    pytest.param((Answer("completed", (AFTER,), seconds=1), DONE), True, id="the task has just begun"),
    pytest.param((Answer("completed", (BEFORE,), OLD), DONE), False, id="the service has the old list"),
    pytest.param((DONE,), False, id="all tasks have it"),
])  # fmt: skip
def test_wait_ends_with_the_rollout_and_not_before(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[Answer, ...], is_new: bool
) -> None:
    docker = Docker(monkeypatch, *answers)
    wait(docker, is_new=is_new)
    assert docker.answers[docker.number] is answers[-1]
    assert docker.now <= sum(answer.seconds for answer in answers[:-1]) + rollout.STEADY + 1


@pytest.mark.parametrize(("answers", "expected", "seconds"), [
    pytest.param((Answer("paused", (AFTER,)),), UpdateFailedError, 0, id="paused"),
    pytest.param((Answer("rollback_started", (BEFORE,), OLD), Answer("rollback_completed", (BEFORE,), OLD)),
                 UpdateFailedError, 10, id="went back"),
    pytest.param((Answer("completed", (STARTING,)),), UpdateFailedError, rollout.RUNS_WITHIN, id="no task stays"),
    pytest.param((Answer("updating", (BEFORE,)),), UnreachableError, rollout.longest(1), id="never ends"),
])  # fmt: skip
def test_wait_raises_when_an_update_fails(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[Answer, ...], expected: type[Exception], seconds: float
) -> None:
    docker = Docker(monkeypatch, *answers)
    with pytest.raises(expected):
        wait(docker, is_new=True)
    assert seconds <= docker.now <= seconds + 1
