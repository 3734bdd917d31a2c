"""Errors of a Docker daemon are printed in our words. The answers have the texts in moby's and swarmkit's sources."""

import json
from typing import Any

import pytest
import requests

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from secretops.platforms.swarm import api as asking
from secretops.platforms.swarm.api import NoManagerError, SwarmApi
from secretops.platforms.swarm.daemon import Connection

NOT_MANAGER = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node.'
LOCKED = 'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock".'
NO_LEADER = "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few are online."
STALE = "rpc error: code = Unknown desc = update out of sequence"


class Played(requests.Session):
    def __init__(self, *answers: tuple[int, Any] | Exception) -> None:
        super().__init__()
        self.answers, self.calls = list(answers), 0

    def request(self, *_: Any, **_more: Any) -> requests.Response:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        made = requests.Response()
        reply = {"message": answer[1]} if isinstance(answer[1], str) else answer[1]
        made.status_code, made._content = answer[0], json.dumps(reply).encode()
        return made


def api(*answers: tuple[int, Any] | Exception) -> tuple[SwarmApi, Played]:
    played = Played(*answers)
    return SwarmApi(lambda: Connection(played, "http://played")), played


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 120.0)


def test_a_daemon_that_comes_back_is_waited_for_and_one_that_is_no_manager_is_not() -> None:
    calls, played = api(requests.ConnectionError(), (500, NO_LEADER), (200, "here"))
    assert calls.get("/info") == {"message": "here"}
    assert played.calls == 3
    calls, played = api((503, NOT_MANAGER))
    with pytest.raises(NoManagerError):
        calls.get("/secrets")
    assert played.calls == 1


def test_concurrent_change_or_removal_is_not_overwritten() -> None:
    found = {"ID": "1", "Version": {"Index": 7}}
    for answer in ((500, STALE), (404, "config 1 not found")):
        calls, _ = api(answer)
        assert calls.update("configs", found, {}) is False


def test_object_is_ours_when_its_answer_was_lost_and_foreign_one_is_not() -> None:
    ours = {"Name": "x", "Labels": {"of": "us"}}
    taken = (409, "rpc error: code = AlreadyExists desc = secret x already exists")
    lost, _ = api(requests.ConnectionError(), taken, (200, {"ID": "7", "Spec": ours}))
    assert lost.create("secrets", ours) == "7"
    for theirs in ({"Name": "x", "Labels": {"of": "them"}}, {"Name": "x", "Labels": {}}):
        theirs_alone, _ = api(taken, (200, {"ID": "8", "Spec": theirs}))
        assert theirs_alone.create("secrets", ours) is None
    nobodys, _ = api(taken, (200, {"ID": "8", "Spec": {"Name": "x"}}))
    assert nobodys.create("secrets", {"Name": "x"}) is None, "without a label nothing says that it is ours"
