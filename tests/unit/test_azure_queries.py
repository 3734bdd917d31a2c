"""The trail's queries. Microsoft's parser parses them, and duckdb-kql, an independent translator, runs them over rows.

Tables have the columns of Azure Monitor's reference, and operations are those of Key Vault's page: azure_tables.json
has the address and date of each. Unsupported constructs (an `isfuzzy` union, column_ifexists) are resolved first, as
Kusto documents them.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from components.azure import queries
from secretops.engine import decisions
from secretops.engine.decisions import Facts, Reason
from secretops.engine.state import Stage, Version, Versions
from secretops.manifest import Reader, Secret, SecretKind
from secretops.platforms.azure import audit_tables, trail
from tools import kusto_parser
from tools.key_vault import audit

VAULT = "/subscriptions/1/resourceGroups/Plant/providers/Microsoft.KeyVault/vaults/coreflux-prod-0"
SERVER, ROTATOR, STRANGER = "5E-server", "50-rotator", "57-stranger"
READERS = {"mqtt": [SERVER, ROTATOR], "mqtt-pending": [ROTATOR]}
GROUP = "/subscriptions/1/resourceGroups/Plant"
JOB, RUN = f"{GROUP}/providers/Microsoft.App/jobs/coreflux-prod-rotator", "coreflux-prod-rotator-29399"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)

QUERIES = {
    "undeclared-read": queries.undeclared_read(VAULT, READERS),
    "denied-read": queries.denied_read(VAULT),
    "deletion": queries.deletion(VAULT),
    "near-expiry": queries.near_expiry(VAULT, ["agent-key"], JOB),
    "expired": queries.expired(VAULT, ["mqtt", "agent-key"], JOB),
    "who-read-what": queries.who_read_what(VAULT),
    "tick-failed": queries.tick_failed(JOB),
    "tick-missing": queries.tick_lines(JOB),
}

# Azure's own lists, without columns that nothing here names.
PUBLISHED = json.loads(Path(__file__).with_name("azure_tables.json").read_text())

Table = Mapping[str, str]  # Column -> type, in Kusto's terms.
Row = dict[str, Any]

COLUMNS: Mapping[str, Table] = {name: one["columns"] for name, one in PUBLISHED["tables"].items()}
OWN, SHARED, CONSOLE = (COLUMNS[name] for name in ("AZKVAuditLogs", "AzureDiagnostics", "ContainerAppConsoleLogs"))
SEEN = {**SHARED, **COLUMNS["AzureDiagnostics of a vault"], **COLUMNS["AzureDiagnostics of a vault's events"]}

OF_EVENTS = ("eventGridEventProperties_subject_s", "eventGridEventProperties_data_ObjectName_s", "id_s", "requestUri_s")
ALL = {"AZKVAuditLogs": OWN, "AzureDiagnostics": SEEN, "ContainerAppConsoleLogs": CONSOLE}
LAYOUTS: Mapping[str, Mapping[str, Table]] = {
    "both": ALL,
    **{
        f"no {missing}": {**ALL, "AzureDiagnostics": {one: SEEN[one] for one in SEEN if one != missing}}
        for missing in OF_EVENTS
    },
    "no vault's row yet": {"AZKVAuditLogs": OWN, "AzureDiagnostics": SHARED, "ContainerAppConsoleLogs": CONSOLE},
    "the shared table alone": {"AzureDiagnostics": SEEN, "ContainerAppConsoleLogs": CONSOLE},
    "no row of anything yet": {},
}
LONG_CLAIM = "http://schemas.microsoft.com/identity/claims/objectidentifier"
LONG_COLUMN = "identity_claim_http_schemas_microsoft_com_identity_claims_objectidentifier_g"


def test_every_operation_that_is_looked_for_is_one_that_key_vault_logs() -> None:
    logged = {*PUBLISHED["operations"]["vault"], *PUBLISHED["operations"]["secrets"]}
    assert {*queries.DELETED, queries.NEAR, queries.EXPIRED} <= logged
    assert {*audit_tables.RETURNS_VALUE, *trail.LISTS, *audit.OPERATIONS.values()} <= logged
    assert LONG_CLAIM in PUBLISHED["claims"]["identity"]


@pytest.mark.slow
def test_every_query_is_kusto_and_knows_its_columns_in_each_layout() -> None:
    if not kusto_parser.is_there():
        pytest.skip("the parser of Kusto is not installed: tools/setup.py --parts")
    layouts = {
        name: {
            table: f"({', '.join(f'{one}: {kind}' for one, kind in columns.items())})" for table, columns in has.items()
        }
        for name, has in LAYOUTS.items()
    }
    parsed = kusto_parser.parse(layouts, QUERIES)
    for layout, has in LAYOUTS.items():
        missing = COLUMNS.keys() - has.keys()
        allowed = tuple(f"Warning: The fuzzy name '{table}' does not refer to any known" for table in missing)
        for query in QUERIES:
            assert [one for one in parsed[layout][query].problems if not one.startswith(allowed)] == [], (layout, query)
    for name in ("undeclared-read", "denied-read", "deletion"):
        assert parsed["both"][name].columns.items() >= {"Who": "string", "Secret": "string"}.items()


def event(
    operation: str = "SecretGet",
    who: str = SERVER,
    *,
    status: int = 200,
    path: str = "/secrets/mqtt/?api-version=7.5",
    secret_id: str = "",
    vault: str = VAULT,
) -> Row:
    uri = f"https://coreflux-prod-0.vault.azure.net{path}" if path else ""
    return {"operation": operation, "who": who, "status": status, "uri": uri, "id": secret_id, "vault": vault}


def own_table(one: Row, claim: str = LONG_CLAIM) -> Row:
    return {
        "TimeGenerated": NOON, "OperationName": one["operation"], "HttpStatusCode": one["status"],
        "CallerIpAddress": "203.0.113.7",
        "Identity": json.dumps({"claim": {claim: one["who"]} if one["who"] else {}}), "RequestUri": one["uri"],
        "Id": one["id"], "_ResourceId": one["vault"].lower(),
    }  # fmt: skip


def shared_table(one: Row) -> Row:
    return {
        "TimeGenerated": NOON, "OperationName": one["operation"], "Category": "AuditEvent",
        "CallerIPAddress": "203.0.113.7",
        "_ResourceId": one["vault"].lower(),
        "httpStatusCode_d": float(one["status"]),
        LONG_COLUMN: one["who"], "requestUri_s": one["uri"], "id_s": one["id"],
    }  # fmt: skip


AS_ROWS: Mapping[str, tuple[str, Callable[[Row], Row]]] = {
    "its own table": ("AZKVAuditLogs", lambda one: own_table(one, "oid")),
    "the shared table": ("AzureDiagnostics", shared_table),
}
FORMS = pytest.mark.parametrize("form", AS_ROWS)
# Types of DuckDB. A guid is text there, so that an id here is readable.
_TYPES = {
    "datetime": "TIMESTAMPTZ", "string": "VARCHAR", "int": "INTEGER", "long": "BIGINT", "real": "DOUBLE",
    "bool": "BOOLEAN", "dynamic": "JSON", "guid": "VARCHAR",
}  # fmt: skip


@cache
def workspace(layout: str) -> Any:
    """Return a database with the tables of `layout`. It is made once, and each test inserts its own rows."""
    duckdb_kql = pytest.importorskip("duckdb_kql", reason="duckdb-kql is not installed")
    connection = duckdb_kql.connect()
    for table, columns in LAYOUTS[layout].items():
        typed = ", ".join(f"{one} {_TYPES[columns[one]]}" for one in columns)
        connection.execute(f"CREATE TABLE {table} ({typed})")
    return connection


def found(query: str, rows: Mapping[str, Sequence[Row]], layout: str = "both") -> list[Row]:
    """Return the result of `query` on tables of `layout` with `rows`."""
    connection = workspace(layout)
    import duckdb_kql

    for table, columns in LAYOUTS[layout].items():
        connection.execute(f"DELETE FROM {table}")  # noqa: S608
        for row in rows.get(table, ()):
            assert row.keys() <= columns.keys(), "a row of columns that the table has"
            marks = ", ".join("?" for _ in columns)
            connection.execute(f"INSERT INTO {table} VALUES ({marks})", [row.get(one) for one in columns])  # noqa: S608
    result = duckdb_kql.kql(connection, as_decided(query, LAYOUTS[layout]))
    return [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]


def as_decided(query: str, layout: Mapping[str, Table]) -> str:
    """Resolve `query` for `layout`: drop branches of missing tables, and replace column_ifexists with the column or its
    default."""
    union, begins, rest = query.partition("\n| ")
    first, *branches = union.split("\n    (")
    there = [one.rstrip(",") for one in branches if one.startswith("datatable") or one.split()[0] in layout]
    text = "\n    (".join([first.replace(" isfuzzy=true", ""), ",\n    (".join(there)]) + begins + rest
    return re.sub(
        r'column_ifexists\("(\w+)", ((?:[^()]|\(null\))*)\)',
        lambda match: match[1] if match[1] in layout.get("AzureDiagnostics", ()) else match[2],
        text,
    )


def alerted_by(query: str, form: str, *events: Row) -> set[tuple[str, str]]:
    table, row_of = AS_ROWS[form]
    rows = found(QUERIES[query], {table: [row_of(one) for one in events]})
    return {(row.get("Who", ""), row["Secret"]) for row in rows}


@FORMS
def test_a_read_by_others_than_a_secrets_declared_readers_is_found(form: str) -> None:
    alerts = alerted_by(
        "undeclared-read",
        form,
        event(who=STRANGER),
        event("SecretBackup", "b-stranger", path="/secrets/mqtt/backup?api-version=7.5"),
        event(path="/secrets/mqtt-pending?api-version=7.5"),
        event(who=ROTATOR, path="/secrets/another/0123?api-version=7.5"),
        event(who=""),
    )
    assert alerts == {
        (STRANGER.lower(), "mqtt"),
        ("b-stranger", "mqtt"),
        (SERVER.lower(), "mqtt-pending"),
        (ROTATOR.lower(), "another"),
        ("", "mqtt"),
    }


@FORMS
def test_no_alert_is_raised_by_a_declared_reader_a_denied_one_or_another_vaults(form: str) -> None:
    alerts = alerted_by(
        "undeclared-read", form, event(), event(who=SERVER.upper()),
        event(who=ROTATOR, path="/secrets/mqtt-pending?api-version=7.5"), event(who=STRANGER, status=403),
        event(who=STRANGER, status=401),
        event("SecretListVersions", STRANGER, path="/secrets/mqtt/versions?api-version=7.5"),
        event(who=STRANGER, vault=VAULT.replace("prod-0", "prod-1")),
    )  # fmt: skip
    assert alerts == set()


def test_denied_reads_and_deletions_are_found() -> None:
    denied = [event(who=f"s{status}", status=status) for status in (403, 401, 200, 404)]
    deletions = (
        event("SecretDelete", "a"),
        event("SecretPurge", "b", path="/deletedsecrets/mqtt?api-version=7.5"),
        event("SecretDelete", "c", status=403),
        event("VaultDelete", "d", path="/"),
        event("SecretDelete", "", status=401),
        event("SecretSet", "e"),
    )
    assert alerted_by("denied-read", "the shared table", *denied) == {("s403", "mqtt")}, "a first request has no token"
    assert alerted_by("deletion", "the shared table", *deletions) == {
        ("a", "mqtt"),
        ("b", "mqtt"),
        ("c", "mqtt"),
        ("d", ""),
    }


NAMED_BY = (
    *(f"AZKVAuditLogs {column}" for column in ("Id", "RequestUri", "data.ObjectName", "subject")),
    *(f"AzureDiagnostics {column}" for column in OF_EVENTS),
)


def notification(kind: str, secret: str, named_by: str) -> tuple[str, Row]:
    """Return the table and the row of a Key Vault event. Only the column `named_by` names the secret."""
    table, column = named_by.split()
    one = event(f"Secret{kind}EventGridNotification", "", path="")
    row = own_table(one) if table == "AZKVAuditLogs" else shared_table(one)
    if column in ("subject", "data.ObjectName"):
        named = {"subject": secret} if column == "subject" else {"data": {"ObjectName": secret}}
        return table, {**row, "Properties": json.dumps({"eventGridEventProperties": named})}
    url = f"https://coreflux-prod-0.vault.azure.net/secrets/{secret}/0123456789abcdef"
    return table, {**row, column: secret if column.startswith("eventGrid") else url}


@pytest.mark.parametrize("layout", ["both", "the shared table alone", *(f"no {column}" for column in OF_EVENTS)])
@pytest.mark.parametrize(("kind", "query"), [("NearExpiry", queries.near_expiry), ("Expired", queries.expired)])
def test_expiry_rings_once_whichever_columns_there_are(kind: str, query: Callable[..., str], layout: str) -> None:
    """In each row, a single column of the table in `layout` names the secret."""
    tables, rows, rings = LAYOUTS[layout], dict[str, list[Row]](), list[str]()
    for at, named_by in enumerate(NAMED_BY):
        for secret in (f"secret-{at}", f"secret-{at}-pending"):
            table, row = notification(kind, secret, named_by)
            there = tables.get(table, {})
            rows.setdefault(table, []).append({column: text for column, text in row.items() if column in there})
        if table in tables and (table == "AZKVAuditLogs" or named_by.split()[1] in there):
            rings.append(f"secret-{at}")
    query_text = query(VAULT, [f"secret-{at}" for at in range(len(NAMED_BY))], JOB)
    assert sorted(row["Secret"] for row in found(query_text, rows, layout)) == rings


def test_a_column_or_a_table_that_is_not_there_yet_is_passed_over() -> None:
    rows = {"AZKVAuditLogs": [own_table(event(who=STRANGER))]}
    assert [row["Who"] for row in found(QUERIES["undeclared-read"], rows, "no vault's row yet")] == [STRANGER.lower()]
    for query in QUERIES.values():  # no tick has ever run: the alert fires without data
        assert found(query, {}, "no row of anything yet") == []


def log_row(log: str, *, stream: str = "stdout", run: str = RUN, container: str = "rotator", group: str = GROUP) -> Row:
    environment = f"{group}/providers/Microsoft.App/managedEnvironments/coreflux-prod-environment"
    about = {"ContainerName": container, "ContainerGroupName": run, "_ResourceId": environment.lower()}
    return {"TimeGenerated": NOON, **about, "Stream": stream, "Log": log}


def ticked(reason: Reason, after: int, **of: Any) -> Row:
    """Return the log row of a tick about a secret that was published `after` days before."""
    made: dict[str, Any] = {"kind": SecretKind.MQTT_USER, "fields": ("username", "password"), "users": ("a", "b")}
    supplied: dict[str, Any] = {"kind": SecretKind.SUPPLIED, "fields": ("value",)}
    name, about = ("mqtt", made) if reason is Reason.OVERDUE else ("agent-key", supplied)
    secret = Secret(name=name, readers=(Reader.SERVER,), cadence_days=90, **about)
    current = Version(id="1", stage=Stage.CURRENT, user="a", created=NOON, verified=NOON, published=NOON, **of)
    facts = Facts(secret=secret, versions=Versions((current,)), grace=timedelta())
    found = decisions.findings(facts, NOON + timedelta(days=after))
    return log_row(f"{name}: {next(one.message for one in found if one.reason is reason)}")


def lines(query: str, *rows: Row) -> list[str]:
    return sorted(row["Log"] for row in found(QUERIES[query], {"ContainerAppConsoleLogs": rows}))


def test_a_ticks_line_about_a_secret_past_its_day_rings_for_that_secret() -> None:
    ends = {"expires": NOON + timedelta(days=90)}
    past = [ticked(Reason.OVERDUE, 92), ticked(Reason.DUE, 92), ticked(Reason.EXPIRED, 92, **ends)]
    near, fine = ticked(Reason.NEAR_EXPIRY, 80, **ends), log_row("agent-key: verified 1")
    certificate = log_row(
        "certificates: what mqtt.example.com:8883 shows: broker expires 2026-12-01 12:00 UTC: have it renewed"
    )
    logged = log_row("mqtt: the token expired: expires soon", stream="stderr")
    rows = {"ContainerAppConsoleLogs": [*past, near, fine, certificate, logged]}
    assert sorted(row["Secret"] for row in found(QUERIES["expired"], rows)) == ["agent-key", "agent-key", "mqtt"]
    assert sorted(row["Secret"] for row in found(QUERIES["near-expiry"], rows)) == ["agent-key", "certificates"]


def test_log_line_of_a_tick_matches_its_alert() -> None:
    refused, fine = log_row("mqtt: the broker refuses", stream="stderr"), log_row("mqtt: verified 1")
    others = (
        log_row('{"step": "verify"}', stream="stderr"),
        log_row("Traceback", stream="stderr", container="files"),
        log_row("x", stream="stderr", run="coreflux-prod-server--1"),
    )
    assert lines("tick-failed", refused, fine, *others) == [refused["Log"]]
    elsewhere = log_row("another stack of this name", group=GROUP.replace("Plant", "Plant-2"))
    assert lines("tick-missing", log_row("a"), elsewhere, log_row("c", run="coreflux-prod-server--1")) == ["a"]
