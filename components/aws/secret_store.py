"""The AWS store: a secret of Secrets Manager for each of the catalogue, a key, and who may read what.

No version of a secret is a resource of the stack: its value would be in the state (docs/adr/0001).
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from secretops.manifest import Reader, Secret, SecretKind
from secretops.platforms.aws.location import AwsStoreLocation as Location

from ..core.broker import BrokerArgs
from ..core.principals import Principal
from ..core.references import Fetched, NativeRef, SyncedKey
from ..core.secret_store import Schedule, SecretStore, Trail
from ..core.secrets import CLIENT_CERT, variables_of
from ..settings.section import ServerSection
from ..settings.sections import Environment
from ..settings.settings import Settings
from . import policies, resource_policies
from .access import TICK, Access, access_of, declared_callers, rotated, rotator_of
from .access_trail import AwsTrail, alarmed_log_group
from .function_package import ca_file_in_package
from .names import names_of
from .principals import AwsCaller, AwsPods, EcsTask
from .redeploy import AGAIN
from .rotation import AwsRotators
from .settings import AwsStore, EcsServer

RECOVERY_DAYS = 30
"""AWS' longest: how long a deleted secret can be had back in production."""

KEY_RECOVERY_DAYS = {True: 30, False: 7}
"""In production, and elsewhere: KMS deletes no key at once."""


