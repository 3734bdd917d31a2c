"""The manifest's models of a Vault or OpenBao store and of its issuer."""

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

# Without . and .. in it, nor a slash at its ends.
VAULT_PATH = r"(?!\.{1,2}(/|$))[\w.-]+(/(?!\.{1,2}(/|$))[\w.-]+)*"

VaultPath = Annotated[
    str,
    matching(VAULT_PATH, "a path of Vault: letters, digits, dashes, dots and underscores, no slash at its ends, no .."),
]
VaultNamespace = Annotated[str, matching(rf"({VAULT_PATH})?", "a namespace's path, or empty for the root")]
VaultRole = Annotated[str, matching(r"[\w.@:-]{1,256}", "a role's name or id: one word")]


class VaultLogin(Model):
    """How a rotator logs in to Vault. Public: a role's name, never a secret id or a token."""

    method: Literal["approle", "jwt", "kubernetes"]
    mount: VaultPath
    """Where the method is enabled, without `auth/`."""
    role: VaultRole
    """The role's name; for approle its role id, which Vault does not keep secret."""
    file: AbsolutePath
    """Path of its credential: a secret id (or the wrapping token of one), a JWT, a service account's token."""
    wrapped: bool = False
    """approle: whether the file has a wrapping token, which is good for one login."""


class VaultStoreLocation(StoreLocation):
    """One KV v2 mount.

    An operator's token comes from Vault's own chain (VAULT_TOKEN, ~/.vault-token): no manifest names a person. A
    rotator has a `login`.
    """

    kind: Literal["vault"] = "vault"
    address: ServerUrl
    """The server's URL, https."""
    namespace: VaultNamespace = ""
    """Of Vault Enterprise or OpenBao; empty is the root."""
    ca_file: AbsolutePath | None = None
    """PEM bundle that signs the server's certificate; None trusts the system's."""
    mount: VaultPath
    secrets: dict[SecretName, VaultPath]
    """secret -> path in the mount. Readers get the newest version there, which is the current one."""
    pending: dict[SecretName, VaultPath]
    """secret -> path of its pending version. It is separate because KV returns the newest version, proven or not, to a
    request that names none. Only the rotator reads it."""
    fields: dict[SecretName, tuple[FieldName, ...]] = Field(default_factory=dict)
    """secret -> the fields that its readers expect: keys of the document."""
    lease: VaultPath
    """Path in the mount of the lease, a document that is changed by check-and-set. It never holds a value."""
    login: VaultLogin | None = None
    """None: the operator's own token."""
    readers: dict[VaultPath, tuple[ReaderName, ...]] = Field(default_factory=dict)
    """Path in the mount -> its declared readers as the audit log tells them: `<mount>/<role>` of an auth method."""


class VaultIssuer(Issuer):
    """Who signs a certificate: a role of a PKI engine, in the Vault that is the stack's store and by the same login."""

    kind: Literal["vault"] = "vault"
    mount: VaultPath
    role: VaultRole
    common_name: CommonName
    """Of the client: the one name that the role signs."""
    seconds: Seconds
    """For how long a certificate is asked to be good. The role may say less."""

    @property
    def revocation(self) -> str:
        """Return what also rebuilds the list of revoked certificates: auto_rebuild waits up to 48 hours."""
        return f"as who may: vault write {self.mount}/revoke serial_number=…, then vault read {self.mount}/crl/rotate"
