"""CloudTrail's records of accesses to secrets, protected from deletion, and alarms on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_aws as aws

from ..core.component import Component
from ..core.naming import PROJECT
from ..core.secret_store import Trail
from . import patterns, policies, resource_policies
from .identity import AwsArgs, stack_role
from .names import applied, arn_after

# Seconds without a tick until an alarm goes off. One hourly tick may be missing.
LATE_TICK = 7200

# KMS' maximum: without the key, records are unreadable.
KEY_RECOVERY_DAYS = 30

# Beginnings of the names of child resources that did not get the prefix `trail-` when the others got it.
_OF_ALERTS = ("alerts", "alarm-", "filter-", "rotation-failures")


@dataclass(frozen=True, kw_only=True)
class ExistingTrail:
    arn: pulumi.Input[str]
    log_group: pulumi.Input[str]
    """Name of the trail's log group, in this account and region."""


@dataclass(frozen=True, kw_only=True)
class TrailOptions:
    retention_days: int = 365
    existing_trail: ExistingTrail | None = None
    """An existing trail; by default the component creates one."""
    object_lock: Literal["governance", "compliance"] = "governance"
    """Object Lock mode of the bucket. With `compliance`, not even the account's root user can delete records early."""
    alert_emails: Sequence[str] = ()
    alert_topic: pulumi.Input[str] | None = None
    """ARN of an existing SNS topic for alerts; by default the component creates a topic."""


@dataclass(frozen=True, kw_only=True)
class AwsAccessTrailArgs(AwsArgs, TrailOptions):
    production: bool = True
    """Whether records are protected from deletion."""
    keys: Sequence[pulumi.Input[str]] = ()
    """ARNs of the KMS keys that encrypt the secrets. Changes of a key raise an alarm."""
    declared: Sequence[str] = ()
    """ARNs of declared readers that are not roles of the stack."""
    functions: Sequence[str] = ()
    """Names of functions, without the stack's prefix. Their changes and failures raise alarms."""


