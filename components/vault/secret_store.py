"""The Vault store: a KV v2 mount for the stack's secrets, with rights by path.

Secrets are not resources of the stack: pulumi-vault would write their values to the state (docs/adr/0001). The path of
a secret exists only once the secret has a value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pulumi
import pulumi_vault as vault

from secretops.manifest import Reader, Secret
from secretops.platforms.vault.location import VaultStoreLocation as Location

from ..core.broker import ca_bundle
from ..core.component import planned
from ..core.principals import Pods, Principal
from ..core.references import Fetched, InjectedFiles, SyncedKey
from ..core.secret_store import SecretStore, SecretStoreArgs, Trail
from ..core.secrets import CLIENT_CERT
from ..kubernetes.pod_args import PodArgs
from ..swarm.service_spec import STORE_CA_FILE, SwarmService
from . import policies
from .access_trail import VaultAccessTrail, VaultAccessTrailArgs
from .args import CA_FILE, DOCTOR, LEASE, OPERATOR, PENDING, SERVER, AuditArgs, Names, PkiArgs, names_of
from .identity import VaultIdentitiesArgs, VaultReader
from .pki import VaultCertificates, VaultCertificatesArgs
from .rotation import VaultRotation, VaultRotationArgs

# Key of the version in a secret's JSON (secretops.platforms.vault.api).
VERSION = "secretops-version"
# Path at which the injector mounts the token in the agent's container, and in no other.
AGENTS_TOKEN = "/var/run/secrets/vault.hashicorp.com/serviceaccount/token"  # noqa: S105  # nosec B105 - a path
# How often the agent polls for a new version; its default is 5 minutes.
POLLS_EVERY = "30s"


@dataclass(frozen=True, kw_only=True)
class VaultSecretStoreArgs(SecretStoreArgs, AuditArgs):
    reader: VaultReader | VaultIdentitiesArgs
    """Logins of server and rotator (`principal` of a VaultIdentities), or arguments to create identities."""
    operators: Sequence[str]
    """Declared readers in addition to server and rotator, such as userpass/alice. A Vault administrator assigns them
    the operator's policy."""
    max_versions: pulumi.Input[int] = 5
    """Number of versions of each secret that Vault stores, at least 3."""
    pki: PkiArgs | None = None
    """Arguments of a CA for client certificates; None for no CA."""
    pods: PodArgs | None = None
    """Settings of the rotator's pods, if the server is in a cluster."""


