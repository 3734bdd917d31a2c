"""The arms: which component a stack's store and server are. Imports a platform's folder only when it is asked for."""

from __future__ import annotations

from dataclasses import replace

import pulumi

from .aws.settings import AwsStore, EcsServer
from .azure.settings import AzureStore, ContainerAppServer
from .core.matrix import refusal
from .core.mcp_server import Identity, McpServer
from .core.principals import (
    AwsCaller,
    AwsPods,
    AwsReader,
    AzurePods,
    AzureReader,
    AzureUser,
    ContainerApp,
    EcsTask,
    ServiceAccount,
    SwarmService,
    VaultReader,
)
from .core.references import Fetched, MountedFiles, NativeRef, Reference, SyncedKey
from .core.secret_store import SecretStore
from .dotenv.settings import DotenvStore, LocalServer
from .kubernetes.settings import KubernetesServer, KubernetesStore
from .settings.sections import OutsideBroker
from .settings.settings import Settings
from .swarm.settings import SwarmServer, SwarmStore
from .vault.settings import VaultStore


def open_identity(name: str, settings: Settings, *, opts: pulumi.ResourceOptions | None = None) -> Identity:
    """The identity that the stack's server reads secrets with. It is there before the server: grants come first."""
    match settings.server, settings.store:
        case LocalServer(), DotenvStore():
            return Identity.of_this_account()
        case KubernetesServer() as server, KubernetesStore():
            from .kubernetes.identity import KubernetesIdentity

            return Identity(KubernetesIdentity(name, server=server, stack=settings.stack, opts=opts).principal)
        case SwarmServer() as server, SwarmStore():
            return Identity(_swarm(name, server, settings, opts))
        case _, AwsStore() as store:
            return Identity(_reader_of_aws(name, settings, store, opts))
        case _, AzureStore() as store:
            return Identity(_reader_of_azure(name, settings, store, opts))
        case _, VaultStore() as store:
            return Identity(_reader_of_vault(name, settings, store, opts))
        case _:
            raise _not_built(settings)


def _swarm(name: str, server: SwarmServer, settings: Settings, opts: pulumi.ResourceOptions | None) -> SwarmService:
    """The service that is to be, and the Swarm that it will lie in."""
    from .swarm.identity import SwarmIdentity

    return SwarmIdentity(name, server=server, stack=settings.stack, opts=opts).principal


def _reader_of_aws(name: str, settings: Settings, store: AwsStore, opts: pulumi.ResourceOptions | None) -> AwsReader:
    """Who reads in an account: tasks of ECS, what copies into a cluster, or somebody who is there already."""
    from .aws.identity import AwsIdentity

    match settings.server:
        case LocalServer(reader=str() as arn):
            return AwsCaller(account=AwsIdentity(name, store=store, stack=settings.stack, opts=opts).account, arn=arn)
        case SwarmServer(reader=str() as arn) as server:
            account = AwsIdentity(f"{name}-aws", store=store, stack=settings.stack, opts=opts).account
            return AwsCaller(account=account, arn=arn, swarm=_swarm(name, server, settings, opts))
        case KubernetesServer(oidc_provider=str() as provider) as server:
            from .kubernetes.identity import KubernetesIdentity
            from .kubernetes.names import SYNC, user_of

            cluster = KubernetesIdentity(name, server=server, stack=settings.stack, opts=opts)
            aws = AwsIdentity(f"{name}-aws", store=store, stack=settings.stack, opts=opts)
            role = aws.sync(provider, user_of(server.namespace, SYNC))
            syncs_as = cluster.sync_account({"eks.amazonaws.com/role-arn": role.made})
            return AwsPods(account=aws.account, reads=role, syncs_as=syncs_as, pods=cluster.principal)
        case EcsServer() as server:
            return AwsIdentity(name, store=store, stack=settings.stack, opts=opts).task(server)
        case _:
            raise _not_built(settings)


def _reader_of_azure(
    name: str, settings: Settings, store: AzureStore, opts: pulumi.ResourceOptions | None
) -> AzureReader:
    """Who reads a vault. All of the stack on Azure lies beside it, the rotator too, wherever the server is."""
    from .azure.identity import AzureIdentities

    match settings.server:
        case ContainerAppServer():
            return AzureIdentities(name, store=store, stack=settings.stack, opts=opts).container_app()
        case LocalServer(reader=str() as user):
            azure = AzureIdentities(name, store=store, stack=settings.stack, opts=opts)
            return AzureUser(place=azure.place, environment=azure.environment, object_id=user)
        case KubernetesServer(oidc_issuer=str() as issuer) as server:
            from .kubernetes.identity import KubernetesIdentity
            from .kubernetes.names import SYNC, user_of

            cluster = KubernetesIdentity(name, server=server, stack=settings.stack, opts=opts)
            azure = AzureIdentities(f"{name}-azure", store=store, stack=settings.stack, opts=opts)
            reads = azure.sync(issuer, user_of(server.namespace, SYNC))
            syncs_as = cluster.sync_account(azure.annotations(reads))
            return AzurePods(
                place=azure.place,
                environment=azure.environment,
                reads=reads,
                syncs_as=syncs_as,
                pods=cluster.principal,
            )
        case _:
            raise _not_built(settings)


