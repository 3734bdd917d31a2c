"""Patterns of metric filters and events, and the query of CloudTrail's log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from .names import Names

# Maximum number of characters of a filter pattern (AWS, PutMetricFilter).
FILTER_LIMIT = 1024

# Maximum number of characters of an event pattern (AWS, EventBridge quotas).
EVENT_LIMIT = 2048

# Names of events for failed rotations (AWS, Monitor Secrets Manager with Amazon EventBridge).
FAILURES = ("RotationFailed", "RotationAbandoned", "TestRotationFailed")

# Maximum number of key ids in a filter pattern, because of its length.
KEYS_PER_FILTER = 10

# A call may name a list of alarms. A filter pattern must index a list's entries, so it matches only this many of them.
ALARMS_PER_CALL = 3


def undeclared_read(names: Names, operators: Sequence[str]) -> str:
    """Return the filter pattern for successful reads by callers other than the stack's roles and operators."""
    return (
        f'{{ ($.eventSource = "secretsmanager.amazonaws.com") && ($.eventName = "GetSecretValue") && '
        f"($.errorCode NOT EXISTS) && {_secret(names)} && {_undeclared(names, operators)} }}"
    )


def undeclared_write(names: Names, operators: Sequence[str]) -> str:
    """Return the filter pattern for writes and label changes, also failed ones, by callers other than the stack's roles
    and operators."""
    return (
        f'{{ (($.eventName = "PutSecretValue") || ($.eventName = "UpdateSecret*")) && '
        f"{_secret(names)} && {_undeclared(names, operators)} }}"
    )


def denied_read(names: Names) -> str:
    """Return the filter pattern for denied reads. It also matches the error message, since CloudTrail may omit the
    field with the secret's name."""
    return (
        f'{{ ($.eventSource = "secretsmanager.amazonaws.com") && ($.eventName = "GetSecretValue") && '
        f'($.errorCode = "AccessDenied*") && ({_secret(names)} || ($.errorMessage = "*{names.secrets}*")) }}'
    )


def deletion(names: Names) -> str:
    return f"{{ {_of('secretsmanager', 'DeleteSecret')} && {_secret(names)} }}"


def policy_change(names: Names) -> str:
    """Return the filter pattern for changes of a secret's policy, replicas and rotation schedule. A manual rotation
    does not match."""
    events = _named(
        *("PutResourcePolicy", "DeleteResourcePolicy", "CancelRotateSecret", "ReplicateSecretToRegions"),
        *("RemoveRegionsFromReplication", "StopReplicationToReplica"),
    )
    field = "$.requestParameters.rotation"
    schedule = (
        f'($.eventName = "RotateSecret") && (({field}LambdaARN = "*") || ({field}Rules.scheduleExpression = "*") || '
        f"({field}Rules.automaticallyAfterDays > 0))"
    )
    source = '($.eventSource = "secretsmanager.amazonaws.com")'
    return f"{{ {source} && ({events} || ({schedule})) && {_secret(names)} }}"


def key_change(arns: Sequence[str]) -> str:
    """Return the filter pattern for calls that disable, delete or share a key. `arns` has at most KEYS_PER_FILTER
    keys."""
    events = _of("kms", "DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy", "CreateGrant")
    keys = [f"*{str(arn).rpartition('/')[2]}*" for arn in arns]  # a program's mocks may return None
    return f"{{ {events} && {_is('$.requestParameters.keyId', keys)} }}"


def role_change(names: Names, operators: Sequence[str]) -> str:
    """Return the filter pattern for changes to the trust policies or rights of the stack's and the operators' roles.

    AWS records IAM's events in one region of each partition, such as us-east-1. The trail must therefore include all
    regions and global service events.
    """
    roles = (names.roles + "*", *(name for kind, name in map(names.called, operators) if kind == "role"))
    events = _of(
        *("iam", "UpdateAssumeRolePolicy", "PutRolePolicy", "DeleteRolePolicy", "AttachRolePolicy", "CreateRole"),
        *("DetachRolePolicy", "*RolePermissionsBoundary"),
    )
    return f"{{ {events} && {_is('$.requestParameters.roleName', roles)} }}"


def user_change(names: Names, users: Sequence[str]) -> str:
    events = _of(
        *("iam", "CreateAccessKey", "CreateLoginProfile", "UpdateLoginProfile", "*tachUserPolicy", "PutUserPolicy"),
        *("DeleteUserPolicy", "AddUserToGroup", "RemoveUserFromGroup", "CreateUser", "*UserPermissionsBoundary"),
    )
    called = [names.called(user)[1] for user in users]
    return f"{{ {events} && {_is('$.requestParameters.userName', called)} }}"


def function_change(functions: Sequence[str]) -> str:
    """Return the filter pattern for changes of these functions. It has wildcards, since Lambda's event names end with
    its API version."""
    events = _of("lambda", "UpdateFunctionCode*", "UpdateFunctionConfiguration*")
    return f"{{ {events} && {_is('$.requestParameters.functionName', [f'*{one}' for one in functions])} }}"


def role_use(names: Names) -> str:
    """Return the filter pattern for calls that assign a role of the stack to a function or task, or that start the
    server's task by hand."""
    given = ("role", "taskRoleArn", "executionRoleArn", "overrides.taskRoleArn", "overrides.executionRoleArn")
    roles = " || ".join(f'($.requestParameters.{one} = "*{names.roles}*")' for one in given)
    task = f'{_named("RunTask", "StartTask")} && ($.requestParameters.taskDefinition = "*{names.plain("server")}*")'
    sources = _is("$.eventSource", ("lambda.amazonaws.com", "ecs.amazonaws.com"))
    return f"{{ {sources} && ({roles} || ({task})) }}"


