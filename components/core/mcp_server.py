"""The server: where the MCP server runs, and under which identity."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from .principals import HostUser, Principal


class McpServer(pulumi.ComponentResource):
    """What every platform's server component gives."""

    endpoint: pulumi.Input[str]
    """How an MCP client reaches it: a URL, or the path of a client entry."""


@dataclass(frozen=True)
class Identity:
    """Who the server is, before it is there: its grants are made first. A store of its own platform lies beside it."""

    principal: Principal

    @classmethod
    def of_this_account(cls) -> Identity:
        """A server that this account's own programs start."""
        return cls(HostUser.this())
