"""Query a Log Analytics workspace for Key Vault's audit log.

A table exists from its first row on. A missing table is a warning, an answer that is too long an error, both as details
of a PartialError: https://learn.microsoft.com/azure/azure-monitor/logs/api/response-format
Lists of versions that were allowed are left out: they give no value, and each launcher makes one a minute.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from secretops.errors import SecretopsError, StoreError, UsageError
from secretops.platforms.azure import audit_tables
from secretops.platforms.azure.api import ANSWER_SECONDS, CONNECT_SECONDS, BoundedRetryPolicy
from secretops.platforms.azure.audit_tables import TABLES
from secretops.platforms.azure.errors import codes, translated
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.login import Login

if TYPE_CHECKING:
    from azure.monitor.query import LogsQueryClient, LogsQueryPartialResult

ENDPOINT = "https://api.loganalytics.io"
# Kusto's codes for a union without an existing table, and for an unknown name. Microsoft lists them nowhere: they are
# from answers that people quote.
NO_TABLE = frozenset({"SEM0529", "SEM0100"})
# Kusto's E_QUERY_RESULT_SET_TOO_LARGE, 0x80DA0003: an answer has at most 500,000 rows or 64 MB.
TOO_LARGE = "-2133196797"
# The severity of a missing table. An error has a lower number.
WARNING = 3
# How far back without --since: the interactive retention of a workspace is seldom longer.
OLDEST = timedelta(days=90)
# The time of one query, which is halved while its answer is too large.
WINDOW = timedelta(days=7)
SHORTEST = timedelta(minutes=1)


def connect(tenant: str) -> LogsQueryClient:
    """A client of the query API, as a login of that tenant. Raises UsageError."""
    from azure.monitor.query import LogsQueryClient

    return LogsQueryClient(
        Login(tenant),
        retry_policy=BoundedRetryPolicy(),
        connection_timeout=CONNECT_SECONDS,
        read_timeout=10 * ANSWER_SECONDS,
    )


@dataclass(frozen=True)
class Workspace:
    """The workspace of a stack. Connects with the first question."""

    location: AzureStoreLocation

    def lines(self, since: datetime | None) -> Iterator[bytes]:
        """Its rows about the stack's vault from `since` on, in either table, as lines that `LogAnalytics.read` takes.

        Raises UsageError where neither table is there, UnreachableError, StoreError.
        """
        client, now = self._client(), datetime.now(UTC)
        begin = since or now - OLDEST
        while begin < now:
            end = min(begin + WINDOW, now)
            for row in self._rows(client, begin, end):
                yield json.dumps(row, default=str).encode()
            begin = end

    def newest(self, since: datetime) -> datetime | None:
        """When its newest row about the stack's vault is of, lists too; None where it has none since then."""
        found = self._answer(self._client(), newest(self._host, since, datetime.now(UTC)), "the newest row")
        return datetime.fromisoformat(str(found[0]["TimeGenerated"])) if found else None

    def _client(self) -> LogsQueryClient:
        with translated("ask", ENDPOINT, self._name):
            return connect(self.location.tenant)

    def _rows(self, client: LogsQueryClient, begin: datetime, end: datetime) -> Iterator[Mapping[str, Any]]:
        """Those of a time, in halves where they are too many."""
        try:
            found = self._answer(client, accesses(self._host, begin, end), f"{begin:%Y-%m-%d %H:%M}")
        except _TooLargeError:
            if end - begin <= SHORTEST:
                raise
            middle = begin + (end - begin) / 2
            yield from self._rows(client, begin, middle)
            yield from self._rows(client, middle, end)
        else:
            yield from found

    def _answer(self, client: LogsQueryClient, query: str, what: str) -> list[Mapping[str, Any]]:
        """All that was asked for. Raises _TooLargeError, StoreError where it is not all."""
        from azure.core.exceptions import HttpResponseError
        from azure.monitor.query import LogsQueryResult

        with translated("ask", ENDPOINT, self._name):
            try:  # what time is asked for stands in the query: of a timespan it is not said which ends belong to it
                answer = client.query_workspace(self.location.workspace, query, timespan=None)
            except HttpResponseError as error:
                if refused := self._refused(codes(error)):
                    raise refused from None
                raise
        if isinstance(answer, LogsQueryResult):
            return _rows_of(answer.tables)
        if lacking := _lacking(answer):
            kind = _TooLargeError if TOO_LARGE in lacking else StoreError
            raise kind(
                f"{self._name}: its answer for {what} is cut off ({lacking[0]})",
                rule="what is told of is everything, or nothing",
                remedy="a later --since asks for less; or export the rows, and name the file: secretops audit FILE",
            )
        return _rows_of(answer.partial_data)

    def _refused(self, found: list[str]) -> SecretopsError | None:
        if not NO_TABLE.isdisjoint(found):
            return UsageError(
                f"{self._name} has no table {TABLES[0]}, and none {TABLES[1]}",
                rule="the vault's diagnostic setting sends its audit log there; a table comes with its first row",
                remedy="pulumi up; then wait up to 15 minutes for what is read from now on",
            )
        if "BadArgumentError" in found:
            return StoreError(
                f"{self._name} does not take the query ({found[0]})",
                rule="it names the columns that Microsoft's page of the table lists",
                remedy="export the rows, and name the file: secretops audit FILE; and tell who maintains secretops",
            )
        return None

    @property
    def _name(self) -> str:
        return f"workspace {self.location.workspace}"

    @property
    def _host(self) -> str:
        return urlsplit(self.location.vault).netloc


class _TooLargeError(StoreError):
    """There are more rows than one answer holds."""


def accesses(host: str, begin: datetime, end: datetime) -> str:
    """In Kusto: what was asked of the secrets of the vault at `host`, from `begin` on and before `end`."""
    rows, secrets = _rows(host, begin, end), '| where OperationName startswith "Secret"'
    return f'{rows}\n{secrets}\n| where not(OperationName == "SecretListVersions" and HttpStatusCode == 200)'


def newest(host: str, begin: datetime, end: datetime) -> str:
    """In Kusto: the newest row about the vault at `host`, whatever it is of."""
    return f"{_rows(host, begin, end)}\n| top 1 by TimeGenerated desc"


def _rows(host: str, begin: datetime, end: datetime) -> str:
    """From whichever table there is, in the columns of the newer, and the claims in those of the older."""
    columns = {
        "HttpStatusCode": audit_tables.STATUS,
        "CallerIpAddress": audit_tables.ADDRESS,
        "ClientInfo": audit_tables.CLIENT,
        "RequestUri": audit_tables.ASKED,
        "Id": audit_tables.GIVEN,
        "Identity": audit_tables.IDENTITY,
        **audit_tables.CLAIMED,
    }
    time = f"TimeGenerated >= {_literal(begin)} and TimeGenerated < {_literal(end)}"
    return f'{audit_tables.either(columns)}\n| where {time}\n| where RequestUri has "{host}" or Id has "{host}"'


def _literal(time: datetime) -> str:
    return f"datetime({time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ})"


def _rows_of(tables: Any) -> list[Mapping[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for table in tables or () for row in table.rows]


def _lacking(answer: LogsQueryPartialResult) -> list[str]:
    """Return codes of what an answer lacks; none if only one of the tables is missing."""
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
