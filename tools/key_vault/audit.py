"""The row of each request in the table AZKVAuditLogs of a Log Analytics workspace.

Columns, types and operations are those of Microsoft's pages "AZKVAuditLogs" and "Azure Key Vault logging". Rows contain
no secret values. In Azure they arrive minutes later.
"""

from __future__ import annotations

import datetime
import http
from dataclasses import dataclass
from typing import Any

# Name of an operation in the description -> its name in the audit log.
OPERATIONS = {
    "GetSecret": "SecretGet",
    "SetSecret": "SecretSet",
    "UpdateSecret": "SecretUpdate",
    "DeleteSecret": "SecretDelete",
    "RecoverDeletedSecret": "SecretRecover",
    "PurgeDeletedSecret": "SecretPurge",
    "BackupSecret": "SecretBackup",
    "RestoreSecret": "SecretRestore",
    "GetSecrets": "SecretList",
    "GetSecretVersions": "SecretListVersions",
    "GetDeletedSecret": "SecretGetDeleted",
    "GetDeletedSecrets": "SecretListDeleted",
}

# The columns that a request for a secret fills. Times are ISO 8601, in UTC.
COLUMNS = {
    "TimeGenerated": str,
    "OperationName": str,
    "OperationVersion": str,
    "ResultType": str,
    "ResultSignature": str,
    "ResultDescription": str,
    "HttpStatusCode": int,
    "DurationMs": int,
    "CallerIpAddress": str,
    "CorrelationId": str,
    "ClientInfo": str,
    "RequestUri": str,
    "Id": str,
    "Identity": dict,
    "IsRbacAuthorized": bool,
    "AppliedAssignmentId": str,
    "SecretProperties": dict,
    "Tlsversion": str,
    "_ResourceId": str,
    "Type": str,
}


@dataclass(frozen=True)
class Request:
    operation: str
    uri: str
    api_version: str
    client: str
    address: str
    correlation_id: str
    tls: str
    claims: dict[str, Any]


def row(
    request: Request,
    *,
    time: float,
    duration_ms: int,
    status: int,
    description: str,
    subject: str,
    assignment: str,
    resource_id: str,
) -> dict[str, Any]:
    """Return the row of a request. If it has no valid token, the operation is `Authentication`."""
    name = OPERATIONS.get(request.operation, request.operation) if request.claims else "Authentication"
    claim = {key: request.claims[key] for key in ("oid", "appid", "xms_mirid") if key in request.claims}
    return {
        "TimeGenerated": datetime.datetime.fromtimestamp(time, datetime.UTC).isoformat().replace("+00:00", "Z"),
        "OperationName": name,
        "OperationVersion": request.api_version,
        "ResultType": "Success",
        "ResultSignature": http.HTTPStatus(status).phrase,
        "ResultDescription": description,
        "HttpStatusCode": int(status),
        "DurationMs": duration_ms,
        "CallerIpAddress": request.address,
        "CorrelationId": request.correlation_id,
        "ClientInfo": request.client,
        "RequestUri": request.uri,
        "Id": subject,
        "Identity": {"claim": claim},
        "IsRbacAuthorized": bool(assignment),
        "AppliedAssignmentId": assignment,
        "SecretProperties": {},
        "Tlsversion": request.tls,
        "_ResourceId": resource_id,
        "Type": "AZKVAuditLogs",
    }
