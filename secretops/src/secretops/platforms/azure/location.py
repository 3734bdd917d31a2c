"""The manifest's model of the Azure store."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from secretops.manifest.field_types import Days, FieldName, Guid, ReaderName, SecretName, matching
from secretops.manifest.model import StoreLocation

GuidOrEmpty = Annotated[str, matching(r"([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?", "a GUID, or empty")]
KeyVaultName = Annotated[str, matching(r"[0-9A-Za-z-]{1,127}", "a secret's name in Key Vault: letters, digits, dashes")]
_LOOPBACK = r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})"
KeyVaultUrl = Annotated[
    str,
    matching(
        rf"https://([a-z0-9-]{{3,24}}\.vault\.azure\.net|{_LOOPBACK})/?",
        "https://<name>.vault.azure.net: a token of Entra goes to no other host",
    ),
]
BlobUrl = Annotated[
    str,
    matching(
        rf"https://([a-z0-9]{{3,24}}\.blob\.core\.windows\.net|{_LOOPBACK})(/[A-Za-z0-9$_-]+){{2,3}}",
        "https://<account>.blob.core.windows.net/<container>/<blob>: a token of Entra goes to no other host",
    ),
]


class AzureStoreLocation(StoreLocation):
    """Secrets of one Key Vault.

    azure-identity's own chain finds the credentials (`az login`, AZURE_CLIENT_ID in a container): no manifest names a
    person.
    """

    kind: Literal["azure"] = "azure"
    tenant: Guid
    """Id (a GUID) of the Entra tenant that the vault is of. A vault's name is one in the world at a time: once it was
    purged anybody may take it, and a person's login would follow them into their tenant."""
    vault: KeyVaultUrl
    """The vault's URL, `https://<name>.vault.azure.net`."""
    secrets: dict[SecretName, KeyVaultName]
    """secret -> its name in the vault. Readers get the newest version."""
    pending: dict[SecretName, KeyVaultName]
    """secret -> the vault's secret that holds the pending version. It is separate because Key Vault returns the newest
    version, proven or not, to a request that names none. Only the rotator reads it."""
    fields: dict[SecretName, tuple[FieldName, ...]] = Field(default_factory=dict)
    """secret -> the fields that its readers expect: keys of the JSON object that is its value."""
    due_days: dict[SecretName, Days] = Field(default_factory=dict)
    """secret -> days from its publication to the expiry that each version of it has in the vault: when the next one is
    due. A certificate's own end comes before it where it is sooner. None for a secret that is not named here."""
    lease: BlobUrl
    """URL of the blob whose lease a rotator acquires, `https://<account>.blob.core.windows.net/<container>/<blob>`."""
    workspace: GuidOrEmpty = ""
    """Id (a GUID) of the Log Analytics workspace that the vault's audit log goes to; empty where there is none."""
    readers: dict[KeyVaultName, tuple[ReaderName, ...]] = Field(default_factory=dict)
    """Name in the vault -> the declared readers: object ids of Entra principals."""
