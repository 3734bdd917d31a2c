"""Policy documents: pure functions of ARNs. What each action is for, and why a `*` has to be one, stands here once.

A secret or a key is guarded twice: by what a role may, and by who may do it to that secret or key at all. The latter
names roles by the condition aws:PrincipalArn and not as principals: a principal has to be there before the policy, and
is another one when it is made anew under its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pulumi

from secretops.manifest import AwsPrivateCaIssuer

Arn = pulumi.Input[str]
Statement = dict[str, Any]
"""One statement of a document, as IAM writes it."""

VERSION = "2012-10-17"
"""Of IAM's language."""

READ = ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue")
WRITE = ("secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage")
USE = ("kms:Decrypt", "kms:GenerateDataKey")
"""With the key of the stack's own region."""
COPY = (*USE, "kms:Encrypt")
"""With a replica's key: what is written is written there too (AWS, ReplicateSecretToRegions)."""

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "secretsmanager:DescribeSecret": "which versions there are, and their labels; no value",
        "secretsmanager:GetSecretValue": "the value of a version",
        "secretsmanager:PutSecretValue": "a new version, with the label AWSPENDING",
        "secretsmanager:UpdateSecretVersionStage": "move AWSCURRENT to a proven version; note its user; hold the lease",
        "kms:Decrypt": "Secrets Manager opens a value with it, on the caller's behalf",
        "kms:GenerateDataKey": "Secrets Manager encrypts a new version with it, on the caller's behalf",
        "kms:Encrypt": "Secrets Manager encrypts a replica's copy with it, on the caller's behalf",
        "logs:CreateLogStream": "its own log",
        "logs:PutLogEvents": "its own log",
        "sqs:SendMessage": "what could not be handled goes to the stack's dead-letter queue",
        "sqs:ReceiveMessage": "Lambda takes what tells of a new version from the queue",
        "sqs:DeleteMessage": "Lambda takes what tells of a new version from the queue",
        "sqs:GetQueueAttributes": "Lambda asks the queue how to poll it",
        "acm-pca:IssueCertificate": "have a client certificate signed, by a key that stays in the function",
        "acm-pca:GetCertificate": "the certificate that was signed",
        "acm-pca:DescribeCertificateAuthority": "the kind of the CA's key, which says how it signs",
        "lambda:InvokeFunction": "the hourly tick",
        "ecs:DescribeServices": "whether a deployment is newer than the new version already",
        "ecs:UpdateService": "a new deployment of the one service",
        "ecr:GetAuthorizationToken": "log in to the registry",
        "ecr:BatchCheckLayerAvailability": "pull the server's image",
        "ecr:BatchGetImage": "pull the server's image",
        "ecr:GetDownloadUrlForLayer": "pull the server's image",
        "ec2:CreateNetworkInterface": "Lambda puts the function into the VPC",
        "ec2:DeleteNetworkInterface": "Lambda puts the function into the VPC",
        "ec2:DescribeNetworkInterfaces": "Lambda puts the function into the VPC",
        "ec2:DescribeSubnets": "Lambda puts the function into the VPC",
        "ec2:AssignPrivateIpAddresses": "Lambda puts the function into the VPC",
        "ec2:UnassignPrivateIpAddresses": "Lambda puts the function into the VPC",
    }
)
"""Each action that a role of the stack has, and what for."""

EVERYWHERE: Mapping[str, str] = MappingProxyType(
    {
        "ecr:GetAuthorizationToken": "it belongs to no repository",
        "ec2:CreateNetworkInterface": "Lambda asks for it before it knows what it makes",
        "ec2:DeleteNetworkInterface": "an interface has no name before it is there",
        "ec2:DescribeNetworkInterfaces": "EC2's Describe actions know no resource",
        "ec2:DescribeSubnets": "EC2's Describe actions know no resource",
        "ec2:AssignPrivateIpAddresses": "of interfaces that Lambda makes: as above",
        "ec2:UnassignPrivateIpAddresses": "of interfaces that Lambda makes: as above",
    }
)
"""Each action that is allowed on `*`, and why AWS takes nothing narrower (AWS, Service Authorization Reference)."""

