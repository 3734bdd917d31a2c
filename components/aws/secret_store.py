"""Secrets Manager as a store.

Versions are not resources of the stack: otherwise their values would be in Pulumi's state (docs/adr/0001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pulumi
import pulumi_aws as aws

from secretops.manifest import Reader, Secret, SecretKind

from ..core.component import ComponentError
from ..core.principals import Principal
from ..core.references import Fetched, NativeRef, SyncedKey
from ..core.secret_store import SecretStore, SecretStoreArgs, Trail
from ..core.secrets import CLIENT_CERT, variables_of
from . import policies, resource_policies
from .access import TICK, Access, access_of, declared_callers, rotated, rotator_of
from .access_trail import AwsAccessTrail, AwsAccessTrailArgs, TrailOptions
from .functions import Vpc
from .identity import AwsArgs
from .names import applied
from .principals import AwsAccount, AwsCaller, AwsPods, AwsReader, EcsTask
from .redeploy import AGAIN
from .rotation import AwsRotation, AwsRotationArgs, lease_table, location_of, resolved

# Days until a deleted secret of a production stack is gone: AWS' maximum.
RECOVERY_DAYS = 30

# Days until a deleted key is gone: True for production stacks, False for others.
KEY_RECOVERY_DAYS = {True: 30, False: 7}


@dataclass(frozen=True, kw_only=True)
class AwsSecretStoreArgs(SecretStoreArgs, AwsArgs, TrailOptions):
    operators: Sequence[str]
    """ARNs of roles and users that may put and read values. Everybody else is denied, administrators included."""
    reader: AwsReader | None = None
    """The identity that reads for the server, such as AwsCaller(arn=...) for an existing role or user."""
    copilot: bool = True
    """Whether the server reads the agent's key."""
    replica_regions: Sequence[str] = ()
    """Regions with a replica of each secret, encrypted with the region's own key."""
    kms_key: pulumi.Input[str] | None = None
    """ARN of your own KMS key for the secrets. You set its policy. By default the component creates a key."""
    vpc: Vpc | None = None


