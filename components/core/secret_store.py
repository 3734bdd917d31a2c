"""The store: where a stack's values live. Owns containers, grants, schedule and trail, and never a value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from secretops.manifest import Manifest, Reader

from .principals import Principal
from .references import Reference


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When `secretops tick` runs, and the command that turns it on ("" where it already is)."""

    every: str
    turn_on: str


@dataclass(frozen=True, kw_only=True)
class Trail:
    """Where the records are."""

    records: str
    policy: str = ""
    """What whoever keeps the records has to be given for it ("" where the stack itself sets it up)."""
    query: str = ""
    """What finds in the records who read what ("" where `secretops audit` alone reads them)."""


class SecretStore(pulumi.ComponentResource, ABC):
    """What every platform's store component gives. All of it is locators."""

    manifest: Manifest
    """What secretops is told."""

    @property
    def told(self) -> pulumi.Input[Mapping[str, Any]]:
        """The manifest as the stack's output; what only the platform knows filled in, once it is there."""
        return self.manifest.model_dump(mode="json")

    @property
    def read_by_server(self) -> tuple[str, ...]:
        """The names of the secrets that a reference gives the server."""
        return tuple(secret.name for secret in self.manifest.secrets if Reader.SERVER in secret.readers)

    @abstractmethod
    def publish(self, *, reader: Principal) -> Reference:
        """Grant `reader` the secrets it may read, and say how it reaches them."""

    @abstractmethod
    def rotate(self) -> Schedule:
        """Set up the rotator."""

    @abstractmethod
    def record_access(self) -> Trail:
        """Set up the trail."""
