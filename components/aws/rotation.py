"""The AWS store's rotator: a function for each secret that Secrets Manager rotates, and the hourly tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
import pulumi_aws as aws

from secretops.manifest import Manifest, Secret
from secretops.platforms.aws.location import AwsPrivateCaIssuer, AwsStoreLocation

from ..core.broker import BrokerArgs, ca_bundle
from ..core.component import Component, is_mocked
from ..core.secret_store import SecretStoreArgs
from ..core.secrets import CLIENT_CERT
from . import policies
from .access import TICK, read_to_rotate, rotated, rotator_of
from .functions import FunctionArgs, Queue, StackFunction, Vpc
from .identity import AwsArgs, stack_role
from .lambda_package import ZIP, problem
from .names import Names, applied
from .principals import AwsAccount

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

CA_FILE = "/var/task/ca.crt"
"""Where a function finds the CA certificates of a broker that a private CA signs: Lambda unpacks packages there."""

DELIVERIES = 2
"""How often EventBridge Scheduler tries again to hand a tick over to Lambda. It calls asynchronously: of a tick that
then fails it learns nothing, and Lambda's queue decides."""


@dataclass(frozen=True, kw_only=True)
class AwsRotationArgs(AwsArgs):
    """Arguments of AwsRotation."""

    broker: BrokerArgs
    """The MQTT broker whose users secretops rotates."""
    secrets: Sequence[Secret] | None = None
    """The secrets, each called `prefix` and its name; by default those of the Secret Management Guide."""
    manifest: Manifest | None = None
    """What the functions know of the stack: `manifest` of a store; by default made of the other arguments."""
    vpc: Vpc | None = None
    """Where the functions run, for a broker that only a VPC reaches."""
    keys: Mapping[str, pulumi.Input[str]] | None = None
    """Region -> ARN of the KMS key of the secrets there; by default each key of `region`, for these secrets alone."""
    arns: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Secret -> its ARN; by default AWS finds it by its name."""
    lease: aws.dynamodb.Table | None = None
    """The table of the lease; by default one is made."""
    guards: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    """Secret -> what has to exist before its first rotation, such as its policy."""


class AwsRotation(Component):
    """Rotation on AWS' own schedule, and a tick for what Secrets Manager doesn't do: retire, remind, finish.

    Owns the functions, who may call them, and the schedules; never a value. A rotation never begins at once: a secret
    has no value then, and AWS tests its function with a version that is empty. Raises pulumi.RunError if the package of
    the functions is missing or old, except in a mocks test.
    """

    manifest: Manifest
    """What the functions know of the stack. Public."""

    def __init__(self, name: str, args: AwsRotationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if not is_mocked() and (found := problem()):
            raise pulumi.RunError(found)
        super().__init__("coreflux-mcp-secrets:aws:Rotation", name, opts, formerly="")
        self._args, self._account = args, args.open_account(name, self)
        self._names = self._account.names
        self._keys = args.keys or {args.region: self._names.any_key}
        self._lease = args.lease or lease_table(f"{name}-lease", self._account, self)
        known = args.manifest or _manifest(args, self._names)
        inside = known.broker.model_copy(update={"ca_file": CA_FILE if args.broker.ca_file else None})
        self.manifest = known.model_copy(update={"broker": inside})
        package = applied(resolved(self.manifest), lambda manifest: _package(manifest, args.broker))
        for secret in rotated(known.secrets):
            others = read_to_rotate(secret, known.secrets, certificate=args.broker.client_certificate)
            self._rotate(secret, others, package)
        self._tick(package)
        self.register_outputs({})

    def _rotate(self, secret: Secret, others: Sequence[str], package: pulumi.Input[pulumi.Archive]) -> None:
        """Declare the function of one secret, and its schedule."""
        what, names = rotator_of(secret.name), self._names
        reads, opens = [], []
        if others:
            arns = [names.secret_pattern(other) for other in others]
            reads = [self._values(policies.READ, others)]
            opens = [policies.key_use(("kms:Decrypt",), self._keys[names.region], names.region, arns)]
        made = self._function(
            FunctionArgs(
                account=self._account,
                called=what,
                archive=package,
                handler=f"{_ENTRY}.rotate",
                seconds=STEP_SECONDS,
                queue=STEP_QUEUE,
                vpc=self._args.vpc,
                grants=[
                    self._values(
                        (*policies.READ, *policies.WRITE), (secret.name,), rotated_by=names.function_arn(what)
                    ),
                    policies.lease(names.lease_arn),
                    *reads,
                    *policies.copied(names, self._keys, (secret.name,)),
                    *opens,
                ],
            )
        )
        called = aws.lambda_.Permission(
            f"{self._name}-{what}-called",
            action="lambda:InvokeFunction",
            function=made.function.name,
            principal="secretsmanager.amazonaws.com",
            source_account=names.account,
            # Lambda compares it by StringLike: docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
            source_arn=names.secret_pattern(secret.name),
            opts=self._account.under(self),
        )
        guards = [self._args.guards[secret.name]] if secret.name in self._args.guards else []
        aws.secretsmanager.SecretRotation(
            f"{self._name}-{what}-schedule",
            secret_id=self._args.arns.get(secret.name) or names.secret(secret.name),
            rotation_lambda_arn=made.arn,
            rotate_immediately=False,
            rotation_rules={"automatically_after_days": secret.cadence_days, "duration": WINDOW},
            opts=self._account.under(self, after=[called, made.granted, self._lease, *guards]),
        )

    def _tick(self, package: pulumi.Input[pulumi.Archive]) -> None:
        """Declare the function of the tick, and the schedule that calls it each hour."""
        names, secrets = self._names, self.manifest.secrets
        made = self._function(
            FunctionArgs(
                account=self._account,
                called=TICK,
                archive=package,
                handler=f"{_ENTRY}.tick",
                seconds=TICK_SECONDS,
                queue=TICK_QUEUE,
                vpc=self._args.vpc,
                grants=policies.of_tick(
                    names,
                    [secret.name for secret in secrets],
                    keys=self._keys,
                    way_out=self._args.vpc.way_out if self._args.vpc else None,
                    issuers=[one.issuer for one in secrets if isinstance(one.issuer, AwsPrivateCaIssuer)],
                ),
            )
        )
        trust = policies.trusted(
            "scheduler", account=names.account, source=names.arn("scheduler", "schedule-group/default")
        )
        role = stack_role(f"{self._name}-schedule-role", "schedule", trust, account=self._account, parent=self)
        granted = aws.iam.RolePolicy(
            f"{self._name}-schedule-grants",
            role=role.name,
            policy=policies.document(
                policies.allow(("lambda:InvokeFunction",), [names.function_arn(TICK)]),
                policies.allow(("sqs:SendMessage",), [names.letters_arn]),
            ),
            opts=self._account.under(self),
        )
        aws.scheduler.Schedule(
            f"{self._name}-schedule",
            name=names.plain(TICK),
            description=f"secretops tick, stack {names.stack}",
            schedule_expression="rate(1 hour)",
            flexible_time_window={"mode": "FLEXIBLE", "maximum_window_in_minutes": 5},
            target={
                "arn": made.arn,
                "role_arn": role.arn_output,
                "dead_letter_config": {"arn": self._account.letters},
                "retry_policy": {"maximum_retry_attempts": DELIVERIES, "maximum_event_age_in_seconds": 1800},
            },
            opts=self._account.under(self, after=[granted, made.granted, self._lease, *self._args.guards.values()]),
        )

    def _function(self, args: FunctionArgs) -> StackFunction:
        return StackFunction(f"{self._name}-{args.called}", args, pulumi.ResourceOptions(parent=self))

    def _values(
        self, actions: Sequence[str], secrets: Sequence[str], *, rotated_by: str | None = None
    ) -> pulumi.Input[policies.Statement]:
        """Through the VPC's endpoint alone, where there is one."""
        way_out = self._args.vpc.way_out if self._args.vpc else None
        arns = [self._names.secret_pattern(secret) for secret in secrets]
        return policies.values(actions, arns, rotated_by=rotated_by, way_out=way_out)


