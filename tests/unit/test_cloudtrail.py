"""`secretops audit` over CloudTrail: reader, secret, and whether the value was returned.

The events have the form of AWS's examples (its user guide, "CloudTrail log entries for Secrets Manager").
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from secretops.check import Level
from secretops.errors import ExitCode
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol
from secretops.operations.audit import View, audit
from secretops.platforms.aws.checks.account import Account
from secretops.platforms.aws.checks.cloudtrail import READS, WRITES, recorded
from secretops.platforms.aws.checks.cloudtrail import audit as trail_check
from secretops.platforms.aws.location import AwsStoreLocation
from secretops.trails import ALL

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNT, REGION = "123456789012", "eu-central-1"
MQTT, ADMIN = (f"coreflux-mcp/prod/{name}" for name in ("mqtt", "broker-admin"))
SERVER = f"arn:aws:iam::{ACCOUNT}:role/coreflux-mcp-prod-eu-central-1@server"
OTHERS, USER = "arn:aws:iam::999999999999:role/operator", f"arn:aws:iam::{ACCOUNT}:user/rotator"
OPERATOR = f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/operator"
MANIFEST = Manifest(
    project="coreflux-mcp-secrets",
    stack="prod",
    store=AwsStoreLocation(account=ACCOUNT, region=REGION, secrets={"mqtt": MQTT, "broker-admin": ADMIN},
                   lease=f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/coreflux-mcp-prod-lease",
                   readers={MQTT: (SERVER, "rotator", OPERATOR), ADMIN: ("rotator", OPERATOR)}),
    broker=Broker(kind=BrokerKind.COREFLUX, host="nowhere.invalid", port=1, protocol=MqttProtocol.V5, tls=True),
    secrets=(),
    grace_seconds=30,
)  # fmt: skip


def arn(name: str, suffix: str = "-a1B2c3", region: str = REGION) -> str:
    return f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{name}{suffix}"


def session(
    role: str = "coreflux-mcp-prod-eu-central-1@server", issuer: str | None = None, name: str = "task"
) -> dict[str, Any]:
    """Return the identity of a role session. Some events omit `issuer` ("")."""
    found: dict[str, Any] = {
        "type": "AssumedRole",
        "principalId": f"AROA:{name}",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}",
        "accountId": ACCOUNT,
    }
    if issuer != "":
        path = issuer or f"arn:aws:iam::{ACCOUNT}:role/{role}"
        found["sessionContext"] = {"sessionIssuer": {"type": "Role", "arn": path, "userName": role}}
    return found


def event(who: dict[str, Any] | None = None, secret_id: Any = MQTT, **changes: Any) -> dict[str, Any]:
    """Return the event of a successful GetSecretValue, with `changes`."""
    return {
        "eventVersion": "1.10",
        "userIdentity": who or session(),
        "eventTime": f"{changes.pop('time', NOW):%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": "secretsmanager.amazonaws.com",
        "eventName": "GetSecretValue",
        "awsRegion": REGION,
        "sourceIPAddress": "10.0.0.1",
        "userAgent": "Boto3/1.44.8 md/Botocore#1.44.8",
        "requestParameters": secret_id if isinstance(secret_id, dict) or secret_id is None else {"secretId": secret_id},
        "responseElements": None,
        "readOnly": True,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
    } | changes


def view(folder: Path, *documents: Any, **secret_id: Any) -> View:
    file = folder / "trail.json"
    file.write_text("\n".join(json.dumps(each) for each in documents))
    return audit(MANIFEST, [str(file)], **secret_id)


@pytest.mark.parametrize("secret_id", [MQTT, arn(MQTT), arn(MQTT, ""), arn(MQTT, region="eu-west-1")])
def test_secret_is_known_by_name_arn_and_partial_arn(secret_id: str, tmp_path: Path) -> None:
    (row,) = view(tmp_path, event(secret_id=secret_id), secret="mqtt").rows
    assert (row.secret, row.reader, row.value_returned, row.declared) == (MQTT, SERVER, True, True)


@pytest.mark.parametrize(("who", "reader", "declared"), [
    (session(), SERVER, True),
    (session(issuer=""), SERVER, True),
    (session("operator", issuer=OPERATOR, name="ann@example.com"), OPERATOR, True),
    (session("operator"), f"arn:aws:iam::{ACCOUNT}:role/operator", True),
    (session("mallory"), f"arn:aws:iam::{ACCOUNT}:role/mallory", False),
    (session("operator", issuer=OTHERS), OTHERS, False),
    ({"type": "IAMUser", "arn": USER}, USER, False),
    ({"type": "AWSService", "invokedBy": "secretsmanager.amazonaws.com"}, "secretsmanager.amazonaws.com", True),
    ({}, "(not logged in)", False),
])  # fmt: skip
def test_session_is_matched_to_its_role(who: dict[str, Any], reader: str, declared: bool, tmp_path: Path) -> None:
    (row,) = view(tmp_path, {**event(), "userIdentity": who}).rows
    assert (row.reader, row.declared, row.alarming) == (reader, declared, not declared)


def test_undeclared_readers_come_first_and_make_the_command_call_for_attention(tmp_path: Path) -> None:
    late = NOW + timedelta(days=1)
    found = view(
        tmp_path,
        event(time=late),
        event(session("mallory"), errorCode="AccessDeniedException", time=late),
        event(session("eve")),
    )
    assert [row.reader.rpartition("/")[2] for row in found.rows] == ["eve", "mallory", SERVER.rpartition("/")[2]]
    assert [row.outcome for row in found.rows] == ["got value", "denied", "got value"]
    assert found.exit_code is ExitCode.ATTENTION
    assert view(tmp_path, event()).exit_code is ExitCode.DONE


def test_an_answer_without_the_value_is_no_read(tmp_path: Path) -> None:
    found = view(
        tmp_path,
        event(session("mallory"), eventName="DescribeSecret"),
        event(session("mallory"), errorCode="ResourceNotFoundException"),
        event(session("mallory"), eventName="PutSecretValue", errorCode="ResourceNotFoundException"),
    )
    assert {row.outcome for row in found.rows} == {"no value"}
    assert found.exit_code is ExitCode.DONE


@pytest.mark.parametrize(("operation", "secret_id"), [
    ("PutSecretValue", {"secretId": arn(MQTT)}),
    ("UpdateSecret", {"secretId": MQTT}),
    ("UpdateSecretVersionStage", {"secretId": MQTT, "versionStage": "AWSCURRENT"}),
    ("CreateSecret", {"name": MQTT}),
])  # fmt: skip
def test_change_by_an_undeclared_caller_is_an_alarm(operation: str, secret_id: dict[str, Any], tmp_path: Path) -> None:
    found = view(tmp_path, event(secret_id=secret_id, eventName=operation))
    assert ([row.outcome for row in found.rows], found.exit_code) == (["done"], ExitCode.DONE)
    found = view(tmp_path, event(session("mallory"), secret_id, eventName=operation))
    assert ([row.outcome for row in found.rows], found.exit_code) == (["done"], ExitCode.ATTENTION)
    found = view(tmp_path, event(session("mallory"), secret_id, eventName=operation, errorCode="AccessDeniedException"))
    assert ([row.outcome for row in found.rows], found.exit_code) == (["denied"], ExitCode.DONE)


def lookup_events(*events: dict[str, Any], indent: int | None = 4) -> str:
    found = [{"EventId": "e", "EventName": one["eventName"], "CloudTrailEvent": json.dumps(one)} for one in events]
    return json.dumps({"Events": found}, indent=indent)


@pytest.mark.parametrize("indent", [None, 4])
def test_the_answer_of_lookup_events_is_read_as_it_is(indent: int | None, tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    file.write_text(lookup_events(event(), event(session("mallory")), indent=indent) + "\n")
    found = audit(MANIFEST, [str(file)])
    assert (found.lines, found.broken, [row.count for row in found.rows]) == (1, 0, [1, 1])
    file.write_text(lookup_events(indent=indent))
    assert audit(MANIFEST, [str(file)]).rows == []


def test_event_in_two_files_counts_once_and_simultaneous_ones_twice(tmp_path: Path) -> None:
    first, second = tmp_path / "bucket.json", tmp_path / "looked-up.json"
    first.write_text(json.dumps({"Records": [event(eventID="a"), event(eventID="b"), {**event(), "eventID": "c"}]}))
    second.write_text(lookup_events(event(eventID="b"), event(eventID="c"), event(eventID="d")))
    (row,) = audit(MANIFEST, [str(first), str(second), str(first)]).rows
    assert row.count == 4
    batch = event(secret_id={"secretIdList": [MQTT, ADMIN]}, eventName="BatchGetSecretValue", eventID="e")
    assert len(view(tmp_path, batch, batch).rows) == 2


def test_a_batch_is_a_read_of_each_and_by_filter_perhaps_of_all(tmp_path: Path) -> None:
    mallory = session("mallory")
    found = view(
        tmp_path,
        event(mallory, {"secretIdList": [MQTT, arn(ADMIN), "another"]}, eventName="BatchGetSecretValue"),
        event(mallory, {"filters": [{"key": "name", "values": ["core"]}]}, eventName="BatchGetSecretValue"),
    )
    assert sorted(row.secret for row in found.rows) == sorted([MQTT, ADMIN, ALL])
    assert all(row.alarming for row in found.rows)
    every = event(mallory, {"filters": []}, eventName="BatchGetSecretValue")
    assert len(view(tmp_path, every, secret="mqtt").rows) == 1


# The trail's selectors, as doctor reads them

MANAGEMENT = {"Field": "eventCategory", "Equals": ["Management"]}
EVERY = frozenset({READS, WRITES})


@pytest.mark.parametrize(("basic", "advanced", "kinds"), [
    ([], [], EVERY),
    ([{}], [], EVERY),
    ([{"ReadWriteType": "ReadOnly"}], [], {READS}),
    ([{"ReadWriteType": "ReadOnly"}, {"ReadWriteType": "WriteOnly"}], [], EVERY),
    ([{"IncludeManagementEvents": False}], [], set()),
    ([{"ExcludeManagementEventSources": ["kms.amazonaws.com", "secretsmanager.amazonaws.com"]}], [], set()),
    ([], [[MANAGEMENT]], EVERY),
    ([], [[MANAGEMENT, {"Field": "readOnly", "NotEquals": ["true"]}]], {WRITES}),
    ([], [[MANAGEMENT, {"Field": "eventSource", "NotEquals": ["secretsmanager.amazonaws.com"]}]], set()),
    ([], [[MANAGEMENT, {"Field": "eventSource", "NotStartsWith": ["secrets"]}]], set()),
    ([], [[MANAGEMENT, {"Field": "eventSource", "Equals": ["kms.amazonaws.com"]}]], set()),
    ([], [[MANAGEMENT, {"Field": "eventName", "NotEquals": ["GetSecretValue"]}]], set()),
    ([], [[{"Field": "eventCategory", "Equals": ["Data"]}]], set()),
])  # fmt: skip
def test_selectors_show_whether_a_trail_records_secrets_manager(
    basic: list[dict[str, Any]], advanced: list[list[dict[str, Any]]], kinds: set[str]
) -> None:
    assert recorded(basic, [{"FieldSelectors": fields} for fields in advanced]) == kinds


LOG_GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/coreflux-mcp/prod/trail:*"


DELIVERED: list[tuple[str, dict[str, str], str]] = [
    (LOG_GROUP, {}, ""),
    ("", {}, "no log group"),
    (LOG_GROUP.replace("/trail", "/other"), {}, "/coreflux-mcp/prod/other"),
    (LOG_GROUP.replace(REGION, "eu-west-1"), {}, "eu-west-1"),
    (LOG_GROUP.replace(ACCOUNT, "210987654321"), {}, "210987654321"),
    (LOG_GROUP, {"LatestCloudWatchLogsDeliveryError": "ACCESS_DENIED"}, "ACCESS_DENIED"),
    (LOG_GROUP, {"LatestDeliveryError": "NoSuchBucket"}, "NoSuchBucket"),
    (LOG_GROUP, {"LatestDigestDeliveryError": "SlowDown"}, "SlowDown"),
]


@pytest.mark.parametrize("row", DELIVERED)
def test_audit_wants_a_trail_that_delivers_to_the_alarms_log_group(monkeypatch: pytest.MonkeyPatch, row: Any) -> None:
    """botocore checks the answers against AWS's model."""
    log_group, status, word = row
    client = boto3.client("cloudtrail", region_name=REGION, aws_access_key_id="nobody", aws_secret_access_key="nobody")
    trail = {"Name": "org", "TrailARN": "a-trail", "IsMultiRegionTrail": True, "CloudWatchLogsLogGroupArn": log_group}
    monkeypatch.setattr(Account, "client", lambda _account, _service: client)
    monkeypatch.setattr(Account, "reach", lambda _account: None)
    with Stubber(client) as stubber:
        stubber.add_response("describe_trails", {"trailList": [trail]})
        stubber.add_response("get_trail_status", {"IsLogging": True, **status})
        stubber.add_response("get_event_selectors", {})
        assert isinstance(MANIFEST.store, AwsStoreLocation)
        store = MANIFEST.store.model_copy(update={"log_group": "/coreflux-mcp/prod/trail"})
        found = trail_check(Account(store))
    assert found.level is (Level.ATTENTION if word else Level.OK)
    assert word in found.value
