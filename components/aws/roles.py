"""The roles of a stack: each one has its name, path and permissions boundary from the stack file."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from .names import Names
from .principals import AwsAccount


def stack_role(
    what: str, trust: pulumi.Input[str], *, names: Names, account: AwsAccount, parent: pulumi.ComponentResource
) -> aws.iam.Role:
    """Declare the role called `what`, which `trust` lets somebody assume."""
    return aws.iam.Role(
        f"{what}-role",
        name=names.role(what),
        path=names.role_path,
        permissions_boundary=account.permissions_boundary,
        assume_role_policy=trust,
        opts=account.under(parent),
    )
