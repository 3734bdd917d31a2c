"""The store: where a stack's values live. Owns containers, grants, schedule and trail, and never a value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from secretops.manifest import Broker, Manifest, Secret, StoreLocation

from .broker import BrokerArgs
from .component import Component
from .naming import PROJECT, stack_name
from .principals import Principal
from .references import Reference
from .secrets import for_server, guide_secrets


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When `secretops tick` runs, and the command that turns it on ("" where it already is)."""

    every: str
    turn_on: str


@dataclass(frozen=True, kw_only=True)
class Trail:
    """Where the records are."""

    records: pulumi.Input[str]
    policy: str = ""
    """What whoever keeps the records has to be given for it ("" where the stack itself sets it up)."""
    query: pulumi.Input[str] = ""
    """What finds in the records who read what ("" where `secretops audit` alone reads them)."""


@dataclass(frozen=True, kw_only=True)
class SecretStoreArgs:
    """Arguments of the stores of all platforms."""

    broker: BrokerArgs
    """The MQTT broker whose users secretops rotates."""
    secrets: Sequence[Secret] | None = None
    """The secrets of the stack; by default those of the Secret Management Guide."""
    stack: str | None = None
    """What the names of resources contain; by default the name of the Pulumi stack."""
    production: bool = True
    """Whether secrets are protected from deletion and can be recovered after it."""
    grace_seconds: int = 3600
    """How long readers have to follow a new version before the previous one is retired."""
    replicas: int | None = None
    """How many servers report the versions they use; None if nobody knows."""

    @property
    def stack_name(self) -> str:
        """Return what the names of resources contain."""
        return stack_name(self.stack)

    @property
    def every_secret(self) -> tuple[Secret, ...]:
        """Return the secrets of the stack."""
        return guide_secrets(self.stack_name) if self.secrets is None else tuple(self.secrets)

    def manifest(self, *, store: StoreLocation, broker: Broker) -> Manifest:
        """Return what secretops needs to know of a stack whose values are at `store`."""
        return Manifest(
            project=PROJECT,
            stack=self.stack_name,
            store=store,
            broker=broker,
            secrets=self.every_secret,
            grace_seconds=self.grace_seconds,
            replicas=self.replicas,
        )


class SecretStore(Component, ABC):
    """What every platform's store component provides: locators alone."""

    manifest: Manifest
    """What secretops needs to know. Public."""

    @property
    def manifest_output(self) -> pulumi.Input[Mapping[str, Any]]:
        """Return the manifest as the stack's output, with what only the platform knows once it exists."""
        return self.manifest.model_dump(mode="json")

    @property
    def read_by_server(self) -> tuple[str, ...]:
        """The names of the secrets that a reference gives the server."""
        return tuple(secret.name for secret in for_server(self.manifest.secrets))

    @abstractmethod
    def publish(self, *, reader: Principal) -> Reference:
        """Grant `reader` the secrets it may read, and say how it reaches them."""

    @abstractmethod
    def rotate(self) -> Schedule:
        """Set up the rotator."""

    @abstractmethod
    def record_access(self) -> Trail:
        """Set up the trail."""
