"""AWS: Secrets Manager as a store, and the server on ECS Fargate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from ..core.platform import Feature, Platform
from ..core.principals import HostUser, Pods, Principal, Workload
from ..core.references import Fetched, NativeRef, Reference, ReferenceKind
from ..settings.problems import Problem
from ..settings.sections import OwnedAgent
from ..settings.settings import Settings
from .principals import AwsCaller, AwsPods, AwsReader, EcsTask
from .settings import AwsPrivateCa, AwsStore, EcsServer

if TYPE_CHECKING:
    from .ecs import EcsMcpServer
    from .secret_store import AwsSecretStore

NATIVE, FETCHED = ReferenceKind.NATIVE_REF, ReferenceKind.FETCHED


class Aws(Platform):
    """The platform `aws`, with the server `ecs`."""

    store_settings = AwsStore
    server_settings = EcsServer
    issuer_settings = AwsPrivateCa
    references = {
        "local": (FETCHED,),
        "swarm": (FETCHED,),
        "kubernetes": (ReferenceKind.SYNCED_KEY,),
        "ecs": (NATIVE, FETCHED),
    }
    why_no_other = "the server there has no AWS identity to read with"
    gaps = {
        Feature.READ_TRAIL: "CloudTrail has each read, minutes later; in a task or cluster they can be read unseen",
    }

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
        from .cross_field_rules import cross_field_rules

        yield from cross_field_rules(stack, sections)

    def warnings(self, environment: str, store: AwsStore) -> Iterator[str]:
        from .cross_field_rules import warnings

        if environment == "production" and not store.alert_emails and not store.alert_topic:
            yield "store.alert_emails: none; nobody receives the alarms of this production stack. Add an address"
        yield from warnings(store)

    def preflight(self, settings: Settings) -> None:
        """Check that the functions' package is there and current."""
        if isinstance(settings.store, AwsStore):
            from .function_package import check_package

            check_package()

    def first_tick(self, settings: Settings) -> str | None:
        """Return the command that invokes the function of the tick."""
        if not isinstance(store := settings.store, AwsStore):
            return None
        from .names import names_of

        return (
            f"aws lambda invoke --cli-read-timeout 0 --region {store.region} "  # it may take minutes
            f"--function-name {names_of(store, settings.stack).plain('tick')} /dev/stdout (or wait for the full hour)"
        )

    def values_to_put(self, settings: Settings) -> Iterator[str]:
        server = settings.server
        injected = isinstance(server, EcsServer) and server.copilot and server.reference == "NativeRef"
        if injected and not isinstance(settings.agent, OwnedAgent):
            yield "agent-key (a task starts once each of its secrets has a value)"

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> EcsTask:
        from .identity import AwsIdentity

        assert isinstance(settings.store, AwsStore)
        assert isinstance(settings.server, EcsServer)
        return AwsIdentity(name, store=settings.store, stack=settings.stack, opts=opts).task(settings.server)

    def open_principal(
        self, name: str, settings: Settings, workload: Workload, opts: pulumi.ResourceOptions
    ) -> AwsReader:
        """Return who reads: the task, what copies into a cluster, or a caller that exists already."""
        from .identity import AwsIdentity

        assert isinstance(store := settings.store, AwsStore)

        def identity(named: str) -> AwsIdentity:
            return AwsIdentity(named, store=store, stack=settings.stack, opts=opts)

        match workload:
            case EcsTask():
                return workload
            case Workload(reader=str() as arn):
                named = name if isinstance(workload, HostUser) else f"{name}-aws"
                return AwsCaller(account=identity(named).account, arn=arn)
            case Pods(oidc_provider=provider) if provider is not None:
                aws = identity(f"{name}-aws")
                role = aws.sync(provider, workload.sync_user)
                syncs_as = workload.sync_account({"eks.amazonaws.com/role-arn": role.made})
                return AwsPods(account=aws.account, reads=role, syncs_as=syncs_as)
        raise TypeError(f"{workload}: has no AWS identity to read with")

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> AwsSecretStore:
        from .secret_store import AwsSecretStore

        assert isinstance(settings.store, AwsStore)
        assert isinstance(principal, EcsTask | AwsPods | AwsCaller)
        return AwsSecretStore(
            name,
            store=settings.store,
            server=settings.server,
            broker=settings.broker.args,
            reader=principal,
            settings=settings,
            opts=opts,
        )

    def open_server(
        self, name: str, settings: Settings, workload: Workload, secrets: Reference, opts: pulumi.ResourceOptions
    ) -> EcsMcpServer:
        from .ecs import EcsMcpServer

        assert isinstance(settings.store, AwsStore)
        assert isinstance(settings.server, EcsServer)
        assert isinstance(workload, EcsTask)
        assert isinstance(secrets, NativeRef | Fetched)
        return EcsMcpServer(
            name,
            store=settings.store,
            server=settings.server,
            broker=settings.broker.args,
            task=workload,
            settings=settings,
            secrets=secrets,
            opts=opts,
        )


PLATFORM = Aws()
