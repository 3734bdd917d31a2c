"""The client of Vault: tokens, a server's answers, `--from vault:…`, signing. No server runs."""

import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.launcher.sources import open_source
from secretops.platforms.vault import errors, server
from secretops.platforms.vault.api import Api, VaultPki
from secretops.platforms.vault.errors import DeniedError
from secretops.platforms.vault.location import VaultIssuer, VaultLogin
from secretops.platforms.vault.login import Login
from secretops.platforms.vault.server import Answer, Connection, Server
from secretops.platforms.vault.source import SERVICE_ACCOUNT_TOKEN, parse_address
from secretops.redaction import HIDDEN, redact
from secretops.stores import lease
from tests.real.control_plane import make_keys

SERVER = Server("https://127.0.0.1:1")
METHOD = VaultLogin(method="jwt", mount="jwt", role="server", file="/nowhere/token")


def test_a_persons_token_is_that_of_the_environment_or_of_the_file_that_a_login_left(tmp_path: Path) -> None:
    ours, theirs = secrets.token_hex(12), secrets.token_hex(12)
    file = tmp_path / ".vault-token"
    file.write_text(f"{theirs}\n")
    home = {"HOME": str(tmp_path), "VAULT_ADDR": f"{SERVER.address}/"}
    assert Login(SERVER, environment={**home, "VAULT_TOKEN": ours}).token() == ours
    assert Login(SERVER, environment={**home, "VAULT_TOKEN": ""}).token() == theirs
    assert redact(f"a log says {theirs}") == f"a log says {HIDDEN}"
    file.unlink()
    with pytest.raises(UsageError):
        Login(SERVER, environment=home).token()


@pytest.mark.parametrize(
    ("named", "goes"),
    [
        *(({"VAULT_ADDR": "https://127.0.0.1:1"}, True), ({"VAULT_ADDR": "https://127.0.0.1:1/"}, True)),
        *(({"BAO_ADDR": "https://127.0.0.1:1"}, True), ({}, False), ({"VAULT_ADDR": "https://127.0.0.1"}, False)),
        ({"VAULT_ADDR": "http://127.0.0.1:1"}, False),
        ({"VAULT_ADDR": "https://127.0.0.1:1@vault.example.com"}, False),
    ],
    ids=str,
)
def test_a_persons_token_goes_to_the_server_of_vault_addr_alone(named: dict[str, str], goes: bool) -> None:
    token = secrets.token_hex(12)
    login = Login(SERVER, environment={"VAULT_TOKEN": token, **named})
    if goes:
        assert login.token() == token
        return
    with pytest.raises(UsageError, match="VAULT_ADDR") as refused:
        login.token()
    assert token not in str(refused.value)


@pytest.mark.parametrize("content", ["{}\nHost: elsewhere", "{}é"])
def test_invalid_token_is_reported_without_its_text(tmp_path: Path, content: str) -> None:
    text = secrets.token_hex(12)
    (tmp_path / ".vault-token").write_text(content.replace("{}", text))
    with pytest.raises(UsageError) as refusal:
        Login(SERVER, environment={"HOME": str(tmp_path), "VAULT_ADDR": SERVER.address}).token()
    assert text not in str(refusal.value)


class Standin:
    """A server with TTLs that a test sets. tests/contract tests real renewals."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ttls: float) -> None:
        self.calls: list[str] = []
        self._ttls, self._now = list(ttls), 0.0
        monkeypatch.setattr(Connection, "request", lambda _, _method, path, *__, **___: self._answer(path))
        monkeypatch.setattr(lease, "boot_clock", lambda: self._now)

    def later(self, seconds: float) -> None:
        self._now += seconds

    def _answer(self, path: str) -> Answer:
        self.calls.append(path.rpartition("/")[2])
        if self.calls[-1] == "revoke-self":
            return Answer(204, {})
        auth = {"client_token": secrets.token_hex(12), "lease_duration": self._ttls.pop(0), "renewable": True}
        return Answer(200, {"auth": auth})


def test_short_renewal_is_followed_by_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jwt").write_text(secrets.token_hex(12))
    played = Standin(monkeypatch, 100, 60, 40, 100)
    login = Login(SERVER, METHOD.model_copy(update={"file": str(tmp_path / "jwt")}))
    login.token()
    played.later(55)
    login.token()
    assert played.calls == ["login", "renew-self"]
    played.later(35)
    login.token()
    assert played.calls == ["login", "renew-self", "renew-self", "login", "revoke-self"]
    played.later(45)
    login.token()
    assert len(played.calls) == 5


@pytest.mark.parametrize("body", [{}, {"auth": None}, {"auth": {"client_token": "", "mfa_requirement": {}}}])
def test_a_good_answer_without_a_token_is_a_message_and_no_traceback(
    body: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answer as a login portal, as another server with the same certificate, or with a prompt for a second factor."""
    (tmp_path / "jwt").write_text(secrets.token_hex(12))
    monkeypatch.setattr(Connection, "request", lambda *_, **__: Answer(200, body))
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1"):
        Login(SERVER, METHOD.model_copy(update={"file": str(tmp_path / "jwt")})).token()


