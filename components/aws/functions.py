"""A Lambda function with its role and log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from ..core.component import Component
from . import policies
from .identity import stack_role
from .lambda_package import ARCHITECTURE, PYTHON
from .names import arn_after, listed
from .principals import AwsAccount

# `make lambda` installs compiled packages for this version and ARCHITECTURE.
RUNTIME = f"python{PYTHON}"

# Retention of logs in days: the time between two rotations.
LOG_DAYS = 90


@dataclass(frozen=True, kw_only=True)
class Vpc:
    """The VPC in which functions run, if the broker is reachable only from there."""

    subnets: pulumi.Input[Sequence[pulumi.Input[str]]]
    security_groups: pulumi.Input[Sequence[pulumi.Input[str]]]
    way_out: pulumi.Input[str]
    """Id of a NAT gateway, or of the VPC's Secrets Manager endpoint. With an endpoint, roles may read and write values
    only through it."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Limits of an asynchronous invocation. Beyond them, Lambda sends the event to the dead-letter queue.

    Lambda's defaults are two retries and six hours:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    """

    retries: int
    seconds: int
    """Maximum age of the event in seconds, from 60 to 21600. This includes pauses before retries."""


@dataclass(frozen=True, kw_only=True)
class FunctionArgs:
    account: AwsAccount
    called: str
    """Name of the function, its role and its log, without the stack's prefix."""
    archive: pulumi.Input[pulumi.Archive]
    handler: str
    seconds: int
    """Timeout of an invocation in seconds."""
    grants: Sequence[pulumi.Input[policies.Statement]]
    queue: Queue | None = None
    """Limits of asynchronous invocations; None if the function is only invoked synchronously."""
    memory: int = 256
    """Memory in MB. Lambda allocates CPU in proportion to it."""
    environment: Mapping[str, pulumi.Input[str]] | None = None
    vpc: Vpc | None = None


class StackFunction(Component):
    """A Lambda function with its role, grants and log.

    It reserves no concurrency: the lease already serializes rotations. A new account's quota is below the 100
    executions that AWS requires to remain unreserved.
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
    """

    function: aws.lambda_.Function
    arn: pulumi.Output[str]
    granted: aws.iam.RolePolicy
    """The role's policy. It must exist before the first invocation."""

    def __init__(self, name: str, args: FunctionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:aws:Function", name, opts, formerly=f"{args.called}-")
        account, names, called, vpc = args.account, args.account.names, args.called, args.vpc
        child = account.under(self)
        role = stack_role(f"{name}-role", called, policies.trusted("lambda"), account=account, parent=self)
        log = aws.cloudwatch.LogGroup(
            f"{name}-log",
            name=f"/aws/lambda/{names.plain(called)}",
            retention_in_days=LOG_DAYS,
            kms_key_id=account.log_key,
            opts=child,
        )
        self.granted = aws.iam.RolePolicy(
            f"{name}-grants",
            role=role.name,
            policy=policies.document(*policies.of_function(names, called, in_a_vpc=vpc is not None), *args.grants),
            opts=child,
        )
        self.function = aws.lambda_.Function(
            f"{name}-function",
            name=names.plain(called),
            role=role.arn_output,
            runtime=RUNTIME,
            architectures=[ARCHITECTURE],
            handler=args.handler,
            code=args.archive,
            timeout=args.seconds,
            memory_size=args.memory,
            dead_letter_config={"target_arn": account.letters},
            logging_config={"log_format": "JSON", "log_group": log.name},
            environment={"variables": args.environment} if args.environment else None,
            vpc_config={"subnet_ids": listed(vpc.subnets), "security_group_ids": listed(vpc.security_groups)}
            if vpc
            else None,
            # When it creates the function, Lambda checks that the role may use the dead-letter queue and the network.
            opts=account.under(self, after=[self.granted]),
        )
        self.arn = arn_after(self.function.name, names.function_arn(called))
        if args.queue:
            aws.lambda_.FunctionEventInvokeConfig(
                f"{name}-queue",
                function_name=self.function.name,
                maximum_retry_attempts=args.queue.retries,
                maximum_event_age_in_seconds=args.queue.seconds,
                opts=child,
            )
        self.register_outputs({"function": self.arn})
