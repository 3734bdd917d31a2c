"""Names and arguments of Vault's components. No SDK: settings take their documentation from here."""

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

# Characters of the common prefix. Vault accepts longer names; people read these in paths and log lines.
_LIMIT = 48


@dataclass(frozen=True, kw_only=True)
class Names:
    base: str
    """The KV mount, the password policy, and the common name of client certificates."""

    def of(self, what: str) -> str:
        """Return the name of a mount, policy or role: others may share a server's auth methods."""
        return f"{self.base}-{what}"


def names_of(stack: str) -> Names:
    """Return names that are valid as Vault paths and as host names, for certificates."""
    plain = re.sub(r"[^a-z0-9]+", "-", stack.lower()).strip("-") or "stack"
    return Names(base=physical_name("coreflux-mcp", plain, limit=_LIMIT))


Who = Literal["server", "rotator"]

# Where a pod finds the token of its service account for Vault.
POD_TOKEN = "/var/run/secrets/vault/token"  # noqa: S105  # nosec B105 - a path
# Below the folder of a client's entry or of the rotator: logins of programs on this machine.
LOGIN_FOLDER = "login"
# The CA certificates of the Vault server, in a pod's folder of public files.
CA_FILE = "vault-ca.crt"


@dataclass(frozen=True, kw_only=True)
class VaultServerArgs:
    """A Vault server. Pulumi reads its own token from VAULT_TOKEN."""

    address: str
    """URL of the server."""
    namespace: str | None = None
    """Namespace in the server; by default root."""
    ca_file: str | None = None
    """PEM file of the CA certificates that sign the server's certificate; by default the system's."""


@dataclass(frozen=True, kw_only=True)
class VaultStackArgs:
    """Shared arguments of a stack's components."""

    server: VaultServerArgs
    """The Vault server; `place` of a VaultIdentities shares its provider."""
    production: bool = True
    """Whether mounts, CAs and audit devices are protected from deletion."""
    stack: str | None = None
    """Part of names; by default the Pulumi stack's name."""


@dataclass(frozen=True, kw_only=True)
class AuditArgs:
    product: Literal["vault", "openbao"] = "vault"
    """OpenBao's API enables no audit device: its configuration does."""
    audit_files: Sequence[str] | None = None
    """Files of the server's audit log, of all requests of all stacks; by default /vault/audit and standard output in
    production. An empty list enables no device, e.g. if another stack does."""


@dataclass(frozen=True, kw_only=True)
class PkiArgs:
    """A CA for client certificates. Vault makes its keys, which never leave it."""

    signed_by: Literal["stack", "outside"] = "stack"
    """Who signs the intermediate: the stack's own root, or an outside CA that gets the output `csr`."""
    certificate_file: str | None = None
    """PEM file of the signed intermediate and its issuer; only with signed_by outside."""
    days: int = 30
    """Days that a client certificate is valid."""


@dataclass(frozen=True, kw_only=True)
class AppRoleLogin:
    """Log in by AppRole, on a platform without identities of programs. An operator makes each secret id in Vault."""

    server_file: str | None = None
    """File with the server's secret id; by default login/server in the folder of the client's entry."""
    rotator_file: str | None = None
    wrapped: bool = False
    """Whether the server's file has a wrapping token, valid for one start."""
    networks: Sequence[pulumi.Input[str]] = ()
    """Networks from which a secret id is accepted; by default all."""
    days: int = 90
    """Days that a secret id is valid."""


@dataclass(frozen=True, kw_only=True)
class JwtLogin:
    """Log in by a signed token of a cluster or another issuer."""

    issuer: pulumi.Input[str]
    ca_file: str | None = None
    """PEM file of the CA certificates that sign the issuer's certificate; by default the Vault server's."""
    audience: str = "vault"
    server: str | None = None
    """The `sub` claim of the server's token. Pods need none: their subject is known."""
    rotator: str | None = None
    server_file: str | None = None
    """File with that token; by default login/server in the folder of the client's entry."""
    rotator_file: str | None = None


@dataclass(frozen=True, kw_only=True)
class ServiceAccountLogin:
    """Log in as a service account, by a Kubernetes auth method that a Vault administrator has enabled: it may need a
    reviewer's token, which is a value."""

    mount: str = "kubernetes"
    audience: str | None = "vault"
    """Audience of the pods' tokens; none (~) uses the API server's, for a method without a reviewer's token."""


VaultMethod = AppRoleLogin | JwtLogin | ServiceAccountLogin
METHODS: dict[type[VaultMethod], Literal["approle", "jwt", "kubernetes"]] = {
    AppRoleLogin: "approle",
    JwtLogin: "jwt",
    ServiceAccountLogin: "kubernetes",
}


def login_file(login: VaultMethod | None, who: Who, *, workload: type[Workload], folder: str) -> str:
    if issubclass(workload, Pods):
        return POD_TOKEN
    if issubclass(workload, SwarmService) and who == SERVER:
        return LOGIN_FILE
    return getattr(login, f"{who}_file", None) or str(Path(folder) / LOGIN_FOLDER / who)
