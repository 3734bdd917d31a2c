"""The interface of a platform: settings, rules, and the components of its store and server."""

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

# components.settings.settings.Settings, which imports this module.
Settings = Any


class Feature(StrEnum):
    """The guide's requirements of a store."""

    ENCRYPTION_AT_REST = "encryption at rest"
    READ_TRAIL = "trail of every read"
    SCHEDULE = "rotation schedule"
    GRANT = "a grant per secret"


class Platform:
    """A platform with a store, a server or both. Importing its module imports no SDK, which keeps previews fast."""

    store_settings: type[Any] | None = None
    """The pydantic model of section `store`."""
    server_settings: type[Any] | None = None
    issuer_settings: type[Any] | None = None
    references: Mapping[str, tuple[ReferenceKind, ...]] = MappingProxyType({})
    """Kind of server -> kinds of reference to the secrets of this store, the default first."""
    planned: Mapping[str, str] = MappingProxyType({})
    """Kinds of server of `references` that are not implemented, and the reason."""
    why_no_other: str = ""
    """Why the store works with no other servers."""
    gaps: Mapping[Feature, str] = MappingProxyType({})
    """Limitations of the store, and what helps."""

    value_remedies: Mapping[str, str] = MappingProxyType({})
    """Pattern of a place in the stack file -> where a value there belongs, if it is no secret of the stack."""

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Any]:
        """Yield a Problem for each contradiction between valid sections, for stacks with a store or server of this
        platform. `sections` has those that are valid."""
        yield from ()

    def warnings(self, environment: str, store: Any) -> Iterator[str]:
        """Yield a sentence for each setting of the store that is valid, and probably a mistake."""
        yield from ()

    def preflight(self, settings: Settings) -> None:
        """Check what a deployment needs on this machine. Raises pulumi.RunError."""

    def gaps_of(self, settings: Settings) -> dict[str, str]:
        """Return the limitations of this stack's store, by name."""
        return {feature.value: why for feature, why in self.gaps.items()}

    def first_tick(self, settings: Settings) -> str | None:
        """Return the command that runs the first rotation, or None where `secretops tick` does."""
        return None

    def values_to_put(self, settings: Settings) -> Iterator[str]:
        """Yield further secrets that an operator puts before the first rotation."""
        yield from ()

    def last_steps(self, settings: Settings) -> Iterator[str]:
        """Yield what an operator does once the first values exist."""
        yield from ()

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> Workload:
        """Declare the server's identity, which grants need before the server exists."""
        raise NotImplementedError

    def open_principal(
        self, name: str, settings: Settings, workload: Workload, opts: pulumi.ResourceOptions
    ) -> Principal:
        """Declare the identity that reads the store for that workload."""
        raise NotImplementedError

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> SecretStore:
        raise NotImplementedError

    def open_server(
        self, name: str, settings: Settings, workload: Workload, secrets: Reference, opts: pulumi.ResourceOptions
    ) -> McpServer:
        """Declare the server with references to its secrets."""
        raise NotImplementedError
