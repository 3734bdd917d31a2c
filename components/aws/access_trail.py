"""The AWS store's trail: CloudTrail, its records under lock, and who is told of what should not happen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_aws as aws

from ..core.component import Component
from ..core.secret_store import Trail
from . import policies, resource_policies
from .alarms import Alarms
from .identity import AwsArgs, stack_role
from .names import applied, arn_after
from .patterns import rotation_failed, who_read_what

KEY_RECOVERY_DAYS = 30
"""KMS' longest: without this key nobody reads the records."""

_OF_ALERTS = ("alerts", "alarm-", "filter-", "rotation-failures")
"""Children of the trail whose former names did not begin with trail-."""


@dataclass(frozen=True, kw_only=True)
class ExistingTrail:
    """A CloudTrail trail that exists, for example the organization's."""

    arn: pulumi.Input[str]
    log_group: pulumi.Input[str]
    """Name of the log group of this account and region that it writes to."""


@dataclass(frozen=True, kw_only=True)
class TrailOptions:
    """How access is recorded, and who is notified."""

    retention_days: int = 365
    """For how long records are kept."""
    existing_trail: ExistingTrail | None = None
    """A trail that exists; by default one is made."""
    object_lock: Literal["governance", "compliance"] = "governance"
    """How the bucket locks records. Compliance is final: not even the account's root shortens or ends it."""
    alert_emails: Sequence[str] = ()
    alert_topic: pulumi.Input[str] | None = None
    """ARN of an SNS topic that exists; by default one is made."""


@dataclass(frozen=True, kw_only=True)
class AwsAccessTrailArgs(AwsArgs, TrailOptions):
    """Arguments of AwsAccessTrail."""

    production: bool = True
    """Whether records are protected from deletion."""
    keys: Sequence[pulumi.Input[str]] = ()
    """ARNs of the KMS keys of the secrets, whose changes raise an alarm."""
    declared: Sequence[str] = ()
    """ARNs of the roles and users that are declared to read, in addition to the stack's own roles."""
    functions: Sequence[str] = ()
    """What the names of the stack's functions end with; without any no alarm is about them."""


class AwsAccessTrail(Component):
    """Owns the trail (unless one is named), its bucket and log, the alarms and the topic; never a value."""

    trail: Trail
    """Where the records are, and how to find who read what."""

    def __init__(self, name: str, args: AwsAccessTrailArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "coreflux-mcp-secrets:aws:AccessTrail",
            name,
            opts,
            formerly=lambda suffix: suffix if suffix.startswith(_OF_ALERTS) else f"trail-{suffix}",
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
                    "store.object_lock: compliance is for good: nobody, not even the account's root, deletes a record "
                    f"of the trail or shortens its {args.retention_days} days, and each is paid for as long",
                    self,
                )
            group, log_group = names.log_group("trail"), self._record()
            records = f"s3://{names.bucket}/AWSLogs/{names.account}/CloudTrail/"
        rule = self._rule()
        topic = args.alert_topic or self._topic()
        aws.cloudwatch.EventTarget(
            f"{name}-rotation-failures-told", rule=rule.name, arn=topic, opts=self._account.under(self)
        )
        alarms = Alarms(parent=self, name=name, account=self._account, topic=topic)
        alarms.of_log(
            log_group,
            group=group,
            keys=[*args.keys, *([self._key.arn] if self._key else [])],
            declared=args.declared,
            functions=args.functions,
            bucket=None if args.existing_trail else names.bucket,
            topic=args.alert_topic or names.alerts_arn,
        )
        if args.functions:
            alarms.of_functions()
        self.trail = Trail(
            records=applied(records, lambda at: applied(group, lambda log: f"{at} and the log group {log}")),
            query=who_read_what(names),
        )
        self.register_outputs({"records": records})

    def _record(self) -> pulumi.Output[str]:
        """Declare a trail of the stack's own. Return its log group's name."""
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
            cloud_watch_logs_role_arn=role.made,
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
        """Of what is a bucket of records, in production: the end of the stack leaves it as it is.

        AWS deletes no bucket with locked records in it, and it is not to lie there without its guards.
        """
        options = self._account.under(self, after=after, protect=protect)
        options.retain_on_delete = self._production or None
        return options

    def _bucket(self, key: aws.kms.Key) -> tuple[aws.s3.Bucket, list[pulumi.Resource]]:
        """Where the records lie, and what has to be there before the first of them."""
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
        """The key of records and alerts, another one than the values': services use it."""
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
        """What Secrets Manager says of a rotation that failed."""
        return aws.cloudwatch.EventRule(
            f"{self._name}-rotation-failures",
            name=self._names.plain("rotation-failures"),
            description="A rotation of a secret of this stack failed",
            event_pattern=pulumi.Output.json_dumps(rotation_failed(self._names)),
            opts=self._account.under(self),
        )

    def _topic(self) -> pulumi.Output[str]:
        """Where alerts go, for whoever subscribes: the stack's alert_emails do."""
        topic = aws.sns.Topic(
            f"{self._name}-alerts",
            name=self._names.plain("alerts"),
            kms_master_key_id=self._records_key().arn,
            opts=self._account.under(self),
        )
        arn = self._names.alerts_arn
        told = arn_after(topic.name, arn)
        alarms = self._names.arn("cloudwatch", f"alarm:{self._names.plain('')}*")
        aws.sns.TopicPolicy(
            f"{self._name}-alerts-policy",
            arn=told,
            policy=resource_policies.publishers(
                arn, self._names.account, alarms, [self._names.rule_arn("rotation-failures")]
            ),
            opts=self._account.under(self),
        )
        for email in self._args.alert_emails:
            digest = hashlib.sha256(email.encode()).hexdigest()[:8]  # by its place, others would be lost
            aws.sns.TopicSubscription(
                f"{self._name}-alerts-email-{digest}",
                topic=told,
                protocol="email",
                endpoint=email,
                opts=self._account.under(self),
            )
        return told
