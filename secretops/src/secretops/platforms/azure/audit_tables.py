"""The tables and columns of Key Vault's audit log in Kusto.

The stack's diagnostic setting asks for AZKVAuditLogs; some workspaces get AzureDiagnostics all the same. `isfuzzy`
skips a missing table, and column_ifexists a missing column: some of AzureDiagnostics come with their first row. A test
checks the names against Azure's lists (tests/unit/azure_tables.json).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TABLES = ("AZKVAuditLogs", "AzureDiagnostics")
READ = "SecretGet"
# The whole secret in a file, for another vault of the same subscription.
COPIED = "SecretBackup"
GIVES_VALUE = (READ, COPIED)
_MICROSOFT = "http://schemas.microsoft.com/identity/claims/"
_XMLSOAP = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
# What AZKVAuditLogs calls who it was: one document.
CLAIMS = {"oid": ("oid", f"{_MICROSOFT}objectidentifier"), "upn": ("upn", f"{_XMLSOAP}upn"), "appid": ("appid",)}
# What AzureDiagnostics does: a column a claim.
CLAIM_COLUMNS = {
    "oid": ("identity_claim_oid_g", "identity_claim_http_schemas_microsoft_com_identity_claims_objectidentifier_g"),
    "upn": ("identity_claim_upn_s", "identity_claim_http_schemas_xmlsoap_org_ws_2005_05_identity_claims_upn_s"),
    "appid": ("identity_claim_appid_g",),
}
# What it is in AZKVAuditLogs, and in AzureDiagnostics; "" where it is not.
Column = tuple[str, str]


def _or_none(column: str) -> str:
    return f'column_ifexists("{column}", "")'


STATUS: Column = ("toint(HttpStatusCode)", 'toint(column_ifexists("httpStatusCode_d", real(null)))')
ADDRESS: Column = ("CallerIpAddress", "CallerIPAddress")
CLIENT: Column = ("ClientInfo", _or_none("clientInfo_s"))
# The address of a request: a secret is named in its path, with a version after it or none.
ASKED: Column = ("RequestUri", _or_none("requestUri_s"))
# The id of what was answered, or of what a notification is about.
GIVEN: Column = ("Id", _or_none("id_s"))
_EVENT = "Properties.eventGridEventProperties"
_EVENT_COLUMNS = ("eventGridEventProperties_data_ObjectName_s", "eventGridEventProperties_subject_s")
# The name of the secret that an event of Key Vault is about. In AzureDiagnostics these are the columns that
# Microsoft's own query of a near expiry reads (https://learn.microsoft.com/azure/key-vault/general/alert). In
# AZKVAuditLogs no page names them: `Properties` is the column for what varies by operation.
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


def either(columns: Mapping[str, Column], *, where: str = "", beside: Iterable[str] = ()) -> str:
    """Return a union of both tables with these columns, filtered by `where`; `beside` are other tables."""
    own, shared = TABLES
    conditions = {own: [where], shared: ['Category == "AuditEvent"', where]}
    branches = list(beside)
    for number, table in enumerate(TABLES):
        named = [f"{name} = {each[number]}" for name, each in columns.items() if each[number]]
        held = " and ".join(filter(None, conditions[table]))
        branches.append(
            "\n".join(
                (
                    table,
                    *([f"    | where {held}"] if held else ()),
                    "    | project " + ",\n        ".join(("TimeGenerated, OperationName", *named)),
                )
            )
        )
    return "union isfuzzy=true\n" + ",\n".join(f"    ({branch})" for branch in branches)
