"""`secretops audit` over an audit device of Vault: reader, path, and whether the value was returned.

The lines have the form of a real OpenBao's, which tests/contract/test_audit_vault.py reads.
"""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from secretops.errors import ExitCode
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol
from secretops.operations.audit import View, audit
from secretops.platforms.vault.location import VaultStoreLocation
from secretops.platforms.vault.trail import NOBODY
from secretops.platforms.vault.value_lookup import ValueTrail
from secretops.trails import ALL

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOUNT = "coreflux-mcp-prod"
SERVER, ROTATOR, OPERATOR = "own/approle/server", "kubernetes/rotator", "userpass/ann"
STORE = VaultStoreLocation(
    address="https://vault.example:8200",
    mount=MOUNT,
    secrets={"mqtt": "mqtt", "broker-admin": "broker-admin"},
    pending={"mqtt": "pending/mqtt", "broker-admin": "pending/broker-admin"},
    lease="rotator/lease",
    readers={
        "mqtt": (SERVER, ROTATOR, OPERATOR, "jwt/server"),
        "pending/mqtt": (ROTATOR, OPERATOR),
        "broker-admin": (ROTATOR, OPERATOR),
        "pending/broker-admin": (ROTATOR, OPERATOR),
        "rotator/lease": (ROTATOR, OPERATOR),
    },
)
MANIFEST = Manifest(
    project="coreflux-mcp-secrets",
    stack="prod",
    store=STORE,
    broker=Broker(kind=BrokerKind.COREFLUX, host="nowhere.invalid", port=1, protocol=MqttProtocol.V5, tls=True),
    secrets=(),
    grace_seconds=30,
)


def approle(role: str = "server", called: str = "own-approle") -> dict[str, Any]:
    return {"display_name": called, "policies": ["default", role], "metadata": {"role_name": role}}


def account(role: str = "rotator", name: str = "rotator", called: str = "") -> dict[str, Any]:
    metadata = {"role": role, "service_account_name": name, "service_account_namespace": "prod"}
    return {"display_name": called or f"kubernetes-prod-{name}", "policies": ["default"], "metadata": metadata}


def token(called: str, *policies: str, **metadata: str) -> dict[str, Any]:
    return {"display_name": called, "policies": list(policies), "metadata": metadata}


def entry(who: dict[str, Any] | None = None, path: str = f"{MOUNT}/data/mqtt", **changes: Any) -> dict[str, Any]:
    """Return the response to a successful read, with changes."""
    kind, operation = changes.pop("type", "response"), changes.pop("operation", "read")
    logged = {"data": {"password": "hmac-sha256:aa", "username": "hmac-sha256:bb"}, "metadata": {"version": 3}}
    request = {
        "id": changes.pop("id", ""), "operation": operation, "namespace": {"id": "root"}, "path": path,
        "remote_address": "10.0.0.1", **changes.pop("request", {}),
    }  # fmt: skip
    found: dict[str, Any] = {
        "time": f"{changes.pop('time', NOW):%Y-%m-%dT%H:%M:%S}.864847669Z",
        "type": kind,
        "auth": {"policy_results": {"allowed": True}, **(approle() if who is None else who)},
        "request": request,
    }
    if kind == "response":
        found["response"] = {"data": logged} if operation == "read" else {}
    return found | changes


def refused(who: dict[str, Any], **changes: Any) -> dict[str, Any]:
    error = "1 error occurred:\n\t* permission denied\n\n"
    return entry({**who, "policy_results": {"allowed": False}}, error=error, response={"data": {}}, **changes)


def view(folder: Path, *entries: Any, **options: Any) -> View:
    file = folder / "audit.jsonl"
    file.write_text("\n".join(json.dumps(each) for each in entries))
    return audit(MANIFEST, [str(file)], **options)


def test_a_request_and_its_response_in_two_devices_logs_are_one_read(tmp_path: Path) -> None:
    lines = [entry(type="request", id="a"), entry(id="a"), entry(type="request", id="b"), entry(id="b")]
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl.gz"
    first.write_text("\n".join(map(json.dumps, lines)))
    second.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    (row,) = audit(MANIFEST, [str(first), str(second)]).rows
    assert (row.count, row.outcome, row.declared) == (2, "got value", True)
    assert (row.first.replace(microsecond=0), row.sources) == (NOW, ["10.0.0.1"])


def test_a_read_that_was_refused_is_one_too_whether_or_not_its_response_is_on_record(tmp_path: Path) -> None:
    mallory = token("token-mallory", "default")
    both = [refused(mallory, type="request", id="a"), refused(mallory, id="a")]
    (row,) = view(tmp_path, *both, refused(mallory, type="request", id="b")).rows
    assert (row.count, row.outcome, row.declared, row.alarming) == (2, "denied", False, False)
    assert row.sources == ["10.0.0.1 (policies default)"]


