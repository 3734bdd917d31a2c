"""Doctor's requests to Vault, with the operator's token. They read no secret value."""

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
from secretops.platforms.vault.errors import DeniedError, no_response, not_vault, rejected
from secretops.platforms.vault.location import VaultStoreLocation
from secretops.platforms.vault.server import ANSWER_SECONDS, Connection
from secretops.stores.lease import Timing

# Start of an expiry time that means "never".
NEVER = "0001-01-01"
HTTPS = 443


@dataclass(frozen=True)
class Role:
    # `<mount>/<role>`, as in the manifest.
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
    def __init__(
        self, location: VaultStoreLocation, *, signs: Sequence[str] = (), timing: Timing | None = None
    ) -> None:
        """Set `signs`, the paths of PKI engines that sign the rotator's requests."""
        self.location, self.signs, self.timing = location, signs, timing or Timing()
        self.api = Api.of(location)
        # All paths of the stack in the mount.
        self.paths = (*location.secrets.values(), *location.pending.values(), location.lease)

    @functools.cached_property
    def status(self) -> Mapping[str, Any]:
        connection = Connection(self.api.server)
        answer = connection.request("GET", "sys/seal-status")
        if not answer.is_good or "sealed" not in answer.body:
            raise not_vault(self.api.server.host, "sys/seal-status must return whether the server is sealed")
        return {**answer.body, "skew": connection.skew}

    @functools.cached_property
    def _failure(self) -> SecretopsError | None:
        try:
            if self.status.get("sealed"):
                return rejected(503, ["sealed"], address=self.location.address, action="serve", where="")
            self.api.raw("GET", "auth/token/lookup-self")
        except SecretopsError as error:
            return error
        return None

    def reach(self) -> None:
        if self._failure:
            raise self._failure

    def certificate(self) -> tuple[datetime, datetime]:
        found = urlsplit(self.location.address)
        host, port = found.hostname or "", found.port or HTTPS
        try:
            context = ssl.create_default_context(cafile=self.api.server.ca)
        except OSError as error:
            raise no_response(error, self.location.address, self.api.server.ca) from None
        try:
            with (
                socket.create_connection((host, port), timeout=ANSWER_SECONDS) as plain,
                context.wrap_socket(plain, server_hostname=host) as encrypted,
            ):
                fields = encrypted.getpeercert() or {}
        except OSError as error:
            raise UnreachableError(
                f"{host}:{port} returns no valid certificate ({type(error).__name__})",
                rule="the Vault server must present a valid certificate when doctor connects",
                remedy=f"to see the certificate: openssl s_client -connect {host}:{port}; see also doctor's check "
                "`server`",
                code="server-certificate-unreadable",
            ) from None
        begins, ends = (ssl.cert_time_to_seconds(str(fields[key])) for key in ("notBefore", "notAfter"))
        return datetime.fromtimestamp(begins, UTC), datetime.fromtimestamp(ends, UTC)

    def token(self) -> Mapping[str, Any]:
        found = self.read("auth/token/lookup-self")
        return {**found, "policies": (*(found.get("policies") or ()), *(found.get("identity_policies") or ()))}

    def mount(self) -> Mapping[str, Any]:
        with contextlib.suppress(DeniedError):
            return self._mounted(f"sys/mounts/{self.location.mount}")
        return self.read(f"sys/internal/ui/mounts/{self.location.mount}")  # this request needs only access to the mount

    def _mounted(self, path: str) -> Mapping[str, Any]:
        self.reach()
        try:
            return self.read(path)
        except DeniedError:
            raise
        except StoreError:
            return {}

    def read(self, path: str) -> Mapping[str, Any]:
        self.reach()
        data = (self.api.raw("GET", path) or {}).get("data")
        return data if isinstance(data, dict) else {}

    def keys(self, path: str) -> tuple[str, ...]:
        self.reach()
        found = self.api.raw("LIST", path) or {}
        return tuple(str(key) for key in (found.get("data") or {}).get("keys") or ())

    @property
    def rotator(self) -> str:
        """Return the rotator's role: the first declared reader of the lease. The lease's other readers are
        operators."""
        return next(iter(self.location.readers.get(self.location.lease, ())), "")

    @property
    def programs(self) -> tuple[str, ...]:
        operators = self.location.readers.get(self.location.lease, ())[1:]
        entries = dict.fromkeys(entry for each in self.location.readers.values() for entry in each)
        return tuple(entry for entry in entries if entry not in operators)

    @functools.cached_property
    def roles(self) -> dict[str, Role | None]:
        self.reach()
        found = {entry: self._mounted(Role(entry, {}).path) for entry in self.programs}
        return {entry: Role(entry, fields) if fields else None for entry, fields in found.items()}

    def policy(self, name: str) -> list[Rule] | None:
        found = self.api.raw("GET", f"sys/policies/acl/{name}")
        if found is None:
            return None
        try:
            return rules(str((found.get("data") or {}).get("policy", "")))
        except (ValueError, AttributeError, TypeError):
            raise StoreError(
                f"policy {name} can't be parsed",
                rule="a policy must be paths with their capabilities, in HCL or JSON",
                remedy=f"check the policy yourself: bao policy read {name}",
                code="vault-policy-unparsed",
            ) from None

    def policies(self) -> tuple[str, ...]:
        return self.keys("sys/policies/acl")

    def secret_ids(self, role: Role) -> list[datetime | None]:
        """Return when a role's secret ids expire; None for an id that does not expire."""
        ends = []
        for accessor in self.keys(f"{role.path}/secret-id"):
            found = None
            with contextlib.suppress(StoreError):  # the id has expired since the listing
                found = self.api.raw("POST", f"{role.path}/secret-id-accessor/lookup", {"secret_id_accessor": accessor})
            if found and (data := found.get("data")):
                end = str(data.get("expiration_time") or NEVER)
                ends.append(None if end.startswith(NEVER) else datetime.fromisoformat(end).astimezone(UTC))
        return ends

    def unknown_paths(self) -> list[str]:
        others = [path for path in self._below("") if path not in self.paths]
        found = ((path, self.api.metadata(path)) for path in others)
        return [path for path, each in found if each and any(info.is_readable for info in each.documents.values())]

    def _below(self, folder: str) -> Iterator[str]:
        for key in self.keys(f"{self.location.mount}/metadata/{folder}"):
            if key.endswith("/"):
                yield from self._below(f"{folder}{key}")
            else:
                yield f"{folder}{key}"
