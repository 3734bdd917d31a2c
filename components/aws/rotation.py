"""Rotation functions of the AWS store, and the hourly tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
import pulumi_aws as aws

from secretops.manifest import Manifest, Secret
from secretops.platforms.aws.location import AwsPrivateCaIssuer, AwsStoreLocation

from ..core.broker import BrokerArgs, ca_bundle
from ..core.component import Component, ComponentError, is_mocked
from ..core.secret_store import SecretStoreArgs
from ..core.secrets import CLIENT_CERT
from . import policies
from .access import TICK, read_to_rotate, rotated, rotator_of
from .functions import FunctionArgs, Queue, StackFunction, Vpc
from .identity import AwsArgs, stack_role
from .lambda_package import COMMAND, ZIP, is_current
from .names import Names, applied
from .principals import AwsAccount

# Secrets Manager starts a rotation in this window, from midnight UTC of its due day.
WINDOW = "3h"

# Timeout of a rotation step in seconds. The step waits up to a minute for the lease, and less for a broker.
STEP_SECONDS = 300

TICK_SECONDS = 600

# No retries: Secrets Manager itself retries a failed rotation, and a step that waited longer belongs to an abandoned
# attempt.
STEP_QUEUE = Queue(retries=0, seconds=900)

# One retry after a minute, in case the broker is restarting. The next tick is within the hour.
TICK_QUEUE = Queue(retries=1, seconds=1800)

# Path of the broker's CA certificates in a function, in the folder where Lambda unpacks the package.
CA_FILE = "/var/task/ca.crt"

# Retries of EventBridge Scheduler to invoke Lambda. Lambda's own queue retries if the function fails.
DELIVERIES = 2


@dataclass(frozen=True, kw_only=True)
class AwsRotationArgs(AwsArgs):
    broker: BrokerArgs
    secrets: Sequence[Secret] | None = None
    """The stack's secrets, found by `prefix` and name; by default those of the Secret Management Guide."""
    manifest: Manifest | None = None
    """The `manifest` of a store; by default built from the other arguments."""
    vpc: Vpc | None = None
    keys: Mapping[str, pulumi.Input[str]] | None = None
    """ARN of the secrets' KMS key in each region. By default, roles may use all keys of `region`, but only for these
    secrets."""
    arns: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """ARN of each secret. By default the component uses the secret's name."""
    lease: aws.dynamodb.Table | None = None
    """DynamoDB table for the lease; by default the component creates a table."""
    guards: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    """For each secret, a resource that must exist before its first rotation, such as its policy."""


def check_package() -> None:
    """Raise ComponentError if the functions' package is missing or outdated."""
    if not is_current():
        state = "is older than the sources" if ZIP.exists() else "is missing"
        raise ComponentError(
            f"dist/lambda.zip {state}",
            "the package of the rotation functions must exist, and must not be older than the program's sources",
            COMMAND,
            code="lambda-package-missing",
        )


class AwsRotation(Component):
    """Functions that rotate secrets on Secrets Manager's schedule, and the function of the hourly tick.

    No secret rotates when it is created, since it has no value yet. Raises ComponentError if the functions' package is
    missing or outdated, except under Pulumi's mocks.
    """

    manifest: Manifest
    """The functions' configuration, which is public."""

    def __init__(self, name: str, args: AwsRotationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if not is_mocked():
            check_package()
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
            # The pattern may have wildcards: docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
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
        way_out = self._args.vpc.way_out if self._args.vpc else None
        arns = [self._names.secret_pattern(secret) for secret in secrets]
        return policies.values(actions, arns, rotated_by=rotated_by, way_out=way_out)


def lease_table(resource: str, account: AwsAccount, parent: Component) -> aws.dynamodb.Table:
    """Declare the lease's table. It needs no backup: in an empty table the lease is free (docs/adr/0006)."""
    return aws.dynamodb.Table(
        resource,
        name=account.names.lease,
        billing_mode="PAY_PER_REQUEST",
        hash_key="id",
        attributes=[{"name": "id", "type": "S"}],
        opts=account.under(parent),
    )


def location_of(names: Names, secrets: Sequence[Secret]) -> AwsStoreLocation:
    return AwsStoreLocation(
        account=names.account,
        region=names.region,
        secrets={secret.name: names.secret(secret.name) for secret in secrets},
        fields={secret.name: secret.fields for secret in secrets},
        lease=names.lease_arn,
    )


def _package(manifest: Manifest, broker: BrokerArgs) -> pulumi.AssetArchive:
    """Return dist/lambda.zip with the manifest and CA certificates added: Lambda limits environment variables to 4
    KB."""
    own: dict[str, pulumi.Asset | pulumi.Archive] = {
        ".": pulumi.FileArchive(str(ZIP)),
        "secretops.json": pulumi.StringAsset(manifest.model_dump_json(indent=1) + "\n"),
    }
    if broker.ca_file:
        own[Path(CA_FILE).name] = pulumi.StringAsset(ca_bundle(broker.ca_file))
    return pulumi.AssetArchive(own)


def resolved(manifest: Manifest) -> pulumi.Input[Manifest]:
    """Return the manifest. It is an output if a name or ARN in it is an output."""
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
