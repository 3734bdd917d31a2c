"""The interface that each platform implements."""

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

# In place of components.settings.settings.Settings, which imports this module.
Settings = Any


class Feature(StrEnum):
    """A feature of stores that the Secret Management Guide requires."""

    ENCRYPTION_AT_REST = "encryption at rest"
    READ_TRAIL = "trail of every read"
    SCHEDULE = "rotation schedule"
    GRANT = "a grant per secret"


class Platform:
    """A platform with a store, a server or both. Its module imports no SDK, which keeps previews fast."""

    store_settings: type[Any] | None = None
    """Pydantic model of section `store`."""
    server_settings: type[Any] | None = None
    issuer_settings: type[Any] | None = None
    references: Mapping[str, tuple[ReferenceKind, ...]] = MappingProxyType({})
    """Kinds of reference by which each kind of server reads this store's secrets, the default first."""
    planned: Mapping[str, str] = MappingProxyType({})
    """Kinds of server in `references` that are not implemented, each with the reason."""
    why_no_other: str = ""
    """Why kinds of server other than those in `references` don't work with the store."""
    gaps: Mapping[Feature, str] = MappingProxyType({})
    """Limitations of the store, each with a workaround."""

    value_remedies: Mapping[str, str] = MappingProxyType({})
    """Pattern of a key's path in the stack file -> remedy if the entry is a secret value that secretops does not
    store."""

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Any]:
        """Yield a Problem for each cross-field rule that a stack with these valid `sections` breaks."""
        yield from ()

    def warnings(self, environment: str, store: Any) -> Iterator[str]:
        """Yield a sentence for each valid setting of the store that is probably a mistake."""
        yield from ()

    def preflight(self, settings: Settings) -> None:
        """Check that this machine has what a deployment needs. Raises pulumi.RunError."""

    def gaps_of(self, settings: Settings) -> dict[str, str]:
        return {feature.value: why for feature, why in self.gaps.items()}

    def first_tick(self, settings: Settings) -> str | None:
        """Return the command that starts the first rotation, or None if it is `secretops tick`."""
        return None

    def values_to_put(self, settings: Settings) -> Iterator[str]:
        """Yield the names of further secrets that an operator must supply before the first rotation."""
        yield from ()

    def last_steps(self, settings: Settings) -> Iterator[str]:
        """Yield the steps of an operator once all secrets have values."""
        yield from ()

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> Workload:
        """Declare the server's identity, before the server exists, so that it can get grants."""
        raise NotImplementedError

    def open_principal(
        self, name: str, settings: Settings, workload: Workload, opts: pulumi.ResourceOptions
    ) -> Principal:
        """Declare or return the identity with which the workload reads the store."""
        raise NotImplementedError

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> SecretStore:
        raise NotImplementedError

    def open_server(
        self, name: str, settings: Settings, workload: Workload, secrets: Reference, opts: pulumi.ResourceOptions
    ) -> McpServer:
        raise NotImplementedError
