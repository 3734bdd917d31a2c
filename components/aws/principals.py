"""Who reads secrets on AWS, and the account that they are in."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from ..core.principals import Place, Principal, Workload


@dataclass(frozen=True, kw_only=True)
class AwsAccount(Place):
    """An AWS account and a region of it, and the provider that talks to both."""

    id: str
    region: str
    permissions_boundary: str | None = None
    """ARN of the policy that limits each role of the stack."""
    log_key: str | None = None
    """ARN of the KMS key of the logs of functions and tasks; None for AWS' own."""
    letters: pulumi.Input[str]
    """ARN of the stack's one dead-letter queue."""


@dataclass(frozen=True, kw_only=True)
class AwsRole:
    """An IAM role. Its ARN is known before it is there: its name is given, and so is the account."""

    name: pulumi.Output[str]
    """Of the role itself: a policy that takes its name from here is made after it."""
    arn: str
    made: pulumi.Output[str]
    """The same ARN, of the role itself."""


@dataclass(frozen=True, kw_only=True)
class EcsTask(Workload, Principal):
    """The two roles of a task. `reads` is the one of them that reads secrets."""

    account: AwsAccount
    starts: AwsRole
    """The execution role: ECS itself pulls the image, injects secrets and writes logs with it."""
    runs: AwsRole
    """The task role: what the programs in the task are."""
    reads: AwsRole


@dataclass(frozen=True, kw_only=True)
class AwsPods(Principal):
    """Pods whose secrets are copied into their namespace by what reads as a role of an AWS account."""

    account: AwsAccount
    reads: AwsRole
    syncs_as: pulumi.Output[str]
    """The service account of their namespace that takes the role."""


@dataclass(frozen=True, kw_only=True)
class AwsCaller(Principal):
    """A role or a user of an AWS account that is there already. Nothing is granted to it: its owner does that."""

    account: AwsAccount
    arn: str


AwsReader = EcsTask | AwsPods | AwsCaller
