"""Key Vault, asked one thing at a time: the versions of a secret, a value, a new version, a version's tags."""

from __future__ import annotations

import contextlib
import functools
import http
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import CustomHookPolicy, RetryPolicy
from azure.keyvault.secrets import SecretClient, SecretProperties

from secretops.platforms.azure import errors
from secretops.platforms.azure.errors import telling
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.login import Login

RETRIES = 5
"""How often a request that Azure throttles or does not answer is sent again: at once, and after pauses of 1.6, 3.2, 6.4
and 12.8 s. That of a new version too: one that was made twice is one of ours, twice."""

LONGEST_PAUSE = 16.0
"""Seconds between two of them, whatever Retry-After asks for: the next tick is within the hour."""

CONNECT_SECONDS, ANSWER_SECONDS = 3, 6
"""Both together less than what is left of the lease when a write is let through (`Timing.duration` - `Timing.trusted`):
an attempt that Azure does not answer is given up before anybody can have followed us."""

LONGEST_CHANGE = 60.0
"""Seconds that a deletion or a recovery is waited for, which Azure answers before it is done: it takes a few."""

LOOK = 2.0
"""Seconds between two looks whether it is, as the SDK has it."""

METHODS = frozenset({"HEAD", "GET", "PUT", "PATCH", "POST", "DELETE"})
"""Asked again. The SDK leaves out PATCH and POST, which may do something else the second time. Here neither does: tags
are given as a whole, and what is recovered is there."""

JSON = "application/json"


class Patience(RetryPolicy[Any, Any]):
    """The SDK's own way to ask again, for all `METHODS`, which waits no longer than `LONGEST_PAUSE` at a time."""

    def get_retry_after(self, response: Any) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_PAUSE)

    def configure_retries(self, options: dict[str, Any]) -> dict[str, Any]:
        options.setdefault("retry_on_methods", METHODS)
        return super().configure_retries(options)


class EachAttempt(CustomHookPolicy[Any, Any]):
    """Asks a call's `raw_request_hook` before each of its attempts, when its token is there.

    The SDK's own asks it before the first one alone, which may be the one that only learns where tokens come from.
    """

    def on_request(self, request: PipelineRequest[Any]) -> None:
        if hook := request.context.get("raw_request_hook"):
            request.context.options["raw_request_hook"] = hook
        super().on_request(request)


def patience() -> Patience:
    """As often, and as long, as all of our clients ask again."""
    return Patience(
        retry_total=RETRIES,
        retry_connect=RETRIES,
        retry_read=RETRIES,
        retry_status=RETRIES,
        retry_backoff_max=LONGEST_PAUSE,
    )


def policies() -> dict[str, Any]:
    """What a client of a vault has to be made with: how it asks again, and that each attempt may be held back."""
    return {"retry_policy": patience(), "custom_hook_policy": EachAttempt()}


def connect(vault: str, tenant: str = "") -> SecretClient:
    """A client of the vault at URL `vault`. Sends nothing yet. Raises UsageError, StoreError."""
    with telling("ask", vault, "the vault"):
        return SecretClient(
            vault,
            Login(tenant),
            connection_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
            **policies(),
        )


@dataclass(frozen=True)
class Kept:
    """One version of a secret, told by everything but its value."""

    id: str
    """Key Vault's own: not the id of the version of ours that it holds."""
    enabled: bool
    created: datetime
    """To the second, as Key Vault has it."""
    expires: datetime | None
    tags: Mapping[str, str]


@dataclass(frozen=True, repr=False)
class Found(Kept):
    """The same, and its value. Holds a value, so it prints none."""

    text: str


