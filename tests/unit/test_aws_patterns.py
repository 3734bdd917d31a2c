"""The patterns for CloudTrail's log and the event bus, evaluated on events.

The events have the form of AWS's examples (user guide of Secrets Manager, "CloudTrail entries" and "Match events"; of
KMS, "Logging"). filter_pattern evaluates filter patterns, moto evaluates event patterns.
"""

from typing import Any

import pytest

from components.aws.names import Names
from components.aws.patterns import EVENT_LIMIT, FILTER_LIMIT, KEYS_PER_FILTER, key_change
from tests.unit.aws_stack import OPERATOR, READER, on_aws, prod
from tests.unit.filter_pattern import matches
from tests.unit.harness import Deployed
from tests.unit.test_cloudtrail import arn, event, session

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

Event = dict[str, Any]

FILTER = "aws:cloudwatch/logMetricFilter:LogMetricFilter"
ACCOUNT = "123456789012"
KEY = "key-id"  # The stack's own, as the mocks make it.
MQTT = "coreflux-mcp/prod/mqtt"
ANOTHER_STACKS, ANOTHERS = "coreflux-mcp/prod2/mqtt", "billing/mqtt"


def watched() -> Deployed:
    """Deploy a stack in which patterns watch everything that they can, such as a replica's key, and an operator who is
    a user."""
    return on_aws(", replicas: [eu-west-1]", operators=(OPERATOR, READER))


def user(name: str = "mallory") -> Event:
    return {"type": "IAMUser", "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}", "accountId": ACCOUNT, "userName": name}


def denied(secret_id: str | None, message: str, who: Event | None = None, **changes: Any) -> Event:
    return event(who or user(), secret_id, errorCode="AccessDeniedException", errorMessage=message, **changes)


def refusal(secret: str) -> str:
    return (
        f"User: arn:aws:iam::{ACCOUNT}:user/mallory is not authorized to perform: secretsmanager:GetSecretValue on "
        f"resource: {secret} because no identity-based policy allows the secretsmanager:GetSecretValue action"
    )


def written(name: str, secret_id: Any = MQTT, **changes: Any) -> Event:
    return event(user("deployer"), secret_id, eventName=name, readOnly=False, **changes)


def of(service: str, name: str, /, **parameters: Any) -> Event:
    source = f"{service}.amazonaws.com"
    return event(session("deployer"), parameters, eventName=name, eventSource=source, readOnly=False)


def iam(name: str, /, **parameters: Any) -> Event:
    """Return an event of IAM, a global service that writes its events in one region."""
    return of("iam", name, **parameters) | {"awsRegion": "us-east-1"}


# Another account's caller, as CloudTrail may record it: without an ARN.
OTHERS_ACCOUNT: Event = {"type": "AWSAccount", "principalId": "AROAEXAMPLE:mallory", "accountId": "000000000000"}
ROLES = "coreflux-mcp-prod-eu-central-1@"
STACK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/{ROLES}tick"
TASK = f"arn:aws:ecs:eu-central-1:{ACCOUNT}:task-definition/coreflux-mcp-prod-server:7"
TOPIC = f"arn:aws:sns:eu-central-1:{ACCOUNT}:coreflux-mcp-prod-alerts"
LAMBDA_CODE, LAMBDA_SETTINGS = "UpdateFunctionCode20150331v2", "UpdateFunctionConfiguration20150331v2"
BUCKET = Names(stack="prod", account=ACCOUNT, region="eu-central-1").bucket


