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
class Trail:
    records: pulumi.Input[str]
    policy: str = ""
    """Audit policy to install in the cluster ("" if there is nothing to install)."""
    query: pulumi.Input[str] = ""
    """Query for who read which secret ("" if only `secretops audit` can read the records)."""


@dataclass(frozen=True, kw_only=True)
class SecretStoreArgs:
    broker: BrokerArgs
    secrets: Sequence[Secret] | None = None
    """The stack's secrets; by default those of the Secret Management Guide."""
    stack: str | None = None
    """Stack name within resource names; by default Pulumi's."""
    production: bool = True
    """Whether secrets are protected from deletion, and deleted secrets can be recovered."""
    grace_seconds: int = 3600
    """Seconds that readers may use the previous version before it is retired."""
    replicas: int | None = None
    """Number of servers expected to report their versions; None if unknown."""

    @property
    def stack_name(self) -> str:
        return stack_name(self.stack)

    @property
    def every_secret(self) -> tuple[Secret, ...]:
        return guide_secrets(self.stack_name) if self.secrets is None else tuple(self.secrets)

    def manifest(self, *, store: StoreLocation, broker: Broker) -> Manifest:
        """Return the manifest. `store` is where the secret values are."""
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
    """A store on any platform, with access grants, rotation schedule and trail. Contains no secret values."""

    manifest: Manifest
    """Configuration of secretops. It is public."""
    csr: pulumi.Output[str] | None = None
    """The signing request of an intermediate CA, if an outside CA has to sign it."""

    @property
    def manifest_output(self) -> pulumi.Input[Mapping[str, Any]]:
        """Return the manifest with the ids of deployed resources."""
        return self.manifest.model_dump(mode="json")

    @property
    def read_by_server(self) -> tuple[str, ...]:
        return tuple(secret.name for secret in for_server(self.manifest.secrets))

    @abstractmethod
    def publish(self, *, reader: Principal) -> Reference:
        """Grant `reader` access to the server's secrets, and return how it reads them."""

    @abstractmethod
    def rotate(self) -> str:
        """Set up the hourly rotator. Return the command that enables it; "" if it is enabled already."""

    @abstractmethod
    def record_access(self) -> Trail:
        """Set up the trail. Return where its records are."""
