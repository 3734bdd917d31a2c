"""A server of Vault or OpenBao as doctor asks it: by the token at hand, which may see more or less. Reads no value."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from secretops.errors import SecretopsError, StoreError, UnreachableError
from secretops.platforms.vault.api import Api
from secretops.platforms.vault.checks.policy import Rule, rules
from secretops.platforms.vault.errors import DeniedError, SealedError, no_server, unanswered
from secretops.platforms.vault.location import VaultStoreLocation
from secretops.platforms.vault.server import ANSWER_SECONDS, Connection, Request
from secretops.stores.lease import Timing

NEVER = "0001-01-01"
"""Begins the time of what does not end."""

HTTPS = 443


@dataclass(frozen=True)
class Role:
    """A role of an auth method that the stack declares."""

    entry: str
    """`<mount>/<role>`, as the manifest has it."""
    said: Mapping[str, Any]

    @property
    def path(self) -> str:
        mount, _, name = self.entry.rpartition("/")
        return f"auth/{mount}/role/{name}"

    @property
    def policies(self) -> tuple[str, ...]:
        return tuple(self.said.get("token_policies") or ())

    @property
    def takes_secret_ids(self) -> bool:
        """Whether it is one of AppRole's."""
        return bool(self.said.get("bind_secret_id"))


