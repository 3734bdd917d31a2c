"""Identities that read secrets on AWS, and the account that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

from ..core.principals import Place, Principal, Workload
from .names import Names


@dataclass(frozen=True, kw_only=True)
class AwsAccount(Place):
    """Provider, names and dead-letter queue, which a stack's components share."""

    names: Names
    permissions_boundary: pulumi.Input[str] | None = None
    log_key: pulumi.Input[str] | None = None
    """ARN of the KMS key for logs of functions and tasks; by default AWS' own key."""
    letters: pulumi.Input[str]
    """ARN of the dead-letter queue."""

    @property
    def args(self) -> dict[str, Any]:
        """Return the arguments (AwsArgs) of another component that shares this account."""
        return {"account": self.names.account, "region": self.names.region, "shared": self}


@dataclass(frozen=True, kw_only=True)
class AwsRole:
    """An IAM role. Its ARN is known before it exists."""

    name: pulumi.Output[str]
    """The name as an output, so that resources using it are created after the role."""
    arn: str
    arn_output: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class EcsTask(Workload, Principal):
    account: AwsAccount
    execution_role: AwsRole
    """The role with which ECS pulls the image, injects secrets and writes logs."""
    task_role: AwsRole
    """The role of the programs in the task."""
    injected: bool = False
    """Whether ECS injects secrets when a task starts. Otherwise the launcher fetches them."""

    @property
    def reads(self) -> AwsRole:
        return self.execution_role if self.injected else self.task_role


@dataclass(frozen=True, kw_only=True)
class AwsPods(Principal):
    """Pods for which External Secrets copies secrets, with an AWS role."""

    account: AwsAccount
    reads: AwsRole
    syncs_as: pulumi.Output[str]
    """Service account in the pods' namespace that assumes the role."""


@dataclass(frozen=True, kw_only=True)
class AwsCaller(Principal):
    """An existing role or user. The store does not change its policies: its owner grants it rights."""

    arn: str
    account: AwsAccount | None = None
    """The provider and queue that the platform created for the store."""


AwsReader = EcsTask | AwsPods | AwsCaller
