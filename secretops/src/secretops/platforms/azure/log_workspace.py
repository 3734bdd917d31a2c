"""Query Key Vault's audit log in a Log Analytics workspace.

Azure creates a table with its first row. Azure's documentation of incomplete answers:
https://learn.microsoft.com/azure/azure-monitor/logs/api/response-format
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from secretops.errors import StoreError, UsageError
from secretops.platforms.azure import audit_tables
from secretops.platforms.azure.api import ANSWER_SECONDS, CONNECT_SECONDS, BoundedRetryPolicy
from secretops.platforms.azure.audit_tables import TABLES
from secretops.platforms.azure.errors import translated
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.login import Login
from secretops.stores.store_errors import ErrorTemplate

if TYPE_CHECKING:
    from azure.monitor.query import LogsQueryClient, LogsQueryPartialResult

ENDPOINT = "https://api.loganalytics.io"
_NO_TABLE = ErrorTemplate(
    UsageError,
    "{name} has neither a table AZKVAuditLogs nor a table AzureDiagnostics",
    "one of the two tables must contain the vault's audit log; Azure creates the table when the first row arrives",
    "pulumi up, which makes the vault send its audit log; then read a secret, and try again after 15 minutes",
    "audit-log-missing",
)
_REJECTED = ErrorTemplate(
    StoreError,
    "{name} rejects the query ({code})",
    "the query must match the table: secretops uses the columns of Microsoft's reference",
    "report this error to the maintainers; meanwhile save the rows of AZKVAuditLogs and AzureDiagnostics as JSON (az "
    "monitor log-analytics query), then: secretops audit FILE",
    "audit-query-rejected",
)
# Kusto's error codes: no table of a union exists (SEM0529), or a name is unknown (SEM0100). Microsoft does not document
# them; they are from answers that people quote on the web.
_TEMPLATES = {"SEM0529": _NO_TABLE, "SEM0100": _NO_TABLE, "BadArgumentError": _REJECTED}
# Kusto's E_QUERY_RESULT_SET_TOO_LARGE, 0x80DA0003: an answer has at most 500,000 rows or 64 MB.
TOO_LARGE = "-2133196797"
# Severity of a missing table. Errors have lower numbers.
WARNING = 3
# Default of --since: the interactive retention of a workspace is seldom longer.
OLDEST = timedelta(days=90)
# Period of one query. It is halved while the answer is too large.
WINDOW = timedelta(days=7)
SHORTEST = timedelta(minutes=1)


def connect(tenant: str) -> LogsQueryClient:
    from azure.monitor.query import LogsQueryClient

    return LogsQueryClient(
        Login(tenant),
        retry_policy=BoundedRetryPolicy(),
        connection_timeout=CONNECT_SECONDS,
        read_timeout=10 * ANSWER_SECONDS,
    )


class Workspace:
    def __init__(self, location: AzureStoreLocation) -> None:
        self._location, self._host = location, urlsplit(location.vault).netloc
        self._name = f"workspace {location.workspace}"

    @functools.cached_property
    def _client(self) -> LogsQueryClient:
        return connect(self._location.tenant)

    def lines(self, since: datetime | None) -> Iterator[bytes]:
        """Yield the audit log's rows from `since`, by default from OLDEST ago, as JSON. Raises UsageError if both
        tables are missing."""
        now = datetime.now(UTC)
        begin = since or now - OLDEST
        while begin < now:
            end = min(begin + WINDOW, now)
            for row in self._rows(begin, end):
                yield json.dumps(row, default=str).encode()
            begin = end

    def newest(self, since: datetime) -> datetime | None:
        found = self._answer(newest(self._host, since, datetime.now(UTC)), "the newest row")
        return datetime.fromisoformat(str(found[0]["TimeGenerated"])) if found else None

    def _rows(self, begin: datetime, end: datetime) -> Iterator[Mapping[str, Any]]:
        try:
            found = self._answer(accesses(self._host, begin, end), f"the rows since {begin:%Y-%m-%d %H:%M} UTC")
        except _TooLargeError:
            if end - begin <= SHORTEST:
                raise
            middle = begin + (end - begin) / 2
            yield from self._rows(begin, middle)
            yield from self._rows(middle, end)
        else:
            yield from found

    def _answer(self, query: str, what: str) -> list[Mapping[str, Any]]:
        from azure.monitor.query import LogsQueryResult

        with translated("query", ENDPOINT, self._name, _TEMPLATES):
            # The query itself has the period: whether `timespan` includes its ends is not documented.
            answer = self._client.query_workspace(self._location.workspace, query, timespan=None)
        tables, lacking = (
            (answer.tables, []) if isinstance(answer, LogsQueryResult) else (answer.partial_data, _lacking(answer))
        )
        if lacking:
            kind, code = _TooLargeError if TOO_LARGE in lacking else StoreError, lacking[0]
            raise kind(
                f"{self._name}: the answer for {what} is incomplete ({code})",
                rule="an audit must read every row of the period",
                remedy="audit a shorter period: pass a later --since",
                code="audit-log-incomplete",
            )
        return [dict(zip(table.columns, row, strict=True)) for table in tables or () for row in table.rows]


class _TooLargeError(StoreError): ...


def accesses(host: str, begin: datetime, end: datetime) -> str:
    """Return the Kusto query for requests on secrets from `begin` until before `end`, without successful lists of
    versions."""
    rows, secrets = _rows(host, begin, end), '| where OperationName startswith "Secret"'
    return f'{rows}\n{secrets}\n| where not(OperationName == "SecretListVersions" and HttpStatusCode == 200)'


def newest(host: str, begin: datetime, end: datetime) -> str:
    return f"{_rows(host, begin, end)}\n| top 1 by TimeGenerated desc"


def _rows(host: str, begin: datetime, end: datetime) -> str:
    columns = {
        "HttpStatusCode": audit_tables.STATUS,
        "CallerIpAddress": audit_tables.ADDRESS,
        "ClientInfo": audit_tables.CLIENT,
        "RequestUri": audit_tables.REQUEST,
        "Id": audit_tables.OBJECT,
        "Identity": audit_tables.IDENTITY,
        **audit_tables.CLAIMED,
    }
    time = f"TimeGenerated >= {_literal(begin)} and TimeGenerated < {_literal(end)}"
    return f'{audit_tables.either(columns)}\n| where {time}\n| where RequestUri has "{host}" or Id has "{host}"'


def _literal(time: datetime) -> str:
    return f"datetime({time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ})"


def _lacking(answer: LogsQueryPartialResult) -> list[str]:
    """Return the error codes of an incomplete answer, except those for a missing table."""
    error = answer.partial_error
    details = [_innermost(one) for one in (error.details if error else None) or ()]
    if not details:
        return [error.code if error else "PartialError"]
    return [str(one.get("code")) for one in details if (one.get("severity") or 0) < WARNING or not _names_a_table(one)]


def _names_a_table(detail: Mapping[str, Any]) -> bool:
    return any(f"'{table}'" in str(detail.get("message")) for table in TABLES)


def _innermost(error: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = error.get("innererror")
    return _innermost(inner) if isinstance(inner, Mapping) else error