# Events that each filter must count.
COUNTED: dict[str, dict[str, Event]] = {
    "undeclared-read": {
        "by ARN": event(user(), arn(MQTT)),
        "by a role that is called as the operators' one and more": event(session("secrets-operator-2")),
        "by another account's caller, without an ARN": event(OTHERS_ACCOUNT, arn(MQTT)),
    },
    "undeclared-write": {
        "a version": written("PutSecretValue"),
        "a version, by the other way": written("UpdateSecret"),
        "a try": written("UpdateSecret", errorCode="AccessDenied"),
    },
    "denied-read": {
        "with its request": denied(MQTT, refusal(MQTT)),
        "without its request": denied(None, refusal(arn(MQTT))),
        "by the key": denied(arn(MQTT), "Access to KMS is not allowed"),
    },
    "deletion": {
        "by ARN, at once": written("DeleteSecret", {"secretId": arn(MQTT), "forceDeleteWithoutRecovery": True})
    },
    "policy-change": {
        "a policy": written("PutResourcePolicy", {"secretId": arn(MQTT), "resourcePolicy": "{}"}),
        "no rotation": written("CancelRotateSecret"),
        "another function": written("RotateSecret", {"secretId": MQTT, "rotationLambdaARN": "arn:aws:lambda:::x"}),
        "a copy": written("ReplicateSecretToRegions", {"secretId": MQTT, "addReplicaRegions": [{"region": "x"}]}),
    },
    "key-change": {
        "disabled": of("kms", "DisableKey", keyId=KEY),
        "a replica's": of("kms", "DisableKey", keyId="key-eu-west-1-id"),
        "the records'": of("kms", "ScheduleKeyDeletion", keyId="trail-key-id"),
    },
    "role-change": {
        "who may take it": iam("UpdateAssumeRolePolicy", roleName=f"{ROLES}tick", policyDocument="{}"),
        "what it may": iam("PutRolePolicy", roleName=f"{ROLES}task", policyName="more"),
        "who may take the operators'": iam("UpdateAssumeRolePolicy", roleName="secrets-operator"),
        "no boundary": iam("DeleteRolePermissionsBoundary", roleName=f"{ROLES}task"),
        "a key of an operator who is a user": iam("CreateAccessKey", userName="alice"),
        "what that user may": iam("AttachUserPolicy", userName="alice", policyArn="more"),
        "what that user may, by a group": iam("AddUserToGroup", userName="alice", groupName="more"),
        "no policy that denies that user": iam("DetachUserPolicy", userName="alice", policyArn="less"),
        "another boundary of that user": iam("PutUserPermissionsBoundary", userName="alice"),
    },
    "function-change": {"code": of("lambda", LAMBDA_CODE, functionName="coreflux-mcp-prod-tick")},
    "role-use": {
        "by a function that is there": of("lambda", LAMBDA_SETTINGS, functionName="x", role=STACK_ROLE),
        "by a task, to start it": of("ecs", "RegisterTaskDefinition", executionRoleArn=f"{ROLES}task-start"),
        "the stack's task, with another command": of("ecs", "RunTask", taskDefinition=TASK),
    },
    "trail-change": {
        "stopped": of("cloudtrail", "StopLogging", name="any"),
        "its log": of("logs", "DeleteLogGroup", logGroupName="/coreflux-mcp/prod/trail"),
        "an alarm among others": of("monitoring", "DeleteAlarms", alarmNames=["x", "y", "coreflux-mcp-prod-deletion"]),
        "a rule": of("events", "DisableRule", name="coreflux-mcp-prod-rotation-failures"),
        "what tells": of("sns", "DeleteTopic", topicArn=TOPIC),
        "who reads the records": of("s3", "PutBucketPolicy", bucketName=BUCKET),
    },
}

# Events that no filter may count.
QUIET: dict[str, Event] = {
    "the server's task reads": event(),
    "an operator reads": event(session("secrets-operator", name="alice")),
    "another stack's secret is read": event(user(), ANOTHER_STACKS),
    "a description": event(user(), eventName="DescribeSecret"),
    "a rotation begins": written("RotateSecret", {"secretId": MQTT, "rotateImmediately": True}),
    "a version is written": event(session(f"{ROLES}rotate-mqtt"), arn(MQTT), eventName="PutSecretValue"),
    "another stack's function is changed": of("lambda", LAMBDA_CODE, functionName="coreflux-mcp-prod2-tick"),
    "the key decrypts": of("kms", "Decrypt", keyId=KEY),
    "another key is disabled": of("kms", "DisableKey", keyId="of-somebody-else"),
}


@pytest.mark.parametrize(
    ("what", "event"),
    [pytest.param(what, one, id=f"{what}: {why}") for what, events in COUNTED.items() for why, one in events.items()],
)
def test_incident_is_counted_for_its_alarm_and_no_other(what: str, event: Event) -> None:
    assert _counted(event) == {what}


@pytest.mark.parametrize("event", QUIET.values(), ids=QUIET)
def test_routine_events_are_counted_by_no_alarm(event: Event) -> None:
    assert _counted(event) == set()