def trail_change(
    names: Names, log_group: pulumi.Input[str], topic: pulumi.Input[str], bucket: str | None
) -> list[pulumi.Input[str]]:
    """Return patterns that together match calls that stop a trail, its records or its alarms.

    If `log_group` or `topic` is an output, each condition becomes a separate pattern, so that the number of patterns is
    known before the output is.
    """
    if not isinstance(log_group, pulumi.Output) and not isinstance(topic, pulumi.Output):
        return list(_packed(_trail_changes(names, str(log_group), str(topic), bucket)))
    found = pulumi.Output.all(log_group, topic).apply(lambda known: _trail_changes(names, known[0], known[1], bucket))
    return [found[at].apply(_alone) for at in range(6 if bucket else 5)]


def _trail_changes(names: Names, log_group: str, topic: str, bucket: str | None) -> list[str]:
    own, field = names.plain("") + "*", "$.requestParameters"
    alarms = [
        f'({field}.alarmName = "{own}")',
        *(f'({field}.alarmNames[{at}] = "{own}")' for at in range(ALARMS_PER_CALL)),
    ]
    log = _of(
        *("logs", "DeleteLogGroup", "DeleteLogStream", "DeleteMetricFilter", "PutMetricFilter", "PutRetentionPolicy"),
    )
    monitored = _of("monitoring", "DeleteAlarms", "DisableAlarmActions", "PutMetricAlarm")
    rules = _of("events", "DisableRule", "DeleteRule", "PutRule", "RemoveTargets")
    notified = _of("sns", "DeleteTopic", "Unsubscribe", "SetTopicAttributes", "RemovePermission")
    found = [
        _of("cloudtrail", "StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"),
        f'{log} && ({field}.logGroupName = "{log_group}")',
        f"{monitored} && ({' || '.join(alarms)})",
        f'{rules} && (({field}.name = "{own}") || ({field}.rule = "{own}"))',
        f'{notified} && (({field}.topicArn = "{topic}") || ({field}.subscriptionArn = "{topic}:*"))',
    ]
    if bucket:
        found.append(f'{_of("s3", "PutBucket*", "DeleteBucket*")} && ({field}.bucketName = "{bucket}")')
    return found


def _packed(conditions: Sequence[str]) -> list[str]:
    patterns: list[str] = []
    for one in conditions:
        longer = f"{patterns[-1][:-2]} || ({one}) }}" if patterns else ""
        if longer and len(longer) <= FILTER_LIMIT:
            patterns[-1] = longer
        else:
            patterns.append(_alone(one))
    return patterns


def _alone(condition: str) -> str:
    return f"{{ ({condition}) }}"


def rotation_failed(names: Names) -> dict[str, Any]:
    return {
        "source": ["aws.secretsmanager"],
        "detail-type": ["AWS Service Event via CloudTrail"],
        "detail": {
            "eventSource": ["secretsmanager.amazonaws.com"],
            "eventName": list(FAILURES),
            "additionalEventData": {"SecretId": [_any_secret(names)]},
        },
    }


def new_version(names: Names) -> dict[str, Any]:
    """Return the event pattern for a new current version of a secret.

    AWS sends such an event when any label moves (AWS, Secret Label Updated event); the pattern matches only AWSCURRENT.
    """
    return {
        "source": ["aws.secretsmanager"],
        "detail-type": ["Secret Label Updated"],
        "resources": [_any_secret(names)],
        "detail": {"labelUpdated": ["AWSCURRENT"]},
    }


def who_read_what(names: Names) -> str:
    """Return the CloudWatch Logs Insights query for who read which secret, and whether it was allowed."""
    return (
        "fields @timestamp, userIdentity.arn as who, requestParameters.secretId as secret, errorCode as denied, "
        "sourceIPAddress as source\n"
        '| filter eventSource = "secretsmanager.amazonaws.com" and eventName = "GetSecretValue"\n'
        f'| filter requestParameters.secretId like "{names.secrets}" or errorMessage like "{names.secrets}"\n'
        "| stats count(*) as times, max(@timestamp) as last by who, secret, denied, source\n"
        "| sort last desc"
    )


def _any_secret(names: Names) -> dict[str, str]:
    return {"prefix": names.arn("secretsmanager", f"secret:{names.secrets}")}


def _undeclared(names: Names, operators: Sequence[str]) -> str:
    """Return the condition for callers other than sessions of the stack's roles and operators.

    It also matches callers without an ARN, since CloudTrail may omit the ARN of a caller from another account (type
    AWSAccount).
    """
    roles = f"arn:{names.partition}:sts::{names.account}:assumed-role/{names.roles}*"
    declared = [roles, *(names.sessions(operator) for operator in operators)]
    others = " && ".join(f'($.userIdentity.arn != "{one}")' for one in declared)
    return f"(($.userIdentity.arn NOT EXISTS) || ({others}))"


def _secret(names: Names) -> str:
    return f'($.requestParameters.secretId = "*{names.secrets}*")'


def _of(service: str, *events: str) -> str:
    return f'($.eventSource = "{service}.amazonaws.com") && {_named(*events)}'


def _named(*events: str) -> str:
    return _is("$.eventName", events)


def _is(selector: str, texts: Sequence[str]) -> str:
    return "(" + " || ".join(f'({selector} = "{one}")' for one in texts) + ")"
