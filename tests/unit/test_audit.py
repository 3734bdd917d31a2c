"""`secretops audit`: accesses, malformed lines, and memory use with a growing log.

The lines have the form of a real API server's; tests/stacks/test_staging.py reads real ones.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from secretops.errors import ExitCode, UsageError
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol
from secretops.operations.audit import View, audit, moment
from secretops.platforms.kubernetes.location import Delivered, KubernetesStoreLocation
from tests.real.ports import free_port
from tests.real.stack import Stack, make_stack
from tests.unit.test_cli import run

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMESPACE, MQTT = "coreflux-mcp", "mqtt"
SERVER = f"system:serviceaccount:{NAMESPACE}:coreflux-mcp-server"
SECRETS, VERSIONS = "coreflux-mcp-secrets", "coreflux-mcp-versions"
BROKER = Broker(kind=BrokerKind.COREFLUX, host="nowhere.invalid", port=1, protocol=MqttProtocol.V5, tls=True)
MANIFEST = Manifest(
    project="coreflux-mcp-secrets",
    stack="test",
    store=KubernetesStoreLocation(namespace=NAMESPACE, versions=VERSIONS, lease="coreflux-mcp-rotator",
                          delivered={"mqtt": Delivered(name=SECRETS, keys={"password": "mqtt-password"})},
                          readers={SECRETS: (SERVER, "system:nodes", "ops"), VERSIONS: ("ops",)}),
    broker=BROKER,
    secrets=(),
    grace_seconds=30,
)  # fmt: skip


def event(user: str = "mallory", **changes: Any) -> dict[str, Any]:
    """Return the event of a successful get of the server's Secret, with `changes`."""
    code = changes.pop("code", 200)
    target = {"resource": "secrets", "namespace": NAMESPACE, "name": SECRETS, "apiVersion": "v1"}
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": changes.pop("id", "1"),
        "stage": changes.pop("stage", "ResponseComplete"),
        "requestURI": "/api/v1/…",
        "verb": changes.pop("verb", "get"),
        "user": {"username": user, "groups": changes.pop("groups", ["system:authenticated"])},
        "sourceIPs": [changes.pop("address", "10.0.0.1")],
        "userAgent": "kubectl/v1.37.2 (linux/amd64)",
        "objectRef": target | changes.pop("target", {}),
        "responseStatus": {"metadata": {}, "code": code},
        "requestReceivedTimestamp": changes.pop("time", NOW).isoformat().replace("+00:00", "Z"),
        "annotations": {"authorization.k8s.io/decision": "forbid" if code == 403 else "allow"},
    } | changes


