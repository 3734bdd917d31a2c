"""Names and arguments that the components of Vault share. No SDK: settings take their documentation from here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pulumi

from ..core.naming import physical_name
from ..core.principals import Pods, Workload
from ..swarm.service_spec import LOGIN_FILE, SwarmService

# Prefix of the path of a pending value. No secret's name has a slash.
PENDING = "pending/"
# Path of the rotator's lease.
LEASE = "rotator/lease"
# The PKI role, in a mount of the stack alone.
CLIENT = "client"

SERVER: Final = "server"
ROTATOR: Final = "rotator"
OPERATOR: Final = "operator"
DOCTOR: Final = "doctor"

# Characters of the common prefix. Vault takes longer names; a person reads these in paths and log lines.
_LIMIT = 48


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of one stack in one server, or in one namespace of it."""

    base: str
    """The KV mount, the password policy, and the common name of client certificates."""

    def of(self, what: str) -> str:
        """Return the name of a mount, policy or role. Auth methods and their roles may share a server with others."""
        return f"{self.base}-{what}"


def names_of(stack: str) -> Names:
    """Return the names of a stack. Each is valid as a path of Vault and as a host name, which a certificate has."""
    plain = re.sub(r"[^a-z0-9]+", "-", stack.lower()).strip("-") or "stack"
    return Names(base=physical_name("coreflux-mcp", plain, limit=_LIMIT))


Who = Literal["server", "rotator"]

# Where a pod finds the token of its service account for Vault.
POD_TOKEN = "/var/run/secrets/vault/token"  # noqa: S105  # nosec B105 - a path
# Below the folder of a client's entry or of the rotator: what programs of this machine log in with.
LOGIN_FOLDER = "login"
# The CA certificates of the Vault server, in a pod's folder of public files.
CA_FILE = "vault-ca.crt"


@dataclass(frozen=True, kw_only=True)
class VaultServerArgs:
    """A Vault server. Pulumi reads its own token from VAULT_TOKEN."""

    address: str
    """URL of the server."""
    namespace: str | None = None
    """Namespace in the server; by default the root namespace."""
    ca_file: str | None = None
    """PEM file of the CA certificates that sign the server's certificate; by default the system's are trusted."""


@dataclass(frozen=True, kw_only=True)
class VaultStackArgs:
    """Arguments that components of a stack in a Vault share."""

    server: VaultServerArgs
    """The Vault server; `place` of a VaultIdentities shares its provider."""
    production: bool = True
    """Whether mounts, CAs and audit devices are protected from deletion."""
    stack: str | None = None
    """What names contain; by default the name of the Pulumi stack."""


@dataclass(frozen=True, kw_only=True)
class AuditArgs:
    """How access is recorded."""

    product: Literal["vault", "openbao"] = "vault"
    """OpenBao's API enables no audit device: its configuration does."""
    audit_files: Sequence[str] | None = None
    """Where the server writes its audit log, of all requests of all stacks; by default /vault/audit and standard output
    in production. An empty list enables no device, for example if another stack does."""


@dataclass(frozen=True, kw_only=True)
class PkiArgs:
    """A CA for client certificates. Its keys are made in Vault and never leave it."""

    signed_by: Literal["stack", "outside"] = "stack"
    """Who signs the intermediate: a root of the stack's own, or somebody who gets the output `csr`."""
    certificate_file: str | None = None
    """Only with signed_by outside, once it is signed: PEM file of the intermediate and its issuer."""
    days: int = 30
    """How long a client's certificate is valid."""


@dataclass(frozen=True, kw_only=True)
class AppRoleLogin:
    """Log in by AppRole, on a platform that gives programs no identity. An operator makes each secret id in Vault."""

    server_file: str | None = None
    """File with the server's secret id; by default login/server in the folder of the client's entry."""
    rotator_file: str | None = None
    wrapped: bool = False
    """Whether the server's file has a wrapping token, which is valid for one start."""
    networks: Sequence[pulumi.Input[str]] = ()
    """Networks from which a secret id is accepted; by default all."""
    days: int = 90
    """How long a secret id is valid."""


@dataclass(frozen=True, kw_only=True)
class JwtLogin:
    """Log in by a signed token, of a cluster or another issuer."""

    issuer: pulumi.Input[str]
    ca_file: str | None = None
    """PEM file of the CA certificates that sign the issuer's certificate; by default the Vault server's are trusted."""
    audience: str = "vault"
    server: str | None = None
    """The `sub` claim of the server's token. Pods need none: their subject is known."""
    rotator: str | None = None
    server_file: str | None = None
    """File with that token; by default login/server in the folder of the client's entry."""
    rotator_file: str | None = None


@dataclass(frozen=True, kw_only=True)
class ServiceAccountLogin:
    """Log in as a service account, by a Kubernetes auth method that an administrator of Vault has enabled: that may
    take a reviewer's token, which is a value."""

    mount: str = "kubernetes"
    audience: str | None = "vault"
    """Audience of the pods' tokens; none (~) uses the API server's own, for a method without a reviewer's token."""


VaultMethod = AppRoleLogin | JwtLogin | ServiceAccountLogin
METHODS: dict[type[VaultMethod], Literal["approle", "jwt", "kubernetes"]] = {
    AppRoleLogin: "approle",
    JwtLogin: "jwt",
    ServiceAccountLogin: "kubernetes",
}


def login_file(login: VaultMethod | None, who: Who, *, workload: type[Workload], folder: str) -> str:
    """Return the file that `who` logs in with."""
    if issubclass(workload, Pods):
        return POD_TOKEN
    if issubclass(workload, SwarmService) and who == SERVER:
        return LOGIN_FILE
    return getattr(login, f"{who}_file", None) or str(Path(folder) / LOGIN_FOLDER / who)
