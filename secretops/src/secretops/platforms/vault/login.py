"""Tokens of Vault and OpenBao: a person's, or one that a program gets by an auth method and renews.

A person's token comes from VAULT_TOKEN or the file of `bao login`, and goes only to the server that VAULT_ADDR names. A
program's token is renewed at half of its life, replaced when that fails, used until it ends, and revoked at the end.
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
from secretops.errors import SecretopsError, UsageError
from secretops.platforms.vault import errors
from secretops.platforms.vault.location import VaultLogin
from secretops.platforms.vault.server import Answer, Connection, Request, Server
from secretops.platforms.vault.wrapping import Wrapping, checked, read
from secretops.printable import printable
from secretops.redaction import remember
from secretops.stores import lease

_log = logging.getLogger(__name__)
# The share of its life after which a token is renewed: as much is left to log in again.
RENEWED_AT = 1 / 2
# The share of its life between two tries to renew it, or to log in again.
AGAIN_AFTER = 1 / 20
# In the home folder. OpenBao's `bao login` writes the same.
TOKEN_FILE = ".vault-token"  # noqa: S105  # nosec B105 - a file's name


@dataclass(frozen=True, repr=False)
class HeldToken:
    """A token of an auth method. Never printed."""

    token: str
    # When it was requested or renewed, by `lease.boot_clock`.
    since: float
    # Seconds from then; 0 for a token without an end.
    ttl: float
    # Its first TTL.
    whole: float
    renewable: bool
    # When a renewal or a login failed last.
    tried: float = float("-inf")

    @property
    def age(self) -> float:
        return lease.boot_clock() - self.since

    @property
    def is_due(self) -> bool:
        waited = lease.boot_clock() - self.tried
        is_half_over = self.ttl > 0 and self.age >= self.ttl * RENEWED_AT
        return self.has_ended or (is_half_over and waited >= self.ttl * AGAIN_AFTER)

    @property
    def has_ended(self) -> bool:
        return self.ttl > 0 and self.age >= self.ttl


class Login:
    """Gives any thread the token for `server`. Without a `method` it is the token of the person who runs this."""

    def __init__(
        self, server: Server, method: VaultLogin | None = None, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self._method, self._environment = method, os.environ if environment is None else environment
        self._connection = Connection(server)
        self._turn = threading.Lock()
        self._held: HeldToken | None = None
        self._person = ""
        # Why the token could not be renewed or replaced: logged once.
        self._told = ""
        self._wrapping = Wrapping(self._connection, method) if method and method.wrapped else None

    def token(self) -> str:
        """Return a valid token, as far as known. Raises UsageError, LoginError, StoreError, UnreachableError."""
        with self._turn:
            if self._method is None:
                if not self._person:
                    _refuse_another_server(self._connection.server, self._environment)
                    self._person = _persons_token(self._environment)
                return self._person
            held = self._held
            if held is None:
                held = self._log_in(self._method)
            elif held.is_due:
                held = self._prolonged(self._method, held)
            self._held = held
            return held.token

    def refused(self, token: str) -> bool:
        """Return whether to try another token after a 403 for `token`: False when it is valid.

        Raises InvalidTokenError for an invalid token of a person.
        """
        with self._turn:
            if self._held and self._held.token != token:
                return True
            if self._connection.ask(Request(method="GET", path="auth/token/lookup-self"), token).is_good:
                return False
            if self._method is None:
                self._person = ""
                raise errors.ended(self._connection.server.host)
            self._held = None
            return True

    def close(self) -> None:
        """Revoke a method's token. The next request logs in again. No-op for a person's."""
        with self._turn:
            held, self._held = self._held, None
            atexit.unregister(self.close)
            if held:
                self._revoke(held)

    def _prolonged(self, method: VaultLogin, held: HeldToken) -> HeldToken:
        """Renew the token or log in again; keep it while both fail and it is valid."""
        try:
            new = self._renewed(held)
            if new is None:
                new = self._log_in(method)
                self._revoke(held)
        except SecretopsError as error:
            if held.has_ended:
                raise
            if self._told != str(error):
                _log.warning("The token in use is good for another %d s, and goes on. %s", held.ttl - held.age, error)
                self._told = str(error)
            return replace(held, tried=lease.boot_clock())
        self._told = ""
        return new

    def _revoke(self, held: HeldToken) -> None:
        try:
            self._connection.ask(Request(method="POST", path="auth/token/revoke-self"), held.token, patiently=False)
        except SecretopsError as error:
            _log.info("the token was not revoked, and ends with its TTL: %s", error.what)

    def _log_in(self, method: VaultLogin) -> HeldToken:
        asked, answer = self._asked_in(method)
        if answer.status == http.HTTPStatus.BAD_REQUEST and self._wrapping and self._wrapping.takes_another():
            asked, answer = self._asked_in(method)
        if not answer.is_good:
            raise self._not_let_in(method, answer)
        held = self._given(answer, asked)
        atexit.register(self.close)
        return held

    def _asked_in(self, method: VaultLogin) -> tuple[float, Answer]:
        if method.method == "approle":
            secret_id = self._wrapping.secret_id() if self._wrapping else read(method.file, "its secret id")
            shown = {"role_id": method.role, "secret_id": secret_id}
        else:
            shown = {"role": method.role, "jwt": read(method.file, "what it shows to log in")}
        asked = lease.boot_clock()
        return asked, self._connection.ask(Request(method="POST", path=f"auth/{method.mount}/login", body=shown))

    def _renewed(self, held: HeldToken) -> HeldToken | None:
        """Return the renewed token; None when it can't be renewed, or not for long."""
        if not held.renewable:
            return None
        asked = lease.boot_clock()
        answer = self._connection.ask(Request(method="POST", path="auth/token/renew-self", body={}), held.token)
        if not answer.is_good:
            return None
        new = self._given(answer, asked, whole=held.whole)
        return new if not new.ttl or new.ttl >= held.whole * RENEWED_AT else None

    def _given(self, answer: Answer, asked: float, *, whole: float | None = None) -> HeldToken:
        host, given = self._connection.server.host, answer.body.get("auth")
        if not isinstance(given, dict):
            raise errors.no_server(host, "whoever logs in there, or renews a token, is given one")
        token, ttl = given.get("client_token"), float(given.get("lease_duration") or 0)
        if not isinstance(token, str) or not token:
            raise errors.LoginError(
                f"{host} takes the login, and gives no token",
                rule="a program has no second factor to show",
                remedy="let no rule of the server ask for one (bao list identity/mfa/login-enforcement) of this method",
            )
        remember(token)
        return HeldToken(token, asked, ttl, ttl if whole is None else whole, bool(given.get("renewable")))

    def _not_let_in(self, method: VaultLogin, answer: Answer) -> SecretopsError:
        server = self._connection.server
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return self._connection.refused(answer, "log in by", f"auth/{method.mount}", f"auth/{method.mount}")
        shown = "its secret id" if method.method == "approle" else "its token"
        return errors.LoginError(
            f"{server.host} does not let us in as {method.role} by auth/{method.mount} ({answer.status})",
            rule=f"the method takes a role that it has, with {shown} from {method.file}, from where the role allows it",
            remedy="is the method enabled there (pulumi up), and the file's content of this role, and not ended? "
            "The audit log says more" + ("; another wrapping token there is taken at once" if method.wrapped else ""),
        )


