"""A stack in Key Vault (the stand-in tools/key_vault) and a blob of Azurite, over a real broker.

The commands of the stack's job run in this process or a child, since Container Apps would only start them.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from azure.keyvault.secrets import SecretClient, SecretProperties

from secretops.engine.state import Version
from secretops.manifest import Broker, Manifest, Reader
from secretops.operations.session import Session
from secretops.platforms.azure.api import JSON, KeyVaultApi
from secretops.platforms.azure.lease import LeaseBlob
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.store import KeyVaultVersionStore
from secretops.platforms.azure.tags import ID
from secretops.stores.lease import Timing
from secretops.values import Value
from tests.real.azure import Azure
from tests.real.azure_clients import AzureClients
from tests.real.azurite import Ahead, Azurite
from tests.real.cloud_stack import Calls, TickedStack
from tests.real.stack import make_catalog
from tools.key_vault.roles import SECRETS_OFFICER, SECRETS_USER
from tools.key_vault.vault import Vault

SHORTEST_LEASE = 15  # Seconds: Azure's minimum.
QUICK = Timing(duration=SHORTEST_LEASE, renew=1, poll=0.1)
_vaults: dict[str, Vault] = {}  # By URL: the server side of the stand-in, in its process.


@dataclass
class AzureStack(TickedStack):
    """A stack of the Azure store. Its rotators acquire the lease of a blob. A test may move the lease's clock."""

    ahead: Ahead = field(kw_only=True)  # Of the blob.
    timing: Timing = QUICK

    writes: ClassVar[Calls] = ((SecretClient, "set_secret"), (SecretClient, "update_secret_properties"))

    @property
    def place(self) -> AzureStoreLocation:
        assert isinstance(self.manifest.store, AzureStoreLocation)
        return self.manifest.store

    @property
    def client(self) -> SecretClient:
        return _client(self.place.vault, tuple(self.environment.items()))

    @property
    def vault(self) -> Vault:
        """Return the server side of the stand-in. Works only in the process of the stand-in."""
        return _vaults[self.place.vault]

    @property
    def blob(self) -> LeaseBlob:
        return LeaseBlob(self.place.lease, AzureClients(self.environment).blob)

    def session(self, role: str = "operator") -> Session:
        store = KeyVaultVersionStore(
            self.place,
            KeyVaultApi(self.place.vault, lambda _vault: self.client),
            self.blob,
            log_entries=role == "rotator",
            timing=self.timing,
        )
        return Session(manifest=self.manifest, store=store, journal=store.journal, clock=self.clock)

    @property
    def source(self) -> str:
        readable = [secret.name for secret in self.manifest.secrets if Reader.SERVER in secret.readers]
        return f"azure-kv:{self.place.vault.removeprefix('https://')}/{'+'.join(readable)}"

    def moment(self, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        return f"{name} {args[0]}" if hasattr(SecretClient, name) else name

    def is_leased(self) -> bool:
        return self.blob.status().is_leased

    def outlast(self) -> None:
        self.ahead.skip(SHORTEST_LEASE)

    def spoil(self, name: str, field: str, text: str) -> Callable[[], None]:
        name = self.place.secrets[name]
        old = self.client.get_secret(name)
        self.client.set_secret(name, json.dumps({**json.loads(old.value or ""), field: text}))

        def mend() -> None:
            self.client.set_secret(name, old.value or "", content_type=JSON, tags=old.properties.tags)

        return mend

    def values(self) -> dict[str, dict[str, str]]:
        found = [self.client.get_secret(str(one.name), one.version) for one in self._kept() if one.enabled]
        return {f"{one.name} {one.properties.version}": json.loads(one.value or "{}") for one in found}

    def shown(self) -> dict[str, bytes]:
        tags = {f"{one.name} {one.version}": one.tags for one in self._kept()}
        lease = self.blob.client.get_blob_properties().metadata
        shown = {"the versions": tags, "the lease": lease, "the audit log": self.vault.audit}
        return {what: json.dumps(found, default=str).encode() for what, found in shown.items()}

    def _kept(self) -> list[SecretProperties]:
        names = (*self.place.secrets.values(), *self.place.pending.values())
        return [one for name in names for one in self.client.list_properties_of_secret_versions(name)]

    def delivered(self) -> Value:
        return Value(json.loads(self.client.get_secret(self.place.secrets["mqtt"]).value or ""))

    def check_delivery(self, name: str, current: Version, kept: set[str]) -> None:
        found = self.client.get_secret(self.place.secrets[name])
        assert (found.properties.tags or {})[ID] == current.id
        for where, versions in ((self.place.secrets[name], kept), (self.place.pending[name], set[str]())):
            supplied = list(self.client.list_properties_of_secret_versions(where))
            assert {(one.tags or {}).get(ID) for one in supplied if one.enabled} == versions


def make_azure_stack(folder: Path, broker: Broker, azure: Azure, azurite: Azurite) -> AzureStack:
    catalog, vault = make_catalog(), azure.vault()
    rotator, server = azure.principal("rotator"), azure.principal("server")
    store = AzureStoreLocation(
        tenant=azure.authority.tenant,
        vault=vault.url,
        secrets={secret.name: secret.name for secret in catalog},
        pending={secret.name: f"{secret.name}-pending" for secret in catalog},
        due_days={secret.name: secret.cadence_days + secret.is_made for secret in catalog},
        lease=azurite.new_blob(rotator).url,
    )
    vault.access.grant(rotator.oid, SECRETS_OFFICER)
    for secret in catalog:
        if Reader.SERVER in secret.readers:
            vault.access.grant(server.oid, SECRETS_USER, store.secrets[secret.name])
    manifest = Manifest(
        project="coreflux-mcp-secrets", stack="test", store=store, broker=broker, secrets=catalog, grace_seconds=30
    )
    file = folder / "secretops.json"
    file.write_text(manifest.model_dump_json())
    _vaults[vault.url] = vault
    return AzureStack(
        manifest,
        manifest_file=file,
        environment=azure.environment(rotator),
        reader=azure.environment(server),
        ahead=azurite.ahead,
    )


@functools.cache
def _client(vault: str, environment: tuple[tuple[str, str], ...]) -> SecretClient:
    return AzureClients(dict(environment)).vault(vault)
