"""For reviewers: the purpose of each action of a role on AWS, and the reason for each action on the resource `*`."""

from collections.abc import Mapping
from types import MappingProxyType

_OF_VPC = (
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces"),
    *("ec2:DescribeSubnets", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
)

# Each action that a role of the stack has, and its purpose.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "secretsmanager:DescribeSecret": "which versions there are, and their labels; no value",
        "secretsmanager:GetSecretValue": "the value of a version",
        "secretsmanager:PutSecretValue": "a new version, with the label AWSPENDING",
        "dynamodb:UpdateItem": "acquire, renew and release the lease",
        "secretsmanager:UpdateSecretVersionStage": "move AWSCURRENT to a proven version; note its user",
        "kms:Decrypt": "Secrets Manager opens a value with it, on the caller's behalf",
        "kms:GenerateDataKey": "Secrets Manager encrypts a new version with it, on the caller's behalf",
        "kms:Encrypt": "Secrets Manager encrypts a replica's copy with it, on the caller's behalf",
        "logs:CreateLogStream": "its own log",
        "logs:PutLogEvents": "its own log",
        "sqs:SendMessage": "what could not be handled goes to the stack's dead-letter queue",
        "sqs:ReceiveMessage": "Lambda takes events about new versions from the queue",
        "sqs:DeleteMessage": "Lambda takes events about new versions from the queue",
        "sqs:GetQueueAttributes": "Lambda reads from the queue how to poll it",
        "acm-pca:IssueCertificate": "have a client certificate signed, by a key that stays in the function",
        "acm-pca:GetCertificate": "the certificate that was signed",
        "acm-pca:DescribeCertificateAuthority": "the kind of the CA's key, which says how it signs",
        "lambda:InvokeFunction": "the hourly tick",
        "ecs:DescribeServices": "whether a deployment is newer than the new version already",
        "ecs:UpdateService": "a new deployment of the one service",
        "ecr:GetAuthorizationToken": "log in to the registry",
        **dict.fromkeys(
            ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
            "pull the server's image",
        ),
        **dict.fromkeys(_OF_VPC, "Lambda puts the function into the VPC"),
    }
)

# Each action that is allowed on `*`, and why AWS supports nothing narrower (AWS, Service Authorization Reference).
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
