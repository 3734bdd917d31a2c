"""Key Vault as a store, with lease and role assignments.

Secrets are not resources of the stack: azure-native would keep their values in Pulumi's state (docs/adr/0008).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pulumi

from secretops.platforms.azure.location import AzureStoreLocation as Location

from ..core.component import planned
from ..core.principals import Principal
from ..core.references import Fetched, SyncedKey
from ..core.secret_store import SecretStore, SecretStoreArgs, Trail
from ..core.secrets import CLIENT_CERT
from . import roles
from .access_trail import AzureAccessTrail, AzureAccessTrailArgs, TrailOptions
from .identity import AzureArgs, user_assigned
from .names import PENDING
from .network import VaultNetworkArgs
from .principals import AzureEnvironment, AzurePods, AzureUser, ContainerApp
from .rotation import AzureRotation, AzureRotationArgs, let_rotate
from .vault import lease_account, vault


@dataclass(frozen=True, kw_only=True)
class AzureSecretStoreArgs(SecretStoreArgs, AzureArgs, TrailOptions):
    image: pulumi.Input[str]
    """The rotator's image (docs/operations/image.md)."""
    network: VaultNetworkArgs | None = None
    """Networks that may connect to the key vault and the lease's storage account. If None, all networks may; then only
    roles protect the values."""


class AzureSecretStore(SecretStore):
    """Key Vault as a store: vault, lease, roles, rotation and trail. Contains no secret values."""

    environment: AzureEnvironment
    """The Container Apps environment, to pass to other components as `shared`."""

    def __init__(self, name: str, args: AzureSecretStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:azure:SecretStore", name, opts, formerly="")
        self._args, self.environment = args, args.open_environment(name, self)
        place, self._names = self.environment.place, self.environment.place.names
        self._grants = roles.Grants(name=name, parent=self, place=place)
        self._servers: list[pulumi.Input[str]] = []
        secrets = args.every_secret
        self.manifest = args.manifest(
            store=Location(
                tenant=place.tenant,
                vault=f"https://{self._names.vault_host}",
                secrets={secret.name: secret.name for secret in secrets},
                pending={secret.name: f"{secret.name}{PENDING}" for secret in secrets},
                fields={secret.name: secret.fields for secret in secrets},
                # A rotation on its due day is no alarm: ticks are hourly, and a failed one is repeated.
                due_days={secret.name: secret.cadence_days + secret.is_made for secret in secrets},
                lease=self._names.lease,
            ),
            broker=args.broker.location(certificate_secret=CLIENT_CERT),
        )
        self._vault = vault(name, args.network, self.environment, production=args.production, parent=self)
        self._container = lease_account(name, args.network, self.environment, parent=self)
        self._lease = planned(self._container.id, self._names.lease_container_id)
        self._rotator = user_assigned(f"{name}-rotator-identity", "rotator", place, self)
        self._workspace: pulumi.Output[str] = pulumi.Output.from_input("")
        self._grant_operators()
        self.register_outputs({"vault": self._names.vault_host})

    @property
    def manifest_output(self) -> Mapping[str, Any]:
        whole = self.manifest.model_dump(mode="json")
        return {**whole, "store": {**whole["store"], "readers": self._readers(), "workspace": self._workspace}}

    def publish(self, *, reader: Principal) -> Fetched | SyncedKey:
        secrets = self.read_by_server
        match reader:
            case AzurePods():
                self._let_read(reader.reads.object_id, "External Secrets copies {} into the cluster")
                return SyncedKey(
                    provider={
                        "azurekv": {
                            "authType": "WorkloadIdentity",
                            "vaultUrl": f"https://{self._names.vault_host}",
                            "serviceAccountRef": {"name": reader.syncs_as},
                        }
                    },
                    secrets=secrets,
                    remotes={secret: secret for secret in secrets},
                )
            case ContainerApp():
                self._let_read(reader.reads.object_id, "the launcher fetches {}")
            case AzureUser():
                self._let_read(reader.object_id, "the launcher on a user's machine fetches {}", person=True)
            case _:
                raise TypeError(f"{reader}: has no Azure identity to read with")
        return Fetched(source=f"azure-kv:{self._names.vault_host}/{'+'.join(secrets)}", secrets=secrets)

    def _let_read(self, object_id: pulumi.Input[str], why: str, *, person: bool = False) -> None:
        """Grant the identity `object_id` a role on each secret of the server. The secrets may not exist yet.

        The other assignments wait for the first, so that at most one fails if Azure rejects the scope of a missing
        secret (docs/adr/0009).
        """
        self._servers.append(object_id)
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

    def rotate(self) -> str:
        let_rotate(self._grants, self._rotator, vault=self._vault, lease_container=self._lease)
        args = AzureRotationArgs(
            **self.environment.sharing, manifest=self.manifest, image=self._args.image, identity=self._rotator
        )
        AzureRotation(f"{self._name}-rotator", args, pulumi.ResourceOptions(parent=self, depends_on=[self._container]))
        return ""

    def record_access(self) -> Trail:
        options = {each.name: getattr(self._args, each.name) for each in fields(TrailOptions)}
        args = AzureAccessTrailArgs(
            **self.environment.sharing,
            **options,
            production=self._args.production,
            vault=self._vault,
            secrets=self.manifest.secrets,
            readers=self._readers(),
        )
        made = AzureAccessTrail(f"{self._name}-trail", args, pulumi.ResourceOptions(parent=self))
        self._workspace = made.workspace
        return made.trail

    def _secret(self, name: str) -> pulumi.Output[str]:
        return pulumi.Output.concat(self._vault, "/secrets/", name)

    def _readers(self) -> dict[str, list[pulumi.Input[str]]]:
        rotates: list[pulumi.Input[str]] = [self._rotator.object_id, *self._args.operators]
        names = [secret.name for secret in self.manifest.secrets]
        return {
            secret: [*self._servers, *rotates] if secret in self.read_by_server else rotates
            for secret in (*names, *(f"{name}{PENDING}" for name in names))
        }

    def _grant_operators(self) -> None:
        """Grant operators a role on the vault, which contains only the stack's secrets, and on the lease.

        Key Vault Secrets Officer also allows reading the vault's properties, which secretops doctor needs
        (https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/security).
        """
        for operator in self._args.operators:
            self._grants.assign(
                f"operator-{operator}-keeps-secrets",
                roles.SECRETS_OFFICER,
                operator,
                scope=self._vault,
                why="an operator puts the first values, can read all values, and purges deleted secrets",
                person=True,
            )
            self._grants.assign(
                f"operator-{operator}-leases",
                roles.BLOB_CONTRIBUTOR,
                operator,
                scope=self._lease,
                why="secretops put and rotate hold the lease",
                person=True,
            )
