"""What `secretops compromise` takes for proven, and what it leaves to a person. On a dev stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from secretops.engine.rotation import new_token
from secretops.engine.state import Stage, Version
from secretops.errors import ExitCode, SecretopsError
from secretops.operations.compromise import begun, compromise, containment, in_folder
from secretops.operations.compromise.incident import Incident, Step
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.contract.drills import Drill, dev_drill, drill
from tests.real.embedded import Embedded
from tests.real.mosquitto import Mosquitto
from tests.real.stack import make_stack

pytestmark = pytest.mark.real


@pytest.fixture
def dev(tmp_path: Path, embedded_broker: Embedded) -> Drill:
    return dev_drill(tmp_path, embedded_broker)


def give(dev: Drill, broker: Embedded, value: Value) -> None:
    """As somebody who may change users at the broker."""
    open_target(dev.stack.manifest.broker, dev.stack.manifest.secret("mqtt").kind).apply(broker.admin, value)


def theirs(dev: Drill, broker: Embedded) -> Value:
    """The credential of a user of the operator's own."""
    value = Value({"username": f"theirs-{new_password()[:6]}", "password": new_password()})
    give(dev, broker, value)
    return value


def test_an_old_password_that_is_given_back_is_found_and_the_next_go_ends_it(
    dev: Drill, embedded_broker: Embedded
) -> None:
    stack = dev.stack
    stack.rotate()
    old, session, keep = stack.credential(), stack.session(), in_folder(dev.folder)

    def record(incident: Incident) -> None:
        keep(incident)
        if incident.moments and incident.moments[-1].step is Step.PROOF and not incident.moments[-1].ended:
            give(dev, embedded_broker, old)

    with pytest.raises(SecretopsError, match=f"user {old['username']} still logs in"):
        containment.contain(session, begun(session, "mqtt", since=None, to=dev.folder), given=None, record=record)
    assert stack.log_in(old) == "Success"
    assert dev.incident()["ended"] is None
    assert dev.incident()["done"] == []
    meanwhile = stack.credential()
    done = dev.compromise("mqtt", "--yes")
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    assert f"its user {old['username']} logs in by a new one, so not by it" in dev.told("proof")
    for value in (old, meanwhile):
        assert stack.log_in(value) != "Success"
    assert stack.log_in(stack.credential()) == "Success"


@pytest.mark.slow
def test_one_that_is_given_back_between_two_goes_is_found_though_the_store_has_forgotten_it(
    dev: Drill, embedded_broker: Embedded
) -> None:
    stack = dev.stack
    stack.rotate()
    old, session, keep = stack.credential(), stack.session(), in_folder(dev.folder)

    def record(incident: Incident) -> None:
        keep(incident)
        if incident.moments and incident.moments[-1].step is Step.PROOF:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        containment.contain(session, begun(session, "mqtt", since=None, to=dev.folder), given=None, record=record)
    give(dev, embedded_broker, old)
    done = dev.compromise("mqtt", "--yes")
    assert done.returncode == ExitCode.FAILED
    assert f"user {old['username']} does not log in by the one made since" in done.stderr
    assert dev.compromise("mqtt", "--yes").returncode == ExitCode.DONE
    assert stack.log_in(old) != "Success"
    assert stack.log_in(stack.credential()) == "Success"


@pytest.mark.slow
def test_an_operators_own_user_whose_old_password_was_seen_to_be_good_is_scrambled_anew_and_never_said_to_have_ended(
    dev: Drill, embedded_broker: Embedded
) -> None:
    """Nobody can try it again: no value of it is kept, and none is made."""
    own = theirs(dev, embedded_broker)
    dev.stack.put("mqtt", own)
    session, keep = dev.stack.session(), in_folder(dev.folder)

    def record(incident: Incident) -> None:
        keep(incident)
        if incident.moments and incident.moments[-1].step is Step.PROOF and not incident.moments[-1].ended:
            give(dev, embedded_broker, own)

    with pytest.raises(SecretopsError, match="still logs in"):
        containment.contain(session, begun(session, "mqtt", since=None, to=dev.folder), given=None, record=record)
    assert dev.compromise("mqtt", "--yes").returncode == ExitCode.ATTENTION
    assert dev.stack.log_in(own) != "Success"
    (told,) = dev.incident()["left"]["proof"]
    assert own["username"] in told


