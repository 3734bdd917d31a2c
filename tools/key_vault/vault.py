"""A vault: secrets, versions and soft-deleted secrets, without HTTP and principals.

It follows Microsoft's pages "About Azure Key Vault secrets" and "Azure Key Vault soft-delete". Deletions and recoveries
take effect at once; tests add Azure's delays as faults.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tools.key_vault import problems
from tools.key_vault.faults import Fault
from tools.key_vault.roles import Access

NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
LARGEST_VALUE = 25 * 1024
MOST_TAGS = 15
LONGEST_TAG = 256
# Number of items on a page of a list.
PAGE = 25
DAY = 86_400
LONGEST_RETENTION = 90

Body = dict[str, Any]


@dataclass
class Version:
    """A version of a secret. Only its attributes, tags and content type can change."""

    id: str
    value: str = field(repr=False)
    created: int
    updated: int
    enabled: bool = True
    expires: int | None = None
    not_before: int | None = None
    content_type: str | None = None
    tags: dict[str, str] | None = None


@dataclass
class Deleted:
    versions: list[Version]
    deleted: int
    purged_at: int


class Vault:
    """A vault with RBAC, soft delete and optional purge protection."""

    def __init__(
        self,
        name: str,
        *,
        retention_days: int = 90,
        purge_protection: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name, self.url = name, f"https://{name}.vault.azure.net"
        self.retention_days, self.purge_protection, self.clock = retention_days, purge_protection, clock
        self.access = Access()
        self.faults: list[Fault] = []
        """Active faults. The first one that matches a request applies."""
        self.around_write: list[Callable[[], None]] = []
        """Functions that are called before and after each writing request."""
        self.audit: list[Body] = []
        """Rows of the table AZKVAuditLogs, oldest first."""
        self.violations: list[str] = []
        """Violations of Azure's description."""
        self._secrets: dict[str, tuple[str, list[Version]]] = {}
        self._deleted: dict[str, tuple[str, Deleted]] = {}
        self._lock = threading.RLock()

    @property
    def resource_id(self) -> str:
        return (
            "/subscriptions/00000000-0000-0000-0000-000000000000/resourcegroups/standin"
            f"/providers/microsoft.keyvault/vaults/{self.name}"
        )

    def fault(self, operation: str, secret: str | None) -> Fault | None:
        """Return the first fault that matches a request, or None, and decrement its `times`."""
        with self._lock:
            for each in self.faults:
                if each.fits(operation, secret):
                    each.times -= 1
                    return each
        return None

    def set(self, name: str, body: Body) -> Body:
        """Add a version to a secret. Reads that name no version then return it."""
        if not NAME.fullmatch(name):
            raise problems.bad_parameter(f"The request URI contains an invalid name: {name}")
        if len(body["value"].encode()) > LARGEST_VALUE:
            raise problems.bad_parameter(f"The secret's value is larger than {LARGEST_VALUE} bytes.")
        with self._lock:
            self._forget_expired()
            if name.lower() in self._deleted:
                raise problems.held_by_a_deleted_one(name)
            now = int(self.clock())
            made = Version(uuid.uuid4().hex, body["value"], now, now)
            self._change(made, body)
            self._secrets.setdefault(name.lower(), (name, []))[1].append(made)
            return self._bundle(name, made, value=True)

    def get(self, name: str, version: str = "") -> Body:
        """Return a version with its value; by default the newest, even if it is disabled."""
        with self._lock:
            name, found = self._version(name, version)
            if not found.enabled:
                raise problems.secret_disabled()
            return self._bundle(name, found, value=True)

    def update(self, name: str, version: str, body: Body) -> Body:
        """Change the properties in `body`. Tags are replaced as a whole."""
        with self._lock:
            name, found = self._version(name, version)
            self._change(found, body)
            found.updated = int(self.clock())
            return self._bundle(name, found)

    def versions(self, name: str, most: int = PAGE, after: str = "") -> tuple[list[Body], str]:
        """Return a page of versions by id, and `after` of the next page or "". An unknown secret has no versions."""
        with self._lock:
            name, versions = self._secrets.get(name.lower(), (name, []))
            items = [self._bundle(name, each) for each in sorted(versions, key=lambda each: each.id)]
        return _page(items, most, after)

    def secrets(self, most: int = PAGE, after: str = "") -> tuple[list[Body], str]:
        with self._lock:
            items = [
                {**self._bundle(name, versions[-1]), "id": f"{self.url}/secrets/{name}"}
                for _, (name, versions) in sorted(self._secrets.items())
            ]
        return _page(items, most, after)

    def delete(self, name: str) -> Body:
        with self._lock:
            name, versions = self._secret(name)
            now = int(self.clock())
            deleted = Deleted(versions, now, now + self.retention_days * DAY)
            del self._secrets[name.lower()]
            self._deleted[name.lower()] = (name, deleted)
            return self._deleted_bundle(name, deleted)

    def deleted(self, name: str) -> Body:
        with self._lock:
            return self._deleted_bundle(*self._deleted_one(name))

    def all_deleted(self, most: int = PAGE, after: str = "") -> tuple[list[Body], str]:
        with self._lock:
            self._forget_expired()
            items = [
                {**self._deleted_bundle(name, each), "id": f"{self.url}/secrets/{name}"}
                for _, (name, each) in sorted(self._deleted.items())
            ]
        return _page(items, most, after)

    def recover(self, name: str) -> Body:
        with self._lock:
            name, found = self._deleted_one(name)
            del self._deleted[name.lower()]
            self._secrets[name.lower()] = (name, found.versions)
            return self._bundle(name, found.versions[-1])

    def purge(self, name: str) -> Body:
        with self._lock:
            name, _ = self._deleted_one(name)
            if self.purge_protection:
                raise problems.purge_protected(self.name)
            del self._deleted[name.lower()]
            return {}

    def backup(self, name: str) -> Body:
        """Return a text that contains all versions of a secret. Azure encrypts it; here it is only base64."""
        with self._lock:
            name, versions = self._secret(name)
            blob = json.dumps([name, [dataclasses.asdict(each) for each in versions]])
        return {"value": base64.urlsafe_b64encode(blob.encode()).decode().rstrip("=")}

    def restore(self, backup: str) -> Body:
        """Add a secret from a backup. Raises Refusal if a secret with its name exists."""
        name, versions = json.loads(base64.urlsafe_b64decode(backup + "=" * (-len(backup) % 4)))
        with self._lock:
            self._forget_expired()
            if name.lower() in self._deleted:
                raise problems.held_by_a_deleted_one(name)
            if name.lower() in self._secrets:
                raise problems.Refusal(409, "Conflict", f"There was a conflict restoring the secret {name}.")
            self._secrets[name.lower()] = (name, [Version(**each) for each in versions])
            return self._bundle(name, self._secrets[name.lower()][1][-1])

    def _secret(self, name: str) -> tuple[str, list[Version]]:
        try:
            return self._secrets[name.lower()]
        except KeyError:
            raise problems.secret_not_found(name) from None

    def _version(self, name: str, version: str) -> tuple[str, Version]:
        name, versions = self._secret(name)
        found = versions[-1] if not version else next((each for each in versions if each.id == version), None)
        if found is None:
            raise problems.secret_not_found(f"{name}/{version}")
        return name, found

    def _deleted_one(self, name: str) -> tuple[str, Deleted]:
        self._forget_expired()
        try:
            return self._deleted[name.lower()]
        except KeyError:
            raise problems.deleted_secret_not_found(name) from None

    def _forget_expired(self) -> None:
        now = self.clock()
        self._deleted = {key: kept for key, kept in self._deleted.items() if kept[1].purged_at > now}

    @staticmethod
    def _change(version: Version, body: Body) -> None:
        tags = body.get("tags")
        if tags is not None:
            if len(tags) > MOST_TAGS:
                raise problems.bad_parameter(f"The tags dictionary has more than {MOST_TAGS} entries.")
            if any(len(text) > LONGEST_TAG for pair in tags.items() for text in pair):
                raise problems.bad_parameter(f"A tag's name or value has more than {LONGEST_TAG} characters.")
            version.tags = dict(tags)
        attributes = body.get("attributes") or {}
        version.enabled = attributes.get("enabled", version.enabled)
        version.expires = attributes.get("exp", version.expires)
        version.not_before = attributes.get("nbf", version.not_before)
        version.content_type = body.get("contentType", version.content_type)

    def _bundle(self, name: str, version: Version, *, value: bool = False) -> Body:
        attributes = {
            "enabled": version.enabled,
            "nbf": version.not_before,
            "exp": version.expires,
            "created": version.created,
            "updated": version.updated,
            "recoveryLevel": self._recovery_level,
            "recoverableDays": self.retention_days,
        }
        bundle = {
            "value": version.value if value else None,
            "contentType": version.content_type,
            "id": f"{self.url}/secrets/{name}/{version.id}",
            "attributes": {key: each for key, each in attributes.items() if each is not None},
            "tags": version.tags,
        }
        return {key: each for key, each in bundle.items() if each is not None}

    @property
    def _recovery_level(self) -> str:
        customized = "Customized" if self.retention_days < LONGEST_RETENTION else ""
        return f"{customized}Recoverable{'' if self.purge_protection else '+Purgeable'}"

    def _deleted_bundle(self, name: str, deleted: Deleted) -> Body:
        return {
            **self._bundle(name, deleted.versions[-1]),
            "recoveryId": f"{self.url}/deletedsecrets/{name}",
            "deletedDate": deleted.deleted,
            "scheduledPurgeDate": deleted.purged_at,
        }


def _page(items: list[Body], most: int, after: str) -> tuple[list[Body], str]:
    start = int(after) if after else 0
    end = start + most
    return items[start:end], str(end) if end < len(items) else ""
