"""Where values live. One module a store, one Protocol (`protocol.VersionStore`), one contract suite."""

from __future__ import annotations

from pathlib import Path

from secretops.access import AccessRecords, this_actor
from secretops.engine.journal import Journal
from secretops.engine.ports import VersionStore
from secretops.errors import UsageError
from secretops.install_hints import how_to_install
from secretops.manifest import AwsStore, AzureStore, DotenvStore, KubernetesStore, SwarmStore, VaultStore


def open_store(
    location: DotenvStore | KubernetesStore | AwsStore | AzureStore | SwarmStore | VaultStore, *, role: str
) -> tuple[VersionStore, Journal]:
    """The store at `location` and the journal kept in it, for a process in `role` ("operator", "rotator").

    Touches nothing yet. Raises UsageError when this installation lacks the platform's client.
    """
    match location:
        case DotenvStore():
            from secretops.platforms.dotenv.journal import JournalFile
            from secretops.platforms.dotenv.store import DotenvVersionStore
            from secretops.stores import files

            root = Path(location.root)
            records = AccessRecords(root / files.RECORDS, this_actor(role))
            return DotenvVersionStore(location, records), JournalFile(root / files.JOURNAL)
        case KubernetesStore():
            try:
                from secretops.platforms.kubernetes.store import KubernetesVersionStore
            except ModuleNotFoundError as error:
                raise lacking(error, "kubernetes") from None

            store = KubernetesVersionStore.open(location)
            return store, store.journal
        case AwsStore():
            try:
                from secretops.platforms.aws.store import SecretsManagerVersionStore
            except ModuleNotFoundError as error:
                raise lacking(error, "aws") from None

            found = SecretsManagerVersionStore.open(location, role=role)
            return found, found.journal
        case AzureStore():
            try:
                from secretops.platforms.azure.store import KeyVaultVersionStore
            except ModuleNotFoundError as error:
                raise lacking(error, "azure") from None

            vault = KeyVaultVersionStore.open(location, role=role)
            return vault, vault.journal
        case SwarmStore():
            try:
                from secretops.platforms.swarm.store import SwarmVersionStore
            except ModuleNotFoundError as error:
                raise lacking(error, "swarm") from None

            swarm = SwarmVersionStore.open(location, role=role)
            return swarm, swarm.journal
        case VaultStore():
            try:
                from secretops.platforms.vault.store import VaultVersionStore
            except ModuleNotFoundError as error:
                raise lacking(error, "vault") from None

            mount = VaultVersionStore.open(location, role=role)
            return mount, mount.journal


def lacking(error: ModuleNotFoundError, extra: str) -> UsageError:
    """That a platform's client is not installed, and how it is."""
    return UsageError(
        f"this installation of secretops has no {error.name}",
        rule="each platform's client comes with its extra",
        remedy=how_to_install(extra),
    )