@pytest.mark.slow
def test_a_pending_one_of_an_operators_own_user_is_scrambled_too(dev: Drill, embedded_broker: Embedded) -> None:
    """As a `put` that was cut short leaves it."""
    stack = dev.stack
    stack.rotate()
    own, session = theirs(dev, embedded_broker), stack.session()
    now = session.clock()
    pending = Version(id=new_token(now), stage=Stage.PENDING, created=now, user=own["username"])
    session.store.add("mqtt", pending, own)
    assert stack.log_in(own) == "Success"
    done = dev.compromise("mqtt", "--yes")
    assert done.returncode == ExitCode.ATTENTION, done.stdout + done.stderr
    assert stack.log_in(own) != "Success"
    assert f"user {own['username']} has a password that nobody knows" in dev.told("replace")
    assert list(dev.incident()["left"]) == ["replace"]


@pytest.mark.slow
def test_an_operators_own_user_that_a_rotation_left_as_it_is_is_told(dev: Drill, embedded_broker: Embedded) -> None:
    """The usual state after the first value that somebody has put."""
    stack, own = dev.stack, theirs(dev, embedded_broker)
    stack.put("mqtt", own)
    stack.rotate()
    stack.skip_grace()
    assert [one.error for one in stack.tick() if one.error] == []
    assert dev.compromise("mqtt", "--yes").returncode == ExitCode.ATTENTION
    assert stack.log_in(own) == "Success"
    (told,) = dev.incident()["left"]["replace"]
    assert told.startswith(f"{own['username']} is a user of yours that was left as it is")


@pytest.mark.slow
def test_sessions_that_a_broker_goes_on_with_are_left_to_a_person(dev: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a Coreflux broker does with the sessions of a changed password is not documented."""
    dev.stack.rotate()
    monkeypatch.setattr(containment, "_is_over", lambda _: False)
    session = dev.stack.session()
    outcome = compromise(session, begun(session, "mqtt", since=None, to=dev.folder), to=dev.folder)
    assert outcome.exit_code == ExitCode.ATTENTION
    (told,) = outcome.incident.left[Step.REPLACE]
    assert dev.stack.manifest.secret("mqtt").users[0] in told or dev.stack.manifest.secret("mqtt").users[1] in told


@pytest.mark.slow
@pytest.mark.parametrize("embedded", [False, True])
def test_where_no_session_could_be_opened_before_whether_they_ended_is_left_to_a_person(
    tmp_path: Path, embedded_broker: Embedded, embedded: bool
) -> None:
    """Somebody was quicker, and changed the password at the broker: of a Coreflux broker nobody says what it does."""
    stack = make_stack(tmp_path / "store", embedded_broker.broker().model_copy(update={"embedded": embedded}))
    stack.put("broker-admin", dict(embedded_broker.admin))
    stack.rotate()
    its, user = drill(stack, tmp_path), stack.credential()["username"]
    give(its, embedded_broker, Value({"username": user, "password": new_password()}))
    assert its.compromise("mqtt", "--yes").returncode == ExitCode.ATTENTION, "nor could servers' reports be asked for"
    left = its.incident()["left"].get("replace", [])
    assert [f"ended the sessions that {user} had was not seen" in told for told in left] == [True] * (not embedded)


@pytest.mark.slow
def test_where_nobody_could_be_asked_which_version_servers_use_that_is_left_to_a_person(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """A user that may not listen to what servers report."""
    broker = mosquitto.broker().model_copy(update={"topics": ("elsewhere/#",)})
    stack = make_stack(tmp_path / "store", broker)
    stack.put("broker-admin", dict(mosquitto.admin))
    stack.rotate()
    its = drill(stack, tmp_path)
    assert its.compromise("mqtt", "--yes").returncode == ExitCode.ATTENTION
    assert its.incident()["left"] == {
        "readers": ["see that each server works: which version they use could not be asked"]
    }
