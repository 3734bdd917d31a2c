"""What the stack looks for in CloudTrail's log and on the event bus: the patterns that it makes, on events.

The events have the form of AWS' own examples (user guide of Secrets Manager, "CloudTrail entries" and "Match events";
of KMS, "Logging"); that AWS writes them so is not proven here. Filter patterns are evaluated by a small evaluator
(filter_pattern), event patterns by moto's.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest

from components.aws.names import Names
from components.aws.patterns import EVENT_LIMIT, FILTER_LIMIT
from tests.unit.aws_stack import OPERATOR, READER, on_aws, shipped
from tests.unit.filter_pattern import matches
from tests.unit.harness import Deployed, ca_file
from tests.unit.test_cloudtrail import arn, event, session

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

Event = dict[str, Any]

FILTER = "aws:cloudwatch/logMetricFilter:LogMetricFilter"
ACCOUNT = "123456789012"
KEY = "key-id"
"""The stack's own, as the mocks make it."""
MQTT = "coreflux-mcp/prod/mqtt"
ANOTHER_STACKS, ANOTHERS = "coreflux-mcp/prod2/mqtt", "billing/mqtt"


@functools.cache
def prod() -> Deployed:
    """The shipped stack, with a CA file that is there."""
    with tempfile.TemporaryDirectory() as folder:
        return shipped(ca_file(Path(folder)))


@functools.cache
def watched() -> Deployed:
    """A stack with all that there is to watch: a replica's key, and an operator who is a user."""
    return on_aws(", replicas: [eu-west-1]", operators=(OPERATOR, READER))


def user(name: str = "mallory") -> Event:
    return {"type": "IAMUser", "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}", "accountId": ACCOUNT, "userName": name}


ROOT: Event = {"type": "Root", "arn": f"arn:aws:iam::{ACCOUNT}:root", "accountId": ACCOUNT}


def denied(asked: str | None, message: str, who: Event | None = None, **changes: Any) -> Event:
    """CloudTrail may leave the request out of a denied one."""
    return event(who or user(), asked, errorCode="AccessDeniedException", errorMessage=message, **changes)


def refusal(secret: str) -> str:
    return (
        f"User: arn:aws:iam::{ACCOUNT}:user/mallory is not authorized to perform: secretsmanager:GetSecretValue on "
        f"resource: {secret} because no identity-based policy allows the secretsmanager:GetSecretValue action"
    )


def written(name: str, asked: Any = MQTT, **changes: Any) -> Event:
    """A request of Secrets Manager that changes something."""
    return event(user("deployer"), asked, eventName=name, readOnly=False, **changes)


def of_key(name: str, key: str = KEY, **more: Any) -> Event:
    """A request of KMS."""
    parameters = {"keyId": key, **more}
    return event(user(), parameters, eventName=name, eventSource="kms.amazonaws.com", readOnly=False)


def of_trail(name: str, **more: Any) -> Event:
    return event(user(), {"name": "any", **more}, eventName=name, eventSource="cloudtrail.amazonaws.com")


def of(service: str, name: str, /, **parameters: Any) -> Event:
    """A request of another service, which changes something."""
    source = f"{service}.amazonaws.com"
    return event(session("deployer"), parameters, eventName=name, eventSource=source, readOnly=False)


def iam(name: str, /, **parameters: Any) -> Event:
    """IAM is a global service: its events are written in one region, whichever the stack's is."""
    return of("iam", name, **parameters) | {"awsRegion": "us-east-1"}


OTHERS_ACCOUNT: Event = {"type": "AWSAccount", "principalId": "AROAEXAMPLE:mallory", "accountId": "000000000000"}
"""Another account's caller, as CloudTrail may show it: by no ARN."""
STACK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/coreflux-mcp-prod@tick"
TASK = f"arn:aws:ecs:eu-central-1:{ACCOUNT}:task-definition/coreflux-mcp-prod-server:7"
TOPIC = f"arn:aws:sns:eu-central-1:{ACCOUNT}:coreflux-mcp-prod-alerts"
LAMBDA_CODE, LAMBDA_SETTINGS = "UpdateFunctionCode20150331v2", "UpdateFunctionConfiguration20150331v2"
BUCKET = Names(stack="prod", account=ACCOUNT, region="eu-central-1").bucket


