"""Read Key Vault's audit log: one row in each line, a list of rows, or an answer of the query API ({"tables": […]}).

https://learn.microsoft.com/azure/azure-monitor/reference/tables/azkvauditlogs
"""

from __future__ import annotations

import http
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from secretops.platforms.azure.audit_tables import CLAIM_COLUMNS, CLAIMS, RETURNS_VALUE
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.trails import ALL, Access, TrailNames, parsing

# Prefixes of the operations that only read. LISTS: operations on every secret of the vault.
READ_ONLY = ("SecretGet", "SecretList", "SecretBackup")
LISTS = frozenset({"SecretList", "SecretListDeleted"})
NOBODY = "(not logged in)"
_DENIED = (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN)


class LogAnalytics(TrailNames):
    """The trail of one vault. It skips rows of other vaults in the workspace."""

    log_format = "rows of Key Vault's audit log: one per line, as a list, or as an answer of the query API"

    def __init__(self, location: AzureStoreLocation) -> None:
        self._host = urlsplit(location.vault).netloc.lower()
        names = {secret: frozenset({name, location.pending[secret]}) for secret, name in location.secrets.items()}
        super().__init__(names, {*location.secrets.values(), *location.pending.values(), *location.readers})
        self._readers = {
            name.lower(): frozenset(who.lower() for who in readers) for name, readers in location.readers.items()
        }
        self._by_lower = {name.lower(): name for name in self.known}

    def read(self, line: bytes) -> Iterator[Access]:
        with parsing("a row of Key Vault's audit log"):
            for row in _rows(json.loads(line)):
                yield from self._access({name.lower(): value for name, value in row.items()})

    def _access(self, row: Mapping[str, Any]) -> Iterator[Access]:
        operation, time = row["operationname"], _time(row["timegenerated"])
        status = int(_first(row, "httpstatuscode", "httpstatuscode_d") or 0)
        identity = _identity(row)
        reader = identity.get("upn") or identity.get("oid") or identity.get("appid") or NOBODY
        if not operation.startswith("Secret") or (reader == NOBODY and status == http.HTTPStatus.UNAUTHORIZED):
            return  # every client sends a first request without a token, to discover the login endpoint
        secret = self._secret(operation, row)
        if secret is None:
            return
        source = (_first(row, "calleripaddress"), str(_first(row, "clientinfo", "clientinfo_s") or "").split(" ")[0])
        yield Access(
            time=time,
            reader=reader,
            operation=operation,
            secret=secret,
            allowed=status not in _DENIED,
            source=" ".join(filter(None, source)),
            value_returned=operation in RETURNS_VALUE and status == http.HTTPStatus.OK,
            changed=not operation.startswith(READ_ONLY) and status < http.HTTPStatus.BAD_REQUEST,
            declared=self._is_declared(secret, identity.get("oid", "").lower()),
        )

    def _secret(self, operation: str, row: Mapping[str, Any]) -> str | None:
        for url in (_first(row, "requesturi", "requesturi_s"), _first(row, "id", "id_s")):
            found = urlsplit(str(url or ""))
            parts = [part for part in found.path.split("/") if part]
            if found.netloc.lower() != self._host or not parts or parts[0] not in ("secrets", "deletedsecrets"):
                continue
            name = parts[1].lower() if len(parts) > 1 else ""
            if name in self._by_lower:
                return self._by_lower[name]
            if not name and operation in LISTS:
                return ALL
        return None

    def _is_declared(self, secret: str, who: str) -> bool:
        names = self._by_lower if secret == ALL else (secret.lower(),)
        return all(who in self._readers.get(name, ()) for name in names)


def _rows(document: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, list):
        yield from document
    elif "tables" in document:
        for table in document["tables"]:
            names = [column["name"] for column in table["columns"]]
            for row in table["rows"]:
                yield dict(zip(names, row, strict=True))
    else:
        yield document


def _first(row: Mapping[str, Any], *names: str) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _identity(row: Mapping[str, Any]) -> dict[str, str]:
    identity = row.get("identity") or {}
    claims = (json.loads(identity) if isinstance(identity, str) else identity).get("claim") or {}
    found = {
        name: _first(claims, *CLAIMS[name]) or _first(row, *(column.lower() for column in CLAIM_COLUMNS[name]))
        for name in CLAIMS
    }
    return {name: str(text) for name, text in found.items() if text}


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
