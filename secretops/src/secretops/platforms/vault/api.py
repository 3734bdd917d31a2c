"""A client of a KV engine of version 2, and of the PKI engine of the same server."""

from __future__ import annotations

import functools
import http
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote

from secretops.certificates import SignedCertificate
from secretops.errors import StoreError, UsageError
from secretops.platforms.vault import errors
from secretops.platforms.vault.location import VaultIssuer, VaultStoreLocation
from secretops.platforms.vault.login import Login
from secretops.platforms.vault.server import Answer, Connection, Server
from secretops.stores import payload
from secretops.values import Value

# Key with the version's id. A document of another writer lacks this key, or has a copied id.
VERSION = "secretops-version"
# Raft limits an entry, including its keys, to 1 MiB.
# https://openbao.org/docs/configuration/storage/raft/#max_entry_size
LIMIT = payload.Limit(1_000_000, "Vault or OpenBao")


@dataclass(frozen=True)
class DocumentInfo:
    # When it becomes, or became, unreadable, unless it is undeleted.
    deleted: datetime | None
    destroyed: bool
    # The server's text of its creation time. A path that is deleted and written again has the same numbers.
    created: str = ""

    @property
    def is_readable(self) -> bool:
        return not self.destroyed and (self.deleted is None or self.deleted > datetime.now(UTC))


@dataclass(frozen=True)
class Metadata:
    # Number of the newest document; 0 if there never was a document.
    current: int
    # Number -> document. The server deletes the oldest beyond max_versions.
    documents: Mapping[int, DocumentInfo]
    custom: Mapping[str, str]


EMPTY = Metadata(0, {}, {})


@dataclass(frozen=True, repr=False)
class Document:
    """A document with values. Its repr shows no value."""

    number: int
    data: Mapping[str, Any]