ADMINISTRATION = (
    *("kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListKeyPolicies", "kms:ListKeyRotations"),
    *("kms:ListResourceTags", "kms:TagResource", "kms:UntagResource", "kms:UpdateKeyDescription", "kms:PutKeyPolicy"),
    *("kms:EnableKey", "kms:DisableKey", "kms:EnableKeyRotation", "kms:DisableKeyRotation", "kms:ListGrants"),
    *("kms:RevokeGrant", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion"),
)
"""Of a key: everything but using it, and but letting others use it by a grant."""


def document(*statements: Statement) -> pulumi.Output[str]:
    """A policy of `statements`. One known whole is written at once: Pulumi would make a task of each of its texts."""
    whole = {"Version": VERSION, "Statement": list(statements)}
    if not _has_outputs(whole):
        return pulumi.Output.from_input(json.dumps(whole, sort_keys=True))
    return pulumi.Output.json_dumps(whole, sort_keys=True)


def _has_outputs(entry: object) -> bool:
    if isinstance(entry, Mapping):
        return any(map(_has_outputs, entry.values()))
    if isinstance(entry, list | tuple):
        return any(map(_has_outputs, entry))
    return isinstance(entry, pulumi.Output)


def allow(
    actions: Sequence[str], resources: Sequence[Arn] | str, conditions: Mapping[str, Any] | None = None
) -> Statement:
    """What a role may."""
    return _statement("Allow", actions, resources, conditions)


def trusted(service: str, *, account: str | None = None, source: str | None = None) -> pulumi.Output[str]:
    """Which service takes a role: on behalf of `account` alone, and of its `source` alone, where it says so.

    Lambda says neither: who may pass it a role decides.
    """
    conditions: dict[str, Any] = {}
    if account:
        conditions["StringEquals"] = {"aws:SourceAccount": account}
    if source:
        conditions["ArnLike"] = {"aws:SourceArn": source}
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Service": f"{service}.amazonaws.com"},
            "Action": "sts:AssumeRole",
            **({"Condition": conditions} if conditions else {}),
        }
    )


def trusted_of(provider: str, account: str) -> pulumi.Output[str]:
    """That one service account of a cluster takes a role, by a token that its OIDC provider vouches for (AWS, IRSA).

    `account` is as the API server names it. The token has to be meant for STS: a cluster's others are not.
    """
    issuer = provider.partition(":oidc-provider/")[2]
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Federated": provider},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {f"{issuer}:sub": account, f"{issuer}:aud": "sts.amazonaws.com"}},
        }
    )


def values(
    actions: Sequence[str], secrets: Sequence[Arn], *, rotated_by: Arn | None = None, endpoint: str | None = None
) -> Statement:
    """`actions` on secrets; only while `rotated_by` is the function that rotates them, only through that endpoint."""
    equals: dict[str, Any] = {}
    if rotated_by:
        equals["secretsmanager:resource/AllowRotationLambdaArn"] = rotated_by
    if endpoint:
        equals["aws:SourceVpce"] = endpoint
    return allow(actions, secrets, {"StringEquals": equals} if equals else None)


