"""What `secretops compromise` takes for proven, and what it leaves to a person. On a dev stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from secretops.errors import ExitCode, SecretopsError
from secretops.operations.compromise import begun, compromise, containment, in_folder
from secretops.operations.compromise.incident import Incident, Step
from secretops.targets import open_target
from secretops.values import Value
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


def test_an_old_password_that_is_given_back_is_found_and_the_incident_goes_on(
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
