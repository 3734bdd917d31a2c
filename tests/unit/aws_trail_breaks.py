"""What breaks a rule for AWS that is about the trail, who is told, and the server: one thing a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.unit.aws_breaks import NO_VALUE, PRIVATE_KEY, everything, gone, prod
from tests.unit.policy_plans import Break, Change, added, changed, row

TRAIL, BUCKET, TASK = "trail-trail", "trail-bucket", "task"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
CONTAINERS = "containerDefinitions"
NOBODY = '{"Statement": []}'
BY_AWS_KEY = {"sseAlgorithm": "aws:kms"}


def only_selector(selector: Mapping[str, object]) -> Change:
    """A trail with one selector, of the older kind."""
    return lambda plan: changed(TRAIL, "eventSelectors", to=[selector])(
        changed(TRAIL, "advancedEventSelectors", to=None)(plan)
    )


def of_container(rule: str, *path: str | int, to: Any, also: str = "") -> Break:
    """A property of the server's container."""
    return row(rule, prod, TASK, CONTAINERS, 0, *path, to=to, also=also)


def let_in(kind: str, **told: Any) -> Break:
    """Of a security group, by somebody who named no provider either."""
    more = added(kind, told)
    return Break(rule="aws-network-not-public", plan=prod, change=more, also=frozenset({"aws-account-named"}))


def unheard(rule: str, event: str) -> list[Break]:
    """The alarm is deaf in three ways: to the event, off, and with nobody to tell."""
    return [
        row(rule, prod, f"filter-{event}", "pattern", to='{ ($.eventName = "Other") }'),
        row(rule, prod, f"alarm-{event}", "alarmActions", to=[]),
        row(rule, prod, f"alarm-{event}", "actionsEnabled", to=False),
    ]


OF_TRAIL = (
    gone("aws-trail-records-reads", TRAIL),
    gone("aws-trail-intact", BUCKET),
    row("aws-trail-records-reads", prod, TRAIL, "enableLogging", to=False),
    row("aws-trail-records-reads", prod, TRAIL, "isMultiRegionTrail", to=None),
    row("aws-trail-records-reads", prod, TRAIL, "includeGlobalServiceEvents", to=False),
    row(
        "aws-trail-records-reads", prod, TRAIL, "advancedEventSelectors", 0, "fieldSelectors", 0, "equals", to=["Data"]
    ),
    row(
        "aws-trail-records-reads",
        prod,
        TRAIL,
        "advancedEventSelectors",
        0,
        "fieldSelectors",
        to=lambda there: [*there, {"field": "readOnly", "equals": ["false"]}],
    ),
    row(
        "aws-trail-records-reads",
        prod,
        TRAIL,
        "cloudWatchLogsGroupArn",
        to=None,
        also="aws-records-encrypted aws-trail-kept-a-year",
    ),
    *(
        Break(rule="aws-trail-records-reads", plan=prod, change=only_selector(selector))
        for selector in (
            {"includeManagementEvents": False, "readWriteType": "All"},
            {"includeManagementEvents": True, "readWriteType": "WriteOnly"},
            {"includeManagementEvents": True, "excludeManagementEventSources": ["kms.amazonaws.com"]},
        )
    ),
    row("aws-trail-intact", prod, TRAIL, "enableLogFileValidation", to=False),
    row("aws-trail-intact", prod, BUCKET, "objectLockEnabled", to=False),
    row("aws-trail-intact", prod, BUCKET, "forceDestroy", to=True),
    row("aws-trail-intact", prod, "trail-bucket-locked", "rule", "defaultRetention", "mode", to=None),
    row("aws-trail-intact", prod, "trail-bucket-versioned", "versioningConfiguration", "status", to="Suspended"),
    row("aws-trail-intact", prod, "trail-bucket-versioned", "bucket", to="another"),
    gone("aws-trail-intact", "trail-bucket-locked"),
    row("aws-trail-kept-a-year", prod, "trail-bucket-locked", "rule", "defaultRetention", "days", to=364),
    row("aws-trail-kept-a-year", prod, "trail-bucket-lifecycle", "rules", 0, "expiration", "days", to=30),
    row("aws-trail-kept-a-year", prod, "trail-log", "retentionInDays", to=180),
    row("aws-records-encrypted", prod, TRAIL, "kmsKeyId", to=None),
    row("aws-records-encrypted", prod, "trail-log", "kmsKeyId", to=None),
    row(
        "aws-records-encrypted",
        prod,
        ENCRYPTION,
        "rules",
        0,
        "applyServerSideEncryptionByDefault",
        "sseAlgorithm",
        to="AES256",
    ),
    row("aws-records-encrypted", prod, ENCRYPTION, "rules", to=[]),
    row("aws-records-encrypted", prod, ENCRYPTION, "rules", 0, "applyServerSideEncryptionByDefault", to=BY_AWS_KEY),
    gone("aws-records-encrypted", ENCRYPTION),
    row("aws-messages-encrypted", prod, "alerts", "kmsMasterKeyId", to=None),
    row("aws-messages-encrypted", prod, "tick-letters", "sqsManagedSseEnabled", to=False),
    row("aws-logs-kept", prod, "tick-log", "retentionInDays", to=30),
    row("aws-logs-kept", prod, "tick-log", "retentionInDays", to=None),
    *(
        row("aws-buckets-closed", prod, "trail-bucket-closed", what, to=False)
        for what in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    ),
    row("aws-buckets-closed", prod, "trail-bucket-owned", "rule", "objectOwnership", to="ObjectWriter"),
    row("aws-buckets-closed", prod, "trail-bucket-owned", "bucket", to="another"),
    gone("aws-buckets-closed", "trail-bucket-closed"),
    *(one for what in ("undeclared-read", "denied-read") for one in unheard("aws-reads-are-told", what)),
    *(
        one
        for what in ("deletion", "policy-change", "role-change", "function-change")
        for one in unheard("aws-tampering-is-told", what)
    ),
    *(
        row("aws-tampering-is-told", prod, f"filter-trail-change-{part}", "pattern", to="{ ($.eventName = X) }")
        for part in ("trail", "log", "alarms", "rules", "topic")
    ),
)