class AwsSecretStore(SecretStore):
    """Secrets Manager as a store. Owns keys, secrets, their policies, rotation and trail; never a value."""

    def __init__(
        self,
        name: str,
        *,
        store: AwsStore,
        server: ServerSection,
        broker: BrokerArgs,
        reader: EcsTask | AwsPods | AwsCaller,
        settings: Settings,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:aws:SecretStore", name, opts)
        self._store, self._broker, self._account = store, broker, reader.account
        self._copilot = not isinstance(server, EcsServer) or server.copilot
        self._injected = isinstance(server, EcsServer) and server.reference == "NativeRef"
        self._declared = declared_callers(store, reader.arn if isinstance(reader, AwsCaller) else None)
        self._names = names_of(store, settings.stack)
        self._production = settings.environment is Environment.PRODUCTION
        secrets = settings.catalogue.secrets
        self._access = access_of(
            secrets,
            self._names,
            server=reader.arn if isinstance(reader, AwsCaller) else reader.reads.arn,
            operators=store.operators,
            certificate=broker.client_certificate,
        )
        self.manifest = settings.manifest(
            store=Location(
                account=store.account,
                region=store.region,
                secrets={secret.name: self._names.secret(secret.name) for secret in secrets},
                fields={secret.name: secret.fields for secret in secrets},
                lease=self._names.lease_arn,
                alerts=store.alert_topic or self._names.alerts_arn,
                log_group=alarmed_log_group(store, self._names),
                readers={self._names.secret(secret): who.readers for secret, who in self._access.items()},
            ),
            broker=broker.location(certificate_secret=CLIENT_CERT),
        )
        self._guards: dict[str, pulumi.Resource] = {}
        self._keys: dict[str, pulumi.Input[str]] = (
            {store.region: store.kms_key}
            if store.kms_key
            else {region: self._key(region).arn for region in (store.region, *store.replicas)}
        )
        self._lease = self._table()
        self._named_keys = {region: store.kms_key or self._names.at(region).any_key for region in self._keys}
        self._secrets = {secret: self._secret(secret, who) for secret, who in self._access.items()}
        self.register_outputs({"region": store.region})

    def publish(self, *, reader: Principal) -> NativeRef | SyncedKey | Fetched:
        """Grant the reading role each secret of the server, by its ARN and the key by that ARN's context.

        A caller that is there already is let through by secrets and key, and granted nothing: it may be anybody's.
        """
        for_server = tuple(secret for secret in self.manifest.secrets if self._is_read(secret))
        secrets = tuple(secret.name for secret in for_server)
        match reader:
            case AwsCaller():
                return self._fetched(secrets)
            case AwsPods():
                self._grant(reader.reads.name, ("secretsmanager:GetSecretValue",), secrets)
                jwt = {"serviceAccountRef": {"name": reader.syncs_as}}
                provider = {"service": "SecretsManager", "region": self._store.region, "auth": {"jwt": jwt}}
                remotes = {name: self._names.secret(name) for name in secrets}
                return SyncedKey(provider={"aws": provider}, secrets=secrets, remotes=remotes)
            case EcsTask() if not self._injected:
                self._grant(reader.reads.name, policies.READ, secrets)
                return self._fetched(secrets)
            case EcsTask():
                self._grant(reader.reads.name, ("secretsmanager:GetSecretValue",), secrets)
                return self._native(for_server)
            case _:
                raise TypeError(f"{reader}: has no AWS identity to read with")

    def _grant(self, role: pulumi.Output[str], actions: Sequence[str], secrets: Sequence[str]) -> None:
        arns = [self._names.secret_pattern(secret) for secret in secrets]
        aws.iam.RolePolicy(
            "server-secrets",
            role=role,
            policy=policies.document(
                policies.values(actions, arns),
                policies.key_use(("kms:Decrypt",), self._named_keys[self._store.region], self._store.region, arns),
            ),
            opts=self._account.under(self),
        )

    def _fetched(self, secrets: tuple[str, ...]) -> Fetched:
        place = f"{self._store.region}/{self._names.secrets}{'+'.join(secrets)}"
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

    def rotate(self) -> Schedule:
        """A function for each secret that secretops makes values for, on AWS' own schedule, and the hourly tick."""
        inside = self.manifest.broker.model_copy(update={"ca_file": ca_file_in_package(self._broker)})
        AwsRotators(
            "rotators",
            manifest=self.manifest.model_copy(update={"broker": inside}),
            store=self._store,
            broker=self._broker,
            names=self._names,
            account=self._account,
            lease=self._lease,
            secrets=self._secrets,
            guards=self._guards,
            keys=self._named_keys,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return Schedule(every="hour", turn_on="")

    def record_access(self) -> Trail:
        """CloudTrail, and who is told of what should not happen."""
        made = AwsTrail(
            "trail",
            store=self._store,
            production=self._production,
            names=self._names,
            account=self._account,
            keys=self._keys,
            declared=self._declared,
            functions=[TICK, *self._rotating(), *([AGAIN] if self._injected else [])],
            opts=pulumi.ResourceOptions(parent=self),
        )
        return made.trail

    def _rotating(self) -> list[str]:
        """The functions that rotate."""
        return [rotator_of(secret.name) for secret in rotated(self.manifest.secrets)]

    def _is_read(self, secret: Secret) -> bool:
        wanted = self._copilot or secret.kind is not SecretKind.AGENT_KEY
        return Reader.SERVER in secret.readers and wanted

    def _key(self, region: str) -> aws.kms.Key:
        """The key of one region. A replica's secrets are that region's, under another key."""
        there = self._names.at(region)
        writers = {who for access in self._access.values() for who in access.writers}
        readers = {secret: who for secret, access in self._access.items() if (who := set(access.readers) - writers)}
        return aws.kms.Key(
            "key" if region == self._store.region else f"key-{region}",
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
                is_replicas=region != self._store.region,
            ),
            opts=self._account.under(self, protect=self._production),
        )

    def _table(self) -> aws.dynamodb.Table:
        """Declare the table of the lease, which needs no backup: without an item the lease is free (docs/adr/0006)."""
        return aws.dynamodb.Table(
            "lease",
            name=self._names.lease,
            billing_mode="PAY_PER_REQUEST",
            hash_key="id",
            attributes=[{"name": "id", "type": "S"}],
            opts=self._account.under(self),
        )

    def _secret(self, secret: str, who: Access) -> aws.secretsmanager.Secret:
        """A secret without a value, and its policy. The first value is put by an operator or made by a tick."""
        made = aws.secretsmanager.Secret(
            f"secret-{secret}",
            name=self._names.secret(secret),
            description=f"{secret}, written by secretops; never by Pulumi",
            kms_key_id=self._keys[self._store.region],
            recovery_window_in_days=RECOVERY_DAYS if self._production else 0,
            replicas=[{"region": region, "kms_key_id": self._keys[region]} for region in self._store.replicas],
            force_overwrite_replica_secret=bool(self._store.replicas) and not self._production,
            opts=self._account.under(self, protect=self._production),
        )
        self._guards[secret] = aws.secretsmanager.SecretPolicy(
            f"policy-{secret}",
            secret_arn=made.arn,
            block_public_policy=True,
            policy=resource_policies.secret_policy(who.readers, who.writers, self._store.operators),
            opts=self._account.under(self),
        )
        return made