COUNTED: dict[str, dict[str, Event]] = {
    "undeclared-read": {
        "by a user": event(user()),
        "by the account's root": event(ROOT),
        "by ARN": event(user(), arn(MQTT)),
        "by an ARN without its last characters": event(user(), arn(MQTT, suffix="")),
        "by a role of another stack": event(session("coreflux-mcp-prod2@server")),
        "by a role that is called nearly so": event(session("coreflux-mcp-prod-server")),
        "by a role that is called as the operators' one and more": event(session("secrets-operator-2")),
        "by the role that deploys": event(session("deployer")),
        "by a user called as the operators' role": event(user("secrets-operator")),
        "by another account's role of the same name": event(
            session() | {"arn": "arn:aws:sts::210987654321:assumed-role/coreflux-mcp-prod@server/task"}
        ),
        "of the lease": event(user(), "coreflux-mcp/prod/lease"),
        "by another account's caller, without an ARN": event(OTHERS_ACCOUNT, arn(MQTT)),
    },
    "undeclared-write": {
        "a version": written("PutSecretValue"),
        "a version, by the other way": written("UpdateSecret"),
        "a version, by another account's caller without an ARN": event(
            OTHERS_ACCOUNT, arn(MQTT), eventName="PutSecretValue"
        ),
        "a label": written("UpdateSecretVersionStage", {"secretId": arn(MQTT), "versionStage": "AWSCURRENT"}),
        "a try": written("UpdateSecret", errorCode="AccessDenied"),
        "by a role of another stack": event(session("coreflux-mcp-prod2@tick"), eventName="PutSecretValue"),
    },
    "denied-read": {
        "with its request": denied(MQTT, refusal(MQTT)),
        "without its request": denied(None, refusal(arn(MQTT))),
        "of a role of the stack": denied(MQTT, refusal(MQTT), session("coreflux-mcp-prod@server")),
        "by the key": denied(arn(MQTT), "Access to KMS is not allowed"),
        "in the shorter form of the code": denied(MQTT, refusal(MQTT)) | {"errorCode": "AccessDenied"},
    },
    "deletion": {
        "with a recovery window": written("DeleteSecret", {"secretId": MQTT, "recoveryWindowInDays": 30}),
        "by ARN, at once": written("DeleteSecret", {"secretId": arn(MQTT), "forceDeleteWithoutRecovery": True}),
    },
    "policy-change": {
        "a policy": written("PutResourcePolicy", {"secretId": arn(MQTT), "resourcePolicy": "{}"}),
        "no policy": written("DeleteResourcePolicy"),
        "no rotation": written("CancelRotateSecret"),
        "another function": written("RotateSecret", {"secretId": MQTT, "rotationLambdaARN": "arn:aws:lambda:::x"}),
        "another schedule": written("RotateSecret", {"secretId": MQTT, "rotationRules": {"scheduleExpression": "x"}}),
        "after other days": written("RotateSecret", {"secretId": MQTT, "rotationRules": {"automaticallyAfterDays": 9}}),
        "a copy": written("ReplicateSecretToRegions", {"secretId": MQTT, "addReplicaRegions": [{"region": "x"}]}),
        "no copy": written("RemoveRegionsFromReplication", {"secretId": arn(MQTT), "removeReplicaRegions": ["x"]}),
        "a copy on its own": written("StopReplicationToReplica", {"secretId": arn(MQTT, region="eu-west-1")}),
    },
    "key-change": {
        "disabled": of_key("DisableKey"),
        "disabled by ARN": of_key("DisableKey", f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/{KEY}"),
        "deleted": of_key("ScheduleKeyDeletion", pendingWindowInDays=7),
        "a policy": of_key("PutKeyPolicy", policyName="default"),
        "given to others": of_key("CreateGrant", granteePrincipal=f"arn:aws:iam::{ACCOUNT}:user/mallory"),
        "a replica's": of_key("DisableKey", "key-eu-west-1-id"),
        "the records'": of_key("ScheduleKeyDeletion", "trail-key-id"),
    },
    "role-change": {
        "who may take it": iam("UpdateAssumeRolePolicy", roleName="coreflux-mcp-prod@tick", policyDocument="{}"),
        "what it may": iam("PutRolePolicy", roleName="coreflux-mcp-prod@task", policyName="more"),
        "what it may, by a policy of its own": iam("AttachRolePolicy", roleName="coreflux-mcp-prod@task"),
        "what CloudTrail writes with": iam("DeleteRolePolicy", roleName="coreflux-mcp-prod@trail"),
        "made anew": iam("CreateRole", roleName="coreflux-mcp-prod@server", assumeRolePolicyDocument="{}"),
        "who may take the operators'": iam("UpdateAssumeRolePolicy", roleName="secrets-operator"),
        "a key of an operator who is a user": iam("CreateAccessKey", userName="alice"),
        "a password of one": iam("UpdateLoginProfile", userName="alice"),
    },
    "function-change": {
        "code": of("lambda", LAMBDA_CODE, functionName="coreflux-mcp-prod-tick"),
        "code, by ARN": of(
            "lambda", LAMBDA_CODE, functionName=f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:coreflux-mcp-prod-tick"
        ),
        "a layer": of("lambda", LAMBDA_SETTINGS, functionName="coreflux-mcp-prod-rotate-mqtt", layers=["x"]),
        "what asks ECS": of("lambda", LAMBDA_CODE, functionName="coreflux-mcp-prod-redeploy-service"),
    },
    "role-use": {
        "by a function": of("lambda", "CreateFunction20150331", functionName="x", role=STACK_ROLE),
        "by a function that is there": of("lambda", LAMBDA_SETTINGS, functionName="x", role=STACK_ROLE),
        "by a task": of("ecs", "RegisterTaskDefinition", family="x", taskRoleArn=STACK_ROLE),
        "by a task, to start it": of("ecs", "RegisterTaskDefinition", executionRoleArn="coreflux-mcp-prod@task-start"),
        "by a task that is run so": of("ecs", "RunTask", taskDefinition="x:1", overrides={"taskRoleArn": STACK_ROLE}),
        "the stack's task, with another command": of("ecs", "RunTask", taskDefinition=TASK),
        "the stack's task, on a machine": of("ecs", "StartTask", taskDefinition="coreflux-mcp-prod-server"),
    },
    "trail-change": {
        "stopped": of_trail("StopLogging"),
        "deleted": of_trail("DeleteTrail"),
        "changed": of_trail("UpdateTrail", isMultiRegionTrail=False),
        "told to leave events out": of_trail("PutEventSelectors", trailName="any"),
        "its log": of("logs", "DeleteLogGroup", logGroupName="/coreflux-mcp/prod/trail"),
        "a filter of its log": of("logs", "DeleteMetricFilter", logGroupName="/coreflux-mcp/prod/trail"),
        "another filter in its place": of("logs", "PutMetricFilter", logGroupName="/coreflux-mcp/prod/trail"),
        "how long its log is kept": of("logs", "PutRetentionPolicy", logGroupName="/coreflux-mcp/prod/trail"),
        "an alarm": of("monitoring", "DeleteAlarms", alarmNames=["coreflux-mcp-prod-deletion"]),
        "an alarm among others": of("monitoring", "DeleteAlarms", alarmNames=["x", "y", "coreflux-mcp-prod-deletion"]),
        "an alarm is muted": of("monitoring", "DisableAlarmActions", alarmNames=["coreflux-mcp-prod-denied-read"]),
        "an alarm is another": of("monitoring", "PutMetricAlarm", alarmName="coreflux-mcp-prod-denied-read"),
        "a rule": of("events", "DisableRule", name="coreflux-mcp-prod-rotation-failures"),
        "a rule's targets": of("events", "RemoveTargets", rule="coreflux-mcp-prod-rotation-failures", ids=["x"]),
        "who is told": of("sns", "Unsubscribe", subscriptionArn=f"{TOPIC}:{KEY}"),
        "what tells": of("sns", "DeleteTopic", topicArn=TOPIC),
        "who reads the records": of("s3", "PutBucketPolicy", bucketName=BUCKET),
        "how long the records are kept": of("s3", "PutBucketLifecycle", bucketName=BUCKET),
        "the records' guard": of("s3", "DeleteBucketPublicAccessBlock", bucketName=BUCKET),
    },
}
"""What each filter has to count."""

QUIET: dict[str, Event] = {
    "the server's task reads": event(),
    "what starts the task reads": event(session("coreflux-mcp-prod@task-start", name="0123456789abcdef")),
    "a rotation reads": event(
        session("coreflux-mcp-prod@rotate-mqtt", name="coreflux-mcp-prod-rotate-mqtt"), arn(MQTT)
    ),
    "an operator reads": event(session("secrets-operator", name="alice")),
    "another stack's secret is read": event(user(), ANOTHER_STACKS),
    "another's secret is read": event(user(), ANOTHERS),
    "another's secret is denied": denied(ANOTHERS, refusal(ANOTHERS)),
    "another stack's secret is denied": denied(None, refusal(ANOTHER_STACKS)),
    "a read of what is not there": event(
        user(), ANOTHERS, errorCode="ResourceNotFoundException", errorMessage="Secrets Manager can't find it"
    ),
    "a description": event(user(), eventName="DescribeSecret"),
    "a description is denied": denied(MQTT, "not authorized", eventName="DescribeSecret"),
    "another's secret is deleted": written("DeleteSecret", {"secretId": ANOTHERS}),
    "a deletion is taken back": written("RestoreSecret"),
    "a policy is looked at": event(user(), eventName="GetResourcePolicy"),
    "another's policy": written("PutResourcePolicy", {"secretId": ANOTHERS, "resourcePolicy": "{}"}),
    "a rotation begins": written("RotateSecret", {"secretId": MQTT, "rotateImmediately": True}),
    "a version is written": event(session("coreflux-mcp-prod@rotate-mqtt"), arn(MQTT), eventName="PutSecretValue"),
    "an operator writes a version": event(session("secrets-operator"), eventName="PutSecretValue"),
    "an operator describes a secret": event(session("secrets-operator"), eventName="UpdateSecret"),
    "a label is moved": event(session("coreflux-mcp-prod@tick"), arn(MQTT), eventName="UpdateSecretVersionStage"),
    "another's secret is written": written("PutSecretValue", {"secretId": ANOTHERS}),
    "another's function is changed": of("lambda", LAMBDA_CODE, functionName="billing"),
    "another stack's function is changed": of("lambda", LAMBDA_CODE, functionName="coreflux-mcp-prod2-tick"),
    "a role of another stack is changed": iam("PutRolePolicy", roleName="coreflux-mcp-prod2@tick"),
    "a role is looked at": iam("GetRole", roleName="coreflux-mcp-prod@tick"),
    "another's key is made": iam("CreateAccessKey", userName="bob"),
    "another's function is made": of("lambda", "CreateFunction20150331", role=f"arn:aws:iam::{ACCOUNT}:role/billing"),
    "another's task is run": of("ecs", "RunTask", taskDefinition="billing:3"),
    "a new deployment": event(
        session("coreflux-mcp-prod@redeploy-service"),
        {"service": "coreflux-mcp-prod-server", "forceNewDeployment": True},
        eventName="UpdateService",
        eventSource="ecs.amazonaws.com",
    ),
    "another's log is deleted": of("logs", "DeleteLogGroup", logGroupName="/billing"),
    "another's alarm is deleted": of("monitoring", "DeleteAlarms", alarmNames=["billing"]),
    "another's rule is disabled": of("events", "DisableRule", name="billing"),
    "another's bucket is opened": of("s3", "PutBucketPolicy", bucketName="billing"),
    "the key decrypts": of_key("Decrypt"),
    "another key is disabled": of_key("DisableKey", "of-somebody-else"),
    "a key of that name elsewhere than in KMS": of_key("DisableKey") | {"eventSource": "elsewhere.amazonaws.com"},
    "trails are looked at": of_trail("GetTrailStatus"),
}
"""What none of them may count."""


@pytest.mark.parametrize(
    ("what", "event"),
    [
        pytest.param(what, event, id=f"{what}: {why}")
        for what, events in COUNTED.items()
        for why, event in events.items()
    ],
)
def test_what_should_not_happen_is_counted_for_its_alarm_and_for_no_other(what: str, event: Event) -> None:
    assert _counted(event) == {what}


@pytest.mark.parametrize("event", QUIET.values(), ids=QUIET)
def test_what_happens_every_day_is_counted_by_none(event: Event) -> None:
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


@pytest.mark.parametrize(("stack", "secrets_more"), [("prod", 24), ("x" * 100, 10)])
def test_patterns_are_no_longer_than_aws_takes(stack: str, secrets_more: int) -> None:
    """With about as many secrets as the tick's role has room for (components/aws/room.py)."""
    secrets = ", ".join(f"name-of-a-secret-{at}: {{fields: [value]}}" for at in range(secrets_more))
    deployed = on_aws(", replicas: [eu-west-1]", operators=(OPERATOR, READER), stack=stack, secrets=f"{{{secrets}}}")

    assert {one.name for one in deployed.of_type(FILTER) if len(one.inputs["pattern"]) > FILTER_LIMIT} == set()
    rules = deployed.of_type("aws:cloudwatch/eventRule:EventRule")
    assert len(rules) == 2
    assert {one.name for one in rules if len(one.inputs["eventPattern"]) > EVENT_LIMIT} == set()


def test_the_list_of_operators_is_checked_by_the_longest_filter_that_names_them() -> None:
    naming = [one.inputs["pattern"] for one in watched().of_type(FILTER) if "secrets-operator" in one.inputs["pattern"]]
    assert len(naming) == 3
    assert max(naming, key=len) == watched().resources["filter-undeclared-read"].inputs["pattern"]


def _counted(event: Event) -> set[str]:
    """For which alarms."""
    return {
        one.inputs["metricTransformation"]["name"].removeprefix("coreflux-mcp-prod-")
        for one in watched().of_type(FILTER)
        if matches(one.inputs["pattern"], event)
    }


def _bus(detail_type: str, detail: Event, *resources: str) -> Event:
    """An event as the bus has it."""
    return {
        "version": "0",
        "id": "a1b2c3d4-0000-1111-2222-333344445555",
        "source": "aws.secretsmanager",
        "account": ACCOUNT,
        "time": "2026-03-01T12:00:00Z",
        "region": "eu-central-1",
        "resources": list(resources),
        "detail-type": detail_type,
        "detail": detail,
    }


def _service_event(name: str, secret: str) -> Event:
    """Of a rotation, which Secrets Manager reports by CloudTrail."""
    return _bus(
        "AWS Service Event via CloudTrail",
        {
            "eventVersion": "1.10",
            "userIdentity": {"accountId": ACCOUNT, "invokedBy": "secretsmanager.amazonaws.com"},
            "eventSource": "secretsmanager.amazonaws.com",
            "eventName": name,
            "sourceIPAddress": "secretsmanager.amazonaws.com",
            "requestParameters": None,
            "responseElements": None,
            "additionalEventData": {"SecretId": secret},
            "readOnly": False,
            "eventType": "AwsServiceEvent",
        },
    )


def _label(secret: str, label: str) -> Event:
    return _bus(
        "Secret Label Updated",
        {
            "labelUpdated": label,
            "name": secret.rpartition(":")[2][:-7],
            "versionId": "EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE",
        },
        secret,
    )


OWN, SOMEBODYS = arn(MQTT, suffix="-AbCdEf"), arn(ANOTHERS, suffix="-AbCdEf")
"""The stack's as the mocks make it."""


@pytest.mark.parametrize(
    ("rule", "event", "told"),
    [
        pytest.param("rotation-failures", _service_event(name, secret), told, id=f"{name} of {secret[-20:]}")
        for name, secret, told in (
            ("RotationFailed", OWN, True),
            ("RotationAbandoned", OWN, True),
            ("TestRotationFailed", OWN, True),
            ("RotationStarted", OWN, False),
            ("RotationSucceeded", OWN, False),
            ("RotationFailed", SOMEBODYS, False),
        )
    ]
    + [
        pytest.param("new-version", _label(secret, label), told, id=f"{label} of {secret[-20:]}")
        for label, secret, told in (
            ("AWSCURRENT", OWN, True),
            ("user-alice", OWN, False),
            ("AWSCURRENT", SOMEBODYS, False),
            ("AWSCURRENT", arn(ANOTHER_STACKS, suffix="-AbCdEf"), False),
            ("AWSCURRENT", arn("coreflux-mcp/prod/broker-admin", suffix="-AbCdEf"), False),  # no task is given it
            ("AWSCURRENT", arn("coreflux-mcp/prod/_lease", suffix="-AbCdEf"), False),  # whoever rotates moves it
            ("secretops.held.x", arn("coreflux-mcp/prod/_lease", suffix="-AbCdEf"), False),
        )
    ],
)
def test_an_event_gets_to_the_stacks_rule_or_it_does_not(rule: str, event: Event, told: bool) -> None:
    pytest.importorskip("moto", reason="moto is not installed: the extra `aws`")
    from moto.events.models import EventPattern

    assert EventPattern.load(prod().resources[rule].inputs["eventPattern"]).matches_event(event) is told  # type: ignore[arg-type]


@pytest.mark.parametrize("what", COUNTED)
def test_one_event_in_five_minutes_raises_the_alarm_and_none_does_not(what: str) -> None:
    alarm = prod().resources[f"alarm-{what}"].inputs
    counted = [
        filter.inputs["metricTransformation"]
        for filter in prod().of_type(FILTER)
        if filter.inputs["metricTransformation"]["name"] == alarm["metricName"]
    ]

    assert (alarm["comparisonOperator"], alarm["threshold"]) == ("GreaterThanOrEqualToThreshold", 1)
    assert (alarm["statistic"], alarm["period"], alarm["evaluationPeriods"]) == ("Sum", 300, 1)
    assert {(one["namespace"], one["value"]) for one in counted} == {(alarm["namespace"], "1")}
    assert alarm["treatMissingData"] == "notBreaching"
