"""A Key Vault, the blob of its lease and the workspace of its log, as doctor asks them.

A value is read only to find which of two versions of one second readers get (`TagState.of`), and is shown to nobody.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineResponse

from secretops.errors import SecretopsError
from secretops.platforms.azure.api import Deleted, KeyVaultApi
from secretops.platforms.azure.errors import ForbiddenError, vault_name
from secretops.platforms.azure.lease import LeaseBlob, Timing
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.log_workspace import Workspace
from secretops.platforms.azure.tags import TagState
from secretops.platforms.azure.trail import LogAnalytics
from secretops.trails import Access


class Vault:
    """The vault of a stack. Connects with the first question; raises SecretopsError."""

    def __init__(self, location: AzureStoreLocation, *, timing: Timing | None = None) -> None:
        self.location, self.timing = location, timing or Timing()
        self.api, self.lease = KeyVaultApi.of(location), LeaseBlob.of(location)
        # As `az --vault-name` takes it.
        self.short_name = vault_name(location.vault)
        self.names = (*location.secrets.values(), *location.pending.values())
        self._first = next(iter(location.secrets.values()), "none")

    @functools.cached_property
    def _failure(self) -> SecretopsError | None:
        """Asked once for all checks. A vault that forbids the question has answered."""
        try:
            self.api.versions(self._first)
        except ForbiddenError:
            return None
        except SecretopsError as error:
            return error
        return None

    def reach(self) -> None:
        """Raise SecretopsError if it does not answer, or does not know the caller."""
        if self._failure:
            raise self._failure

    @functools.cached_property
    def ahead(self) -> timedelta | None:
        """How far this machine's clock is ahead of the vault's; None if its answer has no date."""

        def note(response: PipelineResponse[Any, Any]) -> None:
            if date := response.http_response.headers.get("Date"):
                dates.append(parsedate_to_datetime(date))

        self.reach()
        dates: list[datetime] = []
        with contextlib.suppress(HttpResponseError):
            list(self.api.client.list_properties_of_secret_versions(self._first, raw_response_hook=note))
        return datetime.now(UTC) - dates[-1] if dates else None

    @functools.cached_property
    def states(self) -> dict[str, TagState]:
        """The versions of each secret, by its tags."""
        self.reach()
        pending = self.location.pending
        return {secret: TagState.of(self.api, name, pending[secret]) for secret, name in self.location.secrets.items()}

    def forbidden(self) -> Iterator[SecretopsError]:
        """What the caller may not read, and an operator may."""
        self.reach()
        asks: list[Callable[[], object]] = [functools.partial(self.api.versions, name) for name in self.names]
        for ask in [*asks, self.lease.look]:
            try:
                ask()
            except ForbiddenError as error:
                yield error

    def deleted(self) -> dict[str, Deleted]:
        """The names of the stack that a deleted secret holds."""
        self.reach()
        return {name: found for name in self.names if (found := self.api.deleted(name))}

    def strangers(self) -> list[str]:
        """The secrets of the vault that are not the stack's, and have a readable version."""
        self.reach()
        others = sorted({*self.api.names()} - {*self.names})
        return [name for name in others if any(kept.enabled for kept in self.api.versions(name))]

    def accesses(self, since: timedelta) -> Iterator[Access]:
        """What the workspace has of the stack's secrets."""
        trail = LogAnalytics(self.location)
        for line in Workspace(self.location).lines(datetime.now(UTC) - since):
            yield from trail.read(line)

    def newest_record(self, since: timedelta) -> datetime | None:
        return Workspace(self.location).newest(datetime.now(UTC) - since)