class Api:
    """A client for the paths of one mount.

    `guard` runs before each attempt of a write; `guard(True)` must also renew the lease.
    """

    def __init__(self, server: Server, mount: str, login: Login | None = None) -> None:
        self.server, self.mount = server, mount
        self.login = login or Login(server)
        self.guard: Callable[[bool], None] = lambda _fresh: None
        self._connection = Connection(server)

    @classmethod
    def of(cls, location: VaultStoreLocation, mount: str = "") -> Self:
        server = Server(location.address, location.namespace, location.ca_file)
        return cls(server, mount or location.mount, Login(server, location.login))

    def without_guard(self) -> Api:
        return Api(self.server, self.mount, self.login)

    def metadata(self, path: str) -> Metadata | None:
        answer = self._request("read the metadata of", "metadata", path, "GET")
        if answer is None:
            return None
        found = answer.data
        if "current_version" not in found:
            raise errors.not_kv2(self.server.address, self.mount)
        documents = {int(number): _document_info(each) for number, each in (found.get("versions") or {}).items()}
        return Metadata(int(found["current_version"]), documents, found.get("custom_metadata") or {})

    def read(self, path: str, number: int | None = None, *, patient: bool = True) -> Document | None:
        """Return a document, by default the newest. None if it is missing, deleted or destroyed."""
        query = "" if number is None else f"?version={number}"
        answer = self._request("read", "data", path, "GET", query=query, patient=patient)
        if answer is None:
            return None
        about, data = answer.data.get("metadata"), answer.data.get("data")
        if not isinstance(about, dict):
            raise errors.not_kv2(self.server.address, self.mount)
        return Document(int(about["version"]), data) if isinstance(data, dict) else None

    def write(
        self, path: str, data: Mapping[str, str], after: int, *, fresh: bool = False, patient: bool = True
    ) -> int | None:
        """Write a document if the newest one still has the number `after`. Return the new number, or None on a
        conflict. `fresh`: renew the lease first."""
        body = {"data": dict(data), "options": {"cas": after}}
        answer = self._request("write", "data", path, "POST", body, fresh=fresh, patient=patient)
        if answer is None:
            return None
        if "version" not in answer.data:
            raise errors.not_kv2(self.server.address, self.mount)
        return int(answer.data["version"])

    def update_metadata(
        self, path: str, changes: Mapping[str, str | None], *, create: bool = True, patient: bool = True
    ) -> bool:
        """Set keys of custom_metadata, and remove those that are None. If the path is missing and `create` is False,
        return False."""
        action, body = "write the metadata of", {"custom_metadata": dict(changes)}
        if self._request(action, "metadata", path, "PATCH", body, merges=True, patient=patient):
            return True
        if create:
            body = {"custom_metadata": {key: text for key, text in changes.items() if text is not None}}
            self._request(action, "metadata", path, "POST", body, patient=patient)
            self.metadata(path)  # raises for KV of version 1, which would store the metadata as a value
        return create

    def destroy(self, path: str, numbers: list[int]) -> None:
        self._request("destroy versions of", "destroy", path, "POST", {"versions": numbers})

    def remove(self, path: str) -> None:
        self._request("remove", "metadata", path, "DELETE", fresh=True)

    def raw(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        answer = self._send(method, path, body, action=method, where=path)
        return None if answer is None else dict(answer.body)

    def close(self) -> None:
        self.login.close()

    def _request(
        self,
        action: str,
        kind: str,
        path: str,
        method: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: str = "",
        fresh: bool = False,
        **how: bool,
    ) -> Answer | None:
        before = (lambda: None) if method == "GET" else functools.partial(self.guard, fresh)
        url, where = f"{quote(self.mount)}/{kind}/{quote(path)}{query}", f"{self.mount}/{path}"
        return self._send(method, url, body, action=action, where=where, before=before, **how)

    def _send(
        self, method: str, url: str, body: Mapping[str, Any] | None, *, action: str, where: str, **how: Any
    ) -> Answer | None:
        for attempts in (1, 0):
            token = self.login.token()
            answer = self._connection.request(method, url, body, token=token, **how)
            if answer.status != http.HTTPStatus.FORBIDDEN or not attempts or not self.login.is_invalid(token):
                break
        if answer.is_good:
            return answer
        if answer.status == http.HTTPStatus.NOT_FOUND and not answer.texts:
            return None
        if answer.status == http.HTTPStatus.BAD_REQUEST and any(errors.MISMATCH in text for text in answer.texts):
            return None
        raise self._connection.rejected(answer, action, where, self.mount)


def _document_info(found: Mapping[str, Any]) -> DocumentInfo:
    deleted = found.get("deletion_time")
    created = str(found.get("created_time", ""))
    return DocumentInfo(_time(deleted) if deleted else None, bool(found.get("destroyed")), created)


def _time(text: str) -> datetime:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    try:
        return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")
    except ValueError:
        raise errors.not_vault("the server", "the server's times must be in UTC, in the format of RFC 3339") from None


def serialize(secret: str, version: str, value: Value) -> dict[str, str]:
    if VERSION in value:
        raise UsageError(
            f"{secret} has a field {VERSION}",
            rule="no field may have this name, which is reserved for the version; nothing was changed",
            remedy="rename the field in the stack file, then pulumi up",
            code="field-reserved",
        )
    payload.serialize(secret, value, LIMIT)
    return {**value, VERSION: version}


def version_of(data: Mapping[str, Any] | None, number: int) -> str:
    found = (data or {}).get(VERSION)
    return found if isinstance(found, str) else str(number)


def fields_of(data: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Return the fields of a document, or None if a field is no string."""
    found = {name: text for name, text in (data or {}).items() if name != VERSION}
    return found if all(isinstance(text, str) for text in found.values()) else None


class VaultPki:
    """Signs certificate requests with a PKI engine's role. Never receives a private key."""

    def __init__(self, api: Api, issuer: VaultIssuer) -> None:
        self._api, self._issuer = api, issuer

    def sign(self, request: str) -> SignedCertificate:
        """Sign a request. Uses the endpoint `sign`, since the response of `issue` would contain a private key."""
        issuer = self._issuer
        body = {"csr": request, "common_name": issuer.common_name, "ttl": f"{issuer.seconds}s", "format": "pem"}
        path = f"{issuer.mount}/sign/{issuer.role}"
        try:
            answer = self._api.raw("POST", path, body)
        finally:
            self._api.close()
        found = (answer or {}).get("data") or {}
        certificate, chain = found.get("certificate"), found.get("ca_chain") or [found.get("issuing_ca")]
        if not isinstance(certificate, str) or not all(isinstance(each, str) for each in chain):
            raise StoreError(
                f"{path} at {self._api.server.host} returned no certificate with its chain",
                rule="the PKI engine of store.pki must have a signed intermediate CA",
                remedy="sign the intermediate CA (docs/operations/vault.md, Client certificates), then pulumi up",
                code="vault-pki-incomplete",
            )
        return SignedCertificate(certificate, tuple(chain))