class AwsSecretStore(SecretStore):
    """Secrets Manager as a store: keys, secrets, policies, rotation and trail. Contains no secret values."""

    account: AwsAccount
    """Provider and dead-letter queue, to pass to other components as `shared`."""

    def __init__(self, name: str, args: AwsSecretStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:aws:SecretStore", name, opts, formerly="")
        self._args, self._production, self.account = args, args.production, args.open_account(name, self)
        self._names = self.account.names
        self._access = access_of(
            args.every_secret,
            self._names,
            server=_arn_of(args.reader) if args.reader else None,
            operators=args.operators,
            certificate=args.broker.client_certificate,
        )
        trail = args.existing_trail
        self.manifest = args.manifest(
            store=location_of(self._names, args.every_secret).model_copy(
                update={
                    "alerts": args.alert_topic or self._names.alerts_arn,
                    "log_group": trail.log_group if trail else self._names.log_group("trail"),
                    "readers": {self._names.secret(secret): who.readers for secret, who in self._access.items()},
                }
            ),
            broker=args.broker.location(certificate_secret=CLIENT_CERT),
        )
        self._guards: dict[str, pulumi.Resource] = {}
        regions = (args.region, *args.replica_regions)
        self._keys: dict[str, pulumi.Input[str]] = (
            {args.region: args.kms_key} if args.kms_key else {region: self._key(region).arn for region in regions}
        )
        self._lease = lease_table(f"{name}-lease", self.account, self)
        self._named_keys: dict[str, pulumi.Input[str]] = {
            region: args.kms_key or self._names.at(region).any_key for region in self._keys
        }
        self._secrets = {secret: self._secret(secret, who) for secret, who in self._access.items()}
        self.register_outputs({"region": args.region})

    @property
    def manifest_output(self) -> pulumi.Input[Mapping[str, Any]]:
        """Return the manifest, as an output if a part of it is known only after the deployment."""
        return applied(resolved(self.manifest), lambda manifest: manifest.model_dump(mode="json"))

    def publish(self, *, reader: Principal) -> NativeRef | SyncedKey | Fetched:
        """Grant the reader's role access to the server's secrets and their key.

        An existing role or user gets access by resource policies alone. Raises ComponentError unless `reader` is the
        reader in the store's arguments.
        """
        if not isinstance(reader, AwsReader):
            raise TypeError(f"{reader}: has no AWS identity to read with")
        if self._args.reader is None or _arn_of(self._args.reader) != _arn_of(reader):
            raise ComponentError(
                f"{self._name}: {_arn_of(reader)} is not a declared reader",
                "the store's arguments must declare the reader: the policy of each secret denies everybody else",
                "pass this reader as `reader` in the store's arguments",
                code="reader-not-declared",
            )
        for_server = tuple(secret for secret in self.manifest.secrets if self._is_read(secret))
        secrets = tuple(secret.name for secret in for_server)
        match reader:
            case AwsCaller():
                return self._fetched(secrets)
            case AwsPods():
                self._grant(reader.reads.name, ("secretsmanager:GetSecretValue",), secrets)
                jwt = {"serviceAccountRef": {"name": reader.syncs_as}}
                provider = {"service": "SecretsManager", "region": self._names.region, "auth": {"jwt": jwt}}
                remotes = {name: self._names.secret(name) for name in secrets}
                return SyncedKey(provider={"aws": provider}, secrets=secrets, remotes=remotes)
            case EcsTask(injected=True):
                self._grant(reader.reads.name, ("secretsmanager:GetSecretValue",), secrets)
                return self._native(for_server)
            case EcsTask():
                self._grant(reader.reads.name, policies.READ, secrets)
                return self._fetched(secrets)

    def _grant(self, role: pulumi.Output[str], actions: Sequence[str], secrets: Sequence[str]) -> None:
        arns = [self._names.secret_pattern(secret) for secret in secrets]
        aws.iam.RolePolicy(
            f"{self._name}-server-secrets",
            role=role,
            policy=policies.document(
                policies.values(actions, arns),
                policies.key_use(("kms:Decrypt",), self._named_keys[self._names.region], self._names.region, arns),
            ),
            opts=self.account.under(self),
        )

    def _fetched(self, secrets: tuple[str, ...]) -> Fetched:
        place = f"{self._names.region}/{self._names.secrets}{'+'.join(secrets)}"
        return Fetched(source=f"aws-sm:{place}", secrets=secrets, login_variable="AWS_SHARED_CREDENTIALS_FILE")

    def _native(self, secrets: Sequence[Secret]) -> NativeRef:
        return NativeRef(
            source="env:",
            secrets=tuple(secret.name for secret in secrets),
            variables={
                variable: pulumi.Output.concat(self._secrets[secret.name].arn, f":{field}::")
                for secret in secrets
                for field, variable in variables_of(secret).items()
            },
        )

    def rotate(self) -> str:
        former = pulumi.Alias(name="rotators", type_="coreflux-mcp-secrets:aws:Rotators")
        AwsRotation(
            f"{self._name}-rotation",
            AwsRotationArgs(
                **self.account.args,
                broker=self._args.broker,
                manifest=self.manifest,
                vpc=self._args.vpc,
                keys=self._named_keys,
                arns={secret: made.arn for secret, made in self._secrets.items()},
                lease=self._lease,
                guards=self._guards,
            ),
            pulumi.ResourceOptions(parent=self, aliases=[former]),
        )
        return ""

    def record_access(self) -> Trail:
        former = pulumi.Alias(name="trail", type_="coreflux-mcp-secrets:aws:Trail")
        reader = self._args.reader
        rotating = [rotator_of(secret.name) for secret in rotated(self.manifest.secrets)]
        made = AwsAccessTrail(
            f"{self._name}-trail",
            AwsAccessTrailArgs(
                **self.account.args,
                **{field.name: getattr(self._args, field.name) for field in fields(TrailOptions)},
                production=self._production,
                keys=list(self._keys.values()),
                declared=declared_callers(self._args.operators, reader.arn if isinstance(reader, AwsCaller) else None),
                functions=[TICK, *rotating, *([AGAIN] if isinstance(reader, EcsTask) and reader.injected else [])],
            ),
            pulumi.ResourceOptions(parent=self, aliases=[former]),
        )
        return made.trail

    def _is_read(self, secret: Secret) -> bool:
        wanted = self._args.copilot or secret.kind is not SecretKind.AGENT_KEY
        return Reader.SERVER in secret.readers and wanted

    def _key(self, region: str) -> aws.kms.Key:
        there, is_replicas = self._names.at(region), region != self._names.region
        writers = {who for access in self._access.values() for who in access.writers}
        readers = {secret: who for secret, access in self._access.items() if (who := set(access.readers) - writers)}
        return aws.kms.Key(
            f"{self._name}-key" + (f"-{region}" if is_replicas else ""),
            description=f"Secrets of the Coreflux MCP server, stack {self._names.stack}",
            region=region,
            enable_key_rotation=True,
            deletion_window_in_days=KEY_RECOVERY_DAYS[self._production],
            policy=resource_policies.secrets_key_policy(
                self._names.root,
                region,
                readers=sorted(set().union(*readers.values())),
                read=[there.secret_pattern(secret) for secret in readers],
                writers=sorted(writers),
                written=[there.secret_pattern(secret) for secret in self._access],
                is_replicas=is_replicas,
            ),
            opts=self.account.under(self, protect=self._production),
        )

    def _secret(self, secret: str, who: Access) -> aws.secretsmanager.Secret:
        made = aws.secretsmanager.Secret(
            f"{self._name}-secret-{secret}",
            name=self._names.secret(secret),
            description=f"{secret}, written by secretops; never by Pulumi",
            kms_key_id=self._keys[self._names.region],
            recovery_window_in_days=RECOVERY_DAYS if self._production else 0,
            replicas=[{"region": region, "kms_key_id": self._keys[region]} for region in self._args.replica_regions],
            force_overwrite_replica_secret=bool(self._args.replica_regions) and not self._production,
            opts=self.account.under(self, protect=self._production),
        )
        self._guards[secret] = aws.secretsmanager.SecretPolicy(
            f"{self._name}-policy-{secret}",
            secret_arn=made.arn,
            block_public_policy=True,
            policy=resource_policies.secret_policy(who.readers, who.writers, self._args.operators),
            opts=self.account.under(self),
        )
        return made


def _arn_of(reader: AwsReader) -> str:
    return reader.arn if isinstance(reader, AwsCaller) else reader.reads.arn
