"""What breaks a rule for AWS that is about secrets, keys, roles and rotation: one thing a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from policies.rule import Plan
from tests.unit import aws_stack
from tests.unit.policy_plans import Break, added, plan_of, row, shipped, without

CONTEXT = "kms:EncryptionContext:SecretARN"
PRIVATE_KEY = f"-----BEGIN {'PRIVATE'} KEY-----"
"""How one begins. In one piece a scanner would take it for one."""
OTHER = "arn:aws:iam::999999999999:root"
"""Another account's."""

ONE = {"AWS": "arn:aws:iam::123456789012:role/one"}
NO_VALUE = "stack-holds-no-value"
"""The rule for all stacks that sees a value anywhere, too."""


def prod() -> Plan:
    return shipped("prod")


def pods() -> Plan:
    return shipped("prod-aws-kubernetes")


@cache
def everything() -> Plan:
    """With each option that adds something."""
    return plan_of(aws_stack.with_every_option(), "prod")


def wider(*more: Any) -> Callable[[Any], Any]:
    """A list with more in it."""
    return lambda there: [*there, *more]


def but_one(there: Any) -> Any:
    """A statement for all but a principal."""
    return {
        **{part: one for part, one in there.items() if part != "Principal"},
        "NotPrincipal": {"AWS": "123456789012"},
    }


def less(part: str) -> Callable[[Any], Any]:
    """A mapping without one of its parts."""
    return lambda there: {name: one for name, one in there.items() if name != part}


def grant(at: int, part: str, to: Any, *, also: str = "", rule: str = "aws-least-privilege") -> Break:
    """Of what the tick's role may."""
    return row(rule, prod, "tick-grants", "policy", "Statement", at, part, to=to, also=also)


def gone(rule: str, what: str, *, plan: Callable[[], Plan] = prod, also: str = "") -> Break:
    """Something that is not there."""
    return Break(rule=rule, plan=plan, change=without(what), also=frozenset(also.split()))


def more(rule: str, what: str, statement: Mapping[str, Any]) -> Break:
    """A statement more that is nearly one of the program's own."""
    return row(rule, prod, what, "policy", "Statement", to=wider({"Effect": "Allow", "Resource": "*", **statement}))


