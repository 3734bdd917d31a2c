from __future__ import annotations

import contextlib
import functools
import http
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import CustomHookPolicy, RetryPolicy
from azure.keyvault.secrets import SecretClient, SecretProperties

from secretops.platforms.azure import errors
from secretops.platforms.azure.errors import translated
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.login import Login
from secretops.stores.retry import Retries

# Retries of a request that Azure throttles or does not answer: at once, then after 1.6, 3.2, 6.4 and 12.8 s. Requests
# that create a version are repeated, too: if Azure then has two versions, both have the same tags.
RETRIES = 5
# Longest pause in seconds, whatever Retry-After requests: the next tick is within the hour.
LONGEST_PAUSE = 16.0
# Timeouts in seconds. Their sum is less than the time that the lease has left when a write may start (`Timing.duration`
# - `Timing.trusted`), so an attempt without an answer ends before another process can take over the lease.
CONNECT_SECONDS, ANSWER_SECONDS = 3, 6
# Seconds to wait until Azure has deleted or recovered a secret, and seconds between two polls, as in the SDK.
CHANGE_SECONDS, POLL_SECONDS = 60.0, 2.0
# Methods to retry. The SDK excludes PATCH and POST, which are safe here: tags are sent as a whole, and a second
# recovery has no effect.
METHODS = frozenset({"HEAD", "GET", "PUT", "PATCH", "POST", "DELETE"})
JSON = "application/json"


class BoundedRetryPolicy(RetryPolicy[Any, Any]):
    """The SDK's retry policy, limited to METHODS and to pauses of LONGEST_PAUSE."""

    def __init__(self) -> None:
        counts = dict.fromkeys(("retry_total", "retry_connect", "retry_read", "retry_status"), RETRIES)
        super().__init__(**counts, retry_backoff_max=LONGEST_PAUSE)

    def get_retry_after(self, response: Any) -> float | None:
        pause = super().get_retry_after(response)
        return None if pause is None else min(pause, LONGEST_PAUSE)

    def configure_retries(self, options: dict[str, Any]) -> dict[str, Any]:
        options.setdefault("retry_on_methods", METHODS)
        return super().configure_retries(options)


