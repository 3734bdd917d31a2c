"""The interface between a stand-in and a cloud's rules."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tools.standin.problems import Problem

Inputs = Mapping[str, Any]


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def digits(text: str, count: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:count]


def filler(hint: Any, text: str = "standin") -> Any:
    fillers: Mapping[Any, Any] = {str: text, int: 0, float: 0, bool: False}
    if hint in fillers:
        return fillers[hint]
    return [] if getattr(hint, "__origin__", None) is not None and "Sequence" in str(hint) else {}


class RefusedError(Exception):
    """A rejected request. The text is for the user: what, why and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource in a request of the engine. `token` is its type, `name` its logical name."""

    urn: str
    token: str
    name: str
    inputs: Inputs
    # The former inputs of a resource that is updated.
    before: Inputs = field(default_factory=dict)


class Cloud(Protocol):
    """A cloud's rules, names and identities. Made-up identities are recognizable."""

    # Package of the Pulumi SDK, e.g. `aws`.
    package: str
    # Version of the SDK.
    version: str

    @property
    def disclaimer(self) -> str:
        """Return a sentence, without its full stop, about what this stand-in does not prove. Call it after
        `configure`."""

    def configure(self, variables: Inputs) -> None:
        """Set the provider's configuration. Raises RefusedError if a required key is missing, or if there are
        credentials."""

    def problems(self, token: str, inputs: Inputs) -> Iterator[Problem]:
        """Yield problems of inputs that the SDK's types allow."""

    def auto_named(self, token: str) -> str | None:
        """Return the property that gets an automatic name, or None."""

    def replaced_by(self, token: str) -> Collection[str]:
        """Return the properties whose change replaces a resource."""

    def answered(self, token: str, inputs: Inputs) -> Inputs:
        """Return outputs that differ from the inputs of the same name. Previews call it, too."""

    def create(self, resource: Resource) -> tuple[str, Inputs]:
        """Create a resource. Return its id, and the outputs that are not inputs. Raises RefusedError."""

    def update(self, resource: Resource, resource_id: str) -> None:
        """Change a resource in a local server, if any. Raises RefusedError."""

    def delete(self, resource: Resource, resource_id: str) -> None:
        """Delete a resource, whose outputs are in `resource.inputs`. Raises RefusedError."""

    def exists(self, token: str, resource_id: str, outputs: Inputs) -> bool:
        """Return whether a resource exists. A resource that is only in Pulumi's state counts as existing."""

    def invoke(self, token: str, arguments: Inputs) -> Inputs:
        """Return the answer of an SDK's function. Raises RefusedError for an unknown one."""
