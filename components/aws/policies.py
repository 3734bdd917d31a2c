"""IAM policies of the stack's roles. tests/unit/aws_reasons.py has the reason for each action."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from secretops.platforms.aws.location import AwsPrivateCaIssuer

from .names import Names, applied

Arn = str
Statement = dict[str, Any]

# Version of IAM's policy language.
VERSION = "2012-10-17"

READ = ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue")
WRITE = ("secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage")
# Actions on the key of the stack's region.
USE = ("kms:Decrypt", "kms:GenerateDataKey")
# Actions on a replica region's key, to which AWS copies writes (AWS, ReplicateSecretToRegions).
COPY = (*USE, "kms:Encrypt")


def document(*statements: pulumi.Input[Statement]) -> pulumi.Input[str]:
    """Return a policy as JSON. It is a plain string unless a statement is an output, so that Pulumi policies can check
    it in the first preview."""
    whole = {"Version": VERSION, "Statement": list(statements)}
    try:
        return json.dumps(whole, sort_keys=True)
    except TypeError:
        return pulumi.Output.json_dumps(whole, sort_keys=True)


def allow(
    actions: Sequence[str], resources: Sequence[pulumi.Input[Arn]] | str, conditions: Mapping[str, Any] | None = None
) -> Statement:
    return statement("Allow", actions, resources, conditions)


def trusted(service: str, *, account: str | None = None, source: str | None = None) -> pulumi.Input[str]:
    """Return a trust policy for an AWS service, limited to `account` and `source` if set.

    Two services do not support these limits. Lambda does not send the condition keys. For CloudTrail's role for
    CloudWatch Logs, CreateTrail fails with InvalidCloudWatchLogsRoleArnException. For both, iam:PassRole limits who may
    pass the role. Roles can't be passed across accounts.

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
    """Return a trust policy for the OIDC token of a service account (AWS, IRSA). `account` is the user name of the
    service account in Kubernetes."""
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
    """Allow `actions` on `secrets`. If `rotated_by` is a function's ARN, only on those that the function rotates. If
    `way_out` is a VPC endpoint, only through that endpoint."""

    def through(way_out: str) -> Statement:
        equals = {"secretsmanager:resource/AllowRotationLambdaArn": rotated_by} if rotated_by else {}
        if way_out.startswith("vpce-"):
            equals["aws:SourceVpce"] = way_out
        return allow(actions, secrets, {"StringEquals": equals} if equals else None)

    return applied(way_out or "", through)


def key_use(actions: Sequence[str], key: pulumi.Input[Arn], region: str, secrets: Sequence[Arn]) -> Statement:
    """Allow `actions` with a KMS key, only through the region's Secrets Manager and for these secrets.

    Even if `key` is the pattern of all keys, no other values can be decrypted: the encryption context of each call must
    contain the ARN of one of these secrets.
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    """
    return allow(
        actions,
        [key],
        {"StringEquals": {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com"}, **of_secrets(secrets)},
    )


def signature(issuer: AwsPrivateCaIssuer) -> list[Statement]:
    """Allow signing with one CA, only by the template for client certificates. Other templates are for servers or
    CAs."""
    template = applied(issuer.arn, lambda arn: issuer.model_copy(update={"arn": arn}).template)
    return [
        allow(("acm-pca:IssueCertificate",), [issuer.arn], {"StringEquals": {"acm-pca:TemplateArn": template}}),
        allow(("acm-pca:GetCertificate", "acm-pca:DescribeCertificateAuthority"), [issuer.arn]),
    ]


def lease(table: Arn) -> Statement:
    return allow(("dynamodb:UpdateItem",), [table])


def own_log(group: Arn) -> Statement:
    return allow(("logs:CreateLogStream", "logs:PutLogEvents"), [f"{group}:*"])


def in_vpc(function: Arn) -> list[Statement]:
    """Allow Lambda the actions of AWSLambdaVPCAccessExecutionRole, and deny them to the function's code."""
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
    arns = [names.secret_pattern(secret) for secret in secrets]
    return [
        values((*READ, *WRITE), arns, way_out=way_out),
        lease(names.lease_arn),
        *copied(names, keys, secrets),
        *(statement for issuer in issuers for statement in signature(issuer)),
    ]


def copied(names: Names, keys: Mapping[str, pulumi.Input[Arn]], secrets: Sequence[str]) -> list[Statement]:
    """Allow the use of each region's key, since AWS encrypts replicas on behalf of the role that writes the secret."""
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
    pull = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
    return [allow(("ecr:GetAuthorizationToken",), "*"), allow(pull, [repository])]


def of_secrets(secrets: Sequence[Arn]) -> dict[str, Any]:
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