class AttemptHookPolicy(CustomHookPolicy[Any, Any]):
    """Calls a hook before each attempt of a request. The SDK's own policy calls it only before the first."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        if hook := request.context.get("raw_request_hook"):
            request.context.options["raw_request_hook"] = hook
        super().on_request(request)


def policies() -> dict[str, Any]:
    return {"retry_policy": BoundedRetryPolicy(), "custom_hook_policy": AttemptHookPolicy()}


def connect(vault: str, tenant: str = "") -> SecretClient:
    with translated("connect to", vault, "the vault"):
        return SecretClient(
            vault, Login(tenant), connection_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS, **policies()
        )


@dataclass(frozen=True)
class KeyVaultVersion:
    secret: str
    # Key Vault's own id, not the id of the version in secretops.
    id: str
    enabled: bool
    # Without fractions of a second.
    created: datetime
    expires: datetime | None
    tags: Mapping[str, str]


@dataclass(frozen=True, repr=False)
class KeyVaultValue(KeyVaultVersion):
    """A version with its value, which its repr omits."""

    text: str


class KeyVaultApi:
    """A client for the secrets of one vault. The SDK's client must use `policies`.

    `guard` runs before each attempt of a write; `guard(True)` must also renew the lease.
    """

    def __init__(self, vault: str, open_client: Callable[[str], SecretClient] = connect) -> None:
        self.vault, self._open = vault, open_client
        self.guard: Callable[[bool], None] = lambda _fresh: None

    @classmethod
    def of(cls, location: AzureStoreLocation) -> KeyVaultApi:
        return cls(location.vault, functools.partial(connect, tenant=location.tenant))

    @functools.cached_property
    def client(self) -> SecretClient:
        return self._open(self.vault)

    def versions(self, name: str) -> tuple[KeyVaultVersion, ...]:
        """Return all versions, unordered; none if the secret is missing."""
        with translated("list the versions of", self.vault, name):
            try:
                return tuple(_version(each) for each in self.client.list_properties_of_secret_versions(name))
            except ResourceNotFoundError:
                return ()

    def names(self) -> list[str]:
        """Return the names of all secrets. Requires a role on the whole vault."""
        with translated("list the secrets of", self.vault, "the vault"):
            return [each.name for each in self.client.list_properties_of_secrets() if each.name]

    def value(self, name: str, version: str | None = None) -> KeyVaultValue | None:
        """Return a version with its value, by default the newest. None if the version is missing or disabled."""
        with translated("read", self.vault, name):
            try:
                found = self.client.get_secret(name, version)
            except ResourceNotFoundError:
                return None
            except HttpResponseError as error:
                if error.status_code == http.HTTPStatus.FORBIDDEN and errors.DISABLED in errors.codes(error):
                    return None
                raise
        return KeyVaultValue(**vars(_version(found.properties)), text=found.value or "")

    def set(
        self, name: str, text: str, tags: Mapping[str, str], expires: datetime | None, *, fresh: bool = False
    ) -> None:
        """Create a version. `fresh`: renew the lease first. Raises DeletedError if a deleted secret has this name."""
        with translated("write", self.vault, name):
            about: dict[str, Any] = {"content_type": JSON, "tags": dict(tags), "expires_on": expires}
            self.client.set_secret(name, text, **about, raw_request_hook=self._hook(fresh))

    def set_tags(self, stored: KeyVaultVersion, tags: Mapping[str, str], *, enabled: bool | None = None) -> None:
        """Replace a version's tags, and enable or disable it. Does nothing if the version is missing."""
        with translated("change", self.vault, stored.secret), contextlib.suppress(ResourceNotFoundError):
            self.client.update_secret_properties(
                stored.secret, stored.id, tags=dict(tags), enabled=enabled, raw_request_hook=self._hook(False)
            )

    def delete(self, name: str) -> None:
        """Delete a secret with all versions. Waits for the end of the deletion, if the caller may read deleted
        secrets."""

        def is_deleted() -> bool:
            try:
                return self.deleted(name) is not None
            except errors.ForbiddenError:
                return True

        # A missing secret is no error: the answer to an earlier attempt may have been lost.
        with translated("delete", self.vault, name), contextlib.suppress(ResourceNotFoundError):
            self.client.begin_delete_secret(name, raw_request_hook=self._hook(True))
        self._wait(name, is_deleted)

    def deleted(self, name: str) -> DeletedSecret | None:
        with translated("read the deleted", self.vault, name):
            try:
                found = self.client.get_deleted_secret(name)
            except ResourceNotFoundError:
                return None
        level = found.properties.recovery_level or ""
        return DeletedSecret(found.properties.tags or {}, found.scheduled_purge_date, "Purgeable" in level)

    def purge(self, name: str) -> None:
        with translated("purge", self.vault, name), contextlib.suppress(ResourceNotFoundError):
            self.client.purge_deleted_secret(name, raw_request_hook=self._hook(True))

    def recover(self, name: str) -> None:
        # A missing secret is no error: the answer to an earlier attempt may have been lost.
        with translated("recover", self.vault, name), contextlib.suppress(ResourceNotFoundError):
            self.client.begin_recover_deleted_secret(name, raw_request_hook=self._hook(True))
        self._wait(name, lambda: bool(self.versions(name)))

    def _hook(self, fresh: bool) -> Callable[[object], None]:
        return lambda _request: self.guard(fresh)

    def _wait(self, name: str, done: Callable[[], bool]) -> None:
        # The SDK's own wait would never end if a person undid the change.
        retries = Retries(itertools.repeat(POLL_SECONDS), seconds=CHANGE_SECONDS + POLL_SECONDS)
        while not done():
            if not retries.pause():
                raise errors.CHANGING.filled(where=f"{name} in {self.vault}", code="still")


@dataclass(frozen=True)
class DeletedSecret:
    # Tags of its newest version.
    tags: Mapping[str, str]
    # When Azure will purge it.
    until: datetime | None
    # True if an operator may purge it sooner: the vault has no purge protection.
    purgeable: bool


def _version(found: SecretProperties) -> KeyVaultVersion:
    name, version, created = found.name, found.version, found.created_on
    if name is None or version is None or created is None:
        raise ValueError("a version in Key Vault's answer must have a name, an id and a time")
    return KeyVaultVersion(name, version, bool(found.enabled), created, found.expires_on, found.tags or {})