OF_SECRETS = (
    gone("aws-keys-rotate", "aws:kms/key:Key"),
    gone("aws-secrets-deny-others", "aws:secretsmanager/secret:Secret"),
    row(
        *("aws-secrets-deny-others", prod, "policy-mqtt", "secretArn"),
        to="arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/mqtt-reader-AbCdEf",
    ),
    row("aws-plain-text-denied", prod, "policy-mqtt", "policy", "Statement", 0, "Principal", to={"Service": "*"}),
    row(
        *("aws-rotation-scheduled", prod, "rotate-mqtt-schedule", "secretId"),
        to="arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/mqtt-reader-AbCdEf",
    ),
    more("aws-policies-not-public", "key", {"Principal": {"AWS": OTHER}, "Action": "kms:PutKeyPolicy"}),
    more("aws-policies-not-public", "trail-bucket-policy", {"Principal": {"AWS": OTHER}, "Action": "s3:*"}),
    more(
        "aws-policies-not-public",
        "policy-mqtt",
        {"Principal": {"AWS": "999999999999"}, "Action": "secretsmanager:PutResourcePolicy"},
    ),
    more(
        "aws-policies-not-public",
        "alerts-policy",
        {"Principal": {"Service": "events.amazonaws.com"}, "Action": "sns:Publish"},
    ),
    row(
        *("aws-policies-not-public", prod, "alerts-policy", "policy", "Statement", 1, "Condition"),
        to={"ArnLike": {"aws:SourceArn": "arn:aws:events:*:*:rule/*"}},
    ),
    row("aws-keys-rotate", prod, "key", "enableKeyRotation", to=False),
    row("aws-keys-rotate", prod, "trail-key", "enableKeyRotation", to=None),
    row("aws-secrets-under-own-key", prod, "secret-mqtt", "kmsKeyId", to="alias/aws/secretsmanager"),
    row("aws-secrets-under-own-key", prod, "secret-mqtt", "kmsKeyId", to=None),
    row("aws-secrets-under-own-key", everything, "secret-mqtt", "replicas", 0, "kmsKeyId", to=None),
    row("aws-secrets-under-own-key", everything, "secret-mqtt", "replicas", to=[{"region": "eu-west-1"}]),
    row("aws-deletion-waits", prod, "key", "deletionWindowInDays", to=7),
    row("aws-deletion-waits", prod, "secret-mqtt", "recoveryWindowInDays", to=0),
    gone("aws-secrets-deny-others", "policy-mqtt"),
    row("aws-secrets-deny-others", prod, "policy-mqtt", "secretArn", to="arn:aws:secretsmanager:::secret:x-AbCdEf"),
    *(
        row("aws-secrets-deny-others", prod, "policy-mqtt", "policy", "Statement", 1, *path, to=to)
        for path, to in (
            (("Action",), "secretsmanager:DescribeSecret"),
            (("Resource",), "arn:aws:secretsmanager:eu-central-1:123456789012:secret:other"),
            (("Condition", "ArnNotEquals"), {"aws:PrincipalArn": ["arn:aws:iam::123456789012:role/*"]}),
            (("Condition", "ArnNotEquals"), {"aws:PrincipalArn": ["arn:aws:iam::123456789012:role/on?"]}),
            (("Condition", "ArnNotEquals"), {"aws:PrincipalArn": []}),
            (("Condition", "Bool"), {"aws:PrincipalIsAWSService": "true"}),
            (("Principal",), {"Service": "*"}),
            (("NotAction",), ["secretsmanager:DescribeSecret"]),
            (("Condition", "IpAddress"), {"aws:SourceIp": "192.0.2.0/24"}),
            (("Principal",), {"AWS": "arn:aws:iam::123456789012:user/one"}),
        )
    ),
    row("aws-secrets-deny-others", prod, "policy-mqtt", "policy", "Statement", 2, "Action", to=["secretsmanager:PutX"]),
    row(
        "aws-secrets-deny-others",
        prod,
        "policy-mqtt",
        "policy",
        "Statement",
        3,
        "Effect",
        to="Allow",
        also="aws-policies-not-public",
    ),
    row("aws-policies-not-public", prod, "policy-mqtt", "blockPublicPolicy", to=False),
    row("aws-policies-not-public", prod, "alerts-policy", "policy", "Statement", 0, "Principal", to="*"),
    row("aws-policies-not-public", prod, "key", "policy", "Statement", 1, "Principal", "AWS", to="*"),
    row("aws-policies-not-public", prod, "alerts-policy", "policy", "Statement", 0, to=but_one),
    row(
        *("aws-plain-text-denied", prod, "policy-mqtt", "policy", "Statement", 0, "Effect"),
        to="Allow",
        also="aws-policies-not-public",
    ),
    *(
        row("aws-plain-text-denied", prod, "policy-mqtt", "policy", "Statement", 0, part, to=to)
        for part, to in (("Principal", {"Service": "ec2.amazonaws.com"}), ("NotResource", "arn:aws:s3:::one"))
    ),
    row("aws-plain-text-denied", prod, "policy-mqtt", "policy", "Statement", 0, "Action", to="secretsmanager:PutX"),
    row(
        "aws-plain-text-denied",
        prod,
        "policy-mqtt",
        "policy",
        "Statement",
        0,
        "Condition",
        "Bool",
        to={"aws:SecureTransport": "true"},
    ),
    row(
        "aws-plain-text-denied",
        prod,
        "trail-bucket-policy",
        "policy",
        "Statement",
        2,
        "Resource",
        to=["arn:aws:s3:::coreflux"],
    ),
    row("aws-plain-text-denied", prod, "alerts-policy", "policy", "Statement", 2, "Action", to="sns:Subscribe"),
    row("aws-plain-text-denied", prod, "new-versions-policy", "policy", "Statement", 1, "Action", to="sqs:SendMessage"),
    row("aws-plain-text-denied", prod, "trail-bucket-policy", "bucket", to="another"),
    gone("aws-plain-text-denied", "trail-bucket-policy"),
)