OF_SERVER = (
    of_container("aws-tasks-closed", "privileged", to=True),
    of_container("aws-tasks-closed", "readonlyRootFilesystem", to=False),
    of_container("aws-tasks-closed", "linuxParameters", "capabilities", "drop", to=["NET_RAW"]),
    of_container("aws-tasks-closed", "linuxParameters", "capabilities", "add", to=["SYS_PTRACE"]),
    of_container("aws-tasks-closed", "logConfiguration", to=None),
    of_container("aws-tasks-closed", "user", to="0:0"),
    of_container("aws-tasks-closed", "user", to=None),
    of_container("aws-tasks-hold-no-value", "secrets", 0, "valueFrom", to="arn:aws:ssm:::parameter/x"),
    of_container("aws-tasks-hold-no-value", "environmentFiles", to=[{"type": "s3", "value": "arn:aws:s3:::a/b"}]),
    of_container("aws-tasks-hold-no-value", "environment", 0, "name", to="MQTT_PASSWORD", also=NO_VALUE),
    of_container("aws-tasks-hold-no-value", "environment", 0, "value", to=PRIVATE_KEY, also=NO_VALUE),
    row(
        *("aws-tasks-closed", prod, TASK, CONTAINERS),
        to="no list",
        also="aws-tasks-hold-no-value stack-images-are-pinned",
    ),
    row("aws-functions-share-network", everything, "tick-function", "vpcConfig", to=None),
    row("aws-functions-share-network", everything, "tick-function", "vpcConfig", "securityGroupIds", to=[]),
    row("aws-tasks-have-no-shell", prod, "service", "enableExecuteCommand", to=True),
    row("aws-balancer-speaks-tls", everything, "balancer-listener", "protocol", to="HTTP"),
    row("aws-balancer-speaks-tls", everything, "balancer-listener", "sslPolicy", to="ELBSecurityPolicy-2016-08"),
    row("aws-balancer-speaks-tls", everything, "balancer-listener", "certificateArn", to=None),
    row("aws-balancer-speaks-tls", everything, "balancer", "dropInvalidHeaderFields", to=None),
    row("aws-network-not-public", everything, "balancer", "internal", to=False),
    row("aws-network-not-public", prod, "service", "networkConfiguration", "assignPublicIp", to=True),
    let_in("aws:ec2/securityGroup:SecurityGroup", ingress=[{"cidrBlocks": ["0.0.0.0/0"]}]),
    let_in("aws:ec2/securityGroup:SecurityGroup", ingress=[{"cidrBlocks": ["0.0.0.0/1", "128.0.0.0/1"]}]),
    let_in("aws:ec2/securityGroup:SecurityGroup", ingress=[{"ipv6CidrBlocks": ["0::/0"]}]),
    let_in("aws:ec2/securityGroupRule:SecurityGroupRule", type="ingress", ipv6CidrBlocks=["::/0"]),
    let_in("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", cidrIpv4="0.0.0.0/0"),
    row("aws-account-named", prod, "aws", "allowedAccountIds", to=None),
    Break(rule="aws-account-named", plan=prod, change=added("aws:iam/role:Role", {"assumeRolePolicy": NOBODY})),
    row("aws-account-named", prod, "aws", "allowedAccountIds", to='["123456789012", "210987654321"]'),
)
