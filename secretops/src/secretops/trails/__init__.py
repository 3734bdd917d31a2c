"""Where reads are recorded, read back. One module a log format, one form for all of them (`protocol.Access`)."""

from __future__ import annotations

from secretops.manifest import AwsStore, DotenvStore, KubernetesStore, Manifest
from secretops.trails.protocol import Trail


def open_trail(manifest: Manifest) -> Trail:
    """How the trail of the stack's store reads. Touches nothing: its lines are the caller's."""
    match manifest.store:
        case DotenvStore():
            from secretops.trails.own_records import OwnRecords

            return OwnRecords(manifest.secrets)
        case KubernetesStore():
            from secretops.trails.kubernetes import KubernetesAuditLog

            return KubernetesAuditLog(manifest.store)
        case AwsStore():
            from secretops.trails.cloudtrail import CloudTrail

            return CloudTrail(manifest.store)
