"""Kusto queries for Log Analytics.

`union isfuzzy=true` ignores missing tables, but fails if all are missing, and Azure disables a rule after a week of
failed queries. Each union therefore contains an inline table without rows. Tests check the names of tables, columns and
operations against Azure's lists (tests/unit/azure_tables.json).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secretops.operations import external_certificates
from secretops.platforms.azure import audit_tables
from secretops.platforms.azure.audit_tables import RETURNS_VALUE

# The purge of a deleted vault is not logged, because the vault's diagnostic setting is already deleted.
DELETED = ("SecretDelete", "SecretPurge", "VaultDelete")

# Key Vault logs these Event Grid notifications even without subscribers
# (https://learn.microsoft.com/azure/key-vault/general/logging).
NEAR, EXPIRED = "SecretNearExpiryEventGridNotification", "SecretExpiredEventGridNotification"

# Words by which queries find the findings of secretops.engine.decisions and secretops.operations.external_certificates.
NEAR_WORDS, EXPIRED_WORDS = ("expires",), ("expired", "due since", "overdue since")


def undeclared_read(vault: str, readers: Mapping[str, Sequence[str]]) -> str:
    """Return the query for successful reads by undeclared readers. A secret that is missing in `readers` has no
    declared readers."""
    declared = [f"{secret}|{who}".lower() for secret, whos in sorted(readers.items()) for who in whos]
    return _lines(
        _events(vault),
        f"| where OperationName in ({_list(RETURNS_VALUE)}) and Status == 200",
        f"| where strcat(Secret, '|', Who) !in ({_list(declared)})",
        _BY_WHOM,
    )


def denied_read(vault: str) -> str:
    """Return the query for denied reads. It ignores status 401: Azure's libraries first send a request without a token,
    to learn the issuer."""
    return _lines(_events(vault), f"| where OperationName in ({_list(RETURNS_VALUE)}) and Status == 403", _BY_WHOM)


def deletion(vault: str) -> str:
    return _lines(_events(vault), f"| where OperationName in ({_list(DELETED)}) and Status != 401", _BY_WHOM)


def near_expiry(vault: str, supplied: Sequence[str], job: str) -> str:
    """Return the query for secrets and certificates that an operator must renew soon.

    Key Vault logs an event 30 days before a version is due, and a tick prints expiring certificates. `supplied` must
    contain no rotated secrets, which are renewed without an operator.
    """
    return _dated(vault, NEAR, supplied, job, NEAR_WORDS)


def expired(vault: str, secrets: Sequence[str], job: str) -> str:
    """Return the query for current versions that are past their due day.

    It finds the vault's events and the lines that ticks print. The lines are needed because Microsoft does not document
    all columns of the events.
    """
    return _dated(vault, EXPIRED, secrets, job, EXPIRED_WORDS)


def _dated(vault: str, event: str, secrets: Sequence[str], job: str, words: Sequence[str]) -> str:
    ticked = _lines(
        "ContainerAppConsoleLogs",
        f'    | where {_by_rotator(job)} and Stream =~ "stdout" and Log has_any ({_list(words)})',
        f'    | project TimeGenerated, OperationName = {_text(event)}, Subject = extract("^([^:]+):", 1, Log)',
    )
    return _lines(
        _events(vault, ticked),
        f"| where OperationName == {_text(event)} and Secret in ({_list([*secrets, external_certificates.NAME])})",
        "| project TimeGenerated, Secret, OperationName",
    )


def tick_failed(job: str) -> str:
    """Return the query for errors of ticks: their standard error, without the JSON lines of the journal."""
    return _lines(_console(job), '| where Stream =~ "stderr" and Log !startswith "{"', "| project TimeGenerated, Log")


def tick_lines(job: str) -> str:
    return _lines(_console(job), "| project TimeGenerated, Log")


def who_read_what(vault: str) -> str:
    """Return the query for who read which secret, how often, from where, and whether it was allowed."""
    return _lines(
        _events(vault),
        f"| where OperationName in ({_list(RETURNS_VALUE)}) and Status != 401",
        "| summarize Times = count(), Last = max(TimeGenerated) by Who, Secret, Status, Source",
        "| order by Last desc",
    )


_OF_CONSOLE = ("ContainerGroupName", "ContainerName", "Stream", "Log", "_ResourceId")
_BY_WHOM = "| project TimeGenerated, Who, Secret, OperationName, Status, Source"


def _events(vault: str, *branches: str) -> str:
    """Return a query for the vault's audit events, in AZKVAuditLogs and AzureDiagnostics, and for the rows of
    `branches`."""
    columns = {
        "Status": audit_tables.STATUS,
        "Source": audit_tables.ADDRESS,
        "Who": audit_tables.OID,
        "Requested": audit_tables.REQUEST,
        "Returned": audit_tables.OBJECT,
        "Subject": audit_tables.SUBJECT,
    }
    none = (
        "datatable(TimeGenerated: datetime, OperationName: string, Status: int, Source: string, Who: string,\n"
        "        Requested: string, Returned: string, Subject: string) []"
    )
    return _lines(
        audit_tables.either(columns, where=f"tolower(_ResourceId) == {_text(vault.lower())}", others=[none, *branches]),
        "| extend Who = tolower(Who), Secret = tolower(coalesce(",
        '    extract("/(?:deleted)?secrets/([^/?]+)", 1, Requested),',
        '    extract("/secrets/([^/?]+)", 1, Returned), Subject))',
    )


def _console(job: str) -> str:
    columns = ("TimeGenerated: datetime", *(f"{name}: string" for name in _OF_CONSOLE))
    return _lines(
        "union isfuzzy=true",
        f"    (datatable({', '.join(columns)}) []),",
        f"    (ContainerAppConsoleLogs | project TimeGenerated, {', '.join(_OF_CONSOLE)})",
        f"| where {_by_rotator(job)}",
    )


def _by_rotator(job: str) -> str:
    """Return the condition for lines of this stack's ticks.

    The condition compares the start of the replica's name with the job's name. It also compares the environment's
    resource group, since another stack of the same name may log to the same workspace. It excludes init containers.
    """
    group, name = job.partition("/providers/")[0], job.rpartition("/")[2]
    return (
        f'ContainerName == "rotator" and ContainerGroupName startswith {_text(f"{name}-")}'
        f" and tolower(_ResourceId) startswith {_text(f'{group}/'.lower())}"
    )


def _list(words: Sequence[str]) -> str:
    return ", ".join(_text(word) for word in words)


def _text(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _lines(*parts: str) -> str:
    return "\n".join(parts)
