"""The Vault store: a KV v2 mount for the secrets of the catalogue, and who may read and write which path of it.

No secret is a resource of the stack: pulumi-vault would keep its value in the state (docs/adr/0001). A path exists
from its first value on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pulumi
import pulumi_vault as vault

from secretops.manifest import Reader, Secret
from secretops.platforms.vault.location import VaultStoreLocation as Location

from ..core.planned import planned
from ..core.principals import Pods, Principal
from ..core.references import Fetched, InjectedFiles, SyncedKey
from ..core.secret_store import Schedule, SecretStore, SecretStoreArgs, Trail
from ..core.secrets import CLIENT_CERT
from ..kubernetes.pod_args import PodArgs
from ..swarm.principals import SwarmService
from . import policies, reading
from .access_trail import audit_files, record_access
from .identity import VaultIdentities, VaultIdentitiesArgs
from .names import DOCTOR, LEASE, OPERATOR, PENDING, ROTATOR, SERVER, names_of
from .pki import PkiArgs, VaultCertificates, VaultCertificatesArgs
from .principals import VaultReader
from .rotation import in_cluster, on_this_machine


@dataclass(frozen=True, kw_only=True)
class VaultSecretStoreArgs(SecretStoreArgs):
    """Arguments of VaultSecretStore."""

    reader: VaultReader | VaultIdentitiesArgs
    """Who reads and rotates (`principal` of a VaultIdentities), or the arguments of identities that the store makes."""
    operators: Sequence[str]
    """Who is declared to read besides server and rotator, as METHOD/NAME. An administrator assigns them the policy."""
    product: Literal["vault", "openbao"] = "vault"
    """OpenBao's API enables no audit device: its configuration does."""
    max_versions: pulumi.Input[int] = 5
    """Versions of each secret that Vault keeps, at least 3."""
    audit_files: Sequence[str] | None = None
    """Where the server writes its audit log; by default /vault/audit and standard output. Empty enables no device."""
    pki: PkiArgs | None = None
    """A CA for client certificates, if the stack has one."""
    pods: PodArgs | None = None
    """How the rotator's pods run, if the server is in a cluster."""


