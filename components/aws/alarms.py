"""What should not happen, found in CloudTrail's log and in the functions' metrics, and told to the alert topic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import pulumi
import pulumi_aws as aws

from ..core.naming import PROJECT
from . import patterns
from .access import TICK
from .names import Names
from .principals import AwsAccount

LATE_TICK = 7200
"""Seconds without a tick until somebody is told: one may fall out."""


@dataclass(frozen=True, kw_only=True)
class Alarms:
    """Makes the alarms of one stack, below `parent`, whose name they begin with."""

    parent: pulumi.ComponentResource
    name: str
    account: AwsAccount
    topic: pulumi.Input[str]

    @property
    def names(self) -> Names:
        """Return the names of the stack."""
        return self.account.names

    def of_log(
        self,
        log_group: pulumi.Input[str],
        *,
        group: pulumi.Input[str],
        keys: Sequence[pulumi.Input[str]],
        declared: Sequence[str],
        functions: Sequence[str],
        bucket: str | None,
        topic: pulumi.Input[str],
    ) -> None:
        """Filters and an alarm for each thing in CloudTrail's log that is worth a person's look.

        `group`, `bucket` and `topic` receive the records and alerts, by name and ARN. An alarm has several filters
        where one pattern would exceed patterns.FILTER_LIMIT.
        """
        names = self.names
        users = [one for one in declared if names.called(one)[0] == "user"]
        watched: dict[str, tuple[str, Mapping[str, pulumi.Input[str]]]] = {
            "undeclared-read": (
                "somebody read a secret who is not declared to",
                {"": patterns.undeclared_read(names, declared)},
            ),
            "undeclared-write": (
                "somebody who is not declared to wrote a secret, or tried to",
                {"": patterns.undeclared_write(names, declared)},
            ),
            "denied-read": ("somebody was denied a read of a secret", {"": patterns.denied_read(names)}),
            "deletion": ("a secret was scheduled for deletion", {"": patterns.deletion(names)}),
            "policy-change": (
                "a secret's policy, its rotation or its replicas were changed; pulumi up does so too",
                {"": patterns.policy_change(names)},
            ),
            "key-change": (
                "a key was disabled, will be deleted, or is others' too",
                _numbered(
                    pulumi.Output.all(*some).apply(patterns.key_change)
                    for some in _batched(keys, patterns.KEYS_OF_A_FILTER)
                ),
            ),
            "role-change": (
                "who may be a role of this stack or an operator, or what it may, was changed; pulumi up does so too",
                {
                    "": patterns.role_change(names, declared),
                    **({"users": patterns.user_change(names, users)} if users else {}),
                },
            ),
            "function-change": (
                "the code or the settings of a function of this stack were changed; pulumi up does so too",
                {"": patterns.function_change([names.plain(function) for function in functions])} if functions else {},
            ),
            "role-use": (
                "a role of this stack was given to a function or a task, or a task run by hand; pulumi up does so too",
                {"": patterns.role_use(names)},
            ),
            "trail-change": (
                "a trail of this account, or what keeps and tells of its records, was stopped or changed",
                _numbered(patterns.trail_change(names, group, topic, bucket)),
            ),
        }
        for what, (told, found) in watched.items():
            for part, pattern in found.items():
                called = f"{what}-{part}" if part else what
                aws.cloudwatch.LogMetricFilter(
                    f"{self.name}-filter-{called}",
                    name=names.plain(called),
                    log_group_name=log_group,
                    pattern=pattern,
                    metric_transformation={"name": names.plain(what), "namespace": PROJECT, "value": "1"},
                    opts=self.account.under(self.parent),
                )
            if found:
                self._alarm(what, told, namespace=PROJECT, metric=names.plain(what))

    def of_functions(self) -> None:
        """Alarms for what the tick counts, for a tick that does not run, and for dead letters."""
        of_stack = {"Stack": self.names.stack}
        for metric, told in {
            "Overdue": "a rotation is overdue",
            "Failed": "the tick could not look after a secret: its log says why",
        }.items():
            self._alarm(f"tick-{metric.lower()}", told, namespace=PROJECT, metric=metric, dimensions=of_stack)
        aws.cloudwatch.MetricAlarm(
            f"{self.name}-alarm-tick-missing",
            name=self.names.plain("tick-missing"),
            alarm_description="the hourly tick does not run",
            namespace="AWS/Lambda",
            metric_name="Invocations",
            dimensions={"FunctionName": self.names.plain(TICK)},
            statistic="Sum",
            period=LATE_TICK,
            evaluation_periods=1,
            comparison_operator="LessThanThreshold",
            threshold=1,
            treat_missing_data="breaching",
            alarm_actions=[self.topic],
            ok_actions=[self.topic],
            opts=self.account.under(self.parent),
        )
        self._alarm(
            "letters",
            "a function failed, and AWS gave up trying: the dead-letter queue has the event",
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": self.names.letters},
            statistic="Maximum",
        )

    def _alarm(
        self,
        what: str,
        told: str,
        *,
        namespace: str,
        metric: str,
        dimensions: Mapping[str, str] | None = None,
        statistic: str = "Sum",
    ) -> None:
        """Once in five minutes is enough."""
        aws.cloudwatch.MetricAlarm(
            f"{self.name}-alarm-{what}",
            name=self.names.plain(what),
            alarm_description=told,
            namespace=namespace,
            metric_name=metric,
            dimensions=dimensions,
            statistic=statistic,
            period=300,
            evaluation_periods=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            threshold=1,
            treat_missing_data="notBreaching",
            alarm_actions=[self.topic],
            opts=self.account.under(self.parent),
        )


def _numbered(found: Iterable[pulumi.Input[str]]) -> dict[str, pulumi.Input[str]]:
    """Patterns by what their filters' names end with: the first with nothing."""
    return {str(number) if number > 1 else "": one for number, one in enumerate(found, 1)}


def _batched(keys: Iterable[pulumi.Input[str]], size: int) -> Iterator[tuple[pulumi.Input[str], ...]]:
    left = iter(keys)
    while some := tuple(islice(left, size)):
        yield some
