"""A client of Key Vault: the versions of a secret, a value, a new version, a version's tags."""

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

# How often a request is repeated that Azure throttles or does not answer: at once, and after 1.6, 3.2, 6.4 and 12.8 s.
# That of a new version too: a version that was made twice is one of ours, twice.
RETRIES = 5
# The longest pause in seconds, whatever Retry-After says: the next tick is within the hour.
LONGEST_PAUSE = 16.0
# Both together less than what is left of the lease when a write is let through (`Timing.duration` - `Timing.trusted`):
# an attempt that Azure does not answer ends before the lease can have been taken over.
CONNECT_SECONDS, ANSWER_SECONDS = 3, 6
# Seconds to wait for a deletion or a recovery, which takes Azure a few; and between two polls of it, as in the SDK.
LONGEST_CHANGE, LOOK = 60.0, 2.0
# What is repeated. The SDK leaves out PATCH and POST, which here do no harm twice: tags are sent as a whole, and a
# recovered secret exists.
METHODS = frozenset({"HEAD", "GET", "PUT", "PATCH", "POST", "DELETE"})
JSON = "application/json"


class BoundedRetryPolicy(RetryPolicy[Any, Any]):
    """The SDK's retries for all `METHODS`, with no pause longer than `LONGEST_PAUSE`."""

    def __init__(self) -> None:
        counts = dict.fromkeys(("retry_total", "retry_connect", "retry_read", "retry_status"), RETRIES)
        super().__init__(**counts, retry_backoff_max=LONGEST_PAUSE)

    def get_retry_after(self, response: Any) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_PAUSE)

    def configure_retries(self, options: dict[str, Any]) -> dict[str, Any]:
        options.setdefault("retry_on_methods", METHODS)
        return super().configure_retries(options)


class AttemptHookPolicy(CustomHookPolicy[Any, Any]):
    """Calls a call's `raw_request_hook` before each attempt; the SDK's own policy only before the first one."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        if hook := request.context.get("raw_request_hook"):
            request.context.options["raw_request_hook"] = hook
        super().on_request(request)


def policies() -> dict[str, Any]:
    """Return the policies of a vault's client: its retries, and a hook before each attempt."""
    return {"retry_policy": BoundedRetryPolicy(), "custom_hook_policy": AttemptHookPolicy()}


def connect(vault: str, tenant: str = "") -> SecretClient:
    """Return a client of the vault at URL `vault`. Sends nothing yet. Raises UsageError, StoreError."""
    with translated("ask", vault, "the vault"):
        return SecretClient(
            vault, Login(tenant), connection_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS, **policies()
        )


@dataclass(frozen=True)
class KeyVaultVersion:
    """One version of a secret, without its value."""

    # Key Vault's own: not the id of the version of ours that it holds.
    id: str
    enabled: bool
    # To the second, as Key Vault has it.
    created: datetime
    expires: datetime | None
    tags: Mapping[str, str]


@dataclass(frozen=True, repr=False)
class KeyVaultValue(KeyVaultVersion):
    """The same with its value, so it is never printed."""

    text: str


