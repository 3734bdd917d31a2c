"""Logins to Key Vault use the stack's tenant. The chain is azure-identity's own, with a stand-in for `az`."""

import json
import socket
import ssl
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("azure.identity", reason="Azure's SDK is not installed: the extra `azure`")

import requests
from azure.core.credentials import TokenRequestOptions
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.core.pipeline.policies import RetryPolicy
from azure.identity import DefaultAzureCredential

from secretops.errors import SecretopsError, UnreachableError, UsageError
from secretops.platforms.azure import api, lease, login
from secretops.platforms.azure.errors import translated
from secretops.platforms.azure.lease import LeaseBlob
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.log_workspace import Workspace
from secretops.platforms.azure.login import Login

pytestmark = pytest.mark.real

OURS, THEIRS = "00000000-0000-0000-0000-00000000AAAA", "00000000-0000-0000-0000-00000000bbbb"
SCOPE = "https://vault.azure.net/.default"
STORE = AzureStoreLocation(
    tenant=OURS, vault="https://vault.vault.azure.net", secrets={}, pending={},
    lease="https://127.0.0.1:1/container/blob", workspace="00000000-0000-0000-0000-00000000cccc",
)  # fmt: skip


@pytest.fixture
def az_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file to which the stand-in for `az` writes a line per call. Its token is not valid."""
    lines, program = tmp_path / "calls", tmp_path / "az"
    token = json.dumps({"accessToken": "standin", "expires_on": int(time.time()) + 3600, "expiresOn": ""})
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"open({str(lines)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        f"print({token!r})\n"
    )
    program.chmod(0o755)
    lines.touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    return lines


@pytest.mark.parametrize("named", [None, "AZURE_CLIENT_ID", "AZURE_TOKEN_CREDENTIALS"])
def test_machine_logs_in_only_where_named(named: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if named:
        monkeypatch.setenv(named, "ManagedIdentityCredential")
    tried = {type(one).__name__ for one in Login(OURS)._chain.credentials}
    assert ("ManagedIdentityCredential" in tried) == bool(named)


@pytest.mark.parametrize(("identity", "error"), [(None, UsageError), ("an id", UnreachableError)])
def test_failed_login_of_a_managed_identity_is_temporary(
    identity: str | None, error: type[SecretopsError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ClientAuthenticationError("the identity endpoint did not answer")

    if identity:
        monkeypatch.setenv("IDENTITY_ENDPOINT", identity)
    monkeypatch.setattr(DefaultAzureCredential, "get_token_info", fail)
    with pytest.raises(error, match=OURS.lower()):
        Login(OURS).get_token_info(SCOPE)
    with pytest.raises(error), translated("read", STORE.vault, "mqtt"):
        Login().get_token_info(SCOPE)


def test_identity_that_does_not_answer_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "TOKEN_SECONDS", 0.05)
    monkeypatch.setattr(RetryPolicy, "sleep", lambda *_: None)
    monkeypatch.setenv("AZURE_CLIENT_ID", OURS)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UnreachableError):
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "any")
        Login(OURS).get_token_info(SCOPE)


def test_handshake_that_is_cut_off_is_no_untrusted_certificate() -> None:
    cut_off = requests.exceptions.SSLError()
    cut_off.__cause__ = ssl.SSLEOFError()
    with pytest.raises(UnreachableError), translated("read", STORE.vault, "mqtt"):
        raise ServiceRequestError("", error=cut_off)


def ask_the_lease() -> None:
    LeaseBlob.of(STORE).status()


def ask_the_workspace() -> None:
    Workspace(STORE).newest(datetime.now(UTC))


@pytest.mark.parametrize("log_in", [ask_the_lease, ask_the_workspace])
def test_logs_in_to_the_stacks_tenant(
    log_in: Callable[[], None], az_calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "RETRIES", 0)
    monkeypatch.setattr(lease, "RETRIES", 0)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(UnreachableError):
        log_in()
    assert f"--tenant {OURS.lower()}" in az_calls.read_text()


@pytest.mark.parametrize("named", [None, OURS, OURS.lower()])
def test_personal_login_requests_a_token_of_the_stacks_tenant(named: str | None, az_calls: Path) -> None:
    options = TokenRequestOptions(tenant_id=named) if named else None
    assert Login(OURS).get_token_info(SCOPE, options=options).token == "standin"
    assert f"--tenant {OURS.lower()}" in az_calls.read_text()


def test_service_of_another_tenant_is_rejected_before_a_login(az_calls: Path) -> None:
    with pytest.raises(UsageError, match=THEIRS):
        Login(OURS).get_token_info(SCOPE, options=TokenRequestOptions(tenant_id=THEIRS))
    assert az_calls.read_text() == ""


def test_the_launcher_follows_the_vault_into_its_tenant(az_calls: Path) -> None:
    assert Login().get_token(SCOPE).token == "standin"
    assert "--tenant" not in az_calls.read_text()
    Login().get_token_info(SCOPE, options=TokenRequestOptions(tenant_id=THEIRS))
    assert f"--tenant {THEIRS}" in az_calls.read_text()