def lease_table(resource: str, account: AwsAccount, parent: Component) -> aws.dynamodb.Table:
    """Declare the table of the lease, which needs no backup: without an item the lease is free (docs/adr/0006)."""
    return aws.dynamodb.Table(
        resource,
        name=account.names.lease,
        billing_mode="PAY_PER_REQUEST",
        hash_key="id",
        attributes=[{"name": "id", "type": "S"}],
        opts=account.under(parent),
    )


def location_of(names: Names, secrets: Sequence[Secret]) -> AwsStoreLocation:
    """Return where the values of secrets are, by names alone."""
    return AwsStoreLocation(
        account=names.account,
        region=names.region,
        secrets={secret.name: names.secret(secret.name) for secret in secrets},
        fields={secret.name: secret.fields for secret in secrets},
        lease=names.lease_arn,
    )


def _package(manifest: Manifest, broker: BrokerArgs) -> pulumi.AssetArchive:
    """Return dist/lambda.zip with the manifest and the CA certificates, both public.

    They are files, because a function's variables have 4 KB together.
    """
    own: dict[str, pulumi.Asset | pulumi.Archive] = {
        ".": pulumi.FileArchive(str(ZIP)),
        "secretops.json": pulumi.StringAsset(manifest.model_dump_json(indent=1) + "\n"),
    }
    if broker.ca_file:
        own[Path(CA_FILE).name] = pulumi.StringAsset(ca_bundle(broker.ca_file))
    return pulumi.AssetArchive(own)


def resolved(manifest: Manifest) -> pulumi.Input[Manifest]:
    """Return the manifest, once known if it has outputs: the alert topic, the trail's log group, a CA's ARN."""
    store = manifest.store
    assert isinstance(store, AwsStoreLocation)  # noqa: S101
    of_ca = {secret.name: secret.issuer for secret in manifest.secrets if isinstance(secret.issuer, AwsPrivateCaIssuer)}
    later = {"alerts": store.alerts, "log_group": store.log_group, **{name: each.arn for name, each in of_ca.items()}}
    if not any(isinstance(each, pulumi.Output) for each in later.values()):
        return manifest

    def known(found: Mapping[str, str]) -> Manifest:
        at = store.model_copy(update={key: found[key] for key in ("alerts", "log_group")})
        secrets = [
            secret.model_copy(update={"issuer": of_ca[secret.name].model_copy(update={"arn": found[secret.name]})})
            if secret.name in of_ca
            else secret
            for secret in manifest.secrets
        ]
        return manifest.model_copy(update={"store": at, "secrets": tuple(secrets)})

    return pulumi.Output.all(**later).apply(known)


def _manifest(args: AwsRotationArgs, names: Names) -> Manifest:
    of_stack = SecretStoreArgs(broker=args.broker, secrets=args.secrets, stack=names.stack)
    broker = args.broker.location(certificate_secret=CLIENT_CERT)
    return of_stack.manifest(store=location_of(names, of_stack.every_secret), broker=broker)


_ENTRY = "secretops.platforms.aws.lambda_handler"
