"""The arms: which component a stack's store and server are. Imports a platform's folder only when it is asked for."""

from __future__ import annotations

import pulumi

from components.matrix import refusal
from components.references import Reference
from components.sections import DotenvStore, LocalServer
from components.server import Identity, McpServer
from components.store import SecretStore
from settings import Settings


def open_identity(settings: Settings) -> Identity:
    """The identity that the stack's server reads secrets with. It is there before the server: grants come first."""
    match settings.server:
        case LocalServer():
            return Identity.of_this_account()
        case _:
            raise _planned(settings)


def open_store(name: str, settings: Settings) -> SecretStore:
    """The store component that the stack asks for."""
    match settings.store:
        case DotenvStore():
            from components.dotenv.store import DotenvSecretStore

            return DotenvSecretStore(name, store=settings.store, settings=settings)
        case _:
            raise _planned(settings)


def open_server(
    name: str, settings: Settings, *, secrets: Reference, opts: pulumi.ResourceOptions | None = None
) -> McpServer:
    """The server component that the stack asks for, wired with references."""
    match settings.server:
        case LocalServer():
            from components.dotenv.local import LocalMcpServer

            return LocalMcpServer(name, server=settings.server, settings=settings, secrets=secrets, opts=opts)
        case _:
            raise _planned(settings)


def _planned(settings: Settings) -> NotImplementedError:
    """Not met by a user: Settings refuses what is planned."""
    return NotImplementedError(refusal(settings.store.kind, settings.server.kind))