class AwsAccessTrail(Component):
    """A CloudTrail trail with bucket, log group, alarms and topic."""

    trail: Trail
    """Location of the records, and the query that shows who read which secret."""

    def __init__(self, name: str, args: AwsAccessTrailArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "coreflux-mcp-secrets:aws:AccessTrail",
            name,
            opts,
            formerly=lambda suffix: (
                suffix.replace("-target", "-told") if suffix.startswith(_OF_ALERTS) else f"trail-{suffix}"
            ),
        )
        self._args, self._production, self._account = args, args.production, args.open_account(name, self)
        names = self._names = self._account.names
        self._trail = names.arn("cloudtrail", f"trail/{names.plain('trail')}")
        self._key: aws.kms.Key | None = None
        log_group: pulumi.Input[str]
        records: pulumi.Input[str]
        if args.existing_trail:
            group = log_group = args.existing_trail.log_group
            records = args.existing_trail.arn
        else:
            if args.object_lock == "compliance":
                pulumi.log.warn(
                    "store.object_lock: compliance can't be undone: nobody, not even the account's root user, can "
                    "delete records "
                    f"of the trail before {args.retention_days} days, and AWS bills their storage until then",
                    self,
                )
            group, log_group = names.log_group("trail"), self._record()
            records = f"s3://{names.bucket}/AWSLogs/{names.account}/CloudTrail/"
        rule = self._rule()
        self._topic = args.alert_topic or self._own_topic()
        aws.cloudwatch.EventTarget(
            f"{name}-rotation-failures-target", rule=rule.name, arn=self._topic, opts=self._account.under(self)
        )
        self._watch_log(log_group, group)
        if args.functions:
            self._watch_functions()
        self.trail = Trail(
            records=applied(records, lambda at: applied(group, lambda log: f"{at} and the log group {log}")),
            query=patterns.who_read_what(names),
        )
        self.register_outputs({"records": records})

    def _record(self) -> pulumi.Output[str]:
        key, names = self._records_key(), self._names
        bucket, ready = self._bucket(key)
        group = names.log_group("trail")
        log = aws.cloudwatch.LogGroup(
            f"{self._name}-log",
            name=group,
            retention_in_days=self._args.retention_days,
            kms_key_id=key.arn,
            opts=self._account.under(self, protect=self._production),
        )
        trust = policies.trusted("cloudtrail")
        role = stack_role(f"{self._name}-role", "trail", trust, account=self._account, parent=self)
        granted = aws.iam.RolePolicy(
            f"{self._name}-grants",
            role=role.name,
            policy=policies.document(policies.own_log(names.log_arn(group))),
            opts=self._account.under(self),
        )
        aws.cloudtrail.Trail(
            f"{self._name}-trail",
            name=names.plain("trail"),
            s3_bucket_name=bucket.bucket,
            kms_key_id=key.arn,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            cloud_watch_logs_group_arn=arn_after(log.name, f"{names.log_arn(group)}:*"),
            cloud_watch_logs_role_arn=role.arn_output,
            advanced_event_selectors=[
                {
                    "name": "Management events, reads too",
                    "field_selectors": [{"field": "eventCategory", "equals": ["Management"]}],
                }
            ],
            opts=self._account.under(self, after=[*ready, granted], protect=self._production),
        )
        return log.name

    def _kept(self, *, after: Sequence[pulumi.Resource] = (), protect: bool = False) -> pulumi.ResourceOptions:
        """Return options that keep the bucket and its key when a production stack is destroyed, since its records are
        locked."""
        options = self._account.under(self, after=after, protect=protect)
        options.retain_on_delete = self._production or None
        return options

    def _bucket(self, key: aws.kms.Key) -> tuple[aws.s3.Bucket, list[pulumi.Resource]]:
        """Return the bucket, and the resources that must exist before the first record is written."""
        child, days = self._kept(), self._args.retention_days
        bucket = aws.s3.Bucket(
            f"{self._name}-bucket",
            bucket=self._names.bucket,
            object_lock_enabled=True,
            force_destroy=not self._production,
            opts=self._kept(protect=self._production),
        )
        at = bucket.bucket
        closed = aws.s3.BucketPublicAccessBlock(
            f"{self._name}-bucket-closed",
            bucket=at,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        owned = aws.s3.BucketOwnershipControls(
            f"{self._name}-bucket-owned", bucket=at, rule={"object_ownership": "BucketOwnerEnforced"}, opts=child
        )
        versioned = aws.s3.BucketVersioning(
            f"{self._name}-bucket-versioned", bucket=at, versioning_configuration={"status": "Enabled"}, opts=child
        )
        encrypted = aws.s3.BucketServerSideEncryptionConfiguration(
            f"{self._name}-bucket-encrypted",
            bucket=at,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": key.arn,
                    },
                }
            ],
            opts=child,
        )
        locked = aws.s3.BucketObjectLockConfiguration(
            f"{self._name}-bucket-locked",
            bucket=at,
            rule={"default_retention": {"mode": self._args.object_lock.upper(), "days": days}},
            opts=self._kept(after=[versioned]),
        )
        aws.s3.BucketLifecycleConfiguration(
            f"{self._name}-bucket-lifecycle",
            bucket=at,
            rules=[
                {
                    "id": "retention",
                    "status": "Enabled",
                    "filter": {},
                    "expiration": {"days": days + 1},
                    "noncurrent_version_expiration": {"noncurrent_days": 1},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
                }
            ],
            opts=self._kept(after=[versioned]),
        )
        policy = aws.s3.BucketPolicy(
            f"{self._name}-bucket-policy",
            bucket=at,
            policy=resource_policies.trail_bucket_policy(self._names.bucket_arn, self._trail, self._names.account),
            opts=self._kept(after=[closed]),
        )
        return bucket, [policy, closed, owned, encrypted, locked]

    def _records_key(self) -> aws.kms.Key:
        if self._key is None:
            self._key = aws.kms.Key(
                f"{self._name}-key",
                description=f"Trail and alerts of the Coreflux MCP server's secrets, stack {self._names.stack}",
                enable_key_rotation=True,
                deletion_window_in_days=KEY_RECOVERY_DAYS if self._production else 7,
                policy=resource_policies.records_key_policy(
                    self._names.root,
                    number=self._names.account,
                    region=self._names.region,
                    trail=self._trail,
                    groups=self._names.log_arn(self._names.log_group("trail")),
                    topic=self._names.alerts_arn,
                ),
                opts=self._kept(protect=self._production),
            )
        return self._key

    def _rule(self) -> aws.cloudwatch.EventRule:
        return aws.cloudwatch.EventRule(
            f"{self._name}-rotation-failures",
            name=self._names.plain("rotation-failures"),
            description="A rotation of a secret of this stack failed",
            event_pattern=pulumi.Output.json_dumps(patterns.rotation_failed(self._names)),
            opts=self._account.under(self),
        )

    def _own_topic(self) -> pulumi.Output[str]:
        topic = aws.sns.Topic(
            f"{self._name}-alerts",
            name=self._names.plain("alerts"),
            kms_master_key_id=self._records_key().arn,
            opts=self._account.under(self),
        )
        arn = self._names.alerts_arn
        made = arn_after(topic.name, arn)
        alarms = self._names.arn("cloudwatch", f"alarm:{self._names.plain('')}*")
        aws.sns.TopicPolicy(
            f"{self._name}-alerts-policy",
            arn=made,
            policy=resource_policies.publishers(
                arn, self._names.account, alarms, [self._names.rule_arn("rotation-failures")]
            ),
            opts=self._account.under(self),
        )
        for email in self._args.alert_emails:
            # Named by address: with an index, removing an address would replace the resources of those after it.
            digest = hashlib.sha256(email.encode()).hexdigest()[:8]
            aws.sns.TopicSubscription(
                f"{self._name}-alerts-email-{digest}",
                topic=made,
                protocol="email",
                endpoint=email,
                opts=self._account.under(self),
            )
        return made

    def _watch_log(self, log_group: pulumi.Input[str], group: pulumi.Input[str]) -> None:
        names, args = self._names, self._args
        users = [one for one in args.declared if names.called(one)[0] == "user"]
        keys, size = [*args.keys, *([self._key.arn] if self._key else [])], patterns.KEYS_PER_FILTER
        batches = [keys[at : at + size] for at in range(0, len(keys), size)]
        bucket, topic = None if args.existing_trail else names.bucket, args.alert_topic or names.alerts_arn
        functions = [names.plain(function) for function in args.functions]
        watched: dict[str, tuple[str, Mapping[str, pulumi.Input[str]]]] = {
            "undeclared-read": (
                "an undeclared reader read a secret",
                {"": patterns.undeclared_read(names, args.declared)},
            ),
            "undeclared-write": (
                "an undeclared writer wrote a secret, or tried to",
                {"": patterns.undeclared_write(names, args.declared)},
            ),
            "denied-read": ("a read of a secret was denied", {"": patterns.denied_read(names)}),
            "deletion": ("a secret was scheduled for deletion", {"": patterns.deletion(names)}),
            "policy-change": (
                "a secret's policy, rotation or replicas changed; pulumi up also triggers this alarm",
                {"": patterns.policy_change(names)},
            ),
            "key-change": (
                "a key was disabled, scheduled for deletion, or shared",
                _numbered(pulumi.Output.all(*some).apply(patterns.key_change) for some in batches),
            ),
            "role-change": (
                "trust or rights of a role of this stack or of an operator changed; pulumi up also triggers this alarm",
                {
                    "": patterns.role_change(names, args.declared),
                    **({"users": patterns.user_change(names, users)} if users else {}),
                },
            ),
            "function-change": (
                "code or settings of a function of this stack changed; pulumi up also triggers this alarm",
                {"": patterns.function_change(functions)} if functions else {},
            ),
            "role-use": (
                "a function or task got a role of the stack, or a task ran by hand; pulumi up also triggers this alarm",
                {"": patterns.role_use(names)},
            ),
            "trail-change": (
                "a trail of this account, its records or its alarms were stopped or changed",
                _numbered(patterns.trail_change(names, group, topic, bucket)),
            ),
        }
        for what, (description, found) in watched.items():
            for part, pattern in found.items():
                called = f"{what}-{part}" if part else what
                aws.cloudwatch.LogMetricFilter(
                    f"{self._name}-filter-{called}",
                    name=names.plain(called),
                    log_group_name=log_group,
                    pattern=pattern,
                    metric_transformation={"name": names.plain(what), "namespace": PROJECT, "value": "1"},
                    opts=self._account.under(self),
                )
            if found:
                self._alarm(what, description, namespace=PROJECT, metric=names.plain(what))

    def _watch_functions(self) -> None:
        of_stack = {"Stack": self._names.stack}
        failed = "the tick failed for a secret: the tick's log has the reason"
        for metric, description in {"Overdue": "a rotation is overdue", "Failed": failed}.items():
            self._alarm(f"tick-{metric.lower()}", description, namespace=PROJECT, metric=metric, dimensions=of_stack)
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-alarm-tick-missing",
            name=self._names.plain("tick-missing"),
            alarm_description="the hourly tick does not run, or always finds the lease in use",
            namespace=PROJECT,
            metric_name="Finished",
            dimensions=of_stack,
            statistic="Sum",
            period=LATE_TICK,
            evaluation_periods=1,
            comparison_operator="LessThanThreshold",
            threshold=1,
            treat_missing_data="breaching",
            alarm_actions=[self._topic],
            ok_actions=[self._topic],
            opts=self._account.under(self),
        )
        self._alarm(
            "letters",
            "a function failed after retries: the dead-letter queue has the event",
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": self._names.letters},
            statistic="Maximum",
        )

    def _alarm(
        self,
        what: str,
        description: str,
        *,
        namespace: str,
        metric: str,
        dimensions: Mapping[str, str] | None = None,
        statistic: str = "Sum",
    ) -> None:
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-alarm-{what}",
            name=self._names.plain(what),
            alarm_description=description,
            namespace=namespace,
            metric_name=metric,
            dimensions=dimensions,
            statistic=statistic,
            period=300,
            evaluation_periods=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            threshold=1,
            treat_missing_data="notBreaching",
            alarm_actions=[self._topic],
            opts=self._account.under(self),
        )


def _numbered(found: Iterable[pulumi.Input[str]]) -> dict[str, pulumi.Input[str]]:
    return {str(number) if number > 1 else "": one for number, one in enumerate(found, 1)}
