"""`secretops compromise` as an operator types it, on each store that this machine has, over a real broker.

Whether the old credential still works is asked by logins that are not secretops' own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from secretops.errors import ExitCode
from tests.contract.drills import STEPS, Drill, drill
from tests.real.embedded import Embedded
from tests.real.mosquitto import Mosquitto, installed_mosquitto
from tests.real.stack import Stack, make_stack

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.real


IN_CLOUDS = [pytest.param(store, marks=pytest.mark.slow) for store in ("kubernetes", "aws", "azure", "vault")]


@pytest.fixture(params=["dotenv", *IN_CLOUDS])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Drill:
    from tests.gates.conftest import aws_stack, azure_stack, openbao_stack

    if installed_mosquitto() or request.param != "dotenv":
        started: Mosquitto | Embedded = request.getfixturevalue("mosquitto")
    else:
        started = request.getfixturevalue("embedded_broker")
    broker = started.broker()
    match request.param:
        case "kubernetes":
            from tests.real.cluster_stack import make_cluster_stack

            stack: Stack = make_cluster_stack(tmp_path, broker, request.getfixturevalue("cluster"))
        case "aws":
            stack = aws_stack(tmp_path, broker, request)
        case "azure":
            stack = azure_stack(tmp_path, broker, request)
        case "vault":
            stack = openbao_stack(tmp_path, broker, request)
        case _:
            stack = make_stack(tmp_path / "store", broker)
    stack.put("broker-admin", dict(started.admin))
    return drill(stack, tmp_path)


def test_what_was_out_is_refused_its_sessions_are_ended_and_an_incident_is_kept(
    any_store: Drill, request: pytest.FixtureRequest
) -> None:
    """The one it replaces, and the one before that whose grace is not over."""
    refused = any_store.is_gone_through_with()
    print(f"{request.node.callspec.id}: refused {refused:.1f} s after the command began")


@pytest.mark.parametrize("any_store", ["dotenv"], indirect=True)
def test_a_dry_run_says_each_step_and_changes_nothing(any_store: Drill) -> None:
    stack = any_store.stack
    stack.rotate()
    before, versions = stack.credential(), stack.session().store.versions("mqtt")
    done = any_store.compromise("mqtt", "--dry-run")
    assert done.returncode == ExitCode.DONE, done.stderr
    assert {"incident", *STEPS, "cost"} <= {line.partition(": ")[0] for line in done.stdout.splitlines()}
    assert list(any_store.folder.iterdir()) == []
    assert stack.session().store.versions("mqtt") == versions
    assert stack.log_in(before) == "Success"