@pytest.mark.parametrize(
    ("who", "reader", "declared"),
    [
        (approle(), SERVER, True),
        (approle(called="own-approle-x"), "own-approle-x/server", False),
        (approle("other"), "own-approle/other", False),
        (account(), ROTATOR, True),
        (account(called="kubernetes-x-prod-rotator"), "kubernetes-x/rotator", False),
        (token("userpass-ann", "operator", username="ann"), OPERATOR, True),
        (token("jwt-somebody", "server", role="server"), "jwt/server", True),
        (token("token-own-approle", "server", role_name="server"), "token-own-approle/server", False),
        (token("root", "root"), "root", False),
        ({}, NOBODY, False),
    ],
)
def test_login_is_matched_to_role_and_mount(who: dict[str, Any], reader: str, declared: bool, tmp_path: Path) -> None:
    (row,) = view(tmp_path, entry(who)).rows
    assert (row.reader, row.declared, row.alarming) == (reader, declared, not declared)


@pytest.mark.parametrize("path", [f"{MOUNT}/data/another", f"{MOUNT}-2/data/mqtt", f"sys/mounts/{MOUNT}"])
def test_other_mounts_and_metadata_requests_are_skipped(path: str, tmp_path: Path) -> None:
    assert view(tmp_path, entry(token("root", "root"), path=path)).rows == []


@pytest.mark.parametrize(
    ("operation", "path", "outcome"),
    [
        ("read", f"{MOUNT}/metadata/mqtt", "no value"),
        ("create", f"{MOUNT}/data/mqtt", "done"),
        ("update", f"{MOUNT}/destroy/mqtt", "done"),
        ("delete", f"sys/mounts/{MOUNT}", "done"),
    ],
)
def test_only_values_are_reads_and_changes_are_alarms(operation: str, path: str, outcome: str, tmp_path: Path) -> None:
    mallory = token("token-mallory", "wide")
    (row,) = (found := view(tmp_path, entry(mallory, path, operation=operation, response={}))).rows
    about_all = path.endswith(("/", "config", "tune")) or path.startswith("sys/")
    assert (row.outcome, row.secret == ALL) == (outcome, about_all)
    assert (found.exit_code is ExitCode.ATTENTION) is (outcome == "done")


def test_deleted_version_is_no_read_and_wrapped_one_is_the_callers(tmp_path: Path) -> None:
    gone = entry(response={"data": {"http_status_code": 404}})
    (row,) = view(tmp_path, gone).rows
    assert row.outcome == "no value"
    wrapped = entry(request={"wrap_ttl": 60}, response={"wrap_info": {"ttl": 60}})
    (row,) = view(tmp_path, wrapped).rows
    assert (row.outcome, row.sources) == ("got value", ["10.0.0.1 wrapped"])


def test_device_that_logs_plain_values_is_reported(tmp_path: Path) -> None:
    raw = {"data": {"data": {"password": "as it is"}}}
    for line in (entry(response=raw), entry(account(), operation="create", request=raw)):
        found = view(tmp_path, line)
        assert (found.bodies, found.exit_code) == (1, ExitCode.ATTENTION)
    times = {"data": {"data": {"since": "2026-03-01T12:00:00+00:00", "holder": "hmac-sha256:dd"}}}
    assert view(tmp_path, entry(account(), path=f"{MOUNT}/data/rotator/lease", response=times)).bodies == 0


def test_reader_of_a_value_is_found_on_every_path_and_device(tmp_path: Path) -> None:
    trail = ValueTrail(STORE, {"hmac-sha256:aa", "hmac-sha256:a2"})
    copied = {"data": {"data": {"copy": "hmac-sha256:a2"}, "metadata": {"version": 1}}}
    unwrapped = {"data": {"data": {"password": "hmac-sha256:aa"}}}
    other = {"data": {"data": {"password": "hmac-sha256:cc"}}}
    late = NOW + timedelta(hours=1)
    found = view(
        tmp_path,
        entry(),
        entry(
            account(),
            path=f"{MOUNT}/data/pending/mqtt",
            operation="create",
            request={"data": {"data": {"password": "hmac-sha256:aa"}}},
        ),
        entry(token("token-eve", "wide"), "kv/data/copy", response=copied, time=late),
        entry({}, "sys/wrapping/unwrap", operation="update", response=unwrapped),
        entry(response=other),
        entry(
            token("root", "root"),
            "sys/audit-hash/first",
            operation="update",
            request={"data": {"input": "hmac-sha256:aa"}},
        ),
        trail=trail,
    )
    assert [(row.reader, row.secret, row.operation, row.outcome, row.declared) for row in found.rows] == [
        ("token-eve", "kv/data/copy", "read", "got value", False),
        (NOBODY, "sys/wrapping/unwrap", "unwrap", "got value", False),
        (SERVER, "mqtt", "read data", "got value", True),
        (ROTATOR, "pending/mqtt", "create data", "done", True),
    ]
    assert found.exit_code is ExitCode.ATTENTION
