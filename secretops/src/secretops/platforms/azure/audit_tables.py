"""Tables and columns of Key Vault's audit log in Kusto.

Some workspaces have the table AzureDiagnostics instead of AZKVAuditLogs. AzureDiagnostics may lack columns that no row
has used yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TABLES = ("AZKVAuditLogs", "AzureDiagnostics")
READ = "SecretGet"
# Operation whose answer is the whole secret as a file, for another vault of the same subscription.
BACKUP = "SecretBackup"
RETURNS_VALUE = (READ, BACKUP)
_MICROSOFT = "http://schemas.microsoft.com/identity/claims/"
_XMLSOAP = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
# Claims of the caller in AZKVAuditLogs, in one document.
CLAIMS = {"oid": ("oid", f"{_MICROSOFT}objectidentifier"), "upn": ("upn", f"{_XMLSOAP}upn"), "appid": ("appid",)}
# The same claims in AzureDiagnostics, with a column per claim.
CLAIM_COLUMNS = {
    "oid": ("identity_claim_oid_g", "identity_claim_http_schemas_microsoft_com_identity_claims_objectidentifier_g"),
    "upn": ("identity_claim_upn_s", "identity_claim_http_schemas_xmlsoap_org_ws_2005_05_identity_claims_upn_s"),
    "appid": ("identity_claim_appid_g",),
}
# An expression for AZKVAuditLogs and another for AzureDiagnostics; "" if the column is missing.
Column = tuple[str, str]


def _or_none(column: str) -> str:
    return f'column_ifexists("{column}", "")'


STATUS: Column = ("toint(HttpStatusCode)", 'toint(column_ifexists("httpStatusCode_d", real(null)))')
ADDRESS: Column = ("CallerIpAddress", "CallerIPAddress")
CLIENT: Column = ("ClientInfo", _or_none("clientInfo_s"))
# URL of a request: its path names a secret, with or without a version.
REQUEST: Column = ("RequestUri", _or_none("requestUri_s"))
# Id of the object in the answer, or of the subject of a notification.
OBJECT: Column = ("Id", _or_none("id_s"))
_EVENT = "Properties.eventGridEventProperties"
_EVENT_COLUMNS = ("eventGridEventProperties_data_ObjectName_s", "eventGridEventProperties_subject_s")
# Name of the secret in an event of Key Vault. Microsoft's own query for a near expiry reads these columns of
# AzureDiagnostics (https://learn.microsoft.com/azure/key-vault/general/alert). Microsoft does not document where
# AZKVAuditLogs has the name: its column `Properties` has what varies by operation.
SUBJECT: Column = (
    f"tostring(coalesce({_EVENT}.data.ObjectName, {_EVENT}.subject))",
    f"coalesce({', '.join(_or_none(column) for column in _EVENT_COLUMNS)})",
)
IDENTITY: Column = ("Identity", "")
OID: Column = (
    f'tostring(coalesce(Identity.claim.{CLAIMS["oid"][0]}, Identity.claim["{CLAIMS["oid"][1]}"]))',
    f"coalesce({', '.join(f'tostring({_or_none(column)})' for column in CLAIM_COLUMNS['oid'])})",
)
CLAIMED: Mapping[str, Column] = {
    column: ("", _or_none(column)) for columns in CLAIM_COLUMNS.values() for column in columns
}


def either(columns: Mapping[str, Column], *, where: str = "", others: Iterable[str] = ()) -> str:
    """Return a Kusto query that unites the results of the queries `others` with the rows of both TABLES that match
    `where`."""
    own, shared = TABLES
    conditions = {own: [where], shared: ['Category == "AuditEvent"', where]}
    branches = list(others)
    for number, table in enumerate(TABLES):
        named = [f"{name} = {each[number]}" for name, each in columns.items() if each[number]]
        found = " and ".join(filter(None, conditions[table]))
        project = ",\n        ".join(("TimeGenerated, OperationName", *named))
        branches.append(f"{table}\n" + (f"    | where {found}\n" if found else "") + f"    | project {project}")
    return "union isfuzzy=true\n" + ",\n".join(f"    ({branch})" for branch in branches)
