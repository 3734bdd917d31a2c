"""Whose token it is when a person runs secretops, and what a file may hold; no server is asked."""

from __future__ import annotations

import secrets
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from secretops.errors import StoreError, UnreachableError, UsageError
from secretops.manifest import VaultLogin
from secretops.redaction import HIDDEN, redact
from secretops.stores import leases
from secretops.stores.vault import server
from secretops.stores.vault.api import Api
from secretops.stores.vault.login import Login
from secretops.stores.vault.server import Answer, Connection, Request, Server
from tests.real.control_plane import make_keys

SERVER = Server("https://127.0.0.1:1")
METHOD = VaultLogin(method="jwt", mount="jwt", role="server", file="")


def test_a_persons_token_is_that_of_the_environment_or_of_the_file_that_a_login_left(tmp_path: Path) -> None:
    ours, theirs = secrets.token_hex(12), secrets.token_hex(12)
    file = tmp_path / ".vault-token"
    file.write_text(f"{theirs}\n")
    home = {"HOME": str(tmp_path)}
    assert Login(SERVER, environment={**home, "VAULT_TOKEN": ours}).token() == ours
    assert Login(SERVER, environment={**home, "VAULT_TOKEN": ""}).token() == theirs
    assert redact(f"a log says {theirs}") == f"a log says {HIDDEN}"
    file.unlink()
    with pytest.raises(UsageError):
        Login(SERVER, environment=home).token()


@pytest.mark.parametrize("content", ["{}\nHost: elsewhere", "{}é"])
def test_what_can_not_be_a_token_is_told_and_not_shown(tmp_path: Path, content: str) -> None:
    text = secrets.token_hex(12)
    (tmp_path / ".vault-token").write_text(content.replace("{}", text))
    with pytest.raises(UsageError) as told:
        Login(SERVER, environment={"HOME": str(tmp_path)}).token()
    assert text not in str(told.value)


class Standin:
    """Stands in for a server: its TTLs are those of a test. What a server really renews is in tests/contract."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ttls: float) -> None:
        self.asked: list[str] = []
        self._ttls, self._now = list(ttls), 0.0
        monkeypatch.setattr(Connection, "ask", lambda _, request, *__, **___: self._answer(request))
        monkeypatch.setattr(leases, "awake_or_not", lambda: self._now)

    def later(self, seconds: float) -> None:
        self._now += seconds

    def _answer(self, request: Request) -> Answer:
        self.asked.append(request.path.rpartition("/")[2])
        if self.asked[-1] == "revoke-self":
            return Answer(204, {})
        auth = {"client_token": secrets.token_hex(12), "lease_duration": self._ttls.pop(0), "renewable": True}
        return Answer(200, {"auth": auth})


def test_a_renewal_that_gives_less_than_half_of_the_life_is_followed_by_a_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jwt").write_text(secrets.token_hex(12))
    played = Standin(monkeypatch, 100, 60, 40, 100)
    login = Login(SERVER, METHOD.model_copy(update={"file": str(tmp_path / "jwt")}))
    login.token()
    played.later(55)
    login.token()
    assert played.asked == ["login", "renew-self"]
    played.later(35)
    login.token()
    assert played.asked == ["login", "renew-self", "renew-self", "login", "revoke-self"]
    played.later(45)
    login.token()
    assert len(played.asked) == 5


@pytest.mark.parametrize("body", [{}, {"auth": None}, {"auth": {"client_token": "", "mfa_requirement": {}}}])
def test_a_good_answer_without_a_token_is_a_message_and_no_traceback(
    body: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a portal, another server behind the same certificate, or a second factor's question answers."""
    (tmp_path / "jwt").write_text(secrets.token_hex(12))
    monkeypatch.setattr(Connection, "ask", lambda *_, **__: Answer(200, body))
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1"):
        Login(SERVER, METHOD.model_copy(update={"file": str(tmp_path / "jwt")})).token()


@pytest.mark.real
def test_no_token_is_shown_to_where_a_server_points_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a standby that does not reach the active server: it points to itself, so that a second look is seen."""
    shown = list[str | None]()

    class Points(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["X-Vault-Token"] if self.path.endswith("/it") else "elsewhere")
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
            Api(at, "kv", Login(at, environment={"VAULT_TOKEN": token})).metadata("it")
    finally:
        pointing.shutdown()
        pointing.server_close()
        thread.join()
    assert shown == [token, token]


@pytest.mark.parametrize("content", ["", "two\nlines-of-it", None], ids=["empty", "lines", "gone"])
def test_what_is_no_secret_id_is_told_and_not_shown(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "secret-id"
    if content is not None:
        file.write_bytes(content.encode(errors="surrogateescape"))
    method = VaultLogin(method="approle", mount="approle", role="rotator", file=str(file))
    with pytest.raises(UsageError) as told:
        Login(SERVER, method, environment={}).token()
    assert str(file) in told.value.what and "lines-of-it" not in str(told.value)
