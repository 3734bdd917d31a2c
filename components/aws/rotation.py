"""The AWS store's rotator: a function for each secret that Secrets Manager rotates, and the hourly tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from secretops.manifest import Manifest, Secret
from secretops.platforms.aws.location import AwsPrivateCaIssuer

from ..core.broker import BrokerArgs
from ..core.component import Component
from . import policies
from .access import TICK, read_to_rotate, rotated, rotator_of
from .function_package import package_of
from .functions import Code, Queue, StackFunction
from .names import Names, arn_after
from .principals import AwsAccount
from .roles import stack_role
from .settings import AwsStore

WINDOW = "3h"
"""From midnight UTC on the day that a rotation is due: when Secrets Manager begins it."""

STEP_SECONDS = 300
"""At most for one step: the lease is waited for a minute, a broker that does not answer for less."""

TICK_SECONDS = 600

STEP_QUEUE = Queue(retries=0, seconds=900)
"""Where Secrets Manager calls asynchronously, of which AWS' pages say nothing: it tries a failed rotation again itself,
so Lambda's retries would only come between. A step that has waited for long is of an attempt that AWS has given up."""

TICK_QUEUE = Queue(retries=1, seconds=1800)
"""Again after a minute, which outlasts a broker's restart; for what lasts longer the next tick comes within the hour.
None waits so long that it meets the next one."""

DELIVERIES = 2
"""How often EventBridge Scheduler tries again to hand a tick over to Lambda. It calls asynchronously: of a tick that
then fails it learns nothing, and Lambda's queue decides."""


class AwsRotators(Component):
    """Rotation on AWS' own schedule, and a tick for what Secrets Manager doesn't do: retire, remind, finish.

    Owns the functions, who may call them, and the schedules; never a value. A rotation never begins at once: a secret
    has no value then, and AWS tests its function with a version that is empty.
    """

    def __init__(
        self,
        name: str,
        *,
        manifest: Manifest,
        store: AwsStore,
        broker: BrokerArgs,
        names: Names,
        account: AwsAccount,
        lease: aws.dynamodb.Table,
        secrets: Mapping[str, aws.secretsmanager.Secret],
        guards: Mapping[str, pulumi.Resource],
        keys: Mapping[str, str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:aws:Rotators", name, opts)
        self._store, self._names, self._account, self._keys = store, names, account, keys
        self._lease, self._secrets, self._guards = lease, secrets, guards
        package = package_of(manifest, broker)
        self.rotating = {
            rotator_of(secret.name): self._rotate(
                secret,
                read_to_rotate(secret, manifest.secrets, certificate=broker.client_certificate),
                Code(archive=package, handler=f"{_ENTRY}.rotate", seconds=STEP_SECONDS, queue=STEP_QUEUE),
            )
            for secret in rotated(manifest.secrets)
        }
        self.tick = self._tick(
            Code(archive=package, handler=f"{_ENTRY}.tick", seconds=TICK_SECONDS, queue=TICK_QUEUE),
            [one.issuer for one in manifest.secrets if isinstance(one.issuer, AwsPrivateCaIssuer)],
        )
        self.register_outputs({})

    def _rotate(self, secret: Secret, others: Sequence[str], code: Code) -> StackFunction:
        """The function of one secret, and its schedule."""
        what = rotator_of(secret.name)
        itself = self._names.function_arn(what)
        made = self._function(
            what,
            code,
            self._values((*policies.READ, *policies.WRITE), (secret.name,), rotated_by=itself),
            policies.lease(self._names.lease_arn),
            *([self._values(policies.READ, others)] if others else []),
            *self._key_use(policies.USE, (secret.name,)),
            *(self._key_use(("kms:Decrypt",), others, regions=[self._store.region]) if others else []),
        )
        called = aws.lambda_.Permission(
            f"{what}-called",
            action="lambda:InvokeFunction",
            function=made.function.name,
            principal="secretsmanager.amazonaws.com",
            source_account=self._names.account,
            # Lambda compares it by StringLike: docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
            source_arn=self._names.secret_pattern(secret.name),
            opts=self._account.under(self),
        )
        aws.secretsmanager.SecretRotation(
            f"{what}-schedule",
            secret_id=self._secrets[secret.name].arn,
            rotation_lambda_arn=made.arn,
            rotate_immediately=False,
            rotation_rules={"automatically_after_days": secret.cadence_days, "duration": WINDOW},
            opts=self._account.under(self, after=[called, made.granted, self._lease, self._guards[secret.name]]),
        )
        return made

    def _tick(self, code: Code, issuers: Sequence[AwsPrivateCaIssuer]) -> StackFunction:
        """The function of the tick, which has certificates signed by `issuers`, and what calls it each hour."""
        made = self._function(
            TICK,
            code,
            self._values((*policies.READ, *policies.WRITE), tuple(self._secrets)),
            policies.lease(self._names.lease_arn),
            *self._key_use(policies.USE, tuple(self._secrets)),
            *(statement for issuer in issuers for statement in policies.signature(issuer)),
        )
        name = self._names.plain(TICK)
        trust = policies.trusted(
            "scheduler",
            account=self._names.account,
            source=self._names.arn("scheduler", "schedule-group/default"),
        )
        role = stack_role("schedule", trust, names=self._names, account=self._account, parent=self)
        granted = aws.iam.RolePolicy(
            "schedule-grants",
            role=role.name,
            policy=policies.document(
                policies.allow(("lambda:InvokeFunction",), [self._names.function_arn(TICK)]),
                policies.allow(("sqs:SendMessage",), [self._names.letters_arn]),
            ),
            opts=self._account.under(self),
        )
        aws.scheduler.Schedule(
            "schedule",
            name=name,
            description=f"secretops tick, stack {self._names.stack}",
            schedule_expression="rate(1 hour)",
            flexible_time_window={"mode": "FLEXIBLE", "maximum_window_in_minutes": 5},
            target={
                "arn": made.arn,
                "role_arn": arn_after(role.name, self._names.role_arn("schedule")),
                "dead_letter_config": {"arn": self._account.letters},
                "retry_policy": {"maximum_retry_attempts": DELIVERIES, "maximum_event_age_in_seconds": 1800},
            },
            opts=self._account.under(self, after=[granted, made.granted, self._lease, *self._guards.values()]),
        )
        return made

    def _function(self, what: str, code: Code, *grants: policies.Statement) -> StackFunction:
        return StackFunction(
            what,
            names=self._names,
            account=self._account,
            code=code,
            grants=grants,
            vpc=self._store.vpc,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _values(
        self, actions: Sequence[str], secrets: Sequence[str], *, rotated_by: str | None = None
    ) -> policies.Statement:
        """Through the VPC's endpoint alone, where there is one."""
        way_out = self._store.vpc.way_out if self._store.vpc else None
        endpoint = way_out if way_out and way_out.startswith("vpce-") else None
        arns = [self._names.secret_pattern(secret) for secret in secrets]
        return policies.values(actions, arns, rotated_by=rotated_by, endpoint=endpoint)

    def _key_use(
        self, actions: Sequence[str], secrets: Sequence[str], *, regions: Sequence[str] | None = None
    ) -> list[policies.Statement]:
        """The key of each region that has a copy: what is written here is written there on the same role's behalf."""
        return [
            policies.key_use(
                actions if region == self._store.region else policies.COPY,
                key,
                region,
                [self._names.at(region).secret_pattern(secret) for secret in secrets],
            )
            for region, key in self._keys.items()
            if regions is None or region in regions
        ]


_ENTRY = "secretops.platforms.aws.lambda_handler"
