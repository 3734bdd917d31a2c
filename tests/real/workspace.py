"""A stand-in for a Log Analytics workspace: an HTTP transport that answers Azure's client of the query API."""

import functools
import io
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.credentials import AccessTokenInfo
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from azure.core.rest._requests_basic import RestRequestsTransportResponse
from azure.monitor.query import LogsQueryClient
from requests import Response

from secretops.platforms.azure import api

# The columns of AZKVAuditLogs that we name.
COLUMNS = {
    "TimeGenerated": "TIMESTAMPTZ", "OperationName": "VARCHAR", "HttpStatusCode": "INTEGER",
    "CallerIpAddress": "VARCHAR", "ClientInfo": "VARCHAR", "RequestUri": "VARCHAR", "Id": "VARCHAR",
    "Identity": "VARCHAR",
}  # fmt: skip

# The columns of AzureDiagnostics before a vault's first row adds its own.
OLDER = {
    "TimeGenerated": "TIMESTAMPTZ",
    "OperationName": "VARCHAR",
    "Category": "VARCHAR",
    "CallerIPAddress": "VARCHAR",
}

TOO_LARGE = {"code": "-2133196797", "message": "exceeds the set limit (E_QUERY_RESULT_SET_TOO_LARGE)", "severity": 2}
# The API's message where a table of a fuzzy union is missing, as in most workspaces: no data is hidden.
NO_OLDER = {
    "code": "-2133196790",
    "message": "Failed to resolve table expression named 'AzureDiagnostics'",
    "severity": 3,
}


class Played(RequestsTransport):  # type: ignore[misc]  # the SDK has no type for it
    """The query API, with rows of AZKVAuditLogs that a test sets."""

    def __init__(
        self,
        workspace: str,
        rows: list[dict[str, Any]],
        *,
        most: int = 1000,
        says: tuple[dict[str, Any], ...] = (NO_OLDER,),
        status: int = 200,
        codes: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.workspace, self.rows, self.most, self.says, self.status = workspace, rows, most, says, status
        self.codes = codes
        self._connection: Any = None
        self._loaded: list[dict[str, Any]] = []
        self.requested: list[str] = []
        self.tenants: set[str] = set()

    def client(self, tenant: str) -> LogsQueryClient:
        self.tenants.add(tenant)
        return LogsQueryClient(Somebody(), transport=self, retry_policy=api.BoundedRetryPolicy())  # type: ignore[arg-type]

    def send(self, request: HttpRequest, **_: Any) -> Any:
        if self.status == 0:
            raise ServiceRequestError("raised by the stand-in", error=OSError("no network"))
        requested = json.loads(request.content or "{}")
        assert request.url == f"https://api.loganalytics.io/v1/workspaces/{self.workspace}/query"
        assert not requested.get("timespan"), "only the query has the time range"
        self.requested.append(requested["query"])
        body, answer = self._body(), Response()
        answer.status_code, answer.raw = self.status, io.BytesIO(json.dumps(body, default=str).encode())
        answer.headers["Content-Type"] = "application/json"
        made = RestRequestsTransportResponse(request=request, internal_response=answer)  # type: ignore[no-untyped-call]
        made.read()
        return made

    def _body(self) -> dict[str, Any]:
        if self.status != 200:
            error: dict[str, Any] = {}
            for code in reversed(self.codes):
                error = {"code": code, "message": "from the stand-in", **({"innererror": error} if error else {})}
            return {"error": error}
        names, found = self._found(self.requested[-1])
        columns = [{"name": name, "type": "datetime" if name == "TimeGenerated" else "string"} for name in names]
        body: dict[str, Any] = {"tables": [{"name": "PrimaryResult", "columns": columns, "rows": found[: self.most]}]}
        if output := [*self.says, *([TOO_LARGE] if len(found) > self.most else ())]:
            details = [{"code": "EngineError", "message": "from the stand-in", "innererror": one} for one in output]
            body["error"] = {"code": "PartialError", "message": "from the stand-in", "details": details}
        return body

    def _found(self, query: str) -> tuple[list[str], list[list[Any]]]:
        duckdb_kql = pytest.importorskip("duckdb_kql", reason="duckdb-kql is not installed")
        if self._connection is None or self._loaded != self.rows:
            self._connection, self._loaded = duckdb_kql.connect(), list(self.rows)
            _load(self._connection, self._loaded)
        sql, places = _translated(*_TIME.subn("datetime({})", query))
        for place, time in zip(places, _TIME.findall(query), strict=True):
            sql = sql.replace(place, time)
        result = self._connection.sql(sql)
        return result.columns, [[_said(cell) for cell in row] for row in result.fetchall()]


_TIME = re.compile(r"datetime\(([^)]+)\)")


@functools.cache
def _translated(query: str, times: int) -> tuple[str, list[str]]:
    import duckdb_kql

    places = [f"100{number}-01-01" for number in range(times)]
    decided = re.sub(r'column_ifexists\("\w+", ((?:[^()]|\(null\))*)\)', r"\1", query.replace("isfuzzy=true", ""))
    schema = {"AZKVAuditLogs": list(COLUMNS), "AzureDiagnostics": list(OLDER)}
    return str(duckdb_kql.to_sql(decided.format(*places), schema=schema)), places


def _load(connection: Any, rows: list[dict[str, Any]]) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    for table, columns in {"AZKVAuditLogs": COLUMNS, "AzureDiagnostics": OLDER}.items():
        connection.execute(f"CREATE TABLE {table} ({', '.join(f'{one} {columns[one]}' for one in columns)})")
    if rows:
        cells = [_cell(row[one]) for row in rows for one in COLUMNS]
        marks = ", ".join([f"({', '.join('?' * len(COLUMNS))})"] * len(rows))
        connection.execute(f"INSERT INTO AZKVAuditLogs VALUES {marks}", cells)  # noqa: S608


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _said(cell: Any) -> Any:
    return f"{cell.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(cell, datetime) else cell


class Somebody:
    def get_token_info(self, *_: str, options: Any = None) -> AccessTokenInfo:  # noqa: ARG002
        return AccessTokenInfo("standin", int(datetime.now(UTC).timestamp()) + 3600)
