"""What is looked for in Log Analytics, in Kusto. Pure functions of ids.

Where a vault's audit log lies, and by what names, says secretops.trails.vault_log. `isfuzzy` passes over a table that
is not there yet, but not over all of them: so one branch is a table of no rows. A query that fails finds nothing, an
alert of nothing does not ring by it, and Azure turns off a rule that has failed for a week. Names of tables, columns
and operations are held against Azure's own lists (tests/unit/azure_tables.json).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secretops.trails import vault_log
from secretops.trails.vault_log import GIVES_VALUE

DELETED = ("SecretDelete", "SecretPurge", "VaultDelete")
"""No operation is logged of a deleted vault's purge: the vault has no diagnostic setting any more."""

NEAR, EXPIRED = "SecretNearExpiryEventGridNotification", "SecretExpiredEventGridNotification"
"""Both are logged whether or not anybody subscribes to the event (Azure, Key Vault logging)."""


def undeclared_read(vault: str, readers: Mapping[str, Sequence[str]]) -> str:
    """Reads that were allowed, by others than a secret's declared readers. A secret that is not declared has none."""
    declared = [f"{secret}|{who}".lower() for secret, whos in sorted(readers.items()) for who in whos]
    return _lines(
        _events(vault),
        f"| where OperationName in ({_list(GIVES_VALUE)}) and Status == 200",
        f"| where strcat(Secret, '|', Who) !in ({_list(declared)})",
        _BY_WHOM,
    )


def denied_read(vault: str) -> str:
    """Reads that were denied. 401 is none: each client asks once without a token, to be told where to get one."""
    return _lines(_events(vault), f"| where OperationName in ({_list(GIVES_VALUE)}) and Status == 403", _BY_WHOM)


def deletion(vault: str) -> str:
    """Whatever takes a secret or the vault away, done or tried."""
    return _lines(_events(vault), f"| where OperationName in ({_list(DELETED)}) and Status != 401", _BY_WHOM)


def near_expiry(vault: str, supplied: Sequence[str]) -> str:
    """Secrets that a person has to renew within 30 days. Those that rotate are always near theirs."""
    return _lines(_events(vault), f"| where OperationName == {_text(NEAR)} and Secret in ({_list(supplied)})", _OF_WHAT)


def expired(vault: str, secrets: Sequence[str]) -> str:
    """Current versions that are past the day they were due."""
    return _lines(
        _events(vault), f"| where OperationName == {_text(EXPIRED)} and Secret in ({_list(secrets)})", _OF_WHAT
    )


def tick_failed(jobs: Sequence[str]) -> str:
    """What secretops says on standard error: a secret that it could not look after, or why it did not begin.

    Its journal is there too, a JSON document a line: what it says is steps, and the next of them may be the remedy.
    """
    return _lines(_console(jobs), '| where Stream =~ "stderr" and Log !startswith "{"', "| project TimeGenerated, Log")


def tick_overdue(jobs: Sequence[str]) -> str:
    """What secretops says of a rotation that is a day late."""
    return _lines(_console(jobs), f"| where Log has {_text(OVERDUE)}", "| project TimeGenerated, Log")


def tick_lines(jobs: Sequence[str]) -> str:
    """Anything: a tick says at least one line for each secret."""
    return _lines(_console(jobs), "| project TimeGenerated, Log")


def who_read_what(vault: str) -> str:
    """For a person: who read what, how often, from where, and whether it was allowed."""
    return _lines(
        _events(vault),
        f"| where OperationName in ({_list(GIVES_VALUE)}) and Status != 401",
        "| summarize Times = count(), Last = max(TimeGenerated) by Who, Secret, Status, Source",
        "| order by Last desc",
    )


OVERDUE = "overdue since"
"""As secretops' own finding begins."""

_OF_CONSOLE = ("ContainerGroupName", "ContainerName", "Stream", "Log")
_BY_WHOM = "| project TimeGenerated, Who, Secret, OperationName, Status, Source"
_OF_WHAT = "| project TimeGenerated, Secret, OperationName"


def _events(vault: str) -> str:
    """The vault's audit log with the same columns from either table. `vault` is its resource id."""
    columns = {
        "Status": vault_log.STATUS,
        "Source": vault_log.ADDRESS,
        "Who": vault_log.OID,
        "Asked": vault_log.ASKED,
        "Given": vault_log.GIVEN,
    }
    none = (
        "datatable(TimeGenerated: datetime, OperationName: string, Status: int, Source: string, Who: string,\n"
        "        Asked: string, Given: string) []"
    )
    return _lines(
        vault_log.either(columns, where=f"tolower(_ResourceId) == {_text(vault.lower())}", beside=[none]),
        "| extend Who = tolower(Who), Secret = tolower(coalesce(",
        '    extract("/(?:deleted)?secrets/([^/?]+)", 1, Asked), extract("/secrets/([^/?]+)", 1, Given)))',
    )


def _console(jobs: Sequence[str]) -> str:
    """What containers of the rotator's jobs wrote, but for those that lay files down. A replica has its job's name."""
    of = " or ".join(f"ContainerGroupName startswith {_text(f'{job}-')}" for job in jobs)
    columns = ("TimeGenerated: datetime", *(f"{name}: string" for name in _OF_CONSOLE))
    return _lines(
        "union isfuzzy=true",
        f"    (datatable({', '.join(columns)}) []),",
        f"    (ContainerAppConsoleLogs | project TimeGenerated, {', '.join(_OF_CONSOLE)})",
        f'| where ContainerName == "rotator" and ({of})',
    )


def _list(words: Sequence[str]) -> str:
    return ", ".join(_text(word) for word in words)


def _text(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _lines(*parts: str) -> str:
    return "\n".join(parts)
