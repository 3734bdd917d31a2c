"""Rules of AWS beyond its service models, each with its source."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from tools.standin.aws import policies, tasks, together
from tools.standin.aws.actions import KnownAction
from tools.standin.aws.forms import ARN, FUNCTION_ARN
from tools.standin.aws.schedules import EventSchedule, RotationSchedule
from tools.standin.forms import Between, Form, Like, OneOf, found
from tools.standin.problems import Problem
from tools.standin.sdk_types import snake
from tools.standin.wire import is_unknown

Inputs = Mapping[str, Any]

# Days of retention in CloudWatch Logs; 0 means for ever (API reference, PutRetentionPolicy).
RETENTION = (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)

# Seconds (CloudWatch API reference, PutMetricAlarm).
PERIOD = Between(60, 604800, also=(10, 20, 30), step=60)

VALUES: Mapping[str, Mapping[str, Form]] = {
    # Secrets Manager API reference: DeleteSecret (RecoveryWindowInDays), RotationRulesType.
    "aws:secretsmanager/secret:Secret": {
        "recoveryWindowInDays": Between(7, 30, also=(0,)),
        "name": Like(r"[A-Za-z0-9/_+=.@-]{1,512}", "letters, digits and /_+=.@-"),
    },
    "aws:secretsmanager/secretRotation:SecretRotation": {
        "rotationRules.duration": Like(r"([1-9]|1\d|2[0-4])h", "hours, 1h to 24h"),
        "rotationRules.scheduleExpression": RotationSchedule(),
        "rotationLambdaArn": FUNCTION_ARN,
    },
    # KMS API reference: ScheduleKeyDeletion, CreateAlias.
    "aws:kms/key:Key": {"deletionWindowInDays": Between(7, 30)},
    "aws:kms/replicaKey:ReplicaKey": {"deletionWindowInDays": Between(7, 30), "primaryKeyArn": ARN},
    "aws:kms/alias:Alias": {"name": Like(r"alias/(?!aws/)[A-Za-z0-9/_-]+", "alias/NAME, and not alias/aws/…")},
    "aws:cloudwatch/logGroup:LogGroup": {"retentionInDays": OneOf(RETENTION), "kmsKeyId": ARN},
    # The range that the provider accepts. (Lambda's model allows more, for managed instances.)
    "aws:lambda/function:Function": {"timeout": Between(1, 900)},
    "aws:lambda/permission:Permission": {"action": KnownAction()},
    # CloudWatch API reference: PutMetricAlarm.
    "aws:cloudwatch/metricAlarm:MetricAlarm": {
        "period": PERIOD, "evaluationInterval": PERIOD, "metricQueries[].metric.period": PERIOD,
        "treatMissingData": OneOf(("breaching", "notBreaching", "ignore", "missing")),
    },
    "aws:cloudwatch/eventRule:EventRule": {"scheduleExpression": EventSchedule()},
    "aws:scheduler/schedule:Schedule": {"scheduleExpression": EventSchedule(once=True)},
    # SQS API reference, CreateQueue; SNS API reference, CreateTopic and Subscribe.
    "aws:sqs/queue:Queue": {
        "visibilityTimeoutSeconds": Between(0, 43200),
        "messageRetentionSeconds": Between(60, 1209600),
        "delaySeconds": Between(0, 900),
        "receiveWaitTimeSeconds": Between(0, 20),
        "kmsDataKeyReusePeriodSeconds": Between(60, 86400),
        "name": Like(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo", "1 to 80 letters, digits, - and _"),
    },
    "aws:sns/topic:Topic": {"name": Like(r"[A-Za-z0-9_-]{1,256}(\.fifo)?", "1 to 256 letters, digits, - and _")},
    "aws:sns/topicSubscription:TopicSubscription": {
        "protocol": OneOf(("application", "email", "email-json", "firehose", "http", "https", "lambda", "sms", "sqs")),
    },
    # S3 user guide, bucket naming rules.
    "aws:s3/bucket:Bucket": {
        "bucket": Like(
            r"(?!.*\.\.)(?!xn--)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
            "3 to 63 lower-case letters, digits, dots and hyphens",
        ),
    },
    "aws:s3/bucketVersioning:BucketVersioning": {
        "versioningConfiguration.status": OneOf(("Enabled", "Suspended", "Disabled")),
    },
    # EC2: IpPermission. -1 means every protocol.
    "aws:ec2/securityGroupRule:SecurityGroupRule": {
        "type": OneOf(("ingress", "egress")), "fromPort": Between(-1, 65535), "toPort": Between(-1, 65535),
    },
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": {
        "fromPort": Between(-1, 65535), "toPort": Between(-1, 65535),
    },
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": {
        "fromPort": Between(-1, 65535), "toPort": Between(-1, 65535),
    },
}  # fmt: skip

# Properties that exclude each other (ConflictsWith in the provider's schema, from its pages).
ONE_OF: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "aws:secretsmanager/secret:Secret": (("name", "namePrefix"),),
    "aws:iam/role:Role": (("name", "namePrefix"),),
    "aws:iam/rolePolicy:RolePolicy": (("name", "namePrefix"),),
    "aws:cloudwatch/logGroup:LogGroup": (("name", "namePrefix"),),
    "aws:cloudwatch/eventRule:EventRule": (("name", "namePrefix"),),
    "aws:scheduler/schedule:Schedule": (("name", "namePrefix"),),
    "aws:sqs/queue:Queue": (("name", "namePrefix"), ("kmsMasterKeyId", "sqsManagedSseEnabled")),
    "aws:sns/topic:Topic": (("name", "namePrefix"),),
    "aws:s3/bucket:Bucket": (("bucket", "bucketPrefix"),),
    "aws:lambda/function:Function": (("code", "imageUri", "s3Bucket"),),
}


def problems(token: str, inputs: Inputs) -> Iterator[Problem]:
    for path, rule in VALUES.get(token, {}).items():
        for at, value in found(inputs, path):
            if not is_unknown(value) and (broken := rule.problem(value)):
                yield Problem(at, value, broken[0], broken[1])
    for group in ONE_OF.get(token, ()):
        given = [name for name in group if inputs.get(name) not in (None, False)]
        if len(given) > 1:
            yield Problem(
                given[1],
                inputs[given[1]],
                f"only one of {snake(given[0])} and {snake(given[1])} may be set",
                f"remove {snake(given[1])}",
            )
    yield from _tags(inputs)
    yield from _networks(inputs)
    yield from policies.problems(token, inputs)
    yield from together.problems(token, inputs)
    if token == tasks.TASK_DEFINITION:
        yield from tasks.problems(inputs)


def _tags(inputs: Inputs) -> Iterator[Problem]:
    # At most 50, keys of 1 to 128 characters without aws:, values up to 256 (AWS Tagging reference).
    tags = inputs.get("tags")
    for key, text in tags.items() if isinstance(tags, Mapping) else ():
        if key.lower().startswith("aws:") or not 1 <= len(key) <= 128:  # noqa: PLR2004
            yield Problem(
                f"tags.{key}", key, "a tag's key must have 1 to 128 characters, and no prefix aws:", "use another key"
            )
        if isinstance(text, str) and not is_unknown(text) and len(text) > 256:  # noqa: PLR2004
            yield Problem(
                at=f"tags.{key}",
                value=text,
                rule="a tag's value may have at most 256 characters",
                remedy="shorten the value",
            )


def _networks(inputs: Inputs) -> Iterator[Problem]:
    for name in ("cidrBlock", "cidrIpv4", "cidrIpv6", "destinationCidrBlock"):
        value = inputs.get(name)
        if isinstance(value, str) and not is_unknown(value):
            try:
                ipaddress.ip_network(value)
            except ValueError:
                yield Problem(
                    name,
                    value,
                    "the value must be a network in CIDR notation with zero host bits",
                    "write it like 10.0.0.0/16",
                )
