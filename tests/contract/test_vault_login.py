"""How programs log in to Vault or OpenBao by themselves: by the methods of a real OpenBao, with tokens that it ends."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

import hvac
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from secretops.errors import UnreachableError
from secretops.manifest import VaultLogin
from secretops.stores.vault.errors import LoginError, UnwrapError
from secretops.stores.vault.login import Login
from secretops.stores.vault.server import Server
from tests.contract.live_vault import DEADLINE, Way, impatient
from tests.real.openbao import OpenBao

pytestmark = pytest.mark.real

TTL = 600
"""Seconds. Longer than any test takes."""


@dataclass
class AppRole:
    """A method of its own with one role, whose secret id lies in a file."""

    openbao: OpenBao
    mount: str
    role_id: str
    file: Path
    namespace: str = ""

    @classmethod
    def at(cls, openbao: OpenBao, folder: Path, *, namespace: str = "", **options: Any) -> AppRole:
        mount, client = f"approle-{secrets.token_hex(4)}", openbao.client(namespace=namespace)
        client.sys.enable_auth_method("approle", path=mount)
        options = {"token_ttl": TTL, **options}
        client.auth.approle.create_or_update_approle("rotator", mount_point=mount, **options)
        found = client.auth.approle.read_role_id("rotator", mount_point=mount)["data"]["role_id"]
        made = cls(openbao, mount, found, folder / "secret-id", namespace)
        made.file.write_text(f"{made.secret_id()}\n")
        return made

    def secret_id(self) -> str:
        client = self.openbao.client(namespace=self.namespace)
        made = client.auth.approle.generate_secret_id("rotator", mount_point=self.mount)
        return str(made["data"]["secret_id"])

    def wrap(self) -> None:
        """Put a wrapping token into the file instead."""
        made = self.openbao.client(namespace=self.namespace).write_data(
            f"auth/{self.mount}/role/rotator/secret-id", data={}, wrap_ttl=f"{TTL}s"
        )
        self.file.write_text(made["wrap_info"]["token"])

    def method(self, *, wrapped: bool = False) -> VaultLogin:
        return VaultLogin(method="approle", mount=self.mount, role=self.role_id, file=str(self.file), wrapped=wrapped)

    def login(self, *, wrapped: bool = False) -> Login:
        server = Server(self.openbao.address, self.namespace, str(self.openbao.ca_file))
        return Login(server, self.method(wrapped=wrapped), environment={})


def server_of(openbao: OpenBao) -> Server:
    return Server(openbao.address, ca_file=str(openbao.ca_file))


def is_good(openbao: OpenBao, token: str) -> bool:
    return bool(openbao.client(token).is_authenticated())


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Way:
    impatient(monkeypatch)
    return Way(monkeypatch)


UNWRAP = "POST wrapping/unwrap"


def logins(way: Way, role: AppRole) -> int:
    return way.count(f"POST {role.mount}/login")


def test_a_token_that_somebody_revoked_is_got_anew(openbao: OpenBao, tmp_path: Path, way: Way) -> None:
    role = AppRole.at(openbao, tmp_path)
    login = role.login()
    first = login.token()
    openbao.client().auth.token.revoke(first)
    assert login.refused(first)
    second = login.token()
    assert second != first and is_good(openbao, second)
    assert login.refused(first), "another thread's question about the old one costs no new login"
    assert not login.refused(second), "it is good, and may not do what was asked"
    assert login.token() == second and logins(way, role) == 2
    login.close()


END = """
import sys
from secretops.manifest import VaultLogin
from secretops.stores.vault.login import Login
from secretops.stores.vault.server import Connection, Request, Server
server = Server(sys.argv[1], ca_file=sys.argv[2])
login = Login(server, VaultLogin.model_validate_json(sys.argv[3]))
found = Connection(server).ask(Request(method="GET", path="auth/token/lookup-self"), login.token())
print(found.data["accessor"])
"""


def test_a_program_that_ends_leaves_no_token(openbao: OpenBao, tmp_path: Path) -> None:
    method = AppRole.at(openbao, tmp_path).method().model_dump_json()
    command = [sys.executable, "-c", END, openbao.address, str(openbao.ca_file), method]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert done.stdout.strip()
    with pytest.raises(hvac.exceptions.InvalidRequest, match="invalid accessor"):
        openbao.client().auth.token.lookup_accessor(done.stdout.strip())


def test_a_wrapped_secret_id_is_unwrapped_once_and_serves_for_every_login(
    openbao: OpenBao, tmp_path: Path, way: Way
) -> None:
    role = AppRole.at(openbao, tmp_path)
    role.wrap()
    login = role.login(wrapped=True)
    first = login.token()
    openbao.client().auth.token.revoke(first)
    assert login.refused(first)
    second = login.token()
    assert is_good(openbao, second)
    assert (way.count(UNWRAP), logins(way, role)) == (1, 2)
    login.close()
    assert not is_good(openbao, second), "it is revoked when it is not needed any more"


def wrapped_by_the_server(thief: hvac.Client, _role: AppRole, taken: dict[str, Any]) -> Any:
    return thief.write_data("sys/wrapping/wrap", data=taken, wrap_ttl=f"{TTL}s")


def out_of_a_mount(thief: hvac.Client, role: AppRole, taken: dict[str, Any]) -> Any:
    mount = f"kv-{secrets.token_hex(4)}"
    role.openbao.client().sys.enable_secrets_engine("kv", path=mount, options={"version": "1"})
    policy = role.openbao.policy(f'path "{mount}/*" {{ capabilities = ["create", "update", "read"] }}')
    thief = role.openbao.client(role.openbao.token(policy))
    thief.write_data(f"{mount}/auth/{role.mount}/role/rotator/secret-id", data=taken)
    return thief.adapter.get(f"/v1/{mount}/auth/{role.mount}/role/rotator/secret-id", wrap_ttl=f"{TTL}s")


@pytest.mark.parametrize("anew", [wrapped_by_the_server, out_of_a_mount])
def test_what_a_thief_wrapped_anew_is_an_alarm_and_not_used(
    anew: Callable[[hvac.Client, AppRole, dict[str, Any]], Any], openbao: OpenBao, tmp_path: Path, way: Way
) -> None:
    role = AppRole.at(openbao, tmp_path)
    role.wrap()
    taken = openbao.client(role.file.read_text()).sys.unwrap()["data"]
    again = anew(openbao.client(openbao.token()), role, {"secret_id": taken["secret_id"]})
    role.file.write_text(again["wrap_info"]["token"])
    with pytest.raises(UnwrapError):
        role.login(wrapped=True).token()
    assert logins(way, role) == 0


def test_a_lost_answer_to_an_unwrapping_is_not_asked_for_again_and_is_no_alarm(
    openbao: OpenBao, tmp_path: Path, way: Way
) -> None:
    role = AppRole.at(openbao, tmp_path)
    role.wrap()
    login = role.login(wrapped=True)
    way.lose(UNWRAP)
    with pytest.raises(UnreachableError):
        login.token()
    assert way.count(UNWRAP) == 1
    for again in (login, role.login(wrapped=True)):
        with pytest.raises(LoginError) as told:
            again.token()
        assert not isinstance(told.value, UnwrapError)
    role.wrap()
    assert is_good(openbao, login.token()), "a new one in the file is enough"
    login.close()


def test_a_jwt_is_read_anew_for_each_login(openbao: OpenBao, tmp_path: Path) -> None:
    jwt = pytest.importorskip("jwt", reason="PyJWT is not installed: it comes with the extra `azure`")
    key, mount, client = ec.generate_private_key(ec.SECP256R1()), f"jwt-{secrets.token_hex(4)}", openbao.client()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    client.sys.enable_auth_method("jwt", path=mount)
    client.write_data(f"auth/{mount}/config", data={"jwt_validation_pubkeys": [public.decode()]})
    client.write_data(
        f"auth/{mount}/role/server",
        data={"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_ttl": TTL},
    )
    file = tmp_path / "token"

    def write(audience: str) -> None:
        claims = {"sub": "server", "aud": audience, "iat": int(time.time()), "exp": int(time.time()) + TTL}
        file.write_text(jwt.encode(claims, key, algorithm="ES256"))

    login = Login(server_of(openbao), VaultLogin(method="jwt", mount=mount, role="server", file=str(file)))
    write("another")
    with pytest.raises(LoginError, match=str(file)) as told:
        login.token()
    assert file.read_text() not in str(told.value)
    write("vault")
    token = login.token()
    assert is_good(openbao, token)
    login.close()
