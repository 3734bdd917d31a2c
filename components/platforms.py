"""The arms: which component a stack's store and server are. Imports a platform's folder only when it is asked for."""

from __future__ import annotations

import pulumi

from components.matrix import refusal
from components.principals import ServiceAccount
from components.references import Reference
from components.sections import DotenvStore, KubernetesServer, KubernetesStore, LocalServer, OutsideBroker
from components.server import Identity, McpServer
from components.store import SecretStore
from settings import Settings


def open_identity(name: str, settings: Settings) -> Identity:
    """The identity that the stack's server reads secrets with. It is there before the server: grants come first."""
    match settings.server:
        case LocalServer():
            return Identity.of_this_account()
        case KubernetesServer() as server:
            from components.kubernetes.identity import KubernetesIdentity, check_kubeconfig

            check_kubeconfig(server.context)
            return Identity(KubernetesIdentity(name, server=server, stack=settings.stack).principal)
        case _:
            raise _planned(settings)


def open_store(name: str, settings: Settings, *, identity: Identity) -> SecretStore:
    """The store component that the stack asks for; one of the server's own platform lies beside the identity."""
    match settings.store, settings.server, settings.broker, identity.principal:
        case DotenvStore() as store, _, _, _:
            from components.dotenv.store import DotenvSecretStore

            return DotenvSecretStore(name, store=store, settings=settings)
        case (
            KubernetesStore() as store,
            KubernetesServer() as server,
            OutsideBroker() as broker,
            ServiceAccount() as one,
        ):
            from components.kubernetes.store import KubernetesSecretStore

            return KubernetesSecretStore(
                name, store=store, server=server, broker=broker, namespace=one.namespace, settings=settings
            )
        case _:
            raise _planned(settings)


def open_server(
    name: str,
    settings: Settings,
    *,
    identity: Identity,
    secrets: Reference,
    opts: pulumi.ResourceOptions | None = None,
) -> McpServer:
    """The server component that the stack asks for, wired with references."""
    match settings.server, settings.broker, identity.principal:
        case LocalServer() as server, _, _:
            from components.dotenv.local import LocalMcpServer

            return LocalMcpServer(name, server=server, settings=settings, secrets=secrets, opts=opts)
        case KubernetesServer() as server, OutsideBroker() as broker, ServiceAccount() as account:
            from components.kubernetes.server import KubernetesMcpServer

            return KubernetesMcpServer(
                name, server=server, broker=broker, account=account, settings=settings, secrets=secrets, opts=opts
            )
        case _:
            raise _planned(settings)


def _planned(settings: Settings) -> NotImplementedError:
    """Not met by a user: Settings refuses what is planned."""
    return NotImplementedError(refusal(settings.store.kind, settings.server.kind))
