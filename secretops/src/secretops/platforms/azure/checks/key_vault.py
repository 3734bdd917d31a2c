"""A Key Vault, the blob of its lease and the workspace of its log, as doctor asks them.

A value is read only to tell which of two versions of one second readers find (`State.of`), and is looked at by nobody.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineResponse

from secretops.errors import SecretopsError
from secretops.platforms.azure.api import Api, Deleted
from secretops.platforms.azure.errors import ForbiddenError, vault_name
from secretops.platforms.azure.lease import LeaseBlob, Timing
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.log_workspace import Workspace
from secretops.platforms.azure.tags import State
from secretops.platforms.azure.trail import LogAnalytics
from secretops.trails.protocol import Access


class Vault:
    """The vault of a stack. Connects with the first question; raises SecretopsError."""

    def __init__(self, location: AzureStoreLocation, *, timing: Timing | None = None) -> None:
        self.location, self.timing = location, timing or Timing()
        self.api, self.lease = Api.of(location), LeaseBlob.of(location)

    @functools.cached_property
    def _answer(self) -> SecretopsError | None:
        """What asking it comes to, once for all checks: None when it answers, if only that we may not ask that."""
        try:
            self.api.versions(next(iter(self.location.secrets.values()), "none"))
        except ForbiddenError:
            return None
        except SecretopsError as error:
            return error
        return None

    def reach(self) -> None:
        """Raise SecretopsError while it does not answer us, or does not know us."""
        if self._answer:
            raise self._answer

    @functools.cached_property
    def said_at(self) -> datetime | None:
        """The vault's own time, by the date of an answer; None where it has none."""

        def note(response: PipelineResponse[Any, Any]) -> None:
            if date := response.http_response.headers.get("Date"):
                dates.append(parsedate_to_datetime(date))

        dates: list[datetime] = []
        name = next(iter(self.location.secrets.values()), "none")
        with contextlib.suppress(HttpResponseError):
            list(self.api.client.list_properties_of_secret_versions(name, raw_response_hook=note))
        return dates[-1] if dates else None

    @property
    def short_name(self) -> str:
        """As `az --vault-name` takes it."""
        return vault_name(self.location.vault)

    @property
    def names(self) -> tuple[str, ...]:
        """Of every secret of the stack in the vault, those of what is pending too."""
        return (*self.location.secrets.values(), *self.location.pending.values())

    @functools.cached_property
    def states(self) -> dict[str, State]:
        """How each secret of the stack stands, by its tags."""
        self.reach()
        place = self.location
        return {secret: State.of(self.api, name, place.pending[secret]) for secret, name in place.secrets.items()}

    def forbidden(self) -> Iterator[SecretopsError]:
        """What we may not look at, that an operator may."""
        self.reach()
        for name in self.names:
            try:
                self.api.versions(name)
            except ForbiddenError as error:
                yield error
        try:
            self.lease.look()
        except ForbiddenError as error:
            yield error

    def deleted(self) -> dict[str, Deleted]:
        """The names of the stack that a deleted secret holds."""
        self.reach()
        return {name: found for name in self.names if (found := self.api.deleted(name))}

    def strangers(self) -> list[str]:
        """The secrets of the vault that are none of the stack's and have a version that can be read."""
        self.reach()
        others = sorted({*self.api.names()} - {*self.names})
        return [name for name in others if any(kept.enabled for kept in self.api.versions(name))]

    def accesses(self, since: timedelta) -> Iterator[Access]:
        """What the workspace has of the stack's secrets."""
        trail = LogAnalytics(self.location)
        for line in Workspace(self.location).lines(datetime.now(UTC) - since):
            yield from trail.read(line)

    def newest_record(self, since: timedelta) -> datetime | None:
        """When the workspace's newest row about the vault is of, whatever was asked; None where it has none."""
        return Workspace(self.location).newest(datetime.now(UTC) - since)
