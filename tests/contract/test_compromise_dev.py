"""`secretops compromise` as an operator types it, on a dev stack: what is told, and what is gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secretops.errors import ExitCode, SecretopsError
from secretops.operations.compromise import begun, compromise, containment, in_folder
from secretops.operations.compromise.incident import Incident, Step
from secretops.replicas import report_text, report_topic
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.contract.drills import Drill, drill
from tests.real.embedded import Embedded, start_embedded
from tests.real.stack import MqttSession, make_stack

pytestmark = pytest.mark.real


@pytest.fixture
def dev(tmp_path: Path, embedded_broker: Embedded) -> Drill:
    """A folder and the embedded broker, with its admin put."""
    stack = make_stack(tmp_path / "store", embedded_broker.broker())
    stack.put("broker-admin", dict(embedded_broker.admin))
    return drill(stack, tmp_path)


def test_it_asks_before_and_where_nobody_answers_it_takes_a_yes(dev: Drill) -> None:
    dev.stack.rotate()
    old = dev.stack.credential()
    done = dev.compromise("mqtt")
    assert done.returncode == ExitCode.USAGE
    assert "--yes" in done.stderr
    assert "--dry-run" in done.stderr
    assert list(dev.folder.iterdir()) == []
    assert dev.stack.log_in(old) == "Success"


@pytest.mark.slow
@pytest.mark.parametrize("stops", [True, False])
def test_every_server_that_reported_before_is_waited_for_and_one_that_stays_behind_is_told(
    dev: Drill, stops: bool
) -> None:
    stack = dev.stack
    stack.rotate()

    def report(servers: int) -> None:
        current, user = stack.session().store.versions("mqtt").current, stack.credential()["username"]
        assert current
        with MqttSession(stack.manifest.broker, stack.credential()) as session:
            for number in range(servers):
                text = report_text("mqtt", current.id, stack.clock())
                assert session.publishes(report_topic(user, f"server-{number}"), text, retain=True)

    def passes(seconds: float) -> None:
        report(1 if stops else 2)
        stack.clock.skip(seconds * 5 if stops else 0)

    report(2)
    session = stack.session()
    outcome = compromise(session, begun(session, "mqtt", since=None, to=dev.folder), to=dev.folder, sleep=passes)
    assert outcome.exit_code == (ExitCode.ATTENTION if stops else ExitCode.DONE)
    assert outcome.incident.servers == 2
    assert [told[:6] for told in outcome.incident.left.get(Step.READERS, ())] == ["1 of 2"] * stops


@pytest.mark.slow
@pytest.mark.parametrize("anew", [False, True])
def test_what_was_made_since_an_incident_began_is_good_unless_another_is_begun(dev: Drill, anew: bool) -> None:
    stack = dev.stack
    stack.rotate()
    in_folder(dev.folder)(begun(stack.session(), "mqtt", since=None, to=dev.folder))
    stack.rotate()
    since = stack.credential()
    done = dev.compromise("mqtt", "--yes", *(["--anew"] if anew else []))
    assert done.returncode == ExitCode.DONE, done.stderr
    assert ("going on with" in done.stderr) is not anew
    assert (stack.log_in(since) == "Success") is not anew


def test_what_was_pending_is_not_published(dev: Drill) -> None:
    """It was in the store: whoever read that has it."""
    stack = dev.stack
    stack.rotate()
    session = stack.session()
    pending = session.rotation(session.secret("mqtt")).prepare(cut_off=True)
    value = session.store.read("mqtt", pending.id, purpose="test")
    session.rotation(session.secret("mqtt")).apply(pending, cut_off=True)
    assert stack.log_in(value) == "Success"
    assert dev.compromise("mqtt", "--yes").returncode == ExitCode.DONE
    assert stack.log_in(value) != "Success"
    assert pending.id in dev.incident()["known"]
    assert pending.id not in {one.id for one in session.store.versions("mqtt").all}
    records = [json.loads(line) for line in (stack.root / "log" / "access.jsonl").read_text().splitlines()]
    assert [one["purpose"] for one in records if one["version"] == pending.id and one["operation"] != "read"] == [
        "keep as pending",
        "discard",
    ]


@pytest.mark.slow
def test_a_broker_admin_is_replaced_and_so_is_the_one_before_that_an_operator_has_put(tmp_path: Path) -> None:
    """On a broker of its own, whose first admin is known to nobody then."""
    embedded = start_embedded(tmp_path)
    try:
        stack = make_stack(tmp_path / "store", embedded.broker())
        stack.put("broker-admin", dict(embedded.admin))
        stack.rotate("broker-admin")
        old, its = stack.credential("broker-admin"), drill(stack, tmp_path)
        done = its.compromise("broker-admin", "--yes")
        assert done.returncode == ExitCode.ATTENTION, done.stderr
        for each in (old, embedded.admin):
            assert stack.log_in(each) != "Success"
        assert embedded.admin["username"] in " ".join(its.incident()["left"]["replace"])
        assert stack.log_in(stack.credential("broker-admin")) == "Success"
    finally:
        embedded.stop()


@pytest.mark.slow
def test_a_supplied_secret_is_given_anew_and_the_old_value_is_forgotten(dev: Drill) -> None:
    stack = dev.stack
    stack.put("agent-key", {"api-key": (old := new_password())})
    done = dev.compromise("agent-key", "--yes", given=(new := new_password()))
    assert done.returncode == ExitCode.ATTENTION, done.stderr
    session = stack.session()
    versions = session.store.versions("agent-key")
    assert versions.current
    assert session.store.read("agent-key", versions.current.id, purpose="test") == {"api-key": new}
    assert versions.previous
    assert versions.previous.retired
    assert not [path for path in stack.root.rglob("*") if path.is_file() and old in path.read_text(errors="replace")]
    for text in (old, new):
        assert text not in done.stdout + done.stderr + json.dumps(dev.incident()) + dev.page()


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