class VaultServer:
    """The server of a stack. Connects with the first question; raises SecretopsError."""

    def __init__(
        self, location: VaultStoreLocation, *, signs: Sequence[str] = (), timing: Timing | None = None
    ) -> None:
        """`signs`: the paths by which whoever rotates has certificates signed."""
        self.location, self.signs, self.timing = location, signs, timing or Timing()
        self.api = Api.of(location)

    @functools.cached_property
    def status(self) -> Mapping[str, Any]:
        """What the server says of itself to anybody: its version, its cluster, whether it is sealed."""
        connection = Connection(self.api.server)
        answer = connection.ask(Request(method="GET", path="sys/seal-status"))
        if not answer.is_good or "sealed" not in answer.body:
            raise no_server(self.api.server.host, "it says to anybody whether it is sealed")
        return {**answer.body, "skew": connection.skew}

    @functools.cached_property
    def _answer(self) -> SecretopsError | None:
        """What asking it comes to, once for all checks: None when it answers, and knows our token."""
        try:
            if self.status.get("sealed"):
                return SealedError(
                    f"{self.api.server.host} is sealed",
                    rule="a sealed server reads and writes nothing until it is unsealed",
                    remedy="unseal it: bao operator unseal",
                )
            self.api.raw("GET", "auth/token/lookup-self")
        except SecretopsError as error:
            return error
        return None

    def reach(self) -> None:
        """Raise SecretopsError while it does not answer us, or does not know us."""
        if self._answer:
            raise self._answer

    @property
    def skew(self) -> timedelta | None:
        found: timedelta | None = self.status["skew"]
        return found

    def certificate(self) -> tuple[datetime, datetime]:
        """From when until when the server's is good. It was checked against the stack's CA."""
        found = urlsplit(self.location.address)
        host, port = found.hostname or "", found.port or HTTPS
        try:
            context = ssl.create_default_context(cafile=self.api.server.ca)
        except OSError as error:
            raise unanswered(error, self.location.address, self.api.server.ca) from None
        try:
            with (
                socket.create_connection((host, port), timeout=ANSWER_SECONDS) as plain,
                context.wrap_socket(plain, server_hostname=host) as shown,
            ):
                said = shown.getpeercert() or {}
        except OSError as error:
            raise UnreachableError(
                f"{host}:{port} shows no certificate ({type(error).__name__})",
                rule="a connection of its own is made to look at it",
                remedy="the check named server says more",
            ) from None
        begins, ends = (ssl.cert_time_to_seconds(str(said[key])) for key in ("notBefore", "notAfter"))
        return datetime.fromtimestamp(begins, UTC), datetime.fromtimestamp(ends, UTC)

    def token(self) -> Mapping[str, Any]:
        """What is known of the token at hand."""
        self.reach()
        return self._data("auth/token/lookup-self")

    def mount(self) -> Mapping[str, Any] | None:
        """The mount's type, options and configuration; None where there is none of that name."""
        self.reach()
        try:
            return self._data(f"sys/mounts/{self.location.mount}")
        except DeniedError:
            return self._data(f"sys/internal/ui/mounts/{self.location.mount}")  # whoever may do anything there may
        except StoreError:
            return None

    def configuration(self) -> Mapping[str, Any]:
        """The KV engine's own."""
        self.reach()
        return self._data(f"{self.location.mount}/config")

    def paths(self) -> tuple[str, ...]:
        """All of the stack's in the mount."""
        return (*self.location.secrets.values(), *self.location.pending.values(), self.location.lease)

    def path(self, path: str) -> Mapping[str, Any]:
        """What a path says of itself; empty where nothing is."""
        self.reach()
        return self._data(f"{self.location.mount}/metadata/{path}")

    def devices(self) -> Mapping[str, Mapping[str, Any]]:
        """The audit devices, by their names."""
        self.reach()
        return self._data("sys/audit")

    @property
    def rotator(self) -> str:
        """The entry of whoever rotates: the first that reads the lease. Those behind it are people."""
        return next(iter(self.location.readers.get(self.location.lease, ())), "")

    @property
    def programs(self) -> tuple[str, ...]:
        """The entries of all who are declared, but people."""
        people = self.location.readers.get(self.location.lease, ())[1:]
        entries = dict.fromkeys(entry for each in self.location.readers.values() for entry in each)
        return tuple(entry for entry in entries if entry not in people)

    @functools.cached_property
    def roles(self) -> dict[str, Role | None]:
        """The declared programs' roles, by entry; None for one that is not there."""
        self.reach()
        return {entry: self._role(entry) for entry in self.programs}

    def _role(self, entry: str) -> Role | None:
        role = Role(entry, {})
        try:
            found = self._data(role.path)
        except DeniedError:
            raise
        except StoreError:  # no method is enabled there
            return None
        return Role(entry, found) if found else None

    def policy(self, name: str) -> list[Rule] | None:
        """What a policy grants; None where there is none of that name. Raises StoreError where it can't be read."""
        found = self.api.raw("GET", f"sys/policies/acl/{name}")
        if found is None:
            return None
        try:
            return rules(str((found.get("data") or {}).get("policy", "")))
        except (ValueError, AttributeError, TypeError):
            raise StoreError(
                f"policy {name} can't be read by doctor",
                rule="HCL of paths and capabilities, or the same as JSON",
                remedy=f"look at it yourself: bao policy read {name}",
            ) from None

    def policies(self) -> tuple[str, ...]:
        """The names of all. Raises DeniedError where the token may not list them."""
        self.reach()
        return self._keys("sys/policies/acl")

    def secret_ids(self, role: Role) -> list[datetime | None]:
        """When each secret id of a role ends, which may be never."""
        ends = []
        for accessor in self._keys(f"{role.path}/secret-id"):
            found = None
            with contextlib.suppress(StoreError):  # it ended in between
                found = self.api.raw("POST", f"{role.path}/secret-id-accessor/lookup", {"secret_id_accessor": accessor})
            if found and (data := found.get("data")):
                ends.append(_time(str(data.get("expiration_time") or NEVER)))
        return ends

    def strangers(self) -> list[str]:
        """The paths of the mount that are none of the stack's and give a value."""
        self.reach()
        others = [path for path in self._below("") if path not in self.paths()]
        return [path for path in others if any(kept.is_given for kept in self._kept(path))]

    def _kept(self, path: str) -> Iterator[Any]:
        found = self.api.metadata(path)
        yield from found.versions.values() if found else ()

    def _below(self, folder: str) -> Iterator[str]:
        for key in self._keys(f"{self.location.mount}/metadata/{folder}"):
            if key.endswith("/"):
                yield from self._below(f"{folder}{key}")
            else:
                yield f"{folder}{key}"

    def _keys(self, path: str) -> tuple[str, ...]:
        found = self.api.raw("LIST", path) or {}
        return tuple(str(key) for key in (found.get("data") or {}).get("keys") or ())

    def _data(self, path: str) -> Mapping[str, Any]:
        found = self.api.raw("GET", path) or {}
        data = found.get("data")
        return data if isinstance(data, dict) else {}


def _time(text: str) -> datetime | None:
    if text.startswith(NEVER):
        return None
    return datetime.fromisoformat(text).astimezone(UTC)