def test_every_filter_of_the_stack_has_its_events() -> None:
    metrics = {one.inputs["metricTransformation"]["name"] for one in watched().of_type(FILTER)}
    assert metrics == {f"coreflux-mcp-prod-{what}" for what in COUNTED}
    without = {
        one.name
        for one in watched().of_type(FILTER)
        if not any(matches(one.inputs["pattern"], event) for events in COUNTED.values() for event in events.values())
    }
    assert without == set()


def test_patterns_are_no_longer_than_aws_takes() -> None:
    """The stack has about as many secrets as the tick's role allows (components/aws/quota.py)."""
    secrets = ", ".join(f"name-of-a-secret-{at}: {{fields: [value]}}" for at in range(10))
    deployed = on_aws(
        ", replicas: [eu-west-1]", operators=(OPERATOR, READER), stack="x" * 100, secrets=f"{{{secrets}}}"
    )
    assert {one.name for one in deployed.of_type(FILTER) if len(one.inputs["pattern"]) > FILTER_LIMIT} == set()
    rules = deployed.of_type("aws:cloudwatch/eventRule:EventRule")
    assert len(rules) == 2
    assert {one.name for one in rules if len(one.inputs["eventPattern"]) > EVENT_LIMIT} == set()


def test_more_keys_than_a_filter_has_room_for_have_two_filters() -> None:
    longest = "arn:aws:kms:eu-central-1:123456789012:key/mrk-1234567890abcdef1234567890abcdef"
    assert len(key_change([longest] * KEYS_PER_FILTER)) <= FILTER_LIMIT
    regions = ", ".join(f"{of}-{at}" for of in ("eu-west", "us-east", "us-west") for at in (1, 2))
    deployed = on_aws(f", replicas: [{regions}, eu-west-3, eu-north-1, eu-south-1]")
    patterns = [one.inputs["pattern"] for one in deployed.of_type(FILTER) if "key-change" in one.name]
    assert [one.count("keyId") for one in patterns] == [KEYS_PER_FILTER, 1], "nine replicas', ours, that of records"


def _counted(event: Event) -> set[str]:
    return {
        one.inputs["metricTransformation"]["name"].removeprefix("coreflux-mcp-prod-")
        for one in watched().of_type(FILTER)
        if matches(one.inputs["pattern"], event)
    }


def _bus(detail_type: str, detail: Event, *resources: str) -> Event:
    return {
        "source": "aws.secretsmanager", "account": ACCOUNT, "time": "2026-03-01T12:00:00Z",
        "region": "eu-central-1", "resources": list(resources), "detail-type": detail_type, "detail": detail,
    }  # fmt: skip


def _service_event(name: str, secret: str) -> Event:
    who = {"accountId": ACCOUNT, "invokedBy": "secretsmanager.amazonaws.com"}
    about = {"additionalEventData": {"SecretId": secret}, "eventType": "AwsServiceEvent"}
    return _bus("AWS Service Event via CloudTrail", event(who, None, eventName=name, readOnly=False, **about))


def _label(secret: str, label: str) -> Event:
    detail = {"labelUpdated": label, "name": secret.rpartition(":")[2][:-7], "versionId": "EXAMPLE1-90ab"}
    return _bus("Secret Label Updated", detail, secret)


OWN, SOMEBODYS = arn(MQTT, suffix="-AbCdEf"), arn(ANOTHERS, suffix="-AbCdEf")  # The stack's as the mocks make it.


@pytest.mark.parametrize(
    ("rule", "event", "counted"),
    [
        pytest.param("rotation-failures", _service_event(name, secret), counted, id=f"{name} of {secret[-20:]}")
        for name, secret, counted in (
            ("RotationFailed", OWN, True),
            ("RotationSucceeded", OWN, False),
            ("RotationFailed", SOMEBODYS, False),
        )
    ]
    + [
        pytest.param("new-version", _label(secret, label), counted, id=f"{label} of {secret[-20:]}")
        for label, secret, counted in (
            ("AWSCURRENT", OWN, True),
            ("user-alice", OWN, False),
            ("AWSCURRENT", arn(ANOTHER_STACKS, suffix="-AbCdEf"), False),
        )
    ],
)
def test_an_event_gets_to_the_stacks_rule_or_it_does_not(rule: str, event: Event, counted: bool) -> None:
    pytest.importorskip("moto", reason="moto is not installed: the extra `aws`")
    from moto.events.models import EventPattern

    assert EventPattern.load(prod().resources[rule].inputs["eventPattern"]).matches_event(event) is counted  # type: ignore[arg-type]
