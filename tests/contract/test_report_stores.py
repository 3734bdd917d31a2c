"""A report of stores that keep no whole journal: what was done is told all the same, what is not known is said."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from secretops.operations.history import history
from secretops.operations.report import report
from secretops.operations.session import Session
from secretops.report import page
from tests.real.aws_stack import make_aws_stack
from tests.real.cluster_stack import make_cluster_stack
from tests.real.mosquitto import Mosquitto
from tests.real.openbao_stack import make_openbao_stack
from tests.real.stack import Stack

pytestmark = pytest.mark.real


@pytest.fixture(params=["aws", "azure", "kubernetes", "vault"])
def stack(request: pytest.FixtureRequest, mosquitto: Mosquitto, tmp_path: Path) -> Stack:
    match request.param:
        case "aws":
            return make_aws_stack(mosquitto.broker(), request.getfixturevalue("moto_environment"))
        case "azure":
            azure = request.getfixturevalue("azure")
            from tests.real.azure_stack import make_azure_stack

            return make_azure_stack(tmp_path, mosquitto.broker(), azure, request.getfixturevalue("azurite"))
        case "kubernetes":
            return make_cluster_stack(tmp_path, mosquitto.broker(), request.getfixturevalue("cluster"))
    return make_openbao_stack(tmp_path, mosquitto.broker(), request.getfixturevalue("openbao"))


def test_a_rotation_is_told_and_who_read_is_said_to_be_unknown(stack: Stack, mosquitto: Mosquitto) -> None:
    stack.put("broker-admin", dict(mosquitto.admin))
    stack.rotate()
    stack.skip_grace()
    stack.rotate()
    found = report(stack.session(), examine=False)
    published = [step.version for step in found.steps if (step.secret, step.step) == ("mqtt", "publish")]
    (mqtt,) = [one for one in found.secrets if one.name == "mqtt"]
    assert published[-1] == mqtt.version
    assert len(set(published)) == 2
    assert "each secret's newest entry" in found.steps_lacking
    assert found.reads.view is None
    assert "secretops report --trail FILE" in found.reads.lacking
    assert stack.credential()["password"] not in page(found)


def test_the_rotators_log_and_the_store_tell_of_each_step_once(
    stack: Stack, mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.put("broker-admin", dict(mosquitto.admin))
    capsys.readouterr()
    stack.tick()
    log = tmp_path / "rotator.log"
    log.write_text(capsys.readouterr().err)
    found = history(stack.session(), [str(log)])
    steps = [one.step for one in found.entries if one.secret == "mqtt"]
    assert {"apply", "verify", "publish"} <= set(steps)
    assert len(steps) == len(set(steps))
    assert "The logs that were read begin" in found.lacking


def test_the_workspace_of_azure_is_asked_who_read_as_far_back_as_it_keeps(
    request: pytest.FixtureRequest, mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure, azurite = request.getfixturevalue("azure"), request.getfixturevalue("azurite")
    from secretops.trails import workspace
    from tests.real.azure_stack import make_azure_stack
    from tests.real.workspace import Played
    from tests.unit.test_log_analytics import MALLORY, SERVER, VAULT, WORKSPACE, dedicated

    made = make_azure_stack(tmp_path, mosquitto.broker(), azure, azurite)
    place = made.place.model_copy(update={"workspace": WORKSPACE, "readers": {"mqtt": (SERVER,)}})
    now = datetime.now(UTC)
    rows = [dedicated(SERVER, time=now - timedelta(days=60)), dedicated(MALLORY, time=now - timedelta(days=2))]
    at_the_vault = json.loads(json.dumps(rows).replace(VAULT, place.vault))
    monkeypatch.setattr(workspace, "connect", Played(WORKSPACE, at_the_vault).client)
    session = replace(made.session(), manifest=made.manifest.model_copy(update={"store": place}))
    found = report(session, examine=False)
    assert found.reads.view
    assert [(row.reader, row.declared) for row in found.reads.view.rows] == [(MALLORY, False), (SERVER, True)]
    assert [one.what.split(":")[0] for one in found.findings if one.where == "reads"] == [MALLORY]


def test_an_operator_of_a_swarm_has_a_report_without_a_value(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No value is there to be read: what is told is what the Swarm's own notes say."""
    pytest.importorskip("docker")
    from tests.contract.swarm_place import InSwarm
    from tests.contract.test_doctor_swarm import manifest_of
    from tests.contract.test_stores import NOW, V, make, version

    place = InSwarm(InSwarm.fresh(request, tmp_path))
    monkeypatch.setenv("DOCKER_HOST", place.environment["DOCKER_HOST"])
    value = make()
    place.open().add("it", version(V[1]), value)
    place.open().publish("it", V[1], NOW)
    found = report(Session.open(manifest_of(place), role="operator"))
    (one,) = found.secrets
    assert (one.version, one.since) == (V[1], NOW)
    assert [step.step for step in found.steps] == ["prepare", "publish"]
    assert "each secret's newest entry" in found.steps_lacking
    assert "secretops report --trail FILE" in found.reads.lacking
    assert not any(text in page(found) for text in value.values())
