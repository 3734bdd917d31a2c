"""The Vault store: a KV v2 mount for the secrets of the catalogue, and who may read and write which path of it.

No secret is a resource of the stack: pulumi-vault would keep its value in the state (docs/adr/0001). A path exists
from its first value on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pulumi
import pulumi_vault as vault

from secretops.manifest import Reader, Secret
from secretops.platforms.vault.location import VaultStoreLocation as Location

from ..core.broker import BrokerArgs
from ..core.planned import planned
from ..core.principals import Pods, Principal
from ..core.references import Fetched, InjectedFiles, SyncedKey
from ..core.secret_store import Schedule, SecretStore, Trail
from ..core.secrets import CLIENT_CERT
from ..dotenv.settings import LocalServer
from ..kubernetes.settings import KubernetesServer
from ..settings.sections import Environment
from ..settings.settings import Settings
from ..swarm.principals import SwarmService
from . import policies, reading
from .access_trail import record_access
from .names import DOCTOR, LEASE, OPERATOR, PENDING, ROTATOR, SERVER, names_of
from .pki import VaultCertificates
from .principals import VaultReader
from .rotation import in_cluster, on_this_machine
from .settings import VaultStore


class VaultSecretStore(SecretStore):
    """A KV v2 mount as a store. Owns mounts, policies, the rotator and its role, and the trail; never a value."""

    def __init__(
        self,
        name: str,
        *,
        store: VaultStore,
        broker: BrokerArgs,
        reader: VaultReader,
        settings: Settings,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:vault:SecretStore", name, opts)
        self._store, self._broker, self._reader, self._settings = store, broker, reader, settings
        self._place, self._names = reader.reads.place, names_of(settings.stack)
        self._production = settings.environment is Environment.PRODUCTION
        secrets = settings.catalogue.secrets
        self.manifest = settings.manifest(
            store=Location(
                address=store.address,
                namespace=store.namespace or "",
                ca_file=store.ca_file,
                mount=self._names.mount,
                secrets={secret.name: secret.name for secret in secrets},
                pending={secret.name: f"{PENDING}{secret.name}" for secret in secrets},
                fields={secret.name: secret.fields for secret in secrets},
                lease=LEASE,
                readers=dict(self._readers(secrets)),
            ),
            broker=broker.location(
                home=settings.server.entry_folder / "broker" if isinstance(settings.server, LocalServer) else None,
                certificate_secret=CLIENT_CERT,
            ),
        )
        mount = vault.Mount(
            "mount",
            path=self._names.mount,
            type="kv",
            options={"version": "2"},
            description=f"Secrets of the Coreflux MCP server, stack {settings.stack}",
            opts=self._place.under(self, protect=self._production),  # the values are no resources, and go with it
        )
        self._kept = vault.kv.SecretBackendV2(
            "versions",
            mount=planned(mount.path, self._names.mount),
            max_versions=store.max_versions,
            cas_required=True,  # who writes says what he has seen: of two, one is refused
            delete_version_after=0,  # a version ends by being replaced, and not while it is in use
            opts=self._place.under(self),
        )
        if store.pki:
            made = VaultCertificates(
                "certificates",
                pki=store.pki,
                names=self._names,
                place=self._place,
                production=self._production,
                opts=pulumi.ResourceOptions(parent=self),
            )
            if store.pki.signed_by == "outside":
                pulumi.export("csr", made.csr)
        self._grant_operators()
        self.register_outputs({"mount": self._names.mount})

    def publish(self, *, reader: Principal) -> Fetched | InjectedFiles | SyncedKey:
        """Grant whoever reads for the server each secret of it by its path, and say how it gets there."""
        if not isinstance(reader, VaultReader):
            raise TypeError(f"{reader}: has no role of Vault to read by")
        secrets, polls = self.read_by_server, not isinstance(reader.workload, Pods)
        self._policy(SERVER, [*policies.of_server(self._names, secrets, polls=polls)])
        if polls:
            fetched = reading.by_launcher(reader.reads, self._names, secrets, ca_file=self._ca_file_of(reader))
            return replace(fetched, ca_file=self._store.ca_file)
        server = self._settings.server
        if reader.syncs_as is not None or not isinstance(server, KubernetesServer):
            return reading.by_external_secrets(reader, self._names, secrets, ca_file=self._store.ca_file)
        return reading.by_agent(
            reader.reads,
            self._names,
            [secret for secret in self.manifest.secrets if secret.name in secrets],
            server=server,
            ca_file=self._store.ca_file,
        )

    def rotate(self) -> Schedule:
        """Grant the rotator its paths and the lease, and have it tick each hour, where the server runs."""
        self._policy(ROTATOR, [*policies.of_rotator(self._names, self.manifest.secrets)])
        server, here = self._settings.server, self.manifest
        if isinstance(server, KubernetesServer):
            return in_cluster(self, here, self._reader, server=server, broker=self._broker, store=self._store)
        return on_this_machine(self, here, self._reader.rotates, server=server)

    def record_access(self) -> Trail:
        """The server's audit devices, or what its configuration has to have for them."""
        return record_access(self, store=self._store, names=self._names, place=self._place, production=self._production)

    def _ca_file_of(self, reader: VaultReader) -> str | None:
        """Where the launcher finds it: in a container elsewhere than on this machine."""
        if not isinstance(reader.workload, SwarmService) or not self._store.ca_file:
            return self._store.ca_file
        from ..swarm.server_spec import VAULT_CA_FILE

        return VAULT_CA_FILE

    def _grant_operators(self) -> None:
        """Create the policies of operators and of doctor. Administrators of the server assign them to people."""
        rights = policies.of_operator(
            self._names,
            self.manifest.secrets,
            [self._reader.reads.login, self._reader.rotates.login],
        )
        self._policy(OPERATOR, [*rights])
        self._policy(DOCTOR, [*policies.of_doctor()])
        vault.PasswordPolicy(
            "passwords", name=self._names.passwords, policy=policies.PASSWORDS, opts=self._place.under(self)
        )

    def _policy(self, who: str, rights: Sequence[policies.Right]) -> None:
        vault.Policy(
            f"{who}-policy",
            name=self._names.of(who),
            policy=policies.document(rights),
            opts=self._place.under(self, after=[self._kept]),
        )

    def _readers(self, secrets: Sequence[Secret]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each path, and who is declared to read it: of who rotates the role first, of the lease too."""
        by_server = {secret.name for secret in secrets if Reader.SERVER in secret.readers}
        server, rotator = (f"{role.login.mount}/{role.name}" for role in (self._reader.reads, self._reader.rotates))
        for secret in secrets:
            reads = (server,) if secret.name in by_server else ()
            yield secret.name, (*reads, rotator, *self._store.operators)
            yield f"{PENDING}{secret.name}", (rotator, *self._store.operators)
        yield LEASE, (rotator, *self._store.operators)
