"""The AWS store's trail: CloudTrail, its records under lock, and who is told of what should not happen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from ..core.component import Component
from ..core.secret_store import Trail
from . import policies, resource_policies
from .alarms import Alarms
from .names import Names, arn_after
from .patterns import rotation_failed, who_read_what
from .principals import AwsAccount
from .roles import stack_role
from .settings import AwsStore

KEY_RECOVERY_DAYS = 30
"""KMS' longest: without this key nobody reads the records."""


def alarmed_log_group(store: AwsStore, names: Names) -> str:
    """Return the name of CloudTrail's log group, which the alarms read."""
    return store.existing_trail.log_group if store.existing_trail else names.log_group("trail")


class AwsTrail(Component):
    """Owns the trail (unless one is named), its bucket and log, the alarms and the topic; never a value."""

    def __init__(
        self,
        name: str,
        *,
        store: AwsStore,
        production: bool,
        names: Names,
        account: AwsAccount,
        keys: Mapping[str, pulumi.Input[str]],
        declared: Sequence[str],
        functions: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:aws:Trail", name, opts)
        self._store, self._production, self._names, self._account = store, production, names, account
        self._key: aws.kms.Key | None = None
        log_group: pulumi.Input[str]
        if store.existing_trail:
            log_group, records = store.existing_trail.log_group, store.existing_trail.arn
        else:
            if store.object_lock == "compliance":
                pulumi.log.warn(
                    "store.object_lock: compliance is for good: nobody, not even the account's root, deletes a record "
                    f"of the trail or shortens its {store.retention_days} days, and each is paid for as long",
                    self,
                )
            log_group, records = self._record(), f"s3://{names.bucket}/AWSLogs/{names.account}/CloudTrail/"
        rule = self._rule()
        topic = store.alert_topic or self._topic()
        aws.cloudwatch.EventTarget("rotation-failures-told", rule=rule.name, arn=topic, opts=account.under(self))
        alarms = Alarms(parent=self, account=account, names=names, topic=topic)
        group = alarmed_log_group(store, names)
        alarms.of_log(
            log_group,
            group=group,
            keys=[*keys.values(), *([self._key.arn] if self._key else [])],
            declared=declared,
            functions=functions,
            bucket=None if store.existing_trail else names.bucket,
            topic=store.alert_topic or names.alerts_arn,
        )
        alarms.of_functions()
        self.trail = Trail(
            records=f"{records} and the log group {group}",
            query=who_read_what(names),
        )
        self.register_outputs({"records": records})

    def _record(self) -> pulumi.Output[str]:
        """A trail of the stack's own. Gives its log group's name."""
        trail = self._names.arn("cloudtrail", f"trail/{self._names.plain('trail')}")
        key = self._records_key(trail)
        bucket, ready = self._bucket(key, trail)
        group = self._names.log_group("trail")
        log = aws.cloudwatch.LogGroup(
            "trail-log",
            name=group,
            retention_in_days=self._store.retention_days,
            kms_key_id=key.arn,
            opts=self._account.under(self, protect=self._production),
        )
        role = stack_role(
            "trail", policies.trusted("cloudtrail"), names=self._names, account=self._account, parent=self
        )
        granted = aws.iam.RolePolicy(
            "trail-grants",
            role=role.name,
            policy=policies.document(policies.own_log(self._names.log_arn(group))),
            opts=self._account.under(self),
        )
        aws.cloudtrail.Trail(
            "trail-trail",
            name=self._names.plain("trail"),
            s3_bucket_name=bucket.bucket,
            kms_key_id=key.arn,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            cloud_watch_logs_group_arn=arn_after(log.name, f"{self._names.log_arn(group)}:*"),
            cloud_watch_logs_role_arn=arn_after(role.name, self._names.role_arn("trail")),
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

    def _bucket(self, key: aws.kms.Key, trail: str) -> tuple[aws.s3.Bucket, list[pulumi.Resource]]:
        """Where the records lie, and what has to be there before the first of them."""
        child, days = self._kept(), self._store.retention_days
        bucket = aws.s3.Bucket(
            "trail-bucket",
            bucket=self._names.bucket,
            object_lock_enabled=True,
            force_destroy=not self._production,
            opts=self._kept(protect=self._production),
        )
        at = bucket.bucket
        closed = aws.s3.BucketPublicAccessBlock(
            "trail-bucket-closed",
            bucket=at,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        owned = aws.s3.BucketOwnershipControls(
            "trail-bucket-owned", bucket=at, rule={"object_ownership": "BucketOwnerEnforced"}, opts=child
        )
        versioned = aws.s3.BucketVersioning(
            "trail-bucket-versioned", bucket=at, versioning_configuration={"status": "Enabled"}, opts=child
        )
        encrypted = aws.s3.BucketServerSideEncryptionConfiguration(
            "trail-bucket-encrypted",
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
            "trail-bucket-locked",
            bucket=at,
            rule={"default_retention": {"mode": self._store.object_lock.upper(), "days": days}},
            opts=self._kept(after=[versioned]),
        )
        aws.s3.BucketLifecycleConfiguration(
            "trail-bucket-lifecycle",
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
            "trail-bucket-policy",
            bucket=at,
            policy=resource_policies.trail_bucket_policy(self._names.bucket_arn, trail, self._names.account),
            opts=self._kept(after=[closed]),
        )
        return bucket, [policy, closed, owned, encrypted, locked]

    def _records_key(self, trail: str | None = None) -> aws.kms.Key:
        """The key of records and alerts, another one than the values': services use it."""
        if self._key is None:
            self._key = aws.kms.Key(
                "trail-key",
                description=f"Trail and alerts of the Coreflux MCP server's secrets, stack {self._names.stack}",
                enable_key_rotation=True,
                deletion_window_in_days=KEY_RECOVERY_DAYS if self._production else 7,
                policy=resource_policies.records_key_policy(
                    self._names.root,
                    number=self._names.account,
                    region=self._names.region,
                    trail=trail or self._names.arn("cloudtrail", f"trail/{self._names.plain('trail')}"),
                    groups=self._names.log_arn(self._names.log_group("trail")),
                    topic=self._names.alerts_arn,
                ),
                opts=self._kept(protect=self._production),
            )
        return self._key

    def _rule(self) -> aws.cloudwatch.EventRule:
        """What Secrets Manager says of a rotation that failed."""
        return aws.cloudwatch.EventRule(
            "rotation-failures",
            name=self._names.plain("rotation-failures"),
            description="A rotation of a secret of this stack failed",
            event_pattern=pulumi.Output.json_dumps(rotation_failed(self._names)),
            opts=self._account.under(self),
        )

    def _topic(self) -> pulumi.Output[str]:
        """Where alerts go, for whoever subscribes: the stack's alert_emails do."""
        topic = aws.sns.Topic(
            "alerts",
            name=self._names.plain("alerts"),
            kms_master_key_id=self._records_key().arn,
            opts=self._account.under(self),
        )
        arn = self._names.alerts_arn
        told = arn_after(topic.name, arn)
        alarms = self._names.arn("cloudwatch", f"alarm:{self._names.plain('')}*")
        aws.sns.TopicPolicy(
            "alerts-policy",
            arn=told,
            policy=resource_policies.publishers(
                arn, self._names.account, alarms, [self._names.rule_arn("rotation-failures")]
            ),
            opts=self._account.under(self),
        )
        for email in self._store.alert_emails:
            aws.sns.TopicSubscription(
                f"alerts-email-{hashlib.sha256(email.encode()).hexdigest()[:8]}",  # by its place, others would be lost
                topic=told,
                protocol="email",
                endpoint=email,
                opts=self._account.under(self),
            )
        return told
