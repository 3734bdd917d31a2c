"""What is looked for in CloudTrail's log, by metric filters and by a person, and on the event bus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from .names import Names

FILTER_LIMIT = 1024
"""Characters of a filter pattern (AWS, PutMetricFilter)."""

EVENT_LIMIT = 2048
"""Characters of an event pattern (AWS, EventBridge quotas)."""

FAILURES = ("RotationFailed", "RotationAbandoned", "TestRotationFailed")
"""What Secrets Manager reports of a rotation (AWS, Monitor Secrets Manager with Amazon EventBridge)."""

KEYS_OF_A_FILTER = 10
"""Ids of keys that a filter pattern has room for."""

OF_A_CALL = 3
"""How many of the alarms that one call names are looked at: a filter pattern reaches into a list by a number alone."""


def undeclared_read(names: Names, operators: Sequence[str]) -> str:
    """Reads that were allowed, by others than the stack's roles and its operators."""
    return (
        f'{{ ($.eventSource = "secretsmanager.amazonaws.com") && ($.eventName = "GetSecretValue") && '
        f"($.errorCode NOT EXISTS) && {_secret(names)} && {_undeclared(names, operators)} }}"
    )


def undeclared_write(names: Names, operators: Sequence[str]) -> str:
    """Values written and labels moved by others, and tries: UpdateSecret writes a value too, which nobody here does.

    Shorter than `undeclared_read`, so that one check of an operators' list is enough.
    """
    return (
        f'{{ (($.eventName = "PutSecretValue") || ($.eventName = "UpdateSecret*")) && '
        f"{_secret(names)} && {_undeclared(names, operators)} }}"
    )


def denied_read(names: Names) -> str:
    """Reads that were denied. CloudTrail may leave the request out of those: the message names the secret too."""
    return (
        f'{{ ($.eventSource = "secretsmanager.amazonaws.com") && ($.eventName = "GetSecretValue") && '
        f'($.errorCode = "AccessDenied*") && ({_secret(names)} || ($.errorMessage = "*{names.secrets}*")) }}'
    )


def deletion(names: Names) -> str:
    """A secret of the stack goes."""
    return f"{{ {_of('secretsmanager', 'DeleteSecret')} && {_secret(names)} }}"


def policy_change(names: Names) -> str:
    """Who may read a secret, where it is copied to, and by what and when it is rotated. Not a rotation by hand."""
    events = _named(
        *("PutResourcePolicy", "DeleteResourcePolicy", "CancelRotateSecret", "ReplicateSecretToRegions"),
        *("RemoveRegionsFromReplication", "StopReplicationToReplica"),
    )
    asked = "$.requestParameters.rotation"
    schedule = (
        f'($.eventName = "RotateSecret") && (({asked}LambdaARN = "*") || ({asked}Rules.scheduleExpression = "*") || '
        f"({asked}Rules.automaticallyAfterDays > 0))"
    )
    source = '($.eventSource = "secretsmanager.amazonaws.com")'
    return f"{{ {source} && ({events} || ({schedule})) && {_secret(names)} }}"


def key_change(arns: Sequence[str]) -> str:
    """Match what takes away one of at most KEYS_OF_A_FILTER keys with these ARNs, or lets others use it."""
    events = _of("kms", "DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy", "CreateGrant")
    keys = [f"*{str(arn).rpartition('/')[2]}*" for arn in arns]  # a program's mocks may give None
    return f"{{ {events} && {_is('$.requestParameters.keyId', keys)} }}"


def role_change(names: Names, operators: Sequence[str]) -> str:
    """Who may become a role of the stack or of an operator, and what that may.

    IAM is a global service, whose events CloudTrail writes in us-east-1 (the partition's own region elsewhere): a trail
    of all regions with global events has them.
    """
    roles = (names.roles + "*", *(name for kind, name in map(names.called, operators) if kind == "role"))
    events = _of(
        *("iam", "UpdateAssumeRolePolicy", "PutRolePolicy", "DeleteRolePolicy", "AttachRolePolicy", "CreateRole"),
    )
    return f"{{ {events} && {_is('$.requestParameters.roleName', roles)} }}"


def user_change(names: Names, users: Sequence[str]) -> str:
    """Another way to become an operator who is a user of IAM."""
    events = _of("iam", "CreateAccessKey", "CreateLoginProfile", "UpdateLoginProfile")
    called = [names.called(user)[1] for user in users]
    return f"{{ {events} && {_is('$.requestParameters.userName', called)} }}"


def function_change(functions: Sequence[str]) -> str:
    """What runs as a role of the stack. CloudTrail writes Lambda's events with the version of its API behind them."""
    events = _of("lambda", "UpdateFunctionCode*", "UpdateFunctionConfiguration*")
    return f"{{ {events} && {_is('$.requestParameters.functionName', [f'*{one}' for one in functions])} }}"


def role_use(names: Names) -> str:
    """A function or a task that is given a role of the stack, or its task run by hand with whatever command."""
    given = ("role", "taskRoleArn", "executionRoleArn", "overrides.taskRoleArn", "overrides.executionRoleArn")
    roles = " || ".join(f'($.requestParameters.{one} = "*{names.roles}*")' for one in given)
    task = f'{_named("RunTask", "StartTask")} && ($.requestParameters.taskDefinition = "*{names.plain("server")}*")'
    sources = _is("$.eventSource", ("lambda.amazonaws.com", "ecs.amazonaws.com"))
    return f"{{ {sources} && ({roles} || ({task})) }}"


