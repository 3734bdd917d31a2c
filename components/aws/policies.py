"""Policies of roles: pure functions of ARNs. What each action is for, tests/unit/aws_reasons.py says.

A secret or a key is guarded twice: by what a role may, and by who may do it to that secret or key at all
(resource_policies.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from secretops.platforms.aws.location import AwsPrivateCaIssuer

from .names import Names, applied

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


def document(*statements: pulumi.Input[Statement]) -> pulumi.Input[str]:
    """Return a policy of `statements`: plain text without outputs, which a first preview judges."""
    whole = {"Version": VERSION, "Statement": list(statements)}
    try:
        return json.dumps(whole, sort_keys=True)
    except TypeError:
        return pulumi.Output.json_dumps(whole, sort_keys=True)


def allow(
    actions: Sequence[str], resources: Sequence[pulumi.Input[Arn]] | str, conditions: Mapping[str, Any] | None = None
) -> Statement:
    """What a role may."""
    return statement("Allow", actions, resources, conditions)


def trusted(service: str, *, account: str | None = None, source: str | None = None) -> pulumi.Input[str]:
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


def trusted_of(provider: str, account: str) -> pulumi.Input[str]:
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
    actions: Sequence[str],
    secrets: Sequence[Arn],
    *,
    rotated_by: Arn | None = None,
    way_out: pulumi.Input[str] | None = None,
) -> pulumi.Input[Statement]:
    """Allow `actions` on secrets: while `rotated_by` rotates them, and through `way_out` alone if it is an endpoint."""

    def through(way_out: str) -> Statement:
        equals = {"secretsmanager:resource/AllowRotationLambdaArn": rotated_by} if rotated_by else {}
        if way_out.startswith("vpce-"):
            equals["aws:SourceVpce"] = way_out
        return allow(actions, secrets, {"StringEquals": equals} if equals else None)

    return applied(way_out or "", through)


def key_use(actions: Sequence[str], key: pulumi.Input[Arn], region: str, secrets: Sequence[Arn]) -> Statement:
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
    template = applied(issuer.arn, lambda arn: issuer.model_copy(update={"arn": arn}).template)
    return [
        allow(("acm-pca:IssueCertificate",), [issuer.arn], {"StringEquals": {"acm-pca:TemplateArn": template}}),
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


def of_function(names: Names, what: str, *, in_a_vpc: bool) -> list[pulumi.Input[Statement]]:
    """Allow each function its log, its dead letters, and its network."""
    return [
        own_log(names.log_arn(f"/aws/lambda/{names.plain(what)}")),
        allow(("sqs:SendMessage",), [names.letters_arn]),
        *(in_vpc(names.function_arn(what)) if in_a_vpc else []),
    ]


def of_tick(
    names: Names,
    secrets: Sequence[str],
    *,
    keys: Mapping[str, pulumi.Input[Arn]],
    way_out: pulumi.Input[str] | None,
    issuers: Sequence[AwsPrivateCaIssuer],
) -> list[pulumi.Input[Statement]]:
    """Allow the tick to rotate all secrets under the keys of their regions, and to have certificates signed."""
    arns = [names.secret_pattern(secret) for secret in secrets]
    return [
        values((*READ, *WRITE), arns, way_out=way_out),
        lease(names.lease_arn),
        *copied(names, keys, secrets),
        *(statement for issuer in issuers for statement in signature(issuer)),
    ]


def copied(names: Names, keys: Mapping[str, pulumi.Input[Arn]], secrets: Sequence[str]) -> list[Statement]:
    """Allow use of the key of each region that has a copy: AWS writes there on behalf of the role that writes here."""
    return [
        key_use(
            USE if region == names.region else COPY,
            key,
            region,
            [names.at(region).secret_pattern(secret) for secret in secrets],
        )
        for region, key in keys.items()
    ]


def image_pull(repository: Arn) -> list[Statement]:
    """An image of one repository of ECR."""
    pull = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
    return [allow(("ecr:GetAuthorizationToken",), "*"), allow(pull, [repository])]


def of_secrets(secrets: Sequence[Arn]) -> dict[str, Any]:
    """On values of these secrets: Secrets Manager says which, and KMS keeps the caller to it."""
    return {"StringLike": {"kms:EncryptionContext:SecretARN": list(secrets)}}


def statement(
    effect: str,
    actions: Sequence[str] | str,
    resources: Sequence[pulumi.Input[Arn]] | str,
    conditions: Mapping[str, Any] | None,
) -> Statement:
    return {
        "Effect": effect,
        "Action": actions if isinstance(actions, str) else list(actions),
        "Resource": resources if isinstance(resources, str) else list(resources),
        **({"Condition": dict(conditions)} if conditions else {}),
    }
