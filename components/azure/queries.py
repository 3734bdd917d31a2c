"""What is looked for in Log Analytics, in Kusto. Pure functions of ids.

The tables of a vault's audit log are in secretops.platforms.azure.audit_tables. `isfuzzy` passes over a table that is
not there yet, but not over all of them: so one branch is a table of no rows. A query that fails finds nothing, an
alert of nothing does not ring by it, and Azure turns off a rule that has failed for a week. Names of tables, columns
and operations are held against Azure's own lists (tests/unit/azure_tables.json).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secretops.operations import external_certificates
from secretops.platforms.azure import audit_tables
from secretops.platforms.azure.audit_tables import RETURNS_VALUE

DELETED = ("SecretDelete", "SecretPurge", "VaultDelete")
"""No operation is logged of a deleted vault's purge: the vault has no diagnostic setting any more."""

# Key Vault logs both whether or not anybody subscribes to the event (https://learn.microsoft.com/azure/key-vault/general/logging).
NEAR, EXPIRED = "SecretNearExpiryEventGridNotification", "SecretExpiredEventGridNotification"

# Words of the findings of secretops.engine.decisions and secretops.operations.external_certificates.
NEAR_WORDS, EXPIRED_WORDS = ("expires",), ("expired", "due since", "overdue since")


def undeclared_read(vault: str, readers: Mapping[str, Sequence[str]]) -> str:
    """Reads that were allowed, by others than a secret's declared readers. A secret that is not declared has none."""
    declared = [f"{secret}|{who}".lower() for secret, whos in sorted(readers.items()) for who in whos]
    return _lines(
        _events(vault),
        f"| where OperationName in ({_list(RETURNS_VALUE)}) and Status == 200",
        f"| where strcat(Secret, '|', Who) !in ({_list(declared)})",
        _BY_WHOM,
    )


def denied_read(vault: str) -> str:
    """Reads that were denied. 401 is none: each client asks once without a token, to be told where to get one."""
    return _lines(_events(vault), f"| where OperationName in ({_list(RETURNS_VALUE)}) and Status == 403", _BY_WHOM)


def deletion(vault: str) -> str:
    """Whatever takes a secret or the vault away, done or tried."""
    return _lines(_events(vault), f"| where OperationName in ({_list(DELETED)}) and Status != 401", _BY_WHOM)


def near_expiry(vault: str, supplied: Sequence[str], job: str) -> str:
    """Return a query for secrets and certificates that a person has to renew soon.

    Key Vault logs an event 30 days before a version is due; a tick prints what ends by itself. Secrets that rotate
    are always near their day.
    """
    return _dated(vault, NEAR, supplied, job, NEAR_WORDS)


def expired(vault: str, secrets: Sequence[str], job: str) -> str:
    """Return a query for current versions past the day that they were due.

    Both the vault's event and the tick's own line count: no page of Microsoft's says how the event is laid out in each
    table.
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
    """What secretops says on standard error: a secret that it could not look after, or why it did not begin.

    Its journal is there too, a JSON document a line: what it says is steps, and the next of them may be the remedy.
    """
    return _lines(_console(job), '| where Stream =~ "stderr" and Log !startswith "{"', "| project TimeGenerated, Log")


def tick_lines(job: str) -> str:
    """Anything: a tick says at least one line for each secret."""
    return _lines(_console(job), "| project TimeGenerated, Log")


def who_read_what(vault: str) -> str:
    """For a person: who read what, how often, from where, and whether it was allowed."""
    return _lines(
        _events(vault),
        f"| where OperationName in ({_list(RETURNS_VALUE)}) and Status != 401",
        "| summarize Times = count(), Last = max(TimeGenerated) by Who, Secret, Status, Source",
        "| order by Last desc",
    )


_OF_CONSOLE = ("ContainerGroupName", "ContainerName", "Stream", "Log", "_ResourceId")
_BY_WHOM = "| project TimeGenerated, Who, Secret, OperationName, Status, Source"


def _events(vault: str, *beside: str) -> str:
    """Return the vault's audit log with the same columns from either table, and rows of other branches.

    `vault` is its resource id.
    """
    columns = {
        "Status": audit_tables.STATUS,
        "Source": audit_tables.ADDRESS,
        "Who": audit_tables.OID,
        "Asked": audit_tables.REQUEST,
        "Given": audit_tables.OBJECT,
        "Subject": audit_tables.SUBJECT,
    }
    none = (
        "datatable(TimeGenerated: datetime, OperationName: string, Status: int, Source: string, Who: string,\n"
        "        Asked: string, Given: string, Subject: string) []"
    )
    return _lines(
        audit_tables.either(columns, where=f"tolower(_ResourceId) == {_text(vault.lower())}", others=[none, *beside]),
        "| extend Who = tolower(Who), Secret = tolower(coalesce(",
        '    extract("/(?:deleted)?secrets/([^/?]+)", 1, Asked), extract("/secrets/([^/?]+)", 1, Given), Subject))',
    )


def _console(job: str) -> str:
    """Return what containers of the rotator's job wrote."""
    columns = ("TimeGenerated: datetime", *(f"{name}: string" for name in _OF_CONSOLE))
    return _lines(
        "union isfuzzy=true",
        f"    (datatable({', '.join(columns)}) []),",
        f"    (ContainerAppConsoleLogs | project TimeGenerated, {', '.join(_OF_CONSOLE)})",
        f"| where {_by_rotator(job)}",
    )


def _by_rotator(job: str) -> str:
    """Return the condition for lines of a tick. `job` is the job's resource id.

    A replica has its job's name, and a row the id of its environment; init containers have other names. Another stack
    of the same name may log to the same workspace.
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
