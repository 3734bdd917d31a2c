"""`secretops audit` over Key Vault's audit log: rows from a file in either layout, and from a workspace.

The rows have the columns of Microsoft's pages "AZKVAuditLogs" and "Azure Key Vault logging". A transport plays the
query API of its page "Azure Monitor Log Analytics API".
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("azure.monitor.query", reason="Azure's SDK is not installed: the extra `azure`")


from secretops.errors import ExitCode, SecretopsError, StoreError, UnreachableError, UsageError
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol
from secretops.operations.audit import View, audit
from secretops.platforms.azure import api
from secretops.platforms.azure import log_workspace as asking
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.trails import ALL
from tests.real.workspace import NO_OLDER, Played

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VAULT = "https://coreflux-mcp-prod.vault.azure.net"
WORKSPACE = "00000000-0000-0000-0000-00000000aaaa"
SERVER, ROTATOR, MALLORY = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in "123")
STORE = AzureStoreLocation(
    tenant="00000000-0000-0000-0000-00000000bbbb",
    vault=VAULT,
    secrets={"mqtt": "mqtt", "broker-admin": "broker-admin"},
    pending={"mqtt": "mqtt-pending", "broker-admin": "broker-admin-pending"},
    lease="https://account.blob.core.windows.net/lease/rotator",
    workspace=WORKSPACE,
    readers={
        "mqtt": (SERVER, ROTATOR),
        **dict.fromkeys(("mqtt-pending", "broker-admin", "broker-admin-pending"), (ROTATOR,)),
    },
)
MANIFEST = Manifest(
    project="coreflux-mcp-secrets",
    stack="prod",
    store=STORE,
    broker=Broker(kind=BrokerKind.COREFLUX, host="nowhere.invalid", port=1, protocol=MqttProtocol.V5, tls=True),
    secrets=(),
    grace_seconds=30,
)


def dedicated(who: str = SERVER, path: str = "secrets/mqtt", **changes: Any) -> dict[str, Any]:
    """Return a row of AZKVAuditLogs: a successful SecretGet, with `changes`."""
    claim = changes.pop("claim", {"oid": who, "appid": "00000000-0000-0000-0000-0000000000a1"} if who else {})
    return {
        "TimeGenerated": f"{changes.pop('time', NOW):%Y-%m-%dT%H:%M:%S}.1234567Z",
        "OperationName": "SecretGet",
        "ResultType": "Success",
        "HttpStatusCode": 200,
        "CallerIpAddress": "10.0.0.1",
        "ClientInfo": "azsdk-python-keyvault-secrets/4.12.0 Python/3.11",
        "RequestUri": f"{VAULT}/{path}/?api-version=7.5",
        "Id": f"{VAULT}/{path}/0123456789abcdef0123456789abcdef",
        "Identity": {"claim": claim},
        "Type": "AZKVAuditLogs",
    } | changes


def classic(who: str = SERVER, path: str = "secrets/mqtt", **changes: Any) -> dict[str, Any]:
    """Return a row of AzureDiagnostics: a successful SecretGet, with `changes`."""
    return {
        "TimeGenerated": f"{changes.pop('time', NOW):%Y-%m-%dT%H:%M:%S}Z",
        "ResourceProvider": "MICROSOFT.KEYVAULT",
        "Category": "AuditEvent",
        "OperationName": "SecretGet",
        "ResultSignature": "OK",
        "httpStatusCode_d": 200.0,
        "CallerIPAddress": "10.0.0.1",
        "clientInfo_s": "azsdk-python-keyvault-secrets/4.12.0 Python/3.11",
        "requestUri_s": f"{VAULT}/{path}/?api-version=7.5",
        "id_s": f"{VAULT}/{path}/0123456789abcdef0123456789abcdef",
        "identity_claim_oid_g": who,
        "Type": "AzureDiagnostics",
    } | changes


LAYOUTS = pytest.mark.parametrize("row", [dedicated, classic], ids=["AZKVAuditLogs", "AzureDiagnostics"])
Row = Callable[..., dict[str, Any]]


def view(folder: Path, *documents: Any, **queries: Any) -> View:
    file = folder / "rows.json"
    file.write_text("\n".join(json.dumps(each) for each in documents))
    return audit(MANIFEST, [str(file)], **queries)


@LAYOUTS
def test_read_is_reported_in_either_layout(row: Row, tmp_path: Path) -> None:
    found = view(tmp_path, row(), row(time=NOW + timedelta(minutes=1)))
    (one,) = found.rows
    assert (one.reader, one.secret, one.operation, one.outcome, one.declared) == (
        *(SERVER, "mqtt", "SecretGet", "got value", True),
    )
    assert (one.count, one.last - one.first < timedelta(minutes=1, seconds=1), found.broken) == (2, True, 0)
    assert one.sources == ["10.0.0.1 azsdk-python-keyvault-secrets/4.12.0"]
    assert found.exit_code is ExitCode.DONE


def test_rows_that_the_azure_cli_printed_are_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([dedicated(), dedicated(time=NOW + timedelta(minutes=1))], indent=2))
    found = audit(MANIFEST, [str(file)])
    assert ([one.count for one in found.rows], found.broken) == ([2], 0)


@LAYOUTS
def test_denied_request_is_no_read_and_has_no_id(row: Row, tmp_path: Path) -> None:
    changed = {"HttpStatusCode": 403, "Id": ""} if row is dedicated else {"httpStatusCode_d": 403.0, "id_s": ""}
    found = view(tmp_path, row(MALLORY, **changed))
    assert [(one.secret, one.outcome, one.declared) for one in found.rows] == [("mqtt", "denied", False)]
    assert found.exit_code is ExitCode.DONE


@pytest.mark.parametrize(("operation", "path", "found"), [
    ("SecretBackup", "secrets/mqtt", ("mqtt", "got value")),
    *(("SecretPurge", "deletedsecrets/mqtt", ("mqtt", "done")), ("SecretList", "secrets", (ALL, "no value"))),
    ("SecretGet", "secrets/MQTT-pending", ("mqtt-pending", "got value")),
])  # fmt: skip
def test_only_answers_with_a_value_are_reads(operation: str, path: str, found: tuple[str, str], tmp_path: Path) -> None:
    (one,) = view(tmp_path, dedicated(ROTATOR, path, OperationName=operation)).rows
    assert (one.secret, one.outcome, one.declared) == (*found, True)


def test_restored_secret_is_reported_by_its_id(tmp_path: Path) -> None:
    restore = {"OperationName": "SecretRestore", "RequestUri": f"{VAULT}/secrets/restore?api-version=7.5"}
    (one,) = view(tmp_path, dedicated(MALLORY, **restore)).rows
    assert (one.secret, one.outcome, one.alarming) == ("mqtt", "done", True)


def test_foreign_vaults_and_other_requests_are_skipped(tmp_path: Path) -> None:
    elsewhere = "https://other.vault.azure.net/secrets/mqtt/"
    rows = (
        *(dedicated(RequestUri=elsewhere, Id=elsewhere), dedicated(path="secrets/of-others")),
        *(dedicated(OperationName="KeySign", path="keys/key"), dedicated("", HttpStatusCode=401)),
    )
    found = view(tmp_path, *rows)
    assert (found.rows, found.broken) == ([], 0)


@pytest.mark.parametrize(
    ("row", "reader"),
    [(dedicated(claim={"http://schemas.microsoft.com/identity/claims/objectidentifier": SERVER}), SERVER),
     (dedicated(claim={"oid": SERVER, "upn": "ann@example.com"}), "ann@example.com"),
     (classic(identity_claim_oid_g="",
              identity_claim_http_schemas_microsoft_com_identity_claims_objectidentifier_g=SERVER.upper()),
      SERVER.upper())],
    ids=["a long claim", "a person", "a long column"],
)  # fmt: skip
def test_reader_is_known_by_object_id_and_shown_by_name(row: dict[str, Any], reader: str, tmp_path: Path) -> None:
    (one,) = view(tmp_path, row).rows
    assert (one.reader, one.declared) == (reader, True)


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Played]:
    def has(rows: list[dict[str, Any]], **options: Any) -> Played:
        played = Played(WORKSPACE, rows, **options)
        monkeypatch.setattr(api, "RETRIES", 0)
        monkeypatch.setattr(asking, "connect", played.client)
        return played

    return has


def test_workspace_is_queried_from_since_without_a_file(workspace: Callable[..., Played]) -> None:
    now = datetime.now(UTC)
    played = workspace([dedicated(time=now - timedelta(days=day), who=MALLORY) for day in range(1, 12)])
    (one,) = audit(MANIFEST, [], since=now - timedelta(days=9, hours=1)).rows
    assert (one.reader, one.count, one.declared) == (MALLORY, 9, False)
    assert len(played.requested) == 2, "a week at a time"
    assert played.tenants == {STORE.tenant}


def test_truncated_answer_is_split_and_each_row_counted_once(workspace: Callable[..., Played]) -> None:
    now = datetime.now(UTC)
    begin = now - timedelta(days=10)
    bounds = [begin, begin + timedelta(days=3.5), begin + timedelta(days=7)]  # of a week, and of its halves
    times = [*bounds, *(now - timedelta(hours=13 * number) for number in range(1, 8))]
    played = workspace([dedicated(TimeGenerated=time.isoformat()) for time in times], most=5)
    (one,) = audit(MANIFEST, [], since=begin).rows
    assert one.count == len(times)
    assert len(played.requested) > 2
    workspace([dedicated(time=now - timedelta(minutes=1))] * 3, most=2)
    with pytest.raises(StoreError, match=r"\(-2133196797\)"):
        audit(MANIFEST, [], since=now - timedelta(minutes=2))


RUNAWAY = {"code": "-2133196796", "message": "Runaway query (E_RUNAWAY_QUERY)", "severity": 2}
NO_COLUMN = {"code": "-2133196790", "message": "Failed to resolve scalar expression named 'Id'", "severity": 3}


def test_a_table_that_is_not_there_keeps_nothing_back(workspace: Callable[..., Played]) -> None:
    now = datetime.now(UTC)
    for reply in ((), (NO_OLDER,)):
        played = workspace([dedicated(time=now - timedelta(hours=1))], says=reply)
        (one,) = audit(MANIFEST, [], since=now - timedelta(days=1)).rows
        assert (one.count, len(played.requested)) == (1, 1)


@pytest.mark.parametrize("reply", [(RUNAWAY,), (NO_OLDER, NO_COLUMN)])
def test_incomplete_answer_is_refused(reply: tuple[dict[str, Any], ...], workspace: Callable[..., Played]) -> None:
    now = datetime.now(UTC)
    played = workspace([dedicated(time=now - timedelta(hours=1))], says=reply)
    with pytest.raises(StoreError, match=re.escape(reply[-1]["code"])) as caught:
        audit(MANIFEST, [], since=now - timedelta(days=1))
    assert len(played.requested) == 1
    assert reply[-1]["message"] not in str(caught.value)


def lists(time: datetime, status: int = 200) -> dict[str, Any]:
    return dedicated(ROTATOR, "secrets/mqtt/versions", time=time, OperationName="SecretListVersions") | {
        "HttpStatusCode": status
    }


def test_allowed_lists_are_not_fetched_but_prove_a_trail(workspace: Callable[..., Played]) -> None:
    now = datetime.now(UTC)
    elsewhere = dedicated(time=now - timedelta(minutes=1)) | {"RequestUri": "https://another.vault.azure.net/secrets/x"}
    workspace([lists(now - timedelta(hours=1)), lists(now - timedelta(hours=2), 403), elsewhere | {"Id": ""}])
    (one,) = audit(MANIFEST, [], since=now - timedelta(days=1)).rows
    assert (one.operation, one.outcome, one.count) == ("SecretListVersions", "denied", 1)
    found = asking.Workspace(STORE).newest(now - timedelta(days=1))
    assert found and abs(found - (now - timedelta(hours=1))) < timedelta(seconds=2)
    assert asking.Workspace(STORE).newest(now - timedelta(minutes=30)) is None


@pytest.mark.parametrize(("status", "codes", "kind"), [
    (400, ("BadArgumentError", "SemanticError", "SEM0529"), UsageError),
    (400, ("BadArgumentError", "SemanticError", "SEM0019"), StoreError),
    *((403, ("InsufficientAccessError",), StoreError), (429, ("Throttled",), UnreachableError)),
    (0, (), UnreachableError),
])  # fmt: skip
def test_workspace_error_is_reported_with_a_remedy(
    status: int, codes: tuple[str, ...], kind: type[SecretopsError], workspace: Callable[..., Played]
) -> None:
    workspace([], status=status, codes=codes)
    with pytest.raises(kind) as caught:
        audit(MANIFEST, [], since=datetime.now(UTC) - timedelta(days=1))
    assert caught.value.remedy and "stand-in" not in str(caught.value)
