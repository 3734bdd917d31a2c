"""Arguments that the components of Vault share. Imports no SDK: the settings take their documentation from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pulumi

from ..core.principals import Pods, Workload
from ..swarm.principals import LOGIN_FILE, SwarmService
from .names import SERVER

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
class AuditArgs:
    """How access is recorded."""

    product: Literal["vault", "openbao"] = "vault"
    """OpenBao's API enables no audit device: its configuration does."""
    audit_files: Sequence[str] | None = None
    """Where the server writes its audit log; by default /vault/audit and standard output. It records all requests of
    all stacks. An empty list enables no device, for example if another stack does."""


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
    """The claim sub of the server's token; that of a pod is known."""
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


def login_file(login: VaultMethod, who: Who, *, workload: type[Workload], folder: str) -> str:
    """Return the file that `who` logs in with."""
    if issubclass(workload, Pods):
        return POD_TOKEN
    if issubclass(workload, SwarmService) and who == SERVER:
        return LOGIN_FILE
    return getattr(login, f"{who}_file", None) or str(Path(folder) / LOGIN_FOLDER / who)