class Api:
    """Secrets of one vault by their names. Connects with the first question.

    `guard` is asked before each attempt of each write, and raises when we may not write any more; it is told whether
    the write can't be undone. The client is made with `policies`.
    """

    def __init__(self, vault: str, open_client: Callable[[str], SecretClient] = connect) -> None:
        self.vault, self._open = vault, open_client
        self.guard: Callable[[bool], None] = lambda _surely: None

    @classmethod
    def of(cls, location: AzureStoreLocation) -> Api:
        """Those of the stack's vault, as a login of its tenant."""
        return cls(location.vault, functools.partial(connect, tenant=location.tenant))

    @functools.cached_property
    def client(self) -> SecretClient:
        """The connection, made with the first question. Raises UsageError."""
        return self._open(self.vault)

    def versions(self, name: str) -> tuple[Kept, ...]:
        """Every version of secret `name`, in no order, without reading a value; none where there is no such secret."""
        with telling("list the versions of", self.vault, name):
            try:
                return tuple(_kept(one) for one in self.client.list_properties_of_secret_versions(name))
            except ResourceNotFoundError:
                return ()

    def names(self) -> dict[str, Mapping[str, str]]:
        """Every secret of the vault, with the tags of its newest version. Takes a right on the whole vault."""
        with telling("list the secrets of", self.vault, "the vault"):
            found = self.client.list_properties_of_secrets()
            return {one.name: one.tags or {} for one in found if one.name}

    def value(self, name: str, version: str | None = None) -> Found | None:
        """One version with its value, or the one that readers find; None where nothing is given: not there, disabled.

        Raises ForbiddenError when it is us who are given nothing.
        """
        with telling("read", self.vault, name):
            try:
                found = self.client.get_secret(name, version)
            except ResourceNotFoundError:
                return None
            except HttpResponseError as error:
                if error.status_code == http.HTTPStatus.FORBIDDEN and errors.DISABLED in errors.codes(error):
                    return None
                raise
        return Found(**vars(_kept(found.properties)), text=found.value or "")

    def set(
        self, name: str, text: str, tags: Mapping[str, str], expires: datetime | None, *, surely: bool = False
    ) -> None:
        """Make a version, which readers find from then on. Raises DeletedError where a deleted secret has the name.

        `surely`: somebody reads what has this name, so that it can't be undone.
        """
        with telling("write", self.vault, name):
            self.client.set_secret(
                name,
                text,
                content_type=JSON,
                tags=dict(tags),
                expires_on=expires,
                raw_request_hook=self._asking(surely),
            )

    def note(self, name: str, version: str, tags: Mapping[str, str], *, enabled: bool | None = None) -> None:
        """Give a version these tags and no others, and disable it with them, in one request. No-op when it is gone."""
        with telling("change", self.vault, name), contextlib.suppress(ResourceNotFoundError):
            self.client.update_secret_properties(
                name, version, tags=dict(tags), enabled=enabled, raw_request_hook=self._asking(False)
            )

    def delete(self, name: str) -> None:
        """Delete a secret with all of its versions, and wait until it is. They can be recovered.

        Who may not look at what is deleted does not wait.
        """

        def done() -> bool:
            try:
                return self.deleted(name) is not None
            except errors.ForbiddenError:
                return True

        with telling("delete", self.vault, name), contextlib.suppress(ResourceNotFoundError):  # a lost answer's
            self.client.begin_delete_secret(name, raw_request_hook=self._asking(True))
        self._wait(name, done)

    def deleted(self, name: str) -> Deleted | None:
        """What is known of a deleted secret that is not purged yet; None where there is none."""
        with telling("look at the deleted", self.vault, name):
            try:
                found = self.client.get_deleted_secret(name)
            except ResourceNotFoundError:
                return None
        level = found.properties.recovery_level or ""
        return Deleted(found.properties.tags or {}, found.scheduled_purge_date, "Purgeable" in level)

    def purge(self, name: str) -> None:
        """Destroy a deleted secret. There is no way back. No-op when it is gone."""
        with telling("purge", self.vault, name), contextlib.suppress(ResourceNotFoundError):
            self.client.purge_deleted_secret(name, raw_request_hook=self._asking(True))

    def recover(self, name: str) -> None:
        """Bring a deleted secret back with all of its versions, and wait until it is there."""
        with telling("recover", self.vault, name), contextlib.suppress(ResourceNotFoundError):  # a lost answer's
            self.client.begin_recover_deleted_secret(name, raw_request_hook=self._asking(True))
        self._wait(name, lambda: bool(self.versions(name)))

    def _asking(self, surely: bool) -> Callable[[object], None]:
        """What a call takes that is only sent while we may."""
        return lambda _request: self.guard(surely)

    def _wait(self, name: str, done: Callable[[], bool]) -> None:
        """Until it is done, or somebody else has seen to it that it never is. The SDK's own wait has no end then."""
        end = time.monotonic() + LONGEST_CHANGE
        while not done():
            if time.monotonic() > end:
                raise errors.undone(self.vault, name)
            time.sleep(LOOK)


@dataclass(frozen=True)
class Deleted:
    """A deleted secret."""

    tags: Mapping[str, str]
    """Of its newest version."""
    until: datetime | None
    """When Azure purges it by itself."""
    purgeable: bool
    """Whether it may be purged sooner: the vault has no purge protection."""


def _kept(found: SecretProperties) -> Kept:
    if found.version is None or found.created_on is None:
        raise ValueError("Key Vault gives every version an id and a time")
    return Kept(found.version, bool(found.enabled), found.created_on, found.expires_on, found.tags or {})
