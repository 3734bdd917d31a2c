"""Redeploy tasks for new versions of injected secrets, since a task gets values only when it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_aws as aws

from ..core.component import Component
from . import policies, resource_policies
from .functions import FunctionArgs, StackFunction
from .identity import AwsArgs
from .names import arn_after
from .patterns import new_version
from .task import DELAY, WINDOW

# Timeout of the function in seconds. It sends a request to Secrets Manager for each secret, and two to ECS.
SECONDS = 30

# The queue's visibility timeout in seconds, which is the interval between the function's checks (AWS, Using Lambda with
# Amazon SQS).
SHOWN_AGAIN = 6 * SECONDS + WINDOW

# Number of checks before a message goes to the dead-letter queue, which has an alarm. They take over 40 minutes: enough
# for two deployments, but less than the default grace period.
TRIES = 10

# Names of the queue and the function.
NEW_VERSIONS, AGAIN = "new-versions", "redeploy-service"

_CODE = Path(__file__).with_name("redeploy_handler.py")


@dataclass(frozen=True, kw_only=True)
class RedeployArgs(AwsArgs):
    cluster: pulumi.Input[str]
    """ARN of the service's cluster."""
    service: pulumi.Input[str]
    """Name of the ECS service."""
    service_arn: pulumi.Input[str]
    secrets: Sequence[str]


class Redeploy(Component):
    """Deploys new versions of secrets to tasks. A queue collects Secrets Manager's events, and invokes a function."""

    def __init__(self, name: str, args: RedeployArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:aws:Redeploy", name, opts, formerly="")
        account = args.open_account(name, self)
        names, child = account.names, account.under(self)
        rule = aws.cloudwatch.EventRule(
            f"{name}-new-version",
            name=names.plain("new-version"),
            description="A secret of the stack has a new current version",
            event_pattern=pulumi.Output.json_dumps(new_version(names)),
            opts=child,
        )
        queue = aws.sqs.Queue(
            f"{name}-new-versions",
            name=names.plain(NEW_VERSIONS),
            delay_seconds=DELAY,
            visibility_timeout_seconds=SHOWN_AGAIN,
            sqs_managed_sse_enabled=True,
            redrive_policy=pulumi.Output.json_dumps({"deadLetterTargetArn": account.letters, "maxReceiveCount": TRIES}),
            opts=child,
        )
        sending = aws.sqs.QueuePolicy(
            f"{name}-new-versions-policy",
            queue_url=queue.id,
            policy=resource_policies.senders(names.queue_arn(NEW_VERSIONS), names.rule_arn("new-version")),
            opts=child,
        )
        gathered = arn_after(queue.name, names.queue_arn(NEW_VERSIONS))
        aws.cloudwatch.EventTarget(
            f"{name}-new-version-queued", rule=rule.name, arn=gathered, opts=account.under(self, after=[sending])
        )
        function = StackFunction(
            f"{name}-{AGAIN}",
            FunctionArgs(
                account=account,
                called=AGAIN,
                archive=pulumi.AssetArchive({_CODE.name: pulumi.StringAsset(_CODE.read_text())}),
                handler=f"{_CODE.stem}.handle",
                seconds=SECONDS,
                memory=128,
                environment={
                    "CLUSTER": args.cluster,
                    "SERVICE": args.service,
                    "SECRETS": " ".join(map(names.secret, args.secrets)),
                },
                grants=[
                    policies.allow(
                        ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
                        [names.queue_arn(NEW_VERSIONS)],
                    ),
                    policies.allow(("ecs:DescribeServices", "ecs:UpdateService"), [args.service_arn]),
                    policies.values(
                        ("secretsmanager:DescribeSecret",), [names.secret_pattern(one) for one in args.secrets]
                    ),
                ],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        aws.lambda_.EventSourceMapping(
            f"{name}-new-versions-taken",
            event_source_arn=gathered,
            function_name=function.arn,
            batch_size=100,
            maximum_batching_window_in_seconds=WINDOW,
            function_response_types=["ReportBatchItemFailures"],
            opts=account.under(self, after=[function.granted]),
        )
        self.register_outputs({})
