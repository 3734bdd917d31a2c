"""What a stand-in has to know of one cloud. The rest, the engine's protocol and an SDK's types, is the same for all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tools.standin.problems import Problem

Inputs = Mapping[str, Any]


class RefusedError(Exception):
    """The stand-in will not do it. Its text is for the user: what, why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource as the engine asks for it. `token` is its type, `name` its logical name."""

    urn: str
    token: str
    name: str
    inputs: Inputs
    before: Inputs = field(default_factory=dict)
    """Of an update: the inputs that it had."""


class Cloud(Protocol):
    """One cloud's rules, names and identities. Everything it makes up can be told from the real thing."""

    package: str
    """Of the Pulumi SDK, e.g. `aws`."""
    version: str
    """Of the SDK whose types are checked."""

    @property
    def disclaimer(self) -> str:
        """What running on this stand-in does not prove, in a sentence without its full stop. Asked once configured."""

    def configure(self, variables: Inputs) -> None:
        """Take the provider's own configuration. Raises RefusedError."""

    def problems(self, token: str, inputs: Inputs) -> Iterator[Problem]:
        """What the cloud refuses beyond the SDK's types."""

    def auto_named(self, token: str) -> str | None:
        """The property that gets a name from the resource's logical one when the program gives none."""

    def replaced_by(self, token: str) -> Collection[str]:
        """The properties whose change makes a new resource. Every other is changed in place."""

    def answered(self, token: str, inputs: Inputs) -> Inputs:
        """Of a resource's outputs, those that follow from its inputs and take their place, known in a preview, too."""

    def create(self, resource: Resource) -> tuple[str, Inputs]:
        """The id and what is computed, outputs beyond the inputs. Raises RefusedError."""

    def update(self, resource: Resource, resource_id: str) -> None:
        """Change what exists outside of the stand-in, if anything does. Raises RefusedError."""

    def delete(self, resource: Resource, resource_id: str) -> None:
        """Delete it there. `resource.inputs` are the outputs it had. Raises RefusedError."""

    def exists(self, token: str, resource_id: str, outputs: Inputs) -> bool:
        """Whether it is still there; True for what lies in Pulumi's state alone."""

    def invoke(self, token: str, arguments: Inputs) -> Inputs:
        """Answer a function of the SDK. Raises RefusedError for one that it does not know."""
