"""Where reads are recorded, read back. One module a log format, one form for all of them (`protocol.Access`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from secretops.manifest import AwsStore, AzureStore, DotenvStore, KubernetesStore, Manifest, SwarmStore, VaultStore
from secretops.stores import lacking
from secretops.trails.protocol import Trail


def open_trail(manifest: Manifest) -> Trail:
    """How the trail of the stack's store reads. Touches nothing: its lines are the caller's."""
    match manifest.store:
        case DotenvStore():
            from secretops.trails.own_records import OwnRecords

            return OwnRecords(manifest.secrets)
        case KubernetesStore():
            from secretops.platforms.kubernetes.trail import KubernetesAuditLog

            return KubernetesAuditLog(manifest.store)
        case AwsStore():
            from secretops.platforms.aws.trail import CloudTrail

            return CloudTrail(manifest.store)
        case AzureStore():
            from secretops.platforms.azure.trail import LogAnalytics

            return LogAnalytics(manifest.store)
        case VaultStore():
            from secretops.platforms.vault.trail import VaultAuditLog

            return VaultAuditLog(manifest.store)
        case SwarmStore():
            from secretops.platforms.swarm.trail import SwarmEvents

            return SwarmEvents(manifest.store, manifest.secrets)


def can_be_asked(manifest: Manifest) -> bool:
    """Whether the stack's trail is read where no file of it is named: a store's own records are beside it."""
    return isinstance(manifest.store, DotenvStore) or (
        isinstance(manifest.store, AzureStore) and bool(manifest.store.workspace)
    )


def ask(manifest: Manifest, since: datetime | None) -> Iterator[bytes] | None:
    """What the trail's own place says from `since` on, as lines that `read` takes; None where it can't be asked.

    Asked when the first line is taken. Raises UsageError when this installation lacks the platform's client.
    """
    if not isinstance(manifest.store, AzureStore) or not manifest.store.workspace:
        return None
    try:
        from secretops.platforms.azure.log_workspace import Workspace
    except ModuleNotFoundError as error:
        raise lacking(error, "azure") from None
    return Workspace(manifest.store).lines(since)
