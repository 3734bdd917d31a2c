"""Readers of secrets on AWS, and their account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

from ..core.principals import Place, Principal, Workload
from .names import Names


@dataclass(frozen=True, kw_only=True)
class AwsAccount(Place):
    """What the components of a stack share: the provider of account and region, names and dead letters."""

    names: Names
    permissions_boundary: pulumi.Input[str] | None = None
    """ARN of the permissions boundary of each role."""
    log_key: pulumi.Input[str] | None = None
    """ARN of the KMS key of the logs of functions and tasks; None for AWS' own."""
    letters: pulumi.Input[str]
    """ARN of the dead-letter queue."""

    @property
    def args(self) -> dict[str, Any]:
        """Return the arguments with which another component shares these parts (identity.AwsArgs)."""
        return {"account": self.names.account, "region": self.names.region, "shared": self}


@dataclass(frozen=True, kw_only=True)
class AwsRole:
    """An IAM role. Its ARN is computed from its name and account before it exists."""

    name: pulumi.Output[str]
    """Output of the role: what uses it is created after the role."""
    arn: str
    arn_output: pulumi.Output[str]
    """The same ARN, as an output of the role: a resource that uses it is made after the role."""


@dataclass(frozen=True, kw_only=True)
class EcsTask(Workload, Principal):
    """The two roles of a task."""

    account: AwsAccount
    execution_role: AwsRole
    """The role with which ECS pulls the image, injects secrets and writes logs."""
    task_role: AwsRole
    """The role of the programs in the task."""
    injected: bool = False
    """Whether ECS injects secrets when a task starts; else the launcher fetches them."""

    @property
    def reads(self) -> AwsRole:
        """Return the role that reads secrets."""
        return self.execution_role if self.injected else self.task_role


@dataclass(frozen=True, kw_only=True)
class AwsPods(Principal):
    """Pods whose secrets External Secrets copies into their namespace, with an AWS role."""

    account: AwsAccount
    reads: AwsRole
    syncs_as: pulumi.Output[str]
    """The service account of their namespace that assumes the role."""


@dataclass(frozen=True, kw_only=True)
class AwsCaller(Principal):
    """A role or a user that exists. The store grants it nothing: its owner does."""

    arn: str
    account: AwsAccount | None = None
    """The account that a platform made for it."""


AwsReader = EcsTask | AwsPods | AwsCaller