def _refuse_another_server(server: Server, environment: Mapping[str, str]) -> None:
    """Raise UsageError unless VAULT_ADDR or BAO_ADDR names `server`: a manifest alone gets no person's token."""
    named = [environment[name] for name in ("VAULT_ADDR", "BAO_ADDR") if environment.get(name)]
    if (place := _place(server.address)) is None or place not in map(_place, named):
        raise UsageError(
            f"{printable(server.address)} is not the server of VAULT_ADDR ({printable(', '.join(named)) or 'not set'})",
            rule="a person's token goes only to the server that VAULT_ADDR or BAO_ADDR names, whatever a manifest says",
            remedy=f"if you trust that server with your token: export VAULT_ADDR={printable(server.address)}",
        )


def _place(address: str) -> tuple[str, int] | None:
    """Return the host and the port of an https URL, None for another one."""
    try:
        at = urlsplit(formats.parse_https_url(address))
    except ValueError:
        return None
    return at.hostname or "", at.port or 443


def _persons_token(environment: Mapping[str, str]) -> str:
    if found := environment.get("VAULT_TOKEN", "").strip():
        return checked(found, "VAULT_TOKEN")
    path = Path(environment.get("HOME") or Path.home()) / TOKEN_FILE
    try:
        if found := path.read_text(encoding="utf-8").strip():
            return checked(found, str(path))
    except (OSError, UnicodeDecodeError):
        pass
    raise UsageError(
        "there is no token of Vault or OpenBao here",
        rule=f"it comes from VAULT_TOKEN, or from ~/{TOKEN_FILE}",
        remedy="bao login (or vault login); then: bao token lookup",
    )