def view(tmp_path: Path, events: Iterable[dict[str, Any] | bytes], **options: Any) -> View:
    log = tmp_path / "audit.log"
    with log.open("wb") as file:
        for each in events:
            file.write((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n")
    return audit(MANIFEST, [str(log)], **options)


def rows_of(view: View) -> list[tuple[str, str, str, bool]]:
    return [(row.reader, row.operation, row.outcome, row.declared) for row in view.rows]


@pytest.mark.parametrize(("user", "groups", "declared"), [
    pytest.param(SERVER, [], True, id="by name"),
    pytest.param("jane", ["ops"], True, id="by group"),
    pytest.param("system:node:n1", ["system:authenticated"], False, id="a node's name without its group"),
    pytest.param("jane", ["system:nodes"], False, id="a node's group without its name"),
    pytest.param("system:apiserver", ["system:masters"], True, id="the API server itself"),
    pytest.param("system:serviceaccount:default:generic-garbage-collector", [], False, id="a controller's name"),
    pytest.param("jane", ["system:masters"], False, id="an administrator whom nobody declared"),
])  # fmt: skip
def test_who_is_declared(tmp_path: Path, user: str, groups: list[str], declared: bool) -> None:
    found = view(tmp_path, [event(user, groups=groups)])
    assert rows_of(found) == [(user, "get", "got value", declared)]
    assert found.exit_code == (ExitCode.DONE if declared else ExitCode.ATTENTION)


def test_a_list_counts_as_a_read_of_all_and_is_declared_only_for_who_may_have_all(tmp_path: Path) -> None:
    every = {"name": None}
    events = [
        event(SERVER, verb="list", target=every),
        event("jane", groups=["ops"], verb="list", target=every),
        event("mallory", verb="list", target={"name": None, "namespace": None}),
        event("mallory", verb="list", target={"name": None, "namespace": "another"}),
    ]
    found = view(tmp_path, events)
    assert sorted(rows_of(found)) == sorted(
        [
            (SERVER, "list", "got value", False),
            ("jane", "list", "got value", True),
            ("mallory", "list", "got value", False),
        ]
    )
    assert [row.count for row in found.rows] == [1, 1, 1]
    assert len(view(tmp_path, events, secret=MQTT).rows) == 3


def test_unrelated_events_are_skipped(tmp_path: Path) -> None:
    others = [{"name": "tls"}, {"namespace": "another"}, {"resource": "configmaps"}, {"apiGroup": "example.org"}]
    found = view(
        tmp_path, [*(event(target=other) for other in others), event(objectRef=None), event(stage="RequestReceived")]
    )
    assert (found.rows, found.broken, found.lines) == ([], 0, 6)


@pytest.mark.parametrize(("verb", "outcome"), [("create", "done"), ("update", "done"), ("patch", "got value")])
def test_a_change_by_who_is_not_declared_is_an_alarm(tmp_path: Path, verb: str, outcome: str) -> None:
    found = view(tmp_path, [event("mallory", verb=verb)])
    assert (rows_of(found), found.exit_code) == ([("mallory", verb, outcome, False)], ExitCode.ATTENTION)
    found = view(tmp_path, [event("jane", groups=["ops"], verb=verb)])
    assert (rows_of(found), found.exit_code) == ([("jane", verb, outcome, True)], ExitCode.DONE)
    refused = view(tmp_path, [event("mallory", verb=verb, code=403), event("eve", verb=verb, code=409)])
    assert [(row.outcome, row.alarming) for row in refused.rows] == [("denied", False), ("no value", False)]


def test_watch_with_two_log_lines_counts_as_one_read(tmp_path: Path) -> None:
    begun = {"verb": "watch", "target": {"name": None}}
    found = view(
        tmp_path,
        [
            event("jane", id="a", stage="ResponseStarted", **begun),
            event("jane", id="b", stage="ResponseStarted", **begun),
            event("jane", id="a", stage="ResponseComplete", **begun),
            event("jane", id="c", stage="ResponseComplete", **begun),  # by a policy that omits ResponseStarted
            event("eve", id="d", stage="ResponseStarted", code=403, **begun),
            event("eve", id="d", stage="ResponseComplete", code=403, **begun),
        ],
    )
    assert {row.reader: (row.count, row.outcome) for row in found.rows} == {
        "jane": (3, "got value"),
        "eve": (1, "denied"),
    }


def test_since_reader_and_secret_narrow_it(tmp_path: Path) -> None:
    events = [
        event("jane", time=NOW),
        event("john", time=NOW + timedelta(hours=1)),
        event("jim", target={"name": VERSIONS}),
    ]
    assert [row.reader for row in view(tmp_path, events, since=NOW + timedelta(minutes=1)).rows] == ["john"]
    assert {row.reader for row in view(tmp_path, events, reader="j?h*").rows} == {"john"}
    assert {row.reader for row in view(tmp_path, events, secret=SECRETS).rows} == {"jane", "john"}
    assert {row.reader for row in view(tmp_path, events, secret=MQTT).rows} == {"jane", "john", "jim"}
    with pytest.raises(UsageError, match=f"mqtt, {SECRETS}, {VERSIONS}"):
        view(tmp_path, events, secret=MQTT[::-1])


def test_a_log_that_holds_values_is_an_alarm_of_its_own(tmp_path: Path) -> None:
    body = {"kind": "Secret", "data": {"key": "c2VjcmV0"}}
    found = view(tmp_path, [event(SERVER, level="RequestResponse", responseObject=body)])
    assert (found.bodies, found.exit_code) == (1, ExitCode.ATTENTION)
    refused = event(SERVER, code=403, level="RequestResponse", responseObject={"kind": "Status"})
    assert view(tmp_path, [refused]).bodies == 0


def test_unreadable_file_is_reported_first(tmp_path: Path) -> None:
    for name, why in ((tmp_path / "none.log", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError, match=why):
            audit(MANIFEST, [str(name)])
    with pytest.raises(UsageError, match="standard input"):
        audit(MANIFEST, [])


@pytest.mark.parametrize(("text", "time"), [
    ("24h", NOW - timedelta(hours=24)),
    ("90min", NOW - timedelta(minutes=90)),
    ("2026-02-28", datetime(2026, 2, 28, tzinfo=UTC)),
    ("2026-02-28T10:00:00+02:00", datetime(2026, 2, 28, 8, tzinfo=UTC)),
])  # fmt: skip
def test_since_is_a_duration_or_a_time(text: str, time: datetime) -> None:
    assert moment(text, NOW) == time


def test_a_readers_name_moves_no_cursor(tmp_path: Path, stack: Stack) -> None:
    stack.file.write_text(MANIFEST.model_dump_json())
    log = tmp_path / "audit.log"
    log.write_text(json.dumps(event("mallory\x1b[2J[red]\n", userAgent="\x1b]0;x\x07")))
    done = run(stack, "audit", str(log))
    assert done.returncode == 3
    assert b"\x1b" not in done.stdout
    assert b"mallory\\u001b[2J[red]\\n" in done.stdout


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=free_port(), protocol=MqttProtocol.V5, tls=True)
    return make_stack(tmp_path / "store", broker)


def test_a_dotenv_stacks_own_records_are_the_trail_without_naming_a_file(stack: Stack) -> None:
    assert run(stack, "audit").stdout.decode().startswith("no access")
    stack.put("agent-key", {"api-key": "canary-of-this-test-only"})
    stack.session("rotator").store.delivery_drift("agent-key")
    done = run(stack, "audit", "--json")
    assert done.returncode == 0, done.stdout
    assert b"canary" not in done.stdout
    rows = [json.loads(line) for line in done.stdout.splitlines()][:-1]
    assert {(row["reader"].partition(":")[0], row["operation"], row["outcome"]) for row in rows} >= {
        ("operator", "write", "done"),
        ("rotator", "read", "got value"),
    }
    assert all(row["declared"] for row in rows)


def test_write_of_a_version_counts_once_for_each_who_took_a_step(stack: Stack) -> None:
    def wrote(time: datetime, purpose: str, actor: str = "operator:ann@host", version: str = "v1") -> str:
        record = {"operation": "write", "secret": "mqtt", "version": version, "purpose": purpose}
        return json.dumps({"time": time.isoformat(), "actor": actor, **record}) + "\n"

    later = NOW + timedelta(seconds=1)
    steps = [wrote(NOW, "keep as pending"), wrote(NOW, "publish"), wrote(later, "deliver")]
    others = [wrote(NOW, "publish", version="v2"), wrote(NOW, "deliver", actor="rotator:app@host")]
    (stack.root / "log" / "access.jsonl").write_text("".join([*steps, *others]))
    rows = {row.reader: (row.count, row.last) for row in audit(stack.manifest, []).rows}
    assert rows == {"operator:ann": (2, later), "rotator:app": (1, NOW)}


def test_a_server_that_writes_is_flagged_and_a_rotator_that_takes_away_is_not(stack: Stack) -> None:
    def wrote(actor: str, operation: str) -> str:
        return json.dumps({"time": NOW.isoformat(), "actor": actor, "operation": operation, "secret": "agent-key"})

    log = stack.root / "log" / "access.jsonl"
    log.write_text(wrote("rotator:app@host-1", "delete") + "\n")
    assert run(stack, "audit").returncode == 0
    log.write_text(wrote("server:app@host-1", "write") + "\n")
    done = run(stack, "audit")
    assert done.returncode == 3
    assert b"done" in done.stdout
    log.write_text(wrote("server:app@host-1", "read").replace("agent-key", "broker-admin") + "\n{cut")
    done = run(stack, "audit", "--since", "2026-01-01")
    assert done.returncode == 3, "it reads what is the rotator's alone"


def test_partly_unreadable_file_is_named_on_standard_error(stack: Stack, tmp_path: Path) -> None:
    record = {"time": NOW.isoformat(), "actor": "server:app@host-1", "operation": "read", "secret": "mqtt"}
    good, bad = tmp_path / "good.log", tmp_path / "bad[1].log"
    good.write_text(json.dumps(record) + "\n")
    bad.write_text("garbage\n")
    done = run(stack, "audit", str(good), str(bad))
    assert done.returncode == 3
    assert [line for line in done.stderr.decode().splitlines() if line.endswith(f": {bad}")][1:] == [
        f"incomplete: {bad}"
    ]
    summary = json.loads(run(stack, "audit", "--json", str(good), str(bad)).stdout.splitlines()[-1])
    assert (summary["broken_in"], summary["not_whole"]) == ([str(bad)], [str(bad)])
