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
    kind: Literal["azure"] = "azure"
    # Id (a GUID) of the vault's Entra tenant. Anybody may reuse the name of a purged vault, so secretops logs in to
    # this tenant only.
    tenant: Guid
    # `https://<name>.vault.azure.net`.
    vault: KeyVaultUrl
    # Secret -> its name in the vault. Readers get the newest version.
    secrets: dict[SecretName, KeyVaultName]
    # Secret -> the vault's secret with its pending version, which only the rotator reads. Separate, because a request
    # without a version returns the newest one, verified or not.
    pending: dict[SecretName, KeyVaultName]
    # Secret -> the fields that its readers expect, as keys of a JSON object.
    fields: dict[SecretName, tuple[FieldName, ...]] = Field(default_factory=dict)
    # Secret -> days from publication until a version without an expiry of its own expires in the vault. Versions of
    # other secrets do not expire.
    due_days: dict[SecretName, Days] = Field(default_factory=dict)
    # URL of the blob for the rotator's lease, `https://<account>.blob.core.windows.net/<container>/<blob>`.
    lease: BlobUrl
    # Id (a GUID) of the Log Analytics workspace of the vault's audit log; empty without one.
    workspace: GuidOrEmpty = ""
    # Name in the vault -> the declared readers: object ids of Entra principals.
    readers: dict[KeyVaultName, tuple[ReaderName, ...]] = Field(default_factory=dict)
