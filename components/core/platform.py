"""What a platform gives a stack: settings and their rules, and the components of its store and server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pulumi

from .mcp_server import McpServer
from .principals import Principal, Workload
from .references import Reference, ReferenceKind
from .secret_store import SecretStore

Settings = Any
"""components.settings.settings.Settings, which finds platforms by the registry: nothing here imports it."""


class Feature(StrEnum):
    """What the guide asks of a store."""

    ENCRYPTION_AT_REST = "encryption at rest"
    READ_TRAIL = "trail of every read"
    SCHEDULE = "rotation schedule"
    GRANT = "a grant per secret"


class Platform:
    """One platform, with a store, a server or both. A subclass defines what differs from these defaults.

    Importing a platform's module imports no SDK: a preview imports those of its own stack alone.
    """

    store_settings: type[Any] | None = None
    """The pydantic model of section `store`."""
    server_settings: type[Any] | None = None
    issuer_settings: type[Any] | None = None
    references: Mapping[str, tuple[ReferenceKind, ...]] = MappingProxyType({})
    """Server kind -> the references by which it reaches the secrets of this store, the default first."""
    planned: Mapping[str, str] = MappingProxyType({})
    """Server kinds of `references` that are not built, and the reason."""
    why_no_other: str = ""
    """Why the store works with no other servers."""
    gaps: Mapping[Feature, str] = MappingProxyType({})
    """What the store does not do by itself, and what helps."""

    value_remedies: Mapping[str, str] = MappingProxyType({})
    """Pattern of a place in the stack file -> where a value at it goes that is no secret of the stack."""

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Any]:
        """Yield a Problem for each contradiction between sections that are valid by themselves.

        Called if a section `store` or `server` is of this platform; `sections` has those that could be read.
        """
        yield from ()

    def warnings(self, environment: str, store: Any) -> Iterator[str]:
        """Yield a sentence for each setting of the store that is probably a mistake, but may be intended."""
        yield from ()

    def preflight(self, settings: Settings) -> None:
        """Check what a deployment needs of this machine. Raises pulumi.RunError before any resource is declared."""

    def gaps_of(self, settings: Settings) -> dict[str, str]:
        """Return what this stack's store does not do by itself, by name."""
        return {feature.value: why for feature, why in self.gaps.items()}

    def first_tick(self, settings: Settings) -> str | None:
        """Return the command that runs the first rotation, or None where `secretops tick` does."""
        return None

    def values_to_put(self, settings: Settings) -> Iterator[str]:
        """Yield further secrets that an operator puts before the first rotation."""
        yield from ()

    def last_steps(self, settings: Settings) -> Iterator[str]:
        """Yield what an operator does once the first values are there."""
        yield from ()

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> Workload:
        """Declare who the server is, before it exists: grants come first."""
        raise NotImplementedError

    def open_principal(
        self, name: str, settings: Settings, workload: Workload, opts: pulumi.ResourceOptions
    ) -> Principal:
        """Declare who reads the store for that workload."""
        raise NotImplementedError

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> SecretStore:
        """Declare the store."""
        raise NotImplementedError

    def open_server(
        self, name: str, settings: Settings, workload: Workload, secrets: Reference, opts: pulumi.ResourceOptions
    ) -> McpServer:
        """Declare the server, wired with references."""
        raise NotImplementedError
