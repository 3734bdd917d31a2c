"""Policies of roles: pure functions of ARNs. What each action is for, tests/unit/aws_reasons.py says.

A secret or a key is guarded twice: by what a role may, and by who may do it to that secret or key at all
(resource_policies.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from secretops.platforms.aws.location import AwsPrivateCaIssuer

Arn = str
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


def document(*statements: Statement) -> str:
    """Return a policy of `statements`. It has no output of a resource, so that a first preview judges all of it."""
    return json.dumps({"Version": VERSION, "Statement": list(statements)}, sort_keys=True)


def allow(
    actions: Sequence[str], resources: Sequence[Arn] | str, conditions: Mapping[str, Any] | None = None
) -> Statement:
    """What a role may."""
    return statement("Allow", actions, resources, conditions)


def trusted(service: str, *, account: str | None = None, source: str | None = None) -> str:
    """Let one service assume a role, only on behalf of `account` and of `source` where they are set.

    Set neither for Lambda, which sends no such keys, nor for the role by which CloudTrail writes to CloudWatch Logs:
    "The role policy doesn't support the use of aws:SourceArn and aws:SourceAccount", and CreateTrail would fail with
    InvalidCloudWatchLogsRoleArnException. For both, iam:PassRole limits who may name the role, and no principal may
    pass a role of another account.
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-required-policy-for-cloudwatch-logs.html
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
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


def trusted_of(provider: str, account: str) -> str:
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
    """Allow `actions` with a key, only through Secrets Manager of that region and only for these secrets.

    With `key/*` the statement opens no other value. Secrets Manager passes a secret's ARN as the encryption context of
    each call, and KMS decrypts nothing under another context; a value of these secrets under another key of the account
    is one that an operator put there by UpdateSecret. That key's own policy still has to let the account decide.
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    """
    return allow(
        actions,
        [key],
        {"StringEquals": {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com"}, **of_secrets(secrets)},
    )


def signature(issuer: AwsPrivateCaIssuer) -> list[Statement]:
    """By one CA, and for clients alone: by another template it would sign a server's certificate, or a CA's."""
    return [
        allow(("acm-pca:IssueCertificate",), [issuer.arn], {"StringEquals": {"acm-pca:TemplateArn": issuer.template}}),
        allow(("acm-pca:GetCertificate", "acm-pca:DescribeCertificateAuthority"), [issuer.arn]),
    ]


def lease(table: Arn) -> Statement:
    """Acquire, renew and release the lease: each is a conditional update, which returns what is in the way."""
    return allow(("dynamodb:UpdateItem",), [table])


def own_log(group: Arn) -> Statement:
    """Streams of one log group."""
    return allow(("logs:CreateLogStream", "logs:PutLogEvents"), [f"{group}:*"])


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
    return [allow(actions, "*"), statement("Deny", actions, "*", by_the_code)]


def image_pull(repository: Arn) -> list[Statement]:
    """An image of one repository of ECR."""
    pull = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
    return [allow(("ecr:GetAuthorizationToken",), "*"), allow(pull, [repository])]


def of_secrets(secrets: Sequence[Arn]) -> dict[str, Any]:
    """On values of these secrets: Secrets Manager says which, and KMS keeps the caller to it."""
    return {"StringLike": {"kms:EncryptionContext:SecretARN": list(secrets)}}


def statement(
    effect: str, actions: Sequence[str] | str, resources: Sequence[Arn] | str, conditions: Mapping[str, Any] | None
) -> Statement:
    return {
        "Effect": effect,
        "Action": actions if isinstance(actions, str) else list(actions),
        "Resource": resources if isinstance(resources, str) else list(resources),
        **({"Condition": dict(conditions)} if conditions else {}),
    }