def key_use(actions: Sequence[str], key: Arn, region: str, secrets: Sequence[Arn]) -> Statement:
    """A key, only through Secrets Manager of that region and only for these secrets."""
    return allow(
        actions,
        [key],
        {"StringEquals": {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com"}, **_of(secrets)},
    )


def signature(issuer: AwsPrivateCaIssuer) -> list[Statement]:
    """By one CA, and for clients alone: by another template it would sign a server's certificate, or a CA's."""
    return [
        allow(("acm-pca:IssueCertificate",), [issuer.arn], {"StringEquals": {"acm-pca:TemplateArn": issuer.template}}),
        allow(("acm-pca:GetCertificate", "acm-pca:DescribeCertificateAuthority"), [issuer.arn]),
    ]


def own_log(group: Arn) -> Statement:
    """Streams of one log group."""
    streams = f"{group}:*" if isinstance(group, str) else pulumi.Output.concat(group, ":*")
    return allow(("logs:CreateLogStream", "logs:PutLogEvents"), [streams])


def in_vpc(function: Arn) -> list[Statement]:
    """The network interfaces that Lambda makes for a function in a VPC. The function's own code is denied them.

    The actions of AWSLambdaVPCAccessExecutionRole, AWS' own policy for this.
    """
    made = (
        "CreateNetworkInterface",
        "DeleteNetworkInterface",
        "AssignPrivateIpAddresses",
        "UnassignPrivateIpAddresses",
    )
    actions = [f"ec2:{one}" for one in (*made, "DescribeNetworkInterfaces", "DescribeSubnets")]
    by_the_code = {"ArnEquals": {"lambda:SourceFunctionArn": function}}
    return [allow(actions, "*"), _statement("Deny", actions, "*", by_the_code)]


def image_pull(repository: Arn) -> list[Statement]:
    """An image of one repository of ECR."""
    pull = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
    return [allow(("ecr:GetAuthorizationToken",), "*"), allow(pull, [repository])]


def secret_policy(readers: Sequence[str], writers: Sequence[str], operators: Sequence[str]) -> pulumi.Output[str]:
    """Of one secret: no plain text, no other reader, no other writer, whatever anybody's own policy allows.

    UpdateSecret writes a value as well, under a key of the caller's choice, and no condition tells such a call from one
    that changes a description: operators alone may (docs/adr). Its resource is `*`, which is the secret that it lies
    on: a replica has the same text, and another ARN.
    """
    return document(
        _denied("PlainText", "secretsmanager:*", {"Bool": {"aws:SecureTransport": "false"}}),
        _denied("OtherReaders", "secretsmanager:GetSecretValue", _but(readers)),
        _denied("OtherWriters", list(WRITE), _but(writers)),
        _denied("OtherUpdates", "secretsmanager:UpdateSecret", _but(operators)),
    )


def secrets_key_policy(
    account: Arn,
    region: str,
    *,
    readers: Sequence[str],
    read: Sequence[str],
    writers: Sequence[str],
    written: Sequence[str],
    is_replicas: bool,
) -> pulumi.Output[str]:
    """Of the key of a region: administered by the account, used by those roles alone, through Secrets Manager alone.

    Statements for the account's root let its IAM policies decide as well: no role may use it by this policy alone.
    Whoever makes a secret has to pass Secrets Manager's check of the key, which opens nothing (AWS, Secret encryption
    and decryption, Validating access to the KMS key).
    """
    via = {"StringEquals": {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com"}}
    check = {"kms:EncryptionContext:SecretVersionId": "RequestToValidateKeyAccess"}
    use = [one for one in COPY if is_replicas or one != "kms:Encrypt"]
    return document(
        _by_account(account, "Administration", list(ADMINISTRATION), {}),
        _by_account(account, "Readers", "kms:Decrypt", via | _of(read) | {"ArnEquals": {_WHO: list(readers)}}),
        _by_account(account, "Writers", use, via | _of(written) | {"ArnEquals": {_WHO: list(writers)}}),
        _by_account(account, "ValidationOfTheKey", use, {"StringEquals": via["StringEquals"] | check}),
    )


def records_key_policy(
    account: Arn, *, number: str, region: str, trail: str, groups: str, topic: str
) -> pulumi.Output[str]:
    """Of the key of trail and alerts: the services that write them, and who in the account may read the trail."""
    of_topic = {"kms:EncryptionContext:aws:sns:topicArn": topic}
    context = {"StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn": trail}}
    written = ["kms:Decrypt", "kms:GenerateDataKey"]
    data_keys = ["kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext"]
    return document(
        _by_account(account, "Administration", list(ADMINISTRATION), {}),
        _by_account(account, "ReadersOfTheTrail", "kms:Decrypt", context),
        _by_service("cloudtrail", data_keys, context | {"ArnEquals": {"aws:SourceArn": trail}}),
        _by_service("cloudtrail", ["kms:DescribeKey"], {"ArnEquals": {"aws:SourceArn": trail}}),
        _by_service(
            f"logs.{region}",
            ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:DescribeKey", *data_keys],
            {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
        ),
        _by_service("cloudwatch", written, {"StringEquals": {"aws:SourceAccount": number, **of_topic}}),
        # aws:SourceAccount and aws:SourceArn are not supported here for EventBridge (AWS, SNS key management).
        _by_service("events", written, {"StringEquals": of_topic}),
    )


def trail_bucket_policy(bucket: Arn, trail: str, account: str) -> pulumi.Output[str]:
    """CloudTrail's own two rights (AWS, Amazon S3 bucket policy for CloudTrail), and nothing in plain text."""
    records = pulumi.Output.concat(bucket, f"/AWSLogs/{account}/*")
    of_trail = {"StringEquals": {"aws:SourceArn": trail}}
    owned = {"StringEquals": {**of_trail["StringEquals"], "s3:x-amz-acl": "bucket-owner-full-control"}}
    by = {"Principal": {"Service": "cloudtrail.amazonaws.com"}}
    everything: list[Arn] = [bucket, pulumi.Output.concat(bucket, "/*")]
    return document(
        allow(["s3:GetBucketAcl"], [bucket], of_trail) | by,
        allow(["s3:PutObject"], [records], owned) | by,
        _denied("PlainText", "s3:*", {"Bool": {"aws:SecureTransport": "false"}}) | {"Resource": everything},
    )


def publishers(topic: Arn, account: str, alarms: str, rules: Sequence[Arn]) -> pulumi.Output[str]:
    """Who may publish to the topic: the stack's alarms and its rules."""
    of_alarms = {"ArnLike": {"aws:SourceArn": alarms}, "StringEquals": {"aws:SourceAccount": account}}
    return document(
        allow(["sns:Publish"], [topic], of_alarms) | {"Principal": {"Service": "cloudwatch.amazonaws.com"}},
        allow(["sns:Publish"], [topic], {"ArnEquals": {"aws:SourceArn": list(rules)}})
        | {"Principal": {"Service": "events.amazonaws.com"}},
        _denied("PlainText", "sns:Publish", {"Bool": {"aws:SecureTransport": "false"}}) | {"Resource": [topic]},
    )


def senders(queue: Arn, rule: Arn) -> pulumi.Output[str]:
    """Who may send to the queue: one rule."""
    return document(
        allow(["sqs:SendMessage"], [queue], {"ArnEquals": {"aws:SourceArn": rule}})
        | {"Principal": {"Service": "events.amazonaws.com"}},
        _denied("PlainText", "sqs:*", {"Bool": {"aws:SecureTransport": "false"}}) | {"Resource": [queue]},
    )


_WHO = "aws:PrincipalArn"


def _of(secrets: Sequence[Arn]) -> dict[str, Any]:
    """On values of these secrets: Secrets Manager says which, and KMS keeps the caller to it."""
    return {"StringLike": {"kms:EncryptionContext:SecretARN": list(secrets)}}


def _but(principals: Sequence[str]) -> dict[str, Any]:
    """Everybody but `principals`, and but AWS' own services, which have no ARN."""
    return {"ArnNotEquals": {_WHO: list(principals)}, "Bool": {"aws:PrincipalIsAWSService": "false"}}


def _denied(sid: str, actions: str | list[str], conditions: Mapping[str, Any]) -> Statement:
    return {"Sid": sid, **_statement("Deny", actions, "*", conditions), "Principal": "*"}


def _by_account(account: Arn, sid: str, actions: str | list[str], conditions: Mapping[str, Any]) -> Statement:
    return {"Sid": sid, **_statement("Allow", actions, "*", conditions), "Principal": {"AWS": account}}


def _by_service(service: str, actions: list[str], conditions: Mapping[str, Any]) -> Statement:
    principal = {"Service": f"{service}.amazonaws.com"}
    return {**_statement("Allow", actions, "*", conditions), "Principal": principal}


def _statement(
    effect: str, actions: Sequence[str] | str, resources: Sequence[Arn] | str, conditions: Mapping[str, Any] | None
) -> Statement:
    return {
        "Effect": effect,
        "Action": actions if isinstance(actions, str) else list(actions),
        "Resource": resources if isinstance(resources, str) else list(resources),
        **({"Condition": dict(conditions)} if conditions else {}),
    }
