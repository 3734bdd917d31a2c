from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from secretops.manifest.field_types import (
    AbsolutePath,
    CommonName,
    FieldName,
    ReaderName,
    Seconds,
    SecretName,
    ServerUrl,
    matching,
)
from secretops.manifest.model import Issuer, Model, StoreLocation

# Without . or .. as a part, and without a slash at its ends.
VAULT_PATH = r"(?!\.{1,2}(/|$))[\w.-]+(/(?!\.{1,2}(/|$))[\w.-]+)*"
VaultPath = Annotated[
    str,
    matching(VAULT_PATH, "a path of Vault: letters, digits, dashes, dots and underscores, no slash at its ends, no .."),
]
VaultNamespace = Annotated[str, matching(rf"({VAULT_PATH})?", "a namespace's path, or empty for the root")]
VaultRole = Annotated[str, matching(r"[\w.@:-]{1,256}", "a role's name or id: one word")]


class VaultLogin(Model):
    """A rotator's login. It contains no secret id and no token."""

    method: Literal["approle", "jwt", "kubernetes"]
    # Mount of the auth method, without `auth/`.
    mount: VaultPath
    # Name of the role; for approle its role id, which is not secret.
    role: VaultRole
    # File of the credential: a secret id (or its wrapping token), a JWT, a service account's token.
    file: AbsolutePath
    # For approle: the file has a wrapping token, which is valid for one start.
    wrapped: bool = False


class VaultStoreLocation(StoreLocation):
    """A KV v2 mount. An operator's token comes from VAULT_TOKEN or ~/.vault-token; a rotator has a `login`."""

    kind: Literal["vault"] = "vault"
    address: ServerUrl
    # Namespace of Vault Enterprise or OpenBao; empty for the root.
    namespace: VaultNamespace = ""
    # PEM bundle of the CA for the server's certificate; None: the system's CAs.
    ca_file: AbsolutePath | None = None
    mount: VaultPath
    # secret -> path in the mount, whose newest version is the current one.
    secrets: dict[SecretName, VaultPath]
    # secret -> path of its pending version, which only the rotator reads. It is separate, since KV returns the newest
    # document of a path to all its readers.
    pending: dict[SecretName, VaultPath]
    # secret -> the fields that its readers expect, as keys of the document.
    fields: dict[SecretName, tuple[FieldName, ...]] = Field(default_factory=dict)
    # Path of the lease, a document without a value that is written by check-and-set.
    lease: VaultPath
    # None: log in with the operator's own token.
    login: VaultLogin | None = None
    # Path in the mount -> its declared readers: `<mount>/<role>` of an auth method.
    readers: dict[VaultPath, tuple[ReaderName, ...]] = Field(default_factory=dict)


class VaultIssuer(Issuer):
    """A role of a PKI engine in the stack's Vault. Requests use the login of the store."""

    kind: Literal["vault"] = "vault"
    mount: VaultPath
    role: VaultRole
    # The only common name that the role signs.
    common_name: CommonName
    # Requested validity of a certificate. The role may limit it.
    seconds: Seconds

    @property
    def revocation(self) -> str:
        """Return the commands that revoke a certificate and rebuild the CRL. Vault's `auto_rebuild` may take 48
        hours."""
        return (
            f"as an operator: vault write {self.mount}/revoke serial_number=…, then vault read {self.mount}/crl/rotate"
        )
