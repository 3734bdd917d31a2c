"""The Azure store: a key vault for the secrets of the catalogue, a lease, and who may read and write which.

No secret is a resource of the stack: azure-native keeps its value in the state as it is (docs/adr/0008).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from secretops.platforms.azure.location import AzureStoreLocation as Location

from ..core.broker import BrokerArgs
from ..core.planned import planned
from ..core.principals import Principal
from ..core.references import Fetched, SyncedKey
from ..core.secret_store import Schedule, SecretStore, Trail
from ..core.secrets import CLIENT_CERT
from ..settings.sections import Environment
from ..settings.settings import Settings
from . import roles
from .access_trail import AzureTrail
from .context import AzureContext
from .identity import user_assigned
from .lease import lease_account
from .names import PENDING, names_of
from .principals import AzurePods, AzureReader, AzureUser, ContainerApp
from .rotation import AzureRotator
from .settings import AzureStore
from .vault import vault

ALSO = "its role is Azure's smallest that writes, and may delete, recover, purge, back up and restore, too"
"""What a reviewer is told of Key Vault Secrets Officer. In production the vault itself lets nobody purge."""


class AzureSecretStore(SecretStore):
    """Key Vault as a store. Owns vault, lease, roles, rotation and trail; never a value."""

    def __init__(
        self,
        name: str,
        *,
        store: AzureStore,
        image: str,
        broker: BrokerArgs,
        reader: AzureReader,
        settings: Settings,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:azure:SecretStore", name, opts)
        self._image, self._broker = image, broker
        self._reader = reader.object_id if isinstance(reader, AzureUser) else reader.reads.object_id
        names = names_of(store, settings.stack)
        self._context = AzureContext(
            settings=store,
            names=names,
            place=reader.place,
            environment=reader.environment,
            production=settings.environment is Environment.PRODUCTION,
        )
        self._grants = roles.Grants(parent=self, place=reader.place)
        secrets = settings.catalogue.secrets
        self.manifest = settings.manifest(
            store=Location(
                tenant=store.tenant,
                vault=f"https://{names.vault_host}",
                secrets={secret.name: secret.name for secret in secrets},
                pending={secret.name: f"{secret.name}{PENDING}" for secret in secrets},
                fields={secret.name: secret.fields for secret in secrets},
                due_days={secret.name: secret.cadence_days for secret in secrets},
                lease=names.lease,
            ),
            broker=broker.location(certificate_secret=CLIENT_CERT),
        )
        self._vault = vault(self, self._context)
        self._container = lease_account(self, self._context)
        self._rotator = user_assigned("rotator-identity", names.plain("rotator"), reader.place, self)
        self._workspace: pulumi.Output[str] = pulumi.Output.from_input("")
        self._grant_operators()
        self.register_outputs({"vault": names.vault_host})

    @property
    def manifest_output(self) -> Mapping[str, Any]:
        """The manifest as the stack's output. Azure makes object ids and the trail's id, each an output of its own."""
        whole = self.manifest.model_dump(mode="json")
        return {**whole, "store": {**whole["store"], "readers": self._readers(), "workspace": self._workspace}}

    def publish(self, *, reader: Principal) -> Fetched | SyncedKey:
        """Grant whoever reads for the server each secret of it, and no other: the role is assigned on that one."""
        secrets = self.read_by_server
        match reader:
            case AzurePods():
                self._let_read(reader.reads.object_id, "External Secrets copies {} into the cluster")
                return SyncedKey(
                    provider={
                        "azurekv": {
                            "authType": "WorkloadIdentity",
                            "vaultUrl": f"https://{self._context.names.vault_host}",
                            "serviceAccountRef": {"name": reader.syncs_as},
                        }
                    },
                    secrets=secrets,
                    remotes={secret: secret for secret in secrets},
                )
            case ContainerApp():
                self._let_read(reader.reads.object_id, "the launcher fetches {}")
            case AzureUser():
                self._let_read(reader.object_id, "the launcher on somebody's machine fetches {}", person=True)
            case _:
                raise TypeError(f"{reader}: has no Azure identity to read with")
        return Fetched(source=f"azure-kv:{self._context.names.vault_host}/{'+'.join(secrets)}", secrets=secrets)

    def _let_read(self, object_id: pulumi.Input[str], why: str, *, person: bool = False) -> None:
        """Grant the server its secrets, none of which exists yet.

        The others wait for the first assignment, so that Azure refuses such a scope once, if it does
        (docs/adr/0009).
        """
        first: list[pulumi.Resource] = []
        for secret in self.read_by_server:
            made = self._grants.assign(
                f"server-reads-{secret}",
                roles.SECRETS_USER,
                object_id,
                scope=self._secret(secret),
                why=why.format(secret),
                person=person,
                after=first,
            )
            first = first or [made]

    def rotate(self) -> Schedule:
        """Grant the rotator the vault and the lease, and have it tick each hour.

        Writing takes a role on the vault: one on a secret lets its holder read only
        (https://learn.microsoft.com/azure/key-vault/general/secure-key-vault).
        """
        self._grants.to_identity(
            "rotator-keeps-secrets",
            roles.SECRETS_OFFICER,
            self._rotator.object_id,
            scope=self._vault,
            why=f"the rotator reads, writes and disables versions; {ALSO}",
        )
        self._grants.to_identity(
            "rotator-leases",
            roles.BLOB_CONTRIBUTOR,
            self._rotator.object_id,
            scope=planned(self._container.id, self._context.names.lease_container_id),
            why="the rotator makes the lease's blob and holds its lease",
        )
        AzureRotator(
            "rotator",
            context=self._context,
            manifest=self.manifest,
            image=self._image,
            broker=self._broker,
            identity=self._rotator,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self._container]),
        )
        return Schedule(every="hour", turn_on="")

    def record_access(self) -> Trail:
        """The vault's audit log in a workspace, and who is told of what should not happen."""
        made = AzureTrail(
            "trail",
            context=self._context,
            vault=self._vault,
            secrets=self.manifest.secrets,
            readers=self._readers(),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._workspace = made.workspace
        return made.trail

    @property
    def _stored(self) -> tuple[str, ...]:
        """Every secret in the vault: the catalogue's, and those of values that are not proven yet."""
        names = [secret.name for secret in self.manifest.secrets]
        return (*names, *(f"{name}{PENDING}" for name in names))

    def _secret(self, name: str) -> pulumi.Output[str]:
        """The scope of one secret. It needs not be there yet: the scope is a path."""
        return pulumi.Output.concat(self._vault, "/secrets/", name)

    def _readers(self) -> dict[str, list[pulumi.Input[str]]]:
        """Return name in the vault -> object ids that are declared to read it."""
        rotates: list[pulumi.Input[str]] = [self._rotator.object_id, *self._context.settings.operators]
        return {
            secret: [self._reader, *rotates] if secret in self.read_by_server else rotates for secret in self._stored
        }

    def _grant_operators(self) -> None:
        """Grant operators the whole vault, which has nothing but the stack's secrets.

        Key Vault Secrets Officer includes all that secretops doctor reads of a vault
        (https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/security).
        """
        for operator in self._context.settings.operators:
            self._grants.to_operator(
                f"operator-{operator}-keeps-secrets",
                roles.SECRETS_OFFICER,
                operator,
                scope=self._vault,
                why="an operator puts first values, looks at all of them, and purges deleted ones",
            )
            self._grants.to_operator(
                f"operator-{operator}-leases",
                roles.BLOB_CONTRIBUTOR,
                operator,
                scope=planned(self._container.id, self._context.names.lease_container_id),
                why="secretops put and rotate hold the lease",
            )
