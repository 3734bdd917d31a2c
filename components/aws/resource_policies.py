"""Resource policies of secrets, keys, buckets, topics and queues.

They match roles by the condition key aws:PrincipalArn. A role in `Principal` would have to exist before the policy, and
would not match after it is created again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from .policies import COPY, WRITE, Arn, Statement, allow, document, of_secrets, statement

# All actions except those that use a key or grant its use.
ADMINISTRATION = (
    *("kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListKeyPolicies", "kms:ListKeyRotations"),
    *("kms:ListResourceTags", "kms:TagResource", "kms:UntagResource", "kms:UpdateKeyDescription", "kms:PutKeyPolicy"),
    *("kms:EnableKey", "kms:DisableKey", "kms:EnableKeyRotation", "kms:DisableKeyRotation", "kms:ListGrants"),
    *("kms:RevokeGrant", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion"),
)


def secret_policy(readers: Sequence[str], writers: Sequence[str], operators: Sequence[str]) -> pulumi.Input[str]:
    """Return a secret's policy. It denies requests without TLS, readers other than `readers`, and writers other than
    `writers`.

    Only operators may call UpdateSecret: it can change the secret's key, and no condition detects that (docs/adr/0007).
    The resource is `*`, since replicas have the same policy but another ARN.
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
) -> pulumi.Input[str]:
    """Return the policy of a region's key: the account administers the key, and roles use it only through Secrets
    Manager.

    `readers` may decrypt the secrets in `read`; `writers` may also encrypt those in `written`. The principal is the
    account's root, so each role also needs its own IAM policy. One statement lets Secrets Manager validate the key of a
    new secret (AWS, Secret encryption and decryption, Validating access to the KMS key).
    """
    via = {"StringEquals": {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com"}}
    check = {"kms:EncryptionContext:SecretVersionId": "RequestToValidateKeyAccess"}
    use = [one for one in COPY if is_replicas or one != "kms:Encrypt"]
    by_readers = via | of_secrets(read) | {"ArnEquals": {_WHO: list(readers)}}
    return document(
        _by_account(account, "Administration", list(ADMINISTRATION), {}),
        *([_by_account(account, "Readers", "kms:Decrypt", by_readers)] if readers else []),
        _by_account(account, "Writers", use, via | of_secrets(written) | {"ArnEquals": {_WHO: list(writers)}}),
        _by_account(account, "ValidationOfTheKey", use, {"StringEquals": via["StringEquals"] | check}),
    )


def records_key_policy(
    account: Arn, *, number: str, region: str, trail: str, groups: str, topic: str
) -> pulumi.Input[str]:
    """Return the policy of the key that encrypts the trail and alerts. The services that write these, and the trail's
    readers, may use the key."""
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
        # EventBridge does not support aws:SourceAccount and aws:SourceArn here (AWS, SNS key management).
        _by_service("events", written, {"StringEquals": of_topic}),
    )


def trail_bucket_policy(bucket: Arn, trail: str, account: str) -> pulumi.Input[str]:
    """Return the bucket policy for CloudTrail (AWS, Amazon S3 bucket policy for CloudTrail). It denies requests without
    TLS."""
    records = f"{bucket}/AWSLogs/{account}/*"
    of_trail = {"StringEquals": {"aws:SourceArn": trail}}
    owned = {"StringEquals": {**of_trail["StringEquals"], "s3:x-amz-acl": "bucket-owner-full-control"}}
    by = {"Principal": {"Service": "cloudtrail.amazonaws.com"}}
    everything: list[Arn] = [bucket, f"{bucket}/*"]
    return document(
        allow(["s3:GetBucketAcl"], [bucket], of_trail) | by,
        allow(["s3:PutObject"], [records], owned) | by,
        _denied("PlainText", "s3:*", {"Bool": {"aws:SecureTransport": "false"}}) | {"Resource": everything},
    )


def publishers(topic: Arn, account: str, alarms: str, rules: Sequence[Arn]) -> pulumi.Input[str]:
    of_alarms = {"ArnLike": {"aws:SourceArn": alarms}, "StringEquals": {"aws:SourceAccount": account}}
    return document(
        allow(["sns:Publish"], [topic], of_alarms) | {"Principal": {"Service": "cloudwatch.amazonaws.com"}},
        allow(["sns:Publish"], [topic], {"ArnEquals": {"aws:SourceArn": list(rules)}})
        | {"Principal": {"Service": "events.amazonaws.com"}},
        _denied("PlainText", "sns:Publish", {"Bool": {"aws:SecureTransport": "false"}}) | {"Resource": [topic]},
    )


def senders(queue: Arn, rule: Arn) -> pulumi.Input[str]:
    return document(
        allow(["sqs:SendMessage"], [queue], {"ArnEquals": {"aws:SourceArn": rule}})
        | {"Principal": {"Service": "events.amazonaws.com"}},
        _denied("PlainText", "sqs:*", {"Bool": {"aws:SecureTransport": "false"}}) | {"Resource": [queue]},
    )


_WHO = "aws:PrincipalArn"


def _but(principals: Sequence[str]) -> dict[str, Any]:
    """Return a condition that matches everybody except `principals` and AWS services, which have no ARN."""
    return {"ArnNotEquals": {_WHO: list(principals)}, "Bool": {"aws:PrincipalIsAWSService": "false"}}


def _denied(sid: str, actions: str | list[str], conditions: Mapping[str, Any]) -> Statement:
    return {"Sid": sid, **statement("Deny", actions, "*", conditions), "Principal": "*"}


def _by_account(account: Arn, sid: str, actions: str | list[str], conditions: Mapping[str, Any]) -> Statement:
    return {"Sid": sid, **statement("Allow", actions, "*", conditions), "Principal": {"AWS": account}}


def _by_service(service: str, actions: list[str], conditions: Mapping[str, Any]) -> Statement:
    principal = {"Service": f"{service}.amazonaws.com"}
    return {**statement("Allow", actions, "*", conditions), "Principal": principal}
