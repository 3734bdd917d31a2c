"""When an update of the service has ended, and how. A script of states stands in for Docker's API and its clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from secretops.errors import UnreachableError
from secretops.manifest import SwarmStore
from secretops.stores.swarm import rollout
from secretops.stores.swarm.api import Api
from secretops.stores.swarm.rollout import NeverRanError, Rollout, UpdateFailedError

NEVER_RAN = "starting container failed: unable to remount dir as readonly: device or resource busy"
OLD, NEW = ([{"SecretID": name, "File": {"Name": "it"}}] for name in ("old", "new"))


@dataclass(frozen=True)
class Task:
    """One task: its list of secrets, and its states."""

    has: list[dict[str, Any]]
    state: str = "running"
    desired: str = "running"
    error: str = ""

    def told(self, number: int) -> dict[str, Any]:
        status = {"State": self.state, "Err": self.error, "Timestamp": "2026-01-01T00:00:00Z"}
        return {
            "ID": f"task {number}",
            "DesiredState": self.desired,
            "Spec": {"ContainerSpec": {"Secrets": self.has}},
            "Status": status,
        }


@dataclass(frozen=True)
class Look:
    """What Docker answers for `seconds`: the update's state, the service's list, and its tasks."""

    state: str
    tasks: tuple[Task, ...]
    has: tuple[dict[str, Any], ...] = tuple(NEW)
    replicas: int = 1
    seconds: float = 10


class Docker(Api):
    """One look after the other, by a clock that only pauses move. The last one stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *looks: Look) -> None:
        self.looks, self.now = looks, 0.0
        monkeypatch.setattr(rollout, "time", self)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def number(self) -> int:
        """The present look's."""
        ends, end = [], 0.0
        for look in self.looks[:-1]:
            ends.append(end := end + look.seconds)
        return sum(end <= self.now for end in ends)

    def get(self, path: str, **_: Any) -> Any:
        look = self.looks[self.number]
        if path == "/tasks":
            return [task.told(number) for number, task in enumerate(look.tasks)]
        spec = {
            "TaskTemplate": {"ContainerSpec": {"Secrets": list(look.has)}},
            "Mode": {"Replicated": {"Replicas": look.replicas}},
        }
        return {"ID": "service", "Spec": spec, "UpdateStatus": {"State": look.state, "Message": "of Docker"}}


def wait(docker: Docker, *, is_new: bool = False, failed: set[str] | None = None) -> None:
    Rollout(docker, SwarmStore.model_construct(service="server")).wait(NEW, is_new=is_new, failed=failed)


BEFORE, AFTER = Task(OLD), Task(NEW)
STARTING = Task(NEW, state="starting")
DONE = Look("completed", (AFTER,))


@pytest.mark.parametrize(
    ("first", "is_new"),
    [
        pytest.param(Look("completed", (AFTER, BEFORE)), False, id="completed, and a task has the old version"),
        pytest.param(Look("updating", (AFTER,)), False, id="under way"),
        pytest.param(Look("", (BEFORE,)), False, id="not begun"),
        pytest.param(Look("completed", (STARTING,)), True, id="completed, and no task runs"),
        pytest.param(Look("completed", (AFTER,), seconds=1), True, id="completed, and the task has just started"),
        pytest.param(Look("completed", (BEFORE,), has=tuple(OLD)), False, id="the service has the old list"),
    ],
)
def test_wait_ends_with_the_rollout_and_not_before(
    monkeypatch: pytest.MonkeyPatch, first: Look, is_new: bool
) -> None:
    docker = Docker(monkeypatch, first, DONE)
    wait(docker, is_new=is_new)
    assert docker.number == 1


@pytest.mark.parametrize(
    ("look", "is_new"),
    [
        pytest.param(DONE, False, id="all tasks have it"),
        pytest.param(Look("completed", (Task(OLD, desired="shutdown"), AFTER)), False, id="an old task is to stop"),
        pytest.param(Look("completed", (STARTING,)), False, id="it ran before"),
        pytest.param(Look("completed", (), replicas=0), True, id="no replicas"),
        pytest.param(Look("rollback_completed", (AFTER,)), False, id="went back to what is wanted"),
    ],
)
def test_wait_ends_at_once_when_nothing_is_left_to_do(
    monkeypatch: pytest.MonkeyPatch, look: Look, is_new: bool
) -> None:
    docker = Docker(monkeypatch, look)
    wait(docker, is_new=is_new)
    assert docker.now == 0


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param((Look("paused", (AFTER,)),), id="paused"),
        pytest.param((Look("rollback_paused", (BEFORE,), has=tuple(OLD)),), id="its way back is paused"),
        pytest.param(
            (Look("rollback_started", (BEFORE,), has=tuple(OLD)), Look("rollback_completed", (BEFORE,), tuple(OLD))),
            id="went back",
        ),
        pytest.param((Look("completed", (STARTING,)),), id="no task stays"),
    ],
)
def test_wait_raises_when_the_update_has_failed(monkeypatch: pytest.MonkeyPatch, looks: tuple[Look, ...]) -> None:
    docker = Docker(monkeypatch, *looks)
    with pytest.raises(UpdateFailedError):
        wait(docker, is_new=True)
    assert docker.number == len(looks) - 1
    assert docker.now <= rollout.RUNS_WITHIN + 1


def test_wait_gives_up_when_an_update_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    docker = Docker(monkeypatch, Look("updating", (BEFORE,), replicas=2))
    with pytest.raises(UnreachableError):
        wait(docker)
    assert docker.now > rollout.longest(1)


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        pytest.param(set(), NeverRanError, id="of this update"),
        pytest.param({"task 0"}, UpdateFailedError, id="of one before"),
        pytest.param(None, UpdateFailedError, id="where none was sent"),
    ],
)
def test_an_update_is_tried_again_for_a_task_of_its_own_that_never_ran(
    monkeypatch: pytest.MonkeyPatch, failed: set[str] | None, expected: type[UpdateFailedError]
) -> None:
    never_ran = Task(NEW, state="failed", desired="shutdown", error=NEVER_RAN)
    docker = Docker(monkeypatch, Look("rollback_completed", (never_ran,), has=()))
    with pytest.raises(UpdateFailedError) as caught:
        wait(docker, is_new=True, failed=failed)
    assert type(caught.value) is expected
    assert (NEVER_RAN in str(caught.value)) == (failed != {"task 0"})
