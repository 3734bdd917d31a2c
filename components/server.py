"""The server: where the MCP server runs, and under which identity."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.matrix import refusal
from components.principals import HostUser, Principal
from components.references import Reference
from settings import LocalServer, Settings


class McpServer(pulumi.ComponentResource):
    """What every platform's server component gives."""

    endpoint: str
    """How an MCP client reaches it: a URL, or the path of a client entry."""


@dataclass(frozen=True)
class Identity:
    """Who the server is, before it is there: its grants are made first."""

    principal: Principal


def open_identity(settings: Settings) -> Identity:
    """The identity that the stack's server reads secrets with."""
    match settings.server:
        case LocalServer():
            return Identity(HostUser.this())
        case planned:
            raise NotImplementedError(refusal(settings.store.kind, planned.kind))


def open_server(
    name: str, settings: Settings, *, secrets: Reference, opts: pulumi.ResourceOptions | None = None
) -> McpServer:
    """The server component that the stack asks for, wired with references."""
    match settings.server:
        case LocalServer():
            from components.dotenv.local import LocalMcpServer

            return LocalMcpServer(name, server=settings.server, settings=settings, secrets=secrets, opts=opts)
        case planned:
            raise NotImplementedError(refusal(settings.store.kind, planned.kind))
