"""What a stand-in needs of a cloud."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tools.standin.problems import Problem

Inputs = Mapping[str, Any]


class RefusedError(Exception):
    """A rejected request. The text is for the user: what, why, remedy."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource in a request of the engine. `token` is its type, `name` its logical name."""

    urn: str
    token: str
    name: str
    inputs: Inputs
    before: Inputs = field(default_factory=dict)
    """The former inputs, for an update."""


class Cloud(Protocol):
    """A cloud's rules, names and identities. What it makes up is recognizable."""

    package: str
    """Of the Pulumi SDK, e.g. `aws`."""
    version: str
    """Version of the SDK."""

    @property
    def disclaimer(self) -> str:
        """After configuration, return what this stand-in does not prove: a sentence without full stop."""

    def configure(self, variables: Inputs) -> None:
        """Set the provider's configuration. Raises RefusedError."""

    def problems(self, token: str, inputs: Inputs) -> Iterator[Problem]:
        """Yield the cloud's problems beyond the SDK's types."""

    def auto_named(self, token: str) -> str | None:
        """Return the property that gets an automatic name, or None."""

    def replaced_by(self, token: str) -> Collection[str]:
        """Return the properties whose change replaces a resource."""

    def answered(self, token: str, inputs: Inputs) -> Inputs:
        """Return the outputs that follow from inputs and replace them, also in a preview."""

    def create(self, resource: Resource) -> tuple[str, Inputs]:
        """Return the id and the outputs beyond the inputs. Raises RefusedError."""

    def update(self, resource: Resource, resource_id: str) -> None:
        """Change a resource in a local server, if any. Raises RefusedError."""

    def delete(self, resource: Resource, resource_id: str) -> None:
        """Delete a resource. `resource.inputs` are its outputs. Raises RefusedError."""

    def exists(self, token: str, resource_id: str, outputs: Inputs) -> bool:
        """Return True for a resource in Pulumi's state alone."""

    def invoke(self, token: str, arguments: Inputs) -> Inputs:
        """Answer a function of the SDK. Raises RefusedError for an unknown one."""
