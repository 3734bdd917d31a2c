"""A function of the stack: Lambda, with a role and a log of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from ..core.component import Component
from . import policies
from .lambda_package import ARCHITECTURE, PYTHON
from .names import Names, arn_after
from .principals import AwsAccount
from .roles import stack_role
from .settings import Vpc

RUNTIME = f"python{PYTHON}"
"""What `make lambda` takes compiled packages for, as it does ARCHITECTURE."""

LOG_DAYS = 90
"""How long a function's log is kept: from one rotation to the next."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """How an asynchronous call waits for its function, and how often it is made again after the function failed.

    Whoever schedules calls so. Lambda's own defaults are two retries, and six hours of waiting while another call is at
    work: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    What is given up is a dead letter.
    """

    retries: int
    seconds: int
    """60 to 21600: for how long a call waits, the pauses before retries among it."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """What a function runs, and for how long at most."""

    archive: pulumi.Archive
    handler: str
    seconds: int
    queue: Queue | None = None
    """None for a function that only something synchronous calls."""
    memory: int = 256
    """MB. Lambda gives CPU in proportion."""
    environment: Mapping[str, pulumi.Input[str]] | None = None


class StackFunction(Component):
    """One Lambda function. Owns its role and what that may, and its log.

    It reserves no concurrency: the lease keeps rotations apart, and Lambda leaves 100 executions of an account
    unreserved, which is more than the quota of a new account.
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
    """

    function: aws.lambda_.Function
    arn: pulumi.Output[str]
    granted: aws.iam.RolePolicy
    """What has to be there before somebody calls the function."""

    def __init__(
        self,
        name: str,
        *,
        names: Names,
        account: AwsAccount,
        code: Code,
        grants: Sequence[policies.Statement],
        vpc: Vpc | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:aws:Function", name, opts)
        child = account.under(self)
        group = f"/aws/lambda/{names.plain(name)}"
        role = stack_role(name, policies.trusted("lambda"), names=names, account=account, parent=self)
        log = aws.cloudwatch.LogGroup(
            f"{name}-log",
            name=group,
            retention_in_days=LOG_DAYS,
            kms_key_id=account.log_key,
            opts=child,
        )
        self.granted = aws.iam.RolePolicy(
            f"{name}-grants",
            role=role.name,
            policy=policies.document(
                policies.own_log(names.log_arn(group)),
                policies.allow(("sqs:SendMessage",), [names.letters_arn]),
                *(policies.in_vpc(names.function_arn(name)) if vpc else []),
                *grants,
            ),
            opts=child,
        )
        self.function = aws.lambda_.Function(
            f"{name}-function",
            name=names.plain(name),
            role=arn_after(role.name, names.role_arn(name)),
            runtime=RUNTIME,
            architectures=[ARCHITECTURE],
            handler=code.handler,
            code=code.archive,
            timeout=code.seconds,
            memory_size=code.memory,
            dead_letter_config={"target_arn": account.letters},
            logging_config={"log_format": "JSON", "log_group": log.name},
            environment={"variables": code.environment} if code.environment else None,
            vpc_config={"subnet_ids": list(vpc.subnets), "security_group_ids": list(vpc.security_groups)}
            if vpc
            else None,
            # Lambda tries the role when it makes the function: dead letters and network have to be granted by then.
            opts=account.under(self, after=[self.granted]),
        )
        self.arn = arn_after(self.function.name, names.function_arn(name))
        if code.queue:
            aws.lambda_.FunctionEventInvokeConfig(
                f"{name}-queue",
                function_name=self.function.name,
                maximum_retry_attempts=code.queue.retries,
                maximum_event_age_in_seconds=code.queue.seconds,
                opts=child,
            )
        self.register_outputs({"function": self.arn})