OF_ROLES = (
    grant(2, "Action", wider("secretsmanager:*")),
    grant(2, "Action", wider("secretsmanager:Get*")),
    grant(2, "Action", wider("secretsmanager:ListSecrets")),
    grant(2, "Action", wider("secretsmanager:BatchGetSecretValue")),
    grant(2, "Action", "*", also="aws-keys-open-named-secrets"),
    grant(2, "Action", wider("secretsmanager:GetSecretValu?")),
    grant(2, "NotAction", ["iam:*"]),
    grant(2, "Resource", "*"),
    grant(2, "Resource", wider("arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/*")),
    grant(
        2, "Resource", wider("arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/mqtt-??????")
    ),
    grant(0, "Resource", ["arn:aws:logs:eu-central-1:123456789012:log-group:*:*"]),
    row("aws-least-privilege", prod, "tick-grants", "policy", to="no document", also="aws-keys-open-named-secrets"),
    row("aws-least-privilege", prod, "tick-role", "managedPolicyArns", to=["arn:aws:iam::aws:policy/ReadOnlyAccess"]),
    row("aws-least-privilege", prod, "tick-role", "inlinePolicies", to=[{"name": "more", "policy": "{}"}]),
    Break(
        rule="aws-least-privilege",
        plan=prod,
        change=added("aws:iam/rolePolicyAttachment:RolePolicyAttachment", {"role": "coreflux-mcp-prod@tick"}),
        also=frozenset({"aws-account-named"}),
    ),
    grant(3, "Condition", less("StringEquals"), rule="aws-keys-open-named-secrets"),
    grant(3, "Condition", less("StringLike"), rule="aws-keys-open-named-secrets"),
    grant(
        3,
        "Condition",
        lambda there: {**there, "StringEquals": {"kms:ViaService": "ec2.eu-central-1.amazonaws.com"}},
        rule="aws-keys-open-named-secrets",
    ),
    grant(
        3,
        "Condition",
        lambda there: {**there, "StringLike": {CONTEXT: "arn:aws:secretsmanager:*"}},
        rule="aws-keys-open-named-secrets",
    ),
    row("aws-key-policies-bound", prod, "key", "policy", "Statement", 0, "Action", to="kms:*"),
    row("aws-key-policies-bound", prod, "key", "policy", "Statement", 0, "Action", to=wider("kms:CreateGrant")),
    row("aws-key-policies-bound", prod, "key", "policy", "Statement", 0, "Action", to=wider("kms:Decrypt")),
    row("aws-key-policies-bound", prod, "key", "policy", "Statement", 0, "NotAction", to="kms:Decrypt"),
    row(
        *("aws-key-policies-bound", prod, "trail-key", "policy", "Statement", 6, "Condition"),
        to={},
        also="aws-policies-not-public",
    ),
    *(
        more("aws-key-policies-bound", "key", {"Principal": ONE, "Action": action})
        for action in ("kms:Decr*", "kms:*crypt", "kms:G*", "kms:?*", "kms:Create*")
    ),
    *(
        more("aws-key-policies-bound", "key", {"Principal": ONE, "Action": "kms:Decrypt", "Condition": condition})
        for condition in (
            {"StringLike": {"kms:ViaService": "*"}},
            {"StringNotEquals": {"kms:ViaService": "ec2.eu-central-1.amazonaws.com"}},
            {"StringLike": {CONTEXT: ["arn:aws:secretsmanager:*"]}},
        )
    ),
    *(
        more("aws-least-privilege", "tick-grants", {"Action": action, "Resource": "arn:aws:iam::123456789012:role/one"})
        for action in ("iam:PutRolePolicy", "iam:PassRole", "iam:CreateAccessKey", "sts:AssumeRole")
    ),
    more(
        "aws-least-privilege",
        "tick-grants",
        {"Action": "secretsmanager:PutResourcePolicy", "Resource": "arn:aws:secretsmanager:::secret:one-AbCdEf"},
    ),
    grant(2, "Resource", [7], also="aws-keys-open-named-secrets"),
    grant(
        3,
        "Condition",
        lambda there: {**there, "StringLike": {CONTEXT: "arn:aws:secretsmanager:eu-central-1:1:secret:????????????"}},
        rule="aws-keys-open-named-secrets",
    ),
    row("aws-key-policies-bound", prod, "key", "policy", to=None, also="aws-policies-not-public"),
    *(
        row("aws-roles-taken-by-named", prod, "schedule-role", "assumeRolePolicy", "Statement", 0, *path, to=to)
        for path, to in (
            (("Condition",), {}),
            (("Condition", "StringEquals"), {}),
            (("Condition", "ArnLike"), {}),
            ((), but_one),
            (("Condition", "ArnLike"), {"aws:SourceArn": "*"}),
            (("Condition", "ArnLike"), {"aws:SourceArn": "arn:aws:scheduler:*:*:*"}),
            (("Principal",), {"AWS": "arn:aws:iam::123456789012:root"}),
            (("Principal",), "*"),
        )
    ),
    row(
        "aws-roles-taken-by-named",
        prod,
        "tick-role",
        "assumeRolePolicy",
        "Statement",
        0,
        "Principal",
        to={"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]},
    ),
    row(
        "aws-roles-taken-by-named",
        pods,
        "sync-role",
        "assumeRolePolicy",
        "Statement",
        0,
        "Condition",
        "StringEquals",
        to=lambda there: {name: one for name, one in there.items() if not name.endswith(":sub")},
    ),
    row(
        "aws-roles-taken-by-named",
        pods,
        "sync-role",
        "assumeRolePolicy",
        "Statement",
        0,
        "Condition",
        "StringEquals",
        to=lambda there: {**there, next(iter(there)): "*"},
    ),
)