class KeyVaultApi:
    """Secrets of one vault by their names. Connects with the first request.

    `guard` runs before each attempt of each write, with whether the write can't be undone; it raises when the lease is
    lost. The client is made with `policies`.
    """

    def __init__(self, vault: str, open_client: Callable[[str], SecretClient] = connect) -> None:
        self.vault, self._open = vault, open_client
        self.guard: Callable[[bool], None] = lambda _fresh: None

    @classmethod
    def of(cls, location: AzureStoreLocation) -> KeyVaultApi:
        """Return the client of the stack's vault, for a login of its tenant."""
        return cls(location.vault, functools.partial(connect, tenant=location.tenant))

    @functools.cached_property
    def client(self) -> SecretClient:
        """The connection. Raises UsageError."""
        return self._open(self.vault)

    def versions(self, name: str) -> tuple[KeyVaultVersion, ...]:
        """Return every version, in no order and without a value; none where there is no such secret."""
        with translated("list the versions of", self.vault, name):
            try:
                return tuple(_kept(one) for one in self.client.list_properties_of_secret_versions(name))
            except ResourceNotFoundError:
                return ()

    def names(self) -> dict[str, Mapping[str, str]]:
        """Return every secret of the vault with the tags of its newest version. Needs a right on the whole vault."""
        with translated("list the secrets of", self.vault, "the vault"):
            found = self.client.list_properties_of_secrets()
            return {one.name: one.tags or {} for one in found if one.name}

    def value(self, name: str, version: str | None = None) -> KeyVaultValue | None:
        """Return a version with its value, by default the one that readers find; None if missing or disabled."""
        with translated("read", self.vault, name):
            try:
                found = self.client.get_secret(name, version)
            except ResourceNotFoundError:
                return None
            except HttpResponseError as error:
                if error.status_code == http.HTTPStatus.FORBIDDEN and errors.DISABLED in errors.codes(error):
                    return None
                raise
        return KeyVaultValue(**vars(_kept(found.properties)), text=found.value or "")

    def set(
        self, name: str, text: str, tags: Mapping[str, str], expires: datetime | None, *, fresh: bool = False
    ) -> None:
        """Make a version, which readers find from then on. Raises DeletedError where a deleted secret has the name.

        `fresh`: this can't be undone, since somebody reads this secret.
        """
        with translated("write", self.vault, name):
            about: dict[str, Any] = {"content_type": JSON, "tags": dict(tags), "expires_on": expires}
            self.client.set_secret(name, text, **about, raw_request_hook=self._asking(fresh))

    def note(self, name: str, version: str, tags: Mapping[str, str], *, enabled: bool | None = None) -> None:
        """Replace the tags of a version, and disable it in the same request. No-op when it is gone."""
        with translated("change", self.vault, name), contextlib.suppress(ResourceNotFoundError):
            self.client.update_secret_properties(
                name, version, tags=dict(tags), enabled=enabled, raw_request_hook=self._asking(False)
            )

    def delete(self, name: str) -> None:
        """Delete a secret with its versions, which can be recovered. Wait until it is deleted, if we may see that."""

        def done() -> bool:
            try:
                return self.deleted(name) is not None
            except errors.ForbiddenError:
                return True

        with translated("delete", self.vault, name), contextlib.suppress(ResourceNotFoundError):  # a lost answer's
            self.client.begin_delete_secret(name, raw_request_hook=self._asking(True))
        self._wait(name, done)

    def deleted(self, name: str) -> Deleted | None:
        """Return what is known of a deleted secret that is not purged yet, or None."""
        with translated("look at the deleted", self.vault, name):
            try:
                found = self.client.get_deleted_secret(name)
            except ResourceNotFoundError:
                return None
        level = found.properties.recovery_level or ""
        return Deleted(found.properties.tags or {}, found.scheduled_purge_date, "Purgeable" in level)

    def purge(self, name: str) -> None:
        """Destroy a deleted secret. There is no way back. No-op when it is gone."""
        with translated("purge", self.vault, name), contextlib.suppress(ResourceNotFoundError):
            self.client.purge_deleted_secret(name, raw_request_hook=self._asking(True))

    def recover(self, name: str) -> None:
        """Recover a deleted secret with its versions, and wait until it is there."""
        with translated("recover", self.vault, name), contextlib.suppress(ResourceNotFoundError):  # a lost answer's
            self.client.begin_recover_deleted_secret(name, raw_request_hook=self._asking(True))
        self._wait(name, lambda: bool(self.versions(name)))

    def _asking(self, fresh: bool) -> Callable[[object], None]:
        return lambda _request: self.guard(fresh)

    def _wait(self, name: str, done: Callable[[], bool]) -> None:
        """Wait until it is done. The SDK's own wait never ends when somebody undoes it meanwhile."""
        retries = Retries(itertools.repeat(LOOK), seconds=LONGEST_CHANGE + LOOK)
        while not done():
            if not retries.pause():
                raise errors.undone(self.vault, name)


@dataclass(frozen=True)
class Deleted:
    """A deleted secret."""

    # Those of its newest version.
    tags: Mapping[str, str]
    # When Azure purges it by itself.
    until: datetime | None
    # Whether it may be purged sooner: the vault has no purge protection.
    purgeable: bool


def _kept(found: SecretProperties) -> KeyVaultVersion:
    if found.version is None or found.created_on is None:
        raise ValueError("Key Vault gives every version an id and a time")
    return KeyVaultVersion(found.version, bool(found.enabled), found.created_on, found.expires_on, found.tags or {})
