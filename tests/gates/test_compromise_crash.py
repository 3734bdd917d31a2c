"""A compromise killed at any moment, and repeated: old values are refused, readers can log in, one incident is
recorded.

SIGKILL arrives at changes of the store, of a real broker, and of the incident's files.
"""

import functools
import signal
from pathlib import Path
from typing import Any

import pytest

from secretops.engine.state import Stage
from secretops.operations import broker_access, compromise, rotators
from secretops.operations.compromise import containment
from secretops.operations.compromise.advice import CHECK_USERS
from secretops.operations.compromise.incident import Incident, Step
from secretops.operations.session import Session
from secretops.targets import open_target
from secretops.values import Value
from tests.gates.conftest import MakeStack
from tests.gates.doomed import Doomed, Moment, Watched, begin
from tests.real.stack import Stack

pytestmark = [pytest.mark.real, pytest.mark.slow]

KILLS = ("before incident.record", "after target.apply", "before store.publish", "before target.retire")


@pytest.mark.parametrize("name", ["mqtt", "broker-admin"])
def test_compromise_killed_at_an_effect_is_continued_to_its_end(stack_on: MakeStack, tmp_path: Path, name: str) -> None:
    stack = stack_on("mosquitto")
    for each in ("broker-admin", "mqtt"):
        stack.rotate(each)
    for number, moment in enumerate(KILLS):
        out, folder = prepare(stack, tmp_path / str(number), name)
        assert start(stack, name, folder, kill_at=moment).end() == -signal.SIGKILL, moment
        assert stack.log_in(stack.credential(name)) == "Success", moment
        if moment == "before store.publish":  # a tick in between must not interfere
            assert [one.error for one in stack.tick() if one.error] == []
        again = start(stack, name, folder)
        assert again.end() == 0, (moment, again.moments)
        converged(stack, name, out, folder)


def prepare(stack: Stack, folder: Path, name: str) -> tuple[list[Value], Path]:
    folder.mkdir()
    stack.skip_grace()
    stack.tick()
    first = stack.credential(name)
    stack.rotate(name)
    return [first, stack.credential(name)], folder


def start(stack: Stack, name: str, folder: Path, *, kill_at: str | None = None) -> Doomed:
    return begin(functools.partial(_compromise, stack, name, folder), kill_at=kill_at)


def converged(stack: Stack, name: str, out: list[Value], folder: Path) -> None:
    """Check that old values are refused, that readers can log in, and that the one incident has ended."""
    (path,) = folder.glob("incident-*.json")
    incident = Incident.model_validate_json(path.read_bytes())
    assert incident.ended
    assert {*incident.manual} <= {Step.REPLACE, Step.TRAIL}, "each is proven, also what the store has forgotten"
    # A version that was made just before the kill may be that of another command.
    assert all(text == CHECK_USERS or "--new" in text for text in incident.manual.get(Step.REPLACE, ()))
    assert path.with_suffix(".md").exists()
    versions = stack.session().store.versions(name)
    assert versions.pending is None
    assert [one.stage for one in versions.all].count(Stage.CURRENT) == 1
    assert not {one.id for one in versions.living} & set(incident.known)
    assert stack.log_in(stack.credential(name)) == "Success"
    for value in out:
        assert stack.log_in(value) != "Success"
        assert value["password"] not in "".join(each.read_text() for each in folder.iterdir() if each.is_file())
    assert [one.error for one in stack.tick() if one.error] == []
    current = stack.session().store.versions(name).current
    assert current
    stack.check_delivery(name, current, {one.id for one in stack.session().store.versions(name).living})


def _compromise(stack: Stack, name: str, folder: Path, moment: Moment) -> None:
    opened, real = stack.session(), open_target
    for module in (broker_access, rotators, containment):
        setattr(module, "open_target", lambda *args: Watched(real(*args), "target", moment))  # noqa: B010 - mypy
    keep = compromise.recorder

    def watched(folder: Path) -> Any:
        record = keep(folder)

        def recorded(incident: Incident) -> None:
            moment("before incident.record")
            record(incident)
            moment("after incident.record")

        return recorded

    setattr(compromise, "recorder", watched)  # noqa: B010 - mypy
    session = Session(
        manifest=opened.manifest,
        store=Watched(opened.store, "store", moment),
        journal=opened.journal,
        clock=opened.clock,
    )
    incident = compromise.open_incident(session, name, since=None, to=folder)
    compromise.compromise(session, incident, to=folder)