class VaultSecretStore(SecretStore):
    """A KV v2 mount as a store. Owns mounts, policies, the rotator and its role, and the trail; never a value."""

    reader: VaultReader
    """Who reads and rotates: the reader to publish to."""
    csr: pulumi.Output[str] | None = None
    """The request of the intermediate CA, if somebody outside signs it."""

    def __init__(self, name: str, args: VaultSecretStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:vault:SecretStore", name, opts, formerly="")
        self._args, self._name, self._names = args, name, names_of(args.stack_name)
        self.reader = reader = self._made(args.reader) if isinstance(args.reader, VaultIdentitiesArgs) else args.reader
        place = self._place = reader.reads.place
        secrets = args.every_secret
        self.manifest = args.manifest(
            store=Location(
                address=place.address,
                namespace=place.namespace,
                ca_file=place.ca_file,
                mount=self._names.mount,
                secrets={secret.name: secret.name for secret in secrets},
                pending={secret.name: f"{PENDING}{secret.name}" for secret in secrets},
                fields={secret.name: secret.fields for secret in secrets},
                lease=LEASE,
                readers=dict(self._readers(secrets)),
            ),
            broker=args.broker.location(home=Path(reader.folder) / "broker", certificate_secret=CLIENT_CERT),
        )
        mount = vault.Mount(
            f"{name}-mount",
            path=self._names.mount,
            type="kv",
            options={"version": "2"},
            description=f"Secrets of the Coreflux MCP server, stack {args.stack_name}",
            opts=place.under(self, protect=args.production),  # the values are no resources, and go with it
        )
        self._kept = vault.kv.SecretBackendV2(
            f"{name}-versions",
            mount=planned(mount.path, self._names.mount),
            max_versions=args.max_versions,
            cas_required=True,  # who writes says what he has seen: of two, one is refused
            delete_version_after=0,  # a version ends by being replaced, and not while it is in use
            opts=self._place.under(self),
        )
        if args.pki:
            pki = VaultCertificatesArgs(
                **vars(args.pki), server=place, production=args.production, stack=args.stack_name
            )
            made = VaultCertificates(f"{name}-certificates", pki, pulumi.ResourceOptions(parent=self))
            self.csr = made.csr if args.pki.signed_by == "outside" else None
        self._grant_operators()
        self.register_outputs({"mount": self._names.mount})

    def publish(self, *, reader: Principal) -> Fetched | InjectedFiles | SyncedKey:
        """Grant whoever reads for the server each secret of it by its path, and say how it gets there."""
        if not isinstance(reader, VaultReader):
            raise TypeError(f"{reader}: has no role of Vault to read by")
        secrets, workload = self.read_by_server, reader.workload
        polls = not isinstance(workload, Pods)
        self._policy(SERVER, [*policies.of_server(self._names, secrets, polls=polls)])
        if polls:
            in_container = isinstance(workload, SwarmService)
            return reading.by_launcher(reader.reads, self._names, secrets, in_container=in_container)
        if reader.syncs_as is not None:
            return reading.by_external_secrets(reader, self._names, secrets)
        read = [secret for secret in self.manifest.secrets if secret.name in secrets]
        run_as = self._args.pods.run_as if self._args.pods else "image"
        return reading.by_agent(reader.reads, self._names, read, run_as=run_as)

    def rotate(self) -> Schedule:
        """Grant the rotator its paths and the lease, and have it tick each hour, where the server runs."""
        self._policy(ROTATOR, [*policies.of_rotator(self._names, self.manifest.secrets)])
        if not isinstance(self.reader.workload, Pods):
            return on_this_machine(self, self._name, self.manifest, self.reader)
        args = self._args
        return in_cluster(self, self._name, self.manifest, self.reader, pods=args.pods, broker=args.broker)

    def record_access(self) -> Trail:
        """Enable the server's audit devices, or return what its configuration needs for them."""
        product, production = self._args.product, self._args.production
        files = audit_files(self._args.audit_files, self._names, product=product, production=production)
        return record_access(
            self, self._name, files, names=self._names, place=self._place, product=product, production=production
        )

    def _made(self, args: VaultIdentitiesArgs) -> VaultReader:
        args = replace(args, stack=args.stack or self._args.stack_name)
        return VaultIdentities(f"{self._name}-identity", args, pulumi.ResourceOptions(parent=self)).principal

    def _grant_operators(self) -> None:
        """Create the policies of operators and of doctor. Administrators of the server assign them to people."""
        rights = policies.of_operator(
            self._names,
            self.manifest.secrets,
            [self.reader.reads.login, self.reader.rotates.login],
        )
        self._policy(OPERATOR, [*rights])
        self._policy(DOCTOR, [*policies.of_doctor()])
        vault.PasswordPolicy(
            f"{self._name}-passwords",
            name=self._names.passwords,
            policy=policies.PASSWORDS,
            opts=self._place.under(self),
        )

    def _policy(self, who: str, rights: Sequence[policies.Right]) -> None:
        vault.Policy(
            f"{self._name}-{who}-policy",
            name=self._names.of(who),
            policy=policies.document(rights),
            opts=self._place.under(self, after=[self._kept]),
        )

    def _readers(self, secrets: Sequence[Secret]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each path, and who is declared to read it: of who rotates the role first, of the lease too."""
        by_server = {secret.name for secret in secrets if Reader.SERVER in secret.readers}
        server, rotator = (f"{role.login.mount}/{role.name}" for role in (self.reader.reads, self.reader.rotates))
        for secret in secrets:
            reads = (server,) if secret.name in by_server else ()
            yield secret.name, (*reads, rotator, *self._args.operators)
            yield f"{PENDING}{secret.name}", (rotator, *self._args.operators)
        yield LEASE, (rotator, *self._args.operators)
