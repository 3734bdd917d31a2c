"""Tokens of Vault and OpenBao: an operator's, or a program's, which an auth method returns.

An operator's token is sent only to the server in VAULT_ADDR. A program renews its token at half of its life, logs in
again if that fails, and revokes it at the end.
"""

from __future__ import annotations

import atexit
import http
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from secretops import formats
from secretops.errors import SecretopsError, StoreError, UsageError
from secretops.platforms.vault import errors
from secretops.platforms.vault.location import VaultLogin
from secretops.platforms.vault.server import Answer, Connection, Server
from secretops.platforms.vault.wrapping import Wrapping, check_token, read_credential
from secretops.printable import printable
from secretops.redaction import remember
from secretops.stores import lease

_log = logging.getLogger(__name__)
# Share of a token's life after which it is renewed, so that the same time is left to log in again.
RENEWED_AT = 1 / 2
# Share of a token's life between two attempts to renew it or to log in again.
AGAIN_AFTER = 1 / 20
# File in the home folder. OpenBao's `bao login` writes it, too.
TOKEN_FILE = ".vault-token"  # noqa: S105  # nosec B105 - a file's name


@dataclass(frozen=True, repr=False)
class LoginToken:
    """A token from an auth method. Its repr shows no value. Times are seconds of `lease.boot_clock`."""

    token: str
    # When the token was requested or renewed.
    since: float
    # Time to live; 0 for a token without expiry.
    ttl: float
    # Its first TTL.
    initial_ttl: float
    renewable: bool
    # When a renewal or a login last failed.
    tried: float = float("-inf")

    @property
    def age(self) -> float:
        return lease.boot_clock() - self.since

    @property
    def is_due(self) -> bool:
        waited = lease.boot_clock() - self.tried
        is_half_over = self.ttl > 0 and self.age >= self.ttl * RENEWED_AT
        return self.has_expired or (is_half_over and waited >= self.ttl * AGAIN_AFTER)

    @property
    def has_expired(self) -> bool:
        return self.ttl > 0 and self.age >= self.ttl


