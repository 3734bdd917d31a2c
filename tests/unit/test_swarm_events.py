"""`secretops audit` over a daemon's event log and secretops' own records, in one file or several.

The events have the form of `docker events --format '{{json .}}'`, which tests/contract/test_swarm_store.py proves.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from secretops.errors import ExitCode
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol, Reader, Secret, SecretKind
from secretops.operations.audit import View, audit
from secretops.platforms.swarm.location import SwarmStoreLocation

SERVER = "coreflux-mcp-prod_server"
STORE = SwarmStoreLocation(
    prefix="coreflux-mcp-prod_", state_config="coreflux-mcp-prod_versions", instance="coreflux-mcp-prod",
    service=SERVER, uid=10001, image="coreflux-mcp-secrets:1",
)  # fmt: skip
MANIFEST = Manifest(
    project="coreflux-mcp-secrets",
    stack="prod",
    store=STORE,
    broker=Broker(kind=BrokerKind.MOSQUITTO, host="b", port=8883, protocol=MqttProtocol.V5, tls=True),
    secrets=(Secret(name="mqtt", kind=SecretKind.MQTT_USER, fields=("username", "password"),
                    readers=(Reader.SERVER, Reader.ROTATOR), cadence_days=90, users=("mcp-a", "mcp-b")),),
    grace_seconds=30,
)  # fmt: skip


def event(kind: str, action: str, name: str, **attributes: str) -> str:
    actor = {"ID": f"id of {name}", "Attributes": {"name": name, **attributes}}
    event = {"Type": kind, "Action": action, "Actor": actor, "scope": "swarm"}
    return json.dumps({**event, "time": 1_772_366_400, "timeNano": 1_772_366_400_000_000_001})


def record(operation: str, actor: str = "rotator:0@task", **facts: Any) -> str:
    line = {"time": "2026-03-01T12:00:00.000+00:00", "actor": actor, "operation": operation, "secret": "mqtt"}
    return json.dumps({**line, "version": "v1", "purpose": "apply", **facts})


def run(tmp_path: Path, *lines: str) -> View:
    file = tmp_path / "events.json"
    file.write_text("\n".join(lines) + "\n")
    return audit(MANIFEST, [str(file)])


def test_changes_are_reported_with_an_unknown_actor(tmp_path: Path) -> None:
    view = run(
        tmp_path,
        event("secret", "create", "coreflux-mcp-prod_mqtt-v3-password"),
        event("secret", "remove", "coreflux-mcp-prod_mqtt-v1-password"),
        event("service", "update", SERVER),
        event("service", "update", SERVER, **{"updatestate.new": "completed"}),
        event("config", "update", STORE.state_config),
        event("secret", "create", "another_mqtt-v3-password"),
        event("network", "create", "coreflux-mcp-prod_mcp"),
    )
    found_rows = {(row.operation, row.secret, row.count) for row in view.rows}
    assert found_rows == {
        *(("secret create", "mqtt", 1), ("secret remove", "mqtt", 1), ("service update", SERVER, 1)),
        ("config update", STORE.state_config, 1),
    }
    assert {row.reader for row in view.rows} == {"(Swarm does not say who)"}
    assert view.exit_code is ExitCode.DONE


@pytest.mark.parametrize("name", ["thief", "coreflux-mcp-prod_thief", "coreflux-mcp-prod_task-thief"])
@pytest.mark.parametrize("action", ["create", "update"])
def test_foreign_service_with_a_secret_is_an_undeclared_reader(tmp_path: Path, name: str, action: str) -> None:
    view = run(tmp_path, event("service", action, name), event("service", "remove", name))
    (row,) = view.rows
    assert (row.operation, row.secret, row.sources) == (f"service {action}", "*", [f"service {name}"])
    assert row.alarming
    assert view.exit_code is ExitCode.ATTENTION


def test_a_carried_command_has_every_value_and_it_and_the_rotator_are_declared(tmp_path: Path) -> None:
    task, rotator = f"{STORE.prefix}task-0123456789ab", f"{STORE.prefix}rotator"
    view = run(tmp_path, event("service", "create", task), event("service", "create", rotator))
    assert {(row.sources[0], row.value_returned, row.declared) for row in view.rows} == {
        (f"service {task}", True, True),
        (f"service {rotator}", False, True),
    }
    assert view.exit_code is ExitCode.DONE
    changed = run(tmp_path, event("service", "update", task))
    assert changed.exit_code is ExitCode.ATTENTION, "nobody of the stack changes one"


@pytest.mark.parametrize("action", ["exec_create: cat /run/secrets/mqtt_password", "archive-path", "attach"])
def test_exec_in_the_server_is_an_undeclared_read_without_its_arguments(tmp_path: Path, action: str) -> None:
    view = run(tmp_path, event("container", action, f"{SERVER}.1.x", **{"com.docker.swarm.service.name": SERVER}))
    (row,) = view.rows
    assert row.alarming
    assert view.exit_code is ExitCode.ATTENTION
    assert "/run/secrets" not in str(row)


def test_the_daemons_own_health_check_and_other_services_containers_are_no_reads(tmp_path: Path) -> None:
    health = "exec_create: /opt/secretops/bin/python -m secretops.launcher.health"
    own, other = ({"com.docker.swarm.service.name": name} for name in (SERVER, "other"))
    view = run(
        tmp_path,
        event("container", health, f"{SERVER}.1.x", **own),
        event("container", "exec_start: sh", f"{SERVER}.1.x", **own),
        event("container", "exec_create: sh", "other.1.x", **other),
        event("container", "die", f"{SERVER}.1.x", **own),
    )
    assert view.rows == []
    disguised = "exec_create: sh -c 'cat /run/secrets/api_key # -m secretops.launcher.health'"
    assert run(tmp_path, event("container", disguised, f"{SERVER}.1.x", **own)).exit_code is ExitCode.ATTENTION