@pytest.mark.real
def test_no_token_is_shown_to_where_a_server_points_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers as a standby that cannot reach the active server. It redirects to itself, so that a second
    request is counted."""
    tokens = list[str | None]()

    class Points(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.append(self.headers["X-Vault-Token"] if self.path.endswith("/it") else "elsewhere")
            self.send_response(307)
            self.send_header("Location", f"{address}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    monkeypatch.setattr(server, "PAUSES", (0.0,))
    make_keys(tmp_path)
    pointing = ThreadingHTTPServer(("127.0.0.1", 0), Points)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    pointing.socket = own.wrap_socket(pointing.socket, server_side=True)
    address, token = f"https://127.0.0.1:{pointing.server_port}", secrets.token_hex(12)
    thread = threading.Thread(target=pointing.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        at = Server(address, ca_file=str(tmp_path / "ca.crt"))
        with pytest.raises(UnreachableError):
            Api(at, "kv", Login(at, environment={"VAULT_TOKEN": token, "VAULT_ADDR": address})).metadata("it")
    finally:
        pointing.shutdown()
        pointing.server_close()
        thread.join()
    assert tokens == [token, token]


@pytest.mark.parametrize("content", ["", "two\nlines-of-it", None], ids=["empty", "lines", "gone"])
def test_invalid_secret_id_is_reported_without_its_text(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "secret-id"
    if content is not None:
        file.write_bytes(content.encode(errors="surrogateescape"))
    method = VaultLogin(method="approle", mount="approle", role="rotator", file=str(file))
    with pytest.raises(UsageError) as refusal:
        Login(SERVER, method, environment={}).token()
    assert str(file) in refusal.value.what and "lines-of-it" not in str(refusal.value)


ADDRESS = "https://vault.example:8200"
SECRET = secrets.token_hex(8)


def meaning(status: int, *texts: str) -> SecretopsError:
    return errors.rejected(
        status, [*texts, SECRET], address=ADDRESS, action="write", where="m/it", mount="m", namespace="team"
    )


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (503, "Vault is sealed", UnreachableError),
        (500, "local node not active but active cluster node not found", UnreachableError),
        (307, "", UnreachableError),
        (412, "required index state not present", UnreachableError),
        (404, "namespace not found", StoreError),
        (404, 'no handler for route "m/data/it". route entry not found.', StoreError),
        (403, "permission denied", DeniedError),
    ],
)
def test_refusal_is_reported_with_a_remedy(status: int, text: str, kind: type[SecretopsError]) -> None:
    refusal = meaning(status, text)
    assert type(refusal) is kind and refusal.rule and refusal.remedy
    assert SECRET not in str(refusal)


def cut_off(error: Exception) -> Exception:
    error.__cause__ = ssl.SSLEOFError(SECRET)
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.exceptions.SSLError(SECRET), StoreError),
        (cut_off(requests.exceptions.SSLError(SECRET)), UnreachableError),
        (requests.exceptions.ReadTimeout(SECRET), UnreachableError),
        (OSError(SECRET), UsageError),
    ],
)
def test_no_answer_is_reported_with_a_remedy_and_no_input(error: Exception, kind: type[SecretopsError]) -> None:
    refusal = errors.no_response(error, ADDRESS, "/etc/ca.crt")
    assert type(refusal) is kind and refusal.rule and refusal.remedy
    assert SECRET not in str(refusal)


def test_busy_server_is_retried_and_redirects_get_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAUSES", (0.0, 0.0))
    answers = [Answer(307, {}), Answer(503, {"errors": ["Vault is sealed"]}), Answer(200, {"data": {"a": "b"}})]
    guarded: list[bool] = []
    monkeypatch.setattr(Connection, "_attempt", lambda *_: answers.pop(0))
    found = Connection(Server(ADDRESS)).request("GET", "m/data/it", before=lambda: guarded.append(True))
    assert found.data == {"a": "b"}
    assert len(guarded) == 3, "before each attempt"
    answers = [Answer(503, {"errors": ["Vault is sealed"]}), Answer(200, {})]
    with pytest.raises(UnreachableError, match=r"\[vault-sealed\]"):
        Connection(Server(ADDRESS)).request("GET", "m/data/it", patient=False)


def test_source_address_is_parsed_whole() -> None:
    found = parse_address(
        "v:1/team/kv/data/stack/mqtt+agent-key,kubernetes=server,auth=k8s/one,namespace=a/b,ca=/ca.pem"
    )
    assert (found.server.address, found.server.namespace, found.server.ca_file) == ("https://v:1", "a/b", "/ca.pem")
    assert (found.mount, found.folder, found.secrets) == ("team/kv", "stack/", "mqtt+agent-key")
    login = found.login
    assert login and (login.method, login.mount, login.role) == ("kubernetes", "k8s/one", "server")
    assert (login.file, login.wrapped) == (SERVICE_ACCOUNT_TOKEN, False)
    assert parse_address("v/kv/data/mqtt").login is None
    wrapped = parse_address("v/kv/data/mqtt,wrapped,file=/id,approle=server").login
    assert wrapped and (wrapped.wrapped, wrapped.mount) == (True, "approle")


@pytest.mark.parametrize(
    ("place", "refusal"),
    [
        *(("v", "vault:<host>"), ("user:SECRET@v/kv/data/mqtt", "vault:<host>")),
        *(("v/kv/data/mqqt", "did you mean mqtt"), ("v/kv/data/mqtt,approle=", "approle=…")),
        *(
            ("v/kv/data/mqtt,secret-id=SECRET", "source-option-unknown"),
            ("v/kv/data/mqtt,file=/id", "source-login-invalid"),
        ),
        ("v/kv/data/mqtt,approle=x,jwt=y,file=/id", "source-login-invalid"),
        ("v/kv/data/mqtt,jwt=x,file=/id,wrapped", "wrapped"),
    ],
)
def test_source_error_names_the_option_and_repeats_no_secret(place: str, refusal: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_source(f"vault:{place}")
    assert refusal in str(caught.value) and caught.value.remedy
    assert "SECRET" not in str(caught.value)


ISSUER = VaultIssuer(mount="pki", role="client", common_name="coreflux-mcp-prod", seconds=86400)


class Engine:
    server = Server("https://vault.example:8200")

    def __init__(self, answer: dict[str, Any] | StoreError | None) -> None:
        self._answer, self.calls, self.closed = answer, list[tuple[str, str, Mapping[str, Any]]](), False

    def raw(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        self.calls.append((method, path, body))
        if isinstance(self._answer, StoreError):
            raise self._answer
        return self._answer

    def close(self) -> None:
        self.closed = True


def test_request_is_signed_without_its_key_and_the_login_is_closed() -> None:
    engine = Engine({"data": {"certificate": "own", "ca_chain": ["intermediate", "root"]}})
    signed = VaultPki(cast(Api, engine), ISSUER).sign("request")
    assert (signed.certificate, signed.chain) == ("own", ("intermediate", "root"))
    ((method, path, body),) = engine.calls
    assert (method, path) == ("POST", "pki/sign/client")
    assert (body["csr"], body["common_name"], body["ttl"]) == ("request", ISSUER.common_name, "86400s")
    assert engine.closed


@pytest.mark.parametrize(
    "answer", [None, {"data": {"certificate": "own"}}, {"data": {"certificate": 7, "ca_chain": []}}]
)
def test_an_answer_without_a_certificate_and_its_chain_is_refused(answer: dict[str, Any] | None) -> None:
    with pytest.raises(StoreError):
        VaultPki(cast(Api, Engine(answer)), ISSUER).sign("request")


def test_login_is_closed_when_nothing_is_signed() -> None:
    engine = Engine(DeniedError("no", code="test"))
    with pytest.raises(DeniedError):
        VaultPki(cast(Api, engine), ISSUER).sign("request")
    assert engine.closed
