"""The row that a request leaves in the table AZKVAuditLogs of a Log Analytics workspace.

Columns, types and names of operations are those of Microsoft's pages "AZKVAuditLogs" and "Azure Key Vault logging".
No row holds a value. A row is there when the answer is; in Azure it takes minutes.
"""

from __future__ import annotations

import datetime
import http
from dataclasses import dataclass
from typing import Any

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
"""An operation of the description, and what the audit log calls it."""

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
"""Those of the table that a request for a secret fills. Times are ISO 8601, in UTC."""


@dataclass(frozen=True)
class Request:
    """What a row says of a request beside what became of it."""

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
    """One request's row. A request without a valid token is an `Authentication`, by nobody.

    A refused request is told by its HttpStatusCode, as in Microsoft's own sample queries; ResultType says nothing here.
    """
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
