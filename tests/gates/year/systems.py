"""In-memory fakes of the systems that accept credentials: a broker with users and trusted CAs, an agent with keys."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509

from secretops.certificates import has_signed
from secretops.engine.ports import NamedKey, UnknownOutcomeError, UserTakenError
from secretops.engine.state import Replica
from secretops.errors import RefusedError, UnreachableError
from secretops.values import Value

if TYPE_CHECKING:
    from tests.gates.year.world import World

AGENT = "00000000-0000-4000-8000-000000000001"
NOBODYS = "known to nobody"  # A scrambled password: no value equals it.


@dataclass
class Broker:
    """Users with their passwords, admins, the trusted CAs, and servers' reports."""

    users: dict[str, str] = field(default_factory=dict)
    trusted: tuple[str, ...] = ()  # PEM, one each.
    reports: dict[str, Replica] = field(default_factory=dict)  # Client id -> its report. Its last will empties it.

    def logs_in(self, username: str, password: str) -> bool:
        return self.users.get(username) == password

    def takes(self, certificate: str, now: datetime) -> bool:
        begins, ends = validity(certificate)
        return begins <= now < ends and any(
            signed(authority, certificate) and now < validity(authority)[1] for authority in self.trusted
        )


@functools.cache
def validity(certificate: str) -> tuple[datetime, datetime]:
    one = x509.load_pem_x509_certificates(certificate.encode())[0]
    return one.not_valid_before_utc, one.not_valid_after_utc


@functools.cache
def signed(authority: str, certificate: str) -> bool:
    return has_signed(authority, certificate)


class StandInTarget:
    def __init__(self, broker: Broker, caller: World) -> None:
        self._broker, self._caller = broker, caller

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:
        self._as_admin(admin)
        username, password = credential["username"], credential["password"]
        if self._broker.logs_in(username, password):
            return
        if new and username in self._broker.users:
            raise UserTakenError(f"the broker: there is a user {username} already", code="test")
        self._set("apply", username, password)

    def verify(self, credential: Value) -> None:
        self._caller.look("broker")
        if not self._broker.logs_in(credential["username"], credential["password"]):
            raise RefusedError(f"the broker refuses user {credential['username']}", code="test")

    def retire(self, admin: Value, username: str) -> None:
        self._as_admin(admin)
        if username == admin["username"]:
            raise RefusedError(f"{username} acts, and is not changed by itself", code="test")
        if username in self._broker.users:
            self._set("retire", username, NOBODYS)

    def guards_reports(self, admin: Value, usernames: Sequence[str]) -> bool:  # noqa: ARG002 - nobody else writes any
        self._as_admin(admin)
        return True

    def _as_admin(self, admin: Value) -> None:
        self.verify(admin)

    def _set(self, what: str, username: str, password: str) -> None:
        def act() -> None:
            if what == "apply" and self._caller.forgets():
                return
            self._broker.users[username] = password

        self._caller.effect("broker", f"{what} {username}", act)


def prove(broker: Broker, caller: World, value: Value) -> None:
    caller.reach("broker")
    now = caller.true_time()
    for moment in validity(value["client.crt"]):
        if now < moment:
            caller.until(moment)
    if not broker.takes(value["client.crt"], now):
        raise UnreachableError("the broker takes no such certificate", code="test")
    caller.look("broker")


@dataclass
class Account:
    """The keys of one agent, and the token that creates them."""

    token: str = ""
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)  # id -> name and value.
    made: int = 0


class StandInAgent:
    id = AGENT

    def __init__(self, account: Account, caller: World, admin: Callable[[], Value]) -> None:
        self._account, self._caller, self._admin = account, caller, admin

    def list_keys(self) -> tuple[NamedKey, ...]:
        self._as_admin()
        return tuple(NamedKey(AGENT, id, name) for id, (name, _) in self._account.keys.items())

    def create(self, name: str) -> tuple[NamedKey, Value]:
        self._as_admin()
        self._account.made += 1
        id = f"key-{self._account.made}"
        value = Value({"api-key": f"value-{self._account.made}-of-the-agent"})

        def act() -> None:
            self._account.keys[id] = name, value["api-key"]

        try:
            self._caller.effect("agent", f"create {id}", act)
        except UnreachableError as error:
            raise UnknownOutcomeError(error.what, code="test") from error
        return NamedKey(AGENT, id, name), value

    def delete(self, key: NamedKey) -> None:
        self._as_admin()
        if key.id in self._account.keys:
            self._caller.effect("agent", f"delete {key.id}", lambda: self._drop(key.id))

    def verify(self, credential: Value) -> None:
        self._caller.look("agent")
        if credential["api-key"] not in {value for _, value in self._account.keys.values()}:
            raise RefusedError("the agent does not take this key", code="test")

    def _drop(self, id: str) -> None:
        del self._account.keys[id]

    def _as_admin(self) -> None:
        self._caller.look("agent")
        if self._admin()["token"] != self._account.token:
            raise RefusedError("the token is not taken", code="test")
