"""The risk of a change, by its kind, the resource's type and the changed properties."""

from __future__ import annotations

import re
from enum import IntEnum

from tools.review.review import Change, Op

# Types that contain values, keys or records.
_STATEFUL = re.compile(
    r"aws:(kms/(key|replicaKey)|secretsmanager/secret|s3/bucket|cloudtrail/trail|cloudwatch/logGroup|sqs/queue):"
    r"|azure-native:(keyvault:(Vault|Key|Secret)|storage:(StorageAccount|BlobContainer)|operationalinsights:Workspace"
    r"|resources:ResourceGroup)$"
    r"|kubernetes:core/v1:(Namespace|Secret|PersistentVolume(Claim)?)$"
    r"|vault:(index/mount:Mount|pkiSecret/|index/audit:)"
    r"|docker:index/volume:"
    r"|coreflux-mcp-secrets:Folder$"
)

# Types that control access, notification or retention.
_GRANTS = re.compile(
    r"[Pp]olicy|iam/|[Rr]ole|[Pp]ermission|ServiceAccount|[Ss]ecurityGroup|[Gg]rant|[Pp]ublicAccess|Lock"
    r"|[Tt]rail|[Dd]iagnosticSetting|[Aa]udit|[Aa]larm|[Mm]etricFilter|[Aa]lert|[Ll]ogGroup|[Ll]ogging|scheduledQuery"
    r"|event(Rule|Target)|authBackend|sns/|bucket(Lifecycle|Versioning|ServerSideEncryption)|secretRotation",
    re.ASCII,
)

# Properties with the same effect in any type: a key's policy grants decryption.
_GRANTING = re.compile(
    r"[Pp]olicy|[Rr]ole|[Rr]etention|kmsKey|[Rr]ules$|[Pp]rincipal|[Pp]ermission|[Aa]ccess", re.ASCII
)


class Risk(IntEnum):
    MOVES = 0
    LOSES_VALUES = 1
    LOSES_DATA = 2
    GOES = 3
    GRANTS = 4
    CHANGES = 5
    COMES = 6


def risk(change: Change) -> Risk:
    if change.op is Op.MOVE:
        return Risk.MOVES
    if change.op in (Op.REPLACE, Op.DELETE):
        stateful = change.protected or _STATEFUL.search(change.type)
        return Risk.LOSES_DATA if stateful else Risk.GOES
    if _GRANTS.search(change.type.partition(":")[2]) or any(map(_GRANTING.search, change.properties)):
        return Risk.GRANTS
    return Risk.CHANGES if change.op is Op.UPDATE else Risk.COMES
