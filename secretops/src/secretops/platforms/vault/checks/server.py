"""A server of Vault or OpenBao as doctor asks it, with the token at hand. Reads no value."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from secretops.errors import SecretopsError, StoreError, UnreachableError
from secretops.platforms.vault.api import Api
from secretops.platforms.vault.checks.policy import Rule, rules
from secretops.platforms.vault.errors import DeniedError, SealedError, no_server, unanswered
from secretops.platforms.vault.location import VaultStoreLocation
from secretops.platforms.vault.server import ANSWER_SECONDS, Connection, Request
from secretops.stores.lease import Timing

# Begins the time of what does not end.
NEVER = "0001-01-01"
HTTPS = 443


@dataclass(frozen=True)
class Role:
    """A role of an auth method that the stack declares."""

    # `<mount>/<role>`, as the manifest has it.
    entry: str
    fields: Mapping[str, Any]

    @property
    def path(self) -> str:
        mount, _, name = self.entry.rpartition("/")
        return f"auth/{mount}/role/{name}"

    @property
    def policies(self) -> tuple[str, ...]:
        return tuple(self.fields.get("token_policies") or ())


class VaultServer:
    """The server of a stack. Connects with the first question; raises SecretopsError."""

    def __init__(
        self, location: VaultStoreLocation, *, signs: Sequence[str] = (), timing: Timing | None = None
    ) -> None:
        """`signs`: the paths by which the rotator has certificates signed."""
        self.location, self.signs, self.timing = location, signs, timing or Timing()
        self.api = Api.of(location)
        # All of the stack's in the mount.
        self.paths = (*location.secrets.values(), *location.pending.values(), location.lease)

    @functools.cached_property
    def status(self) -> Mapping[str, Any]:
        """What the server tells everybody: its version, its cluster, whether it is sealed."""
        connection = Connection(self.api.server)
        answer = connection.ask(Request(method="GET", path="sys/seal-status"))
        if not answer.is_good or "sealed" not in answer.body:
            raise no_server(self.api.server.host, "it says to anybody whether it is sealed")
        return {**answer.body, "skew": connection.skew}

    @functools.cached_property
    def _failure(self) -> SecretopsError | None:
        """Asked once for all checks: None if the server answers, and knows the token."""
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
        """Raise SecretopsError if it does not answer, or does not know the token."""
        if self._failure:
            raise self._failure

    def certificate(self) -> tuple[datetime, datetime]:
        """Begin and end of the server certificate's validity. The handshake checks it against the stack's CA."""
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
                fields = shown.getpeercert() or {}
        except OSError as error:
            raise UnreachableError(
                f"{host}:{port} shows no certificate ({type(error).__name__})",
                rule="a connection of its own is made to look at it",
                remedy="the check named server says more",
            ) from None
        begins, ends = (ssl.cert_time_to_seconds(str(fields[key])) for key in ("notBefore", "notAfter"))
        return datetime.fromtimestamp(begins, UTC), datetime.fromtimestamp(ends, UTC)

    def token(self) -> Mapping[str, Any]:
        """Return what the server knows of the token at hand, with all its policies in `policies`."""
        found = self.read("auth/token/lookup-self")
        return {**found, "policies": (*(found.get("policies") or ()), *(found.get("identity_policies") or ()))}

    def mount(self) -> Mapping[str, Any]:
        """Return the mount's type, options and configuration; empty if there is none of that name."""
        with contextlib.suppress(DeniedError):
            return self._mounted(f"sys/mounts/{self.location.mount}")
        return self.read(f"sys/internal/ui/mounts/{self.location.mount}")  # for everybody who may use the mount

    def _mounted(self, path: str) -> Mapping[str, Any]:
        """Return the data at a path; empty, too, if no engine or method is mounted there. Raises DeniedError."""
        self.reach()
        try:
            return self.read(path)
        except DeniedError:
            raise
        except StoreError:
            return {}

    def read(self, path: str) -> Mapping[str, Any]:
        """Return the data at an API path; empty where there is nothing."""
        self.reach()
        data = (self.api.raw("GET", path) or {}).get("data")
        return data if isinstance(data, dict) else {}

    def keys(self, path: str) -> tuple[str, ...]:
        """List an API path. Raises DeniedError where the token may not."""
        self.reach()
        found = self.api.raw("LIST", path) or {}
        return tuple(str(key) for key in (found.get("data") or {}).get("keys") or ())

    @property
    def rotator(self) -> str:
        """The entry of the rotator: the first reader of the lease. Those behind it are people."""
        return next(iter(self.location.readers.get(self.location.lease, ())), "")

    @property
    def programs(self) -> tuple[str, ...]:
        """The entries of all declared readers except people."""
        people = self.location.readers.get(self.location.lease, ())[1:]
        entries = dict.fromkeys(entry for each in self.location.readers.values() for entry in each)
        return tuple(entry for entry in entries if entry not in people)

    @functools.cached_property
    def roles(self) -> dict[str, Role | None]:
        """Entry of a declared program -> its role; None if that does not exist."""
        self.reach()
        found = {entry: self._mounted(Role(entry, {}).path) for entry in self.programs}
        return {entry: Role(entry, fields) if fields else None for entry, fields in found.items()}

    def policy(self, name: str) -> list[Rule] | None:
        """Return what a policy grants; None if it does not exist. Raises StoreError if its text is not understood."""
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
        return self.keys("sys/policies/acl")

    def secret_ids(self, role: Role) -> list[datetime | None]:
        """When each secret id of a role expires; None for never."""
        ends = []
        for accessor in self.keys(f"{role.path}/secret-id"):
            found = None
            with contextlib.suppress(StoreError):  # it ended in between
                found = self.api.raw("POST", f"{role.path}/secret-id-accessor/lookup", {"secret_id_accessor": accessor})
            if found and (data := found.get("data")):
                end = str(data.get("expiration_time") or NEVER)
                ends.append(None if end.startswith(NEVER) else datetime.fromisoformat(end).astimezone(UTC))
        return ends

    def strangers(self) -> list[str]:
        """The paths of the mount that are not the stack's, and have a value."""
        others = [path for path in self._below("") if path not in self.paths]
        found = ((path, self.api.metadata(path)) for path in others)
        return [path for path, one in found if one and any(kept.is_given for kept in one.versions.values())]

    def _below(self, folder: str) -> Iterator[str]:
        for key in self.keys(f"{self.location.mount}/metadata/{folder}"):
            if key.endswith("/"):
                yield from self._below(f"{folder}{key}")
            else:
                yield f"{folder}{key}"
