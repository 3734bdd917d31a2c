"""How much a change wants to be looked at, by its op, its type and its properties: what this project declares."""

from __future__ import annotations

import re
from enum import IntEnum

from tools.review.review import Change, Op

_STATEFUL = re.compile(
    r"aws:(kms/(key|replicaKey)|secretsmanager/secret|s3/bucket|cloudtrail/trail|cloudwatch/logGroup|sqs/queue):"
    r"|azure-native:(keyvault:(Vault|Key|Secret)|storage:(StorageAccount|BlobContainer)|operationalinsights:Workspace"
    r"|resources:ResourceGroup)$"
    r"|kubernetes:core/v1:(Namespace|Secret|PersistentVolume(Claim)?)$"
    r"|vault:(index/mount:Mount|pkiSecret/|index/audit:)"
    r"|docker:index/volume:"
    r"|coreflux-mcp-secrets:Folder$"
)
"""What holds values, keys or records: gone, they are."""

_GRANTS = re.compile(
    r"[Pp]olicy|iam/|[Rr]ole|[Pp]ermission|ServiceAccount|[Ss]ecurityGroup|[Gg]rant|[Pp]ublicAccess|Lock"
    r"|[Tt]rail|[Dd]iagnosticSetting|[Aa]udit|[Aa]larm|[Mm]etricFilter|[Aa]lert|[Ll]ogGroup|[Ll]ogging|scheduledQuery"
    r"|event(Rule|Target)|authBackend|sns/|bucket(Lifecycle|Versioning|ServerSideEncryption)|secretRotation",
    re.ASCII,
)
"""Who may do what, who hears of it, and for how long what was written is kept."""

_GRANTING = re.compile(
    r"[Pp]olicy|[Rr]ole|[Rr]etention|kmsKey|[Rr]ules$|[Pp]rincipal|[Pp]ermission|[Aa]ccess", re.ASCII
)
"""Properties that do the same, of whatever they are: a key's policy says who may decrypt."""


class Risk(IntEnum):
    """The order of the comment's rows."""

    LOSES_WHAT_IS_KEPT = 0
    GOES = 1
    GRANTS = 2
    CHANGES = 3
    COMES = 4


def risk(change: Change) -> Risk:
    """Of one change."""
    if change.op in (Op.REPLACE, Op.DELETE):
        stateful = change.protected or _STATEFUL.search(change.type)
        return Risk.LOSES_WHAT_IS_KEPT if stateful else Risk.GOES
    if _GRANTS.search(change.type.partition(":")[2]) or any(map(_GRANTING.search, change.properties)):
        return Risk.GRANTS
    return Risk.CHANGES if change.op is Op.UPDATE else Risk.COMES
