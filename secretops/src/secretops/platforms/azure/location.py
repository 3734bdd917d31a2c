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
    """Secrets of one Key Vault. azure-identity's chain finds the credentials."""

    kind: Literal["azure"] = "azure"
    # Id (a GUID) of the vault's Entra tenant. Anybody may use the name of a purged vault; a person's login must not
    # follow it into another tenant.
    tenant: Guid
    # `https://<name>.vault.azure.net`.
    vault: KeyVaultUrl
    # Secret -> its name in the vault. Readers get the newest version.
    secrets: dict[SecretName, KeyVaultName]
    # Secret -> the vault's secret with the pending version, which only the rotator reads. Separate, because a request
    # without a version gets the newest one, verified or not.
    pending: dict[SecretName, KeyVaultName]
    # Secret -> the fields that its readers expect: keys of the JSON object in its value.
    fields: dict[SecretName, tuple[FieldName, ...]] = Field(default_factory=dict)
    # Secret -> days from publication to the expiry date of a version in the vault, when the next one is due. A
    # certificate may end sooner. A secret that is not listed has none.
    due_days: dict[SecretName, Days] = Field(default_factory=dict)
    # The blob for the rotator's lease, `https://<account>.blob.core.windows.net/<container>/<blob>`.
    lease: BlobUrl
    # Id (a GUID) of the Log Analytics workspace of the vault's audit log; empty without one.
    workspace: GuidOrEmpty = ""
    # Name in the vault -> the declared readers: object ids of Entra principals.
    readers: dict[KeyVaultName, tuple[ReaderName, ...]] = Field(default_factory=dict)