def trail_change(
    names: Names, log_group: pulumi.Input[str], topic: pulumi.Input[str], bucket: str | None
) -> list[pulumi.Input[str]]:
    """Return patterns that together match what stops a trail of the account, or its records and alerts.

    One for each condition if a name is an output: the number of filters is decided before it is known.
    """
    if not isinstance(log_group, pulumi.Output) and not isinstance(topic, pulumi.Output):
        return list(_packed(_trail_changes(names, str(log_group), str(topic), bucket)))
    found = pulumi.Output.all(log_group, topic).apply(lambda known: _trail_changes(names, known[0], known[1], bucket))
    return [found[at].apply(_alone) for at in range(6 if bucket else 5)]


def _trail_changes(names: Names, log_group: str, topic: str, bucket: str | None) -> list[str]:
    """Return the conditions, one for each service."""
    own, asked = names.plain("") + "*", "$.requestParameters"
    alarms = [f'({asked}.alarmName = "{own}")', *(f'({asked}.alarmNames[{at}] = "{own}")' for at in range(OF_A_CALL))]
    log = _of(
        *("logs", "DeleteLogGroup", "DeleteLogStream", "DeleteMetricFilter", "PutMetricFilter", "PutRetentionPolicy"),
    )
    monitored = _of("monitoring", "DeleteAlarms", "DisableAlarmActions", "PutMetricAlarm")
    rules = _of("events", "DisableRule", "DeleteRule", "PutRule", "RemoveTargets")
    told = _of("sns", "DeleteTopic", "Unsubscribe", "SetTopicAttributes", "RemovePermission")
    found = [
        _of("cloudtrail", "StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"),
        f'{log} && ({asked}.logGroupName = "{log_group}")',
        f"{monitored} && ({' || '.join(alarms)})",
        f'{rules} && (({asked}.name = "{own}") || ({asked}.rule = "{own}"))',
        f'{told} && (({asked}.topicArn = "{topic}") || ({asked}.subscriptionArn = "{topic}:*"))',
    ]
    if bucket:
        found.append(f'{_of("s3", "PutBucket*", "DeleteBucket*")} && ({asked}.bucketName = "{bucket}")')
    return found


def _packed(conditions: Sequence[str]) -> list[str]:
    """The conditions as alternatives, in as few patterns of at most FILTER_LIMIT characters as their order allows."""
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
    """What Secrets Manager says of a rotation that failed."""
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
    """Match a new current version of each secret of the stack, except the admin's, which no task reads.

    Secrets that only the rotator reads match as well. Other labels send such events, too (AWS, Secret Label Updated
    event).
    """
    return {
        "source": ["aws.secretsmanager"],
        "detail-type": ["Secret Label Updated"],
        "resources": [_any_secret(names)],
        "detail": {"labelUpdated": ["AWSCURRENT"], "name": [{"anything-but": [names.secret("broker-admin")]}]},
    }


def who_read_what(names: Names) -> str:
    """For CloudWatch Logs Insights, on the trail's log group: who read what, and whether it was allowed."""
    return (
        "fields @timestamp, userIdentity.arn as who, requestParameters.secretId as secret, errorCode as denied, "
        "sourceIPAddress as source\n"
        '| filter eventSource = "secretsmanager.amazonaws.com" and eventName = "GetSecretValue"\n'
        f'| filter requestParameters.secretId like "{names.secrets}" or errorMessage like "{names.secrets}"\n'
        "| stats count(*) as times, max(@timestamp) as last by who, secret, denied, source\n"
        "| sort last desc"
    )


def _any_secret(names: Names) -> dict[str, str]:
    """By what their ARNs begin with: sixteen of them would be over EVENT_LIMIT."""
    return {"prefix": names.arn("secretsmanager", f"secret:{names.secrets}")}


def _undeclared(names: Names, operators: Sequence[str]) -> str:
    """By others than the stack's roles, which show as their sessions, and its operators.

    Who has no ARN is nobody of them: so CloudTrail may show another account's caller, of type AWSAccount.
    """
    roles = f"arn:{names.partition}:sts::{names.account}:assumed-role/{names.roles}*"
    declared = [roles, *(names.sessions(operator) for operator in operators)]
    others = " && ".join(f'($.userIdentity.arn != "{one}")' for one in declared)
    return f"(($.userIdentity.arn NOT EXISTS) || ({others}))"


def _secret(names: Names) -> str:
    """A request about a secret of the stack, by its name, or its ARN of any region."""
    return f'($.requestParameters.secretId = "*{names.secrets}*")'


def _of(service: str, *events: str) -> str:
    return f'($.eventSource = "{service}.amazonaws.com") && {_named(*events)}'


def _named(*events: str) -> str:
    return _is("$.eventName", events)


def _is(selector: str, texts: Sequence[str]) -> str:
    return "(" + " || ".join(f'({selector} = "{one}")' for one in texts) + ")"