class VaultSecretStore(SecretStore):
    """A KV v2 mount as a store: mounts, policies, rotator and trail. Contains no secret values."""

    reader: VaultReader
    """Logins of server and rotator, to pass to `publish()`."""

    def __init__(self, name: str, args: VaultSecretStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:vault:SecretStore", name, opts, formerly="")
        self._args, self._name, self._names = args, name, names_of(args.stack_name)
        self.reader = reader = VaultReader.of(self, name, args.reader, args.stack_name)
        place = reader.place
        secrets = args.every_secret
        self.manifest = args.manifest(
            store=Location(
                address=place.address,
                namespace=place.namespace or "",
                ca_file=place.ca_file,
                mount=self._names.base,
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
            path=self._names.base,
            type="kv",
            options={"version": "2"},
            description=f"Secrets of the Coreflux MCP server, stack {args.stack_name}",
            opts=place.under(
                self, protect=args.production
            ),  # deleting the mount deletes the secrets, which are not resources
        )
        self._kept = vault.kv.SecretBackendV2(
            f"{name}-versions",
            mount=planned(mount.path, self._names.base),
            max_versions=args.max_versions,
            cas_required=True,  # check-and-set: Vault rejects one of two concurrent writes
            delete_version_after=0,  # versions are deleted when they are replaced, never by age
            opts=place.under(self),
        )
        self._shared: Any = {"server": place, "production": args.production, "stack": args.stack_name}
        if args.pki:
            pki = VaultCertificatesArgs(**vars(args.pki), **self._shared)
            made = VaultCertificates(f"{name}-certificates", pki, pulumi.ResourceOptions(parent=self))
            self.csr = made.csr if args.pki.signed_by == "outside" else None
        # Vault's administrators assign these two policies to people.
        logins = [reader.reads, reader.rotates]
        self._grant(OPERATOR, policies.of_operator(self._names, self.manifest.secrets, logins))
        self._grant(DOCTOR, policies.of_doctor())
        vault.PasswordPolicy(
            f"{name}-passwords", name=self._names.base, policy=policies.PASSWORDS, opts=place.under(self)
        )
        self.register_outputs({"mount": self._names.base})

    def publish(self, *, reader: Principal) -> Fetched | InjectedFiles | SyncedKey:
        if not isinstance(reader, VaultReader):
            raise TypeError(f"{reader}: has no role of Vault to read by")
        secrets, polls = self.read_by_server, not isinstance(reader.workload, Pods)
        self._grant(SERVER, policies.of_server(self._names, secrets, polls=polls))
        if polls:
            return by_launcher(reader, self._names, secrets)
        if reader.syncs_as is not None:
            return by_external_secrets(reader, self._names, secrets)
        read = [secret for secret in self.manifest.secrets if secret.name in secrets]
        run_as = self._args.pods.run_as if self._args.pods else "image"
        return by_agent(reader, self._names, read, run_as=run_as)

    def rotate(self) -> str:
        """Grant the rotator access to the secrets and the lease, and declare it where the server runs."""
        own = self._args
        args = VaultRotationArgs(
            manifest=self.manifest, broker=own.broker, reader=self.reader, pods=own.pods, after=[self._kept]
        )
        return VaultRotation(f"{self._name}-rotation", args, pulumi.ResourceOptions(parent=self)).schedule

    def record_access(self) -> Trail:
        own = self._args
        args = VaultAccessTrailArgs(**self._shared, product=own.product, audit_files=own.audit_files)
        return VaultAccessTrail(f"{self._name}-trail", args, pulumi.ResourceOptions(parent=self)).trail

    def _grant(self, who: str, rights: Iterator[policies.Right]) -> None:
        self.reader.place.grant(f"{self._name}-{who}-policy", self._names.of(who), rights, self, [self._kept])

    def _readers(self, secrets: Sequence[Secret]) -> Iterator[tuple[str, tuple[str, ...]]]:
        by_server = {secret.name for secret in secrets if Reader.SERVER in secret.readers}
        server, rotator = (f"{login.mount}/{login.role}" for login in (self.reader.reads, self.reader.rotates))
        for secret in secrets:
            reads = (server,) if secret.name in by_server else ()
            yield secret.name, (*reads, rotator, *self._args.operators)
            yield f"{PENDING}{secret.name}", (rotator, *self._args.operators)
        yield LEASE, (rotator, *self._args.operators)


def by_launcher(reader: VaultReader, names: Names, secrets: Sequence[str]) -> Fetched:
    """Return the reference for a launcher, with its source argument (docs/operations/launcher.md)."""
    login, place, ca_file = reader.reads, reader.place, reader.place.ca_file
    source = f"vault:{urlsplit(place.address).netloc}/{names.base}/data/{'+'.join(secrets)}"
    options = [f"{login.method}={login.role}", f"auth={login.mount}", f"file={login.file}"]
    options += ["wrapped"] if login.wrapped else []
    options += [f"namespace={place.namespace}"] if place.namespace else []
    in_container = isinstance(reader.workload, SwarmService)
    options += [f"ca={STORE_CA_FILE if in_container else ca_file}"] if ca_file else []
    return Fetched(source=",".join([source, *options]), secrets=tuple(secrets), ca_file=ca_file)


def by_external_secrets(reader: VaultReader, names: Names, secrets: Sequence[str]) -> SyncedKey:
    """Return the reference for External Secrets, with its provider's configuration (external-secrets.io, HashiCorp
    Vault)."""
    login, place, account = reader.reads, reader.place, {"name": reader.syncs_as}
    audiences = {"audiences": [reader.audience]} if reader.audience else {}
    if login.method == "jwt":
        token = {"serviceAccountRef": account, **audiences, "expirationSeconds": 600}
        auth: Any = {"jwt": {"path": login.mount, "role": login.role, "kubernetesServiceAccountToken": token}}
    else:
        known = {**account, **audiences}
        auth = {"kubernetes": {"mountPath": login.mount, "role": login.role, "serviceAccountRef": known}}
    found: dict[str, Any] = {"server": place.address, "path": names.base, "version": "v2", "auth": auth}
    found |= {"namespace": place.namespace} if place.namespace else {}
    if place.ca_file:
        found["caBundle"] = base64.b64encode(ca_bundle(place.ca_file).encode()).decode()
    remotes = dict(zip(secrets, secrets, strict=True))
    return SyncedKey(provider={"vault": found}, secrets=tuple(secrets), remotes=remotes, version=VERSION)


def by_agent(reader: VaultReader, names: Names, secrets: Sequence[Secret], *, run_as: str) -> InjectedFiles:
    """Return the reference for Vault's agent, with the injector's annotations (HashiCorp, Agent Sidecar Injector
    annotations).

    The agent writes one JSON document per secret, so that user and password always match. It runs as the launcher's
    user, and no other user may read the files. It issues no certificates: a `pkiCert` template would issue another
    certificate at each retry (docs/adr/0011).
    """
    from ..kubernetes.pods import SECRETS_FOLDER, STACK_FOLDER, TOKEN, USER

    login, place, ca_file = reader.reads, reader.place, reader.place.ca_file
    user = {"agent-run-as-user": str(USER), "agent-run-as-group": str(USER)}
    if run_as == "platform":  # the platform assigns one user to all containers of a pod
        user = {"agent-set-security-context": "false"}
    annotations = {
        "agent-inject": "true",
        "agent-pre-populate": "false",  # the pod starts without values, and reports what it waits for
        "agent-revoke-on-shutdown": "true",
        **user,
        "agent-service-account-token-volume-name": TOKEN,
        "auth-type": login.method,
        "auth-path": f"auth/{login.mount}",
        "role": login.role,
        "service": place.address,
        "secret-volume-path": SECRETS_FOLDER,
        # If a value is missing, the agent does not exit, but keeps polling, and writes the files of the other secrets.
        "template-config-exit-on-retry-failure": "false",
        "template-static-secret-render-interval": POLLS_EVERY,
        "agent-limits-cpu": "250m",
        "agent-limits-mem": "128Mi",
        "agent-requests-cpu": "25m",
        "agent-requests-mem": "64Mi",
        "agent-requests-ephemeral": "64Mi",
    }
    if login.method == "jwt":  # with method kubernetes, the injector sets the token's path
        annotations |= {"auth-config-path": AGENTS_TOKEN, "auth-config-remove-jwt-after-reading": "false"}
    if place.namespace:
        annotations["namespace"] = place.namespace
    if ca_file:
        annotations |= {"ca-cert": f"{STACK_FOLDER}/{CA_FILE}", "agent-copy-volume-mounts": "server"}
    for secret in secrets:
        annotations[f"agent-inject-secret-{secret.name}"] = f"{names.base}/data/{secret.name}"
        annotations[f"agent-inject-template-{secret.name}"] = document(names, secret)
        annotations[f"agent-inject-file-{secret.name}"] = f"{secret.name}.json"
        annotations[f"agent-inject-perms-{secret.name}"] = "0400"
    return InjectedFiles(
        source=f"json:{SECRETS_FOLDER}/",  # a slash at the end means a folder; the injector mounts it
        secrets=tuple(secret.name for secret in secrets),
        annotations={f"vault.hashicorp.com/{key}": entry for key, entry in annotations.items()},
        files={CA_FILE: ca_bundle(ca_file)} if ca_file else {},
        address=place.address,
        token_for=reader.audience,
    )


def document(names: Names, secret: Secret) -> str:
    """Return the agent's template for a secret. It renders the JSON that a launcher with a source `json:` reads."""
    fields = {field: f"index .Data.data {json.dumps(field)}" for field in secret.fields}
    fields["version"] = f"index .Data.data {json.dumps(VERSION)}"
    inner = ",".join(f"{json.dumps(field)}:{{{{ {where} | toJSON }}}}" for field, where in fields.items())
    read = f'secret "{names.base}/data/{secret.name}"'
    return f"{{{{ with {read} }}}}{{{json.dumps(secret.name)}:{{{inner}}}}}{{{{ end }}}}"
