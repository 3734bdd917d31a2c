"""Readers of secrets on AWS, and their account."""

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
    """ARN of each role's permissions boundary."""
    log_key: pulumi.Input[str] | None = None
    """ARN of the KMS key of functions' and tasks' logs. None: AWS' own."""
    letters: pulumi.Input[str]
    """ARN of the dead-letter queue."""

    @property
    def args(self) -> dict[str, Any]:
        """Return the arguments (AwsArgs) of a component that shares these parts."""
        return {"account": self.names.account, "region": self.names.region, "shared": self}


@dataclass(frozen=True, kw_only=True)
class AwsRole:
    """An IAM role. Its ARN is known before it exists."""

    name: pulumi.Output[str]
    """Output: its users are created after the role."""
    arn: str
    arn_output: pulumi.Output[str]
    """The ARN as an output: its users are created after the role."""


@dataclass(frozen=True, kw_only=True)
class EcsTask(Workload, Principal):
    """The two roles of a task."""

    account: AwsAccount
    execution_role: AwsRole
    """ECS pulls the image, injects secrets and writes logs with it."""
    task_role: AwsRole
    """The role of the task's programs."""
    injected: bool = False
    """ECS injects secrets at task start; else the launcher fetches them."""

    @property
    def reads(self) -> AwsRole:
        """Return the role that reads secrets."""
        return self.execution_role if self.injected else self.task_role


@dataclass(frozen=True, kw_only=True)
class AwsPods(Principal):
    """Pods that get secrets from External Secrets, which has an AWS role."""

    account: AwsAccount
    reads: AwsRole
    syncs_as: pulumi.Output[str]
    """Service account in their namespace that assumes the role."""


@dataclass(frozen=True, kw_only=True)
class AwsCaller(Principal):
    """An existing role or user. Its owner grants it rights, not the store."""

    arn: str
    account: AwsAccount | None = None
    """The account that a platform made for it."""


AwsReader = EcsTask | AwsPods | AwsCaller
