"""Names and arguments of Vault's components. Does not import pulumi_vault, because the settings import this module even
where only another platform's SDK is installed."""

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

# Prefix of the path of a pending value. No secret's name contains a slash.
PENDING = "pending/"
# Path of the rotator's lease.
LEASE = "rotator/lease"
# Name of the PKI role, in a mount that belongs to the stack alone.
CLIENT = "client"

SERVER: Final = "server"
ROTATOR: Final = "rotator"
OPERATOR: Final = "operator"
DOCTOR: Final = "doctor"

# Maximum number of characters of the common prefix. Vault accepts more; the limit keeps paths and log lines readable.
_LIMIT = 48


@dataclass(frozen=True, kw_only=True)
class Names:
    base: str
    """Name of the KV mount and the password policy, and common name of client certificates."""

    def of(self, what: str) -> str:
        """Return the name of a mount, policy or role. It starts with `base`, since other stacks may use the same
        Vault."""
        return f"{self.base}-{what}"


def names_of(stack: str) -> Names:
    """Return names that are valid in Vault's paths and, for certificates, as host names."""
    plain = re.sub(r"[^a-z0-9]+", "-", stack.lower()).strip("-") or "stack"
    return Names(base=physical_name("coreflux-mcp", plain, limit=_LIMIT))


Who = Literal["server", "rotator"]

# Path, in a pod, of the service account's token for Vault.
POD_TOKEN = "/var/run/secrets/vault/token"  # noqa: S105  # nosec B105 - a path
# Folder for logins of programs on this machine, in the local server's or the rotator's folder.
LOGIN_FOLDER = "login"
# Name of the file with the Vault server's CA certificates, in a pod's folder of public files.
CA_FILE = "vault-ca.crt"


@dataclass(frozen=True, kw_only=True)
class VaultServerArgs:
    """A Vault server. Pulumi reads its own token from VAULT_TOKEN."""

    address: str
    """URL of the Vault server."""
    namespace: str | None = None
    """Namespace in Vault; by default root."""
    ca_file: str | None = None
    """PEM file of the CA certificates that sign the Vault server's certificate; by default the system's."""


@dataclass(frozen=True, kw_only=True)
class VaultStackArgs:
    server: VaultServerArgs
    """The Vault server. Pass `place` of a VaultIdentities to share its provider."""
    production: bool = True
    """Whether mounts, CAs and audit devices are protected from deletion."""
    stack: str | None = None
    """Stack name, for names in Vault; by default Pulumi's."""


@dataclass(frozen=True, kw_only=True)
class AuditArgs:
    product: Literal["vault", "openbao"] = "vault"
    """The Vault server's product. OpenBao's API can't enable audit devices: they must be in its configuration."""
    audit_files: Sequence[str] | None = None
    """Files of the Vault server's audit log, which covers all stacks. By default a production stack uses /vault/audit
    and standard output. An empty list enables no device."""


@dataclass(frozen=True, kw_only=True)
class PkiArgs:
    signed_by: Literal["stack", "outside"] = "stack"
    """Who signs the intermediate CA: the stack's own root CA, or an outside CA, to which you send the output `csr`."""
    certificate_file: str | None = None
    """PEM file of the signed intermediate CA and its issuer; only with signed_by outside."""
    days: int = 30
    """Days that a client certificate is valid."""


@dataclass(frozen=True, kw_only=True)
class AppRoleLogin:
    """Log in by AppRole, on a platform that gives programs no identity. An operator creates each secret id in Vault."""

    server_file: str | None = None
    """File with the server's secret id; by default login/server in the local server's `folder`."""
    rotator_file: str | None = None
    """File with the rotator's secret id; by default login/rotator in the local server's `folder`."""
    wrapped: bool = False
    """Whether the server's file contains a wrapping token, which is valid for one start."""
    networks: Sequence[pulumi.Input[str]] = ()
    """Networks from which Vault accepts a secret id; by default all."""
    days: int = 90
    """Days that a secret id is valid."""


@dataclass(frozen=True, kw_only=True)
class JwtLogin:
    """Log in with a token that a cluster or another issuer has signed."""

    issuer: pulumi.Input[str]
    ca_file: str | None = None
    """PEM file of the CA certificates that sign the issuer's certificate; by default the CAs of the Vault server's
    system."""
    audience: str = "vault"
    server: str | None = None
    """The `sub` claim of the server's token. Omit it if the server runs in pods, whose claim is known."""
    rotator: str | None = None
    """The `sub` claim of the rotator's token."""
    server_file: str | None = None
    """File with the server's token; by default login/server in the local server's `folder`."""
    rotator_file: str | None = None
    """File with the rotator's token; by default login/rotator in the local server's `folder`."""


@dataclass(frozen=True, kw_only=True)
class ServiceAccountLogin:
    """Log in as a Kubernetes service account, by an auth method that a Vault administrator has enabled. The stack does
    not enable it, since it may need `token_reviewer_jwt`, which is a secret value."""

    mount: str = "kubernetes"
    audience: str | None = "vault"
    """Audience of the pods' tokens. Null (~) means the API server's audience, for an auth method without a reviewer's
    token."""


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