class Login:
    """Gets the token for `server`: from the auth method `method`, or else the operator's. Thread-safe."""

    def __init__(
        self, server: Server, method: VaultLogin | None = None, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self._method, self._environment = method, os.environ if environment is None else environment
        self._connection = Connection(server)
        self._lock = threading.Lock()
        self._current: LoginToken | None = None
        self._operator_token = ""  # nosec B105 - empty
        # The last failure, which is logged once.
        self._last_warning = ""
        self._wrapping = Wrapping(self._connection, method) if method and method.wrapped else None

    def token(self) -> str:
        with self._lock:
            if self._method is None:
                if not self._operator_token:
                    _check_address(self._connection.server, self._environment)
                    self._operator_token = _find_operator_token(self._environment)
                return self._operator_token
            current = self._current
            if current is None:
                current = self._log_in(self._method)
            elif current.is_due:
                current = self._replaced(self._method, current)
            self._current = current
            return current.token

    def is_invalid(self, token: str) -> bool:
        """Return whether a request that got a 403 may succeed with another token. Raises UsageError if the operator's
        token is invalid."""
        with self._lock:
            if self._current and self._current.token != token:
                return True
            if self._connection.request("GET", "auth/token/lookup-self", token=token).is_good:
                return False
            if self._method is None:
                self._operator_token = ""  # nosec B105 - empty
                raise UsageError(
                    f"{self._connection.server.host} does not accept this token",
                    rule="the token must be from this server, neither expired nor revoked",
                    remedy="log in again: bao login; then check the token: bao token lookup",
                    code="vault-token-invalid",
                )
            self._current = None
            return True

    def close(self) -> None:
        """Revoke the token of an auth method. Does nothing for an operator's token."""
        with self._lock:
            current, self._current = self._current, None
            atexit.unregister(self.close)
            if current:
                self._revoke(current)

    def _replaced(self, method: VaultLogin, current: LoginToken) -> LoginToken:
        try:
            new = self._renewed(current)
            if new is None:
                new = self._log_in(method)
                self._revoke(current)
        except SecretopsError as error:
            if current.has_expired:
                raise
            if self._last_warning != str(error):
                _log.warning("The token is valid for another %d s. %s", current.ttl - current.age, error)
                self._last_warning = str(error)
            return replace(current, tried=lease.boot_clock())
        self._last_warning = ""
        return new

    def _revoke(self, current: LoginToken) -> None:
        try:
            self._connection.request("POST", "auth/token/revoke-self", token=current.token, patient=False)
        except SecretopsError as error:
            _log.info("the token was not revoked, and expires with its TTL: %s", error.what)

    def _log_in(self, method: VaultLogin) -> LoginToken:
        sent, answer = self._send_login(method)
        if answer.status == http.HTTPStatus.BAD_REQUEST and self._wrapping and self._wrapping.unwrap_another():
            sent, answer = self._send_login(method)
        if not answer.is_good:
            raise self._rejected(method, answer)
        new = self._parsed(answer, sent)
        atexit.register(self.close)
        return new

    def _send_login(self, method: VaultLogin) -> tuple[float, Answer]:
        if method.method == "approle":
            what = f"a secret id of the role with id {method.role}"
            secret_id = self._wrapping.secret_id() if self._wrapping else read_credential(method.file, what)
            body = {"role_id": method.role, "secret_id": secret_id}
        else:
            body = {"role": method.role, "jwt": read_credential(method.file, f"a JWT for role {method.role}")}
        sent = lease.boot_clock()
        return sent, self._connection.request("POST", f"auth/{method.mount}/login", body)

    def _renewed(self, current: LoginToken) -> LoginToken | None:
        """Renew a token. Return None if this fails, or the token is then valid for less than half of its first TTL."""
        if not current.renewable:
            return None
        sent = lease.boot_clock()
        answer = self._connection.request("POST", "auth/token/renew-self", {}, token=current.token)
        if not answer.is_good:
            return None
        new = replace(self._parsed(answer, sent), initial_ttl=current.initial_ttl)
        return new if not new.ttl or new.ttl >= current.initial_ttl * RENEWED_AT else None

    def _parsed(self, answer: Answer, sent: float) -> LoginToken:
        host, auth = self._connection.server.host, answer.body.get("auth")
        if not isinstance(auth, dict):
            raise errors.not_vault(host, "a login or a renewal must return a token")
        token, ttl = auth.get("client_token"), float(auth.get("lease_duration") or 0)
        if not isinstance(token, str) or not token:
            raise StoreError(
                f"{host} accepts the login, but returns no token",
                rule="the login must not require a second factor, because secretops cannot supply one",
                remedy="find the MFA enforcement: bao list identity/mfa/login-enforcement; then remove this auth "
                "method from it",
                code="vault-mfa-required",
            )
        remember(token)
        return LoginToken(token, sent, ttl, ttl, bool(auth.get("renewable")))

    def _rejected(self, method: VaultLogin, answer: Answer) -> SecretopsError:
        server = self._connection.server
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return self._connection.rejected(answer, "log in by", f"auth/{method.mount}", f"auth/{method.mount}")
        return StoreError(
            f"{server.host} rejects the login as role {method.role} by auth/{method.mount} (status {answer.status})",
            rule=f"the role must exist, accept the credential in {method.file}, and allow this machine's address",
            remedy="find the reason in the server's audit log; for a missing role or auth method: pulumi up; else "
            f"write a valid {'wrapping token' if method.wrapped else 'credential'} of this role to {method.file}",
            code="vault-login-rejected",
        )


def _check_address(server: Server, environment: Mapping[str, str]) -> None:
    named = [environment[name] for name in ("VAULT_ADDR", "BAO_ADDR") if environment.get(name)]
    if (place := _host_and_port(server.address)) is None or place not in map(_host_and_port, named):
        raise UsageError(
            f"{printable(server.address)} is not the server that VAULT_ADDR names "
            f"({printable(', '.join(named)) or 'not set'})",
            rule="VAULT_ADDR or BAO_ADDR must name the server before an operator's token is sent to it",
            remedy=f"if you trust this server with your token: export VAULT_ADDR={printable(server.address)}",
            code="vault-address-unconfirmed",
        )


def _host_and_port(address: str) -> tuple[str, int] | None:
    try:
        url = urlsplit(formats.parse_https_url(address))
    except ValueError:
        return None
    return url.hostname or "", url.port or 443


def _find_operator_token(environment: Mapping[str, str]) -> str:
    if found := environment.get("VAULT_TOKEN", "").strip():
        return check_token(found, "VAULT_TOKEN")
    path = Path(environment.get("HOME") or Path.home()) / TOKEN_FILE
    try:
        if found := path.read_text(encoding="utf-8").strip():
            return check_token(found, str(path))
    except (OSError, UnicodeDecodeError):
        pass
    raise UsageError(
        "there is no token of Vault or OpenBao",
        rule=f"a token must be in VAULT_TOKEN, or in ~/{TOKEN_FILE}",
        remedy="log in: bao login, or vault login; then check the token: bao token lookup",
        code="vault-token-missing",
    )