def _reader_of_vault(
    name: str, settings: Settings, store: VaultStore, opts: pulumi.ResourceOptions | None
) -> VaultReader:
    """Who reads a Vault: the server's pods, what copies into their namespace, or a launcher elsewhere."""
    from .vault.identity import VaultIdentities

    match settings.server:
        case KubernetesServer() as server:
            from .kubernetes.identity import KubernetesIdentity

            cluster = KubernetesIdentity(name, server=server, stack=settings.stack, opts=opts)
            identities = VaultIdentities(f"{name}-vault", store=store, server=server, stack=settings.stack, opts=opts)
            copied = cluster.sync_account({}) if server.reference == "SyncedKey" else None
            return identities.reader(pods=cluster.principal, syncs_as=copied)
        case LocalServer():
            return VaultIdentities(name, store=store, server=settings.server, stack=settings.stack, opts=opts).reader()
        case SwarmServer() as server:
            identities = VaultIdentities(f"{name}-vault", store=store, server=server, stack=settings.stack, opts=opts)
            return replace(identities.reader(), swarm=_swarm(name, server, settings, opts))
        case _:
            raise _not_built(settings)


def open_store(
    name: str, settings: Settings, *, identity: Identity, opts: pulumi.ResourceOptions | None = None
) -> SecretStore:
    """The store component that the stack asks for; one of the server's own platform lies beside the identity."""
    match settings.store, settings.server, settings.broker, identity.principal:
        case DotenvStore() as store, _, _, _:
            from .dotenv.secret_store import DotenvSecretStore

            return DotenvSecretStore(name, store=store, settings=settings, opts=opts)
        case (
            KubernetesStore() as store,
            KubernetesServer() as server,
            OutsideBroker() as broker,
            ServiceAccount() as one,
        ):
            from .kubernetes.secret_store import KubernetesSecretStore

            return KubernetesSecretStore(
                name, store=store, server=server, broker=broker, namespace=one.namespace, settings=settings, opts=opts
            )
        case AwsStore() as store, server, OutsideBroker() as broker, (EcsTask() | AwsPods() | AwsCaller()) as reader:
            from .aws.secret_store import AwsSecretStore

            return AwsSecretStore(
                name, store=store, server=server, broker=broker, reader=reader, settings=settings, opts=opts
            )
        case (
            AzureStore() as store,
            server,
            OutsideBroker() as broker,
            (ContainerApp() | AzurePods() | AzureUser()) as reader,
        ):
            from .azure.secret_store import AzureSecretStore

            image = store.image or ("" if isinstance(server, LocalServer | EcsServer) else server.image)
            return AzureSecretStore(
                name, store=store, image=image, broker=broker, reader=reader, settings=settings, opts=opts
            )
        case VaultStore() as store, _, broker, VaultReader() as reader:
            from .vault.secret_store import VaultSecretStore

            return VaultSecretStore(name, store=store, broker=broker, reader=reader, settings=settings, opts=opts)
        case SwarmStore() as store, SwarmServer() as server, OutsideBroker() as broker, SwarmService() as one:
            from .swarm.secret_store import SwarmSecretStore

            return SwarmSecretStore(
                name, store=store, server=server, broker=broker, place=one.place, settings=settings, opts=opts
            )
        case _:
            raise _not_built(settings)


def open_server(
    name: str,
    settings: Settings,
    *,
    identity: Identity,
    secrets: Reference,
    opts: pulumi.ResourceOptions | None = None,
) -> McpServer:
    """The server component that the stack asks for, wired with references."""
    match settings.server, settings.broker, identity.principal, secrets:
        case LocalServer() as server, _, _, (MountedFiles() | Fetched()) as given:
            from .dotenv.mcp_server import LocalMcpServer

            return LocalMcpServer(name, server=server, settings=settings, secrets=given, opts=opts)
        case (
            KubernetesServer() as server,
            OutsideBroker() as broker,
            (ServiceAccount() as account)
            | AwsPods(pods=account)
            | AzurePods(pods=account)
            | VaultReader(pods=ServiceAccount() as account),
            (MountedFiles() | SyncedKey()) as given,
        ):
            from .kubernetes.mcp_server import KubernetesMcpServer

            return KubernetesMcpServer(
                name, server=server, broker=broker, account=account, settings=settings, secrets=given, opts=opts
            )
        case (
            EcsServer() as server,
            OutsideBroker() as broker,
            EcsTask() as task,
            (NativeRef() | Fetched()) as given,
        ) if isinstance(settings.store, AwsStore):
            from .aws.ecs import EcsMcpServer

            return EcsMcpServer(
                name,
                store=settings.store,
                server=server,
                broker=broker,
                task=task,
                settings=settings,
                secrets=given,
                opts=opts,
            )
        case (
            ContainerAppServer() as server,
            OutsideBroker() as broker,
            ContainerApp() as app,
            Fetched() as given,
        ) if isinstance(settings.store, AzureStore):
            from .azure.container_app import ContainerAppMcpServer

            return ContainerAppMcpServer(
                name,
                store=settings.store,
                server=server,
                broker=broker,
                app=app,
                settings=settings,
                secrets=given,
                opts=opts,
            )
        case (
            SwarmServer() as server,
            OutsideBroker() as broker,
            (SwarmService() as account)
            | AwsCaller(swarm=SwarmService() as account)
            | VaultReader(swarm=SwarmService() as account),
            (MountedFiles() | Fetched()) as given,
        ):
            from .swarm.mcp_server import SwarmMcpServer, given_to

            return SwarmMcpServer(
                name,
                server=server,
                broker=broker,
                account=account,
                settings=settings,
                secrets=given,
                given=given_to(server, account, settings),
                opts=opts,
            )
        case _:
            raise _not_built(settings)


def _not_built(settings: Settings) -> NotImplementedError:
    """Not met by a user: Settings refuses such a pair."""
    return NotImplementedError(refusal(settings.store.kind, settings.server.kind))
