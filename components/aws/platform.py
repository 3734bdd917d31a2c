from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from ..core.platform import Feature, Platform
from ..core.principals import HostUser, Pods, Principal, Workload
from ..core.references import Fetched, NativeRef, Reference, ReferenceKind
from ..settings.problems import Problem
from ..settings.sections import Environment, OwnedAgent
from ..settings.settings import Settings
from .principals import AwsCaller, AwsPods, AwsReader, EcsTask
from .settings import AwsPrivateCa, AwsStore, EcsServer

if TYPE_CHECKING:
    from .ecs import EcsMcpServer
    from .identity import AwsIdentity
    from .secret_store import AwsSecretStore

NATIVE, FETCHED = ReferenceKind.NATIVE_REF, ReferenceKind.FETCHED


class Aws(Platform):
    store_settings = AwsStore
    server_settings = EcsServer
    issuer_settings = AwsPrivateCa
    references = {
        "local": (FETCHED,),
        "swarm": (FETCHED,),
        "kubernetes": (ReferenceKind.SYNCED_KEY,),
        "ecs": (NATIVE, FETCHED),
    }
    why_no_other = "a server of that kind has no AWS identity"
    gaps = {
        Feature.READ_TRAIL: "CloudTrail records each read after some minutes, but no reads inside a task or a cluster",
    }

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
        from .cross_field_rules import cross_field_rules

        yield from cross_field_rules(stack, sections)

    def warnings(self, environment: str, store: AwsStore) -> Iterator[str]:
        from .cross_field_rules import warnings

        if environment == "production" and not store.alert_emails and not store.alert_topic:
            yield "store.alert_emails: empty, so nobody receives the alarms of this production stack; add an address"
        yield from warnings(store)

    def preflight(self, settings: Settings) -> None:
        if not isinstance(settings.store, AwsStore):
            return
        from .rotation import check_package

        check_package()

    def first_tick(self, settings: Settings) -> str | None:
        if not isinstance(store := settings.store, AwsStore):
            return None
        return (
            f"aws lambda invoke --cli-read-timeout 0 --region {store.region} "  # the invocation may take minutes
            f"--function-name {store.names(settings.stack).plain('tick')} /dev/stdout (or wait for the full hour)"
        )

    def values_to_put(self, settings: Settings) -> Iterator[str]:
        server = settings.server
        injected = isinstance(server, EcsServer) and server.copilot and server.reference == "NativeRef"
        if injected and not isinstance(settings.agent, OwnedAgent):
            yield "agent-key (a task starts once each of its secrets has a value)"

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> EcsTask:
        assert isinstance(settings.server, EcsServer)
        return _identity(name, settings, opts).task(injected=settings.server.reference == "NativeRef")

    def open_principal(
        self, name: str, settings: Settings, workload: Workload, opts: pulumi.ResourceOptions
    ) -> AwsReader:
        match workload:
            case EcsTask():
                return workload
            case Workload(reader=str() as arn):
                named = name if isinstance(workload, HostUser) else f"{name}-aws"
                return AwsCaller(account=_identity(named, settings, opts).account, arn=arn)
            case Pods(oidc_provider=provider) if provider is not None:
                aws = _identity(f"{name}-aws", settings, opts)
                role = aws.sync(provider, workload.sync_user)
                syncs_as = workload.sync_account({"eks.amazonaws.com/role-arn": role.arn_output})
                return AwsPods(account=aws.account, reads=role, syncs_as=syncs_as)
        raise TypeError(f"{workload}: has no AWS identity to read with")

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> AwsSecretStore:
        from .access_trail import ExistingTrail, TrailOptions
        from .functions import Vpc
        from .secret_store import AwsSecretStore, AwsSecretStoreArgs

        assert isinstance(store := settings.store, AwsStore)
        assert isinstance(principal, EcsTask | AwsPods | AwsCaller)
        assert principal.account
        server, vpc, trail = settings.server, store.vpc, store.existing_trail
        options = store.arguments_of(TrailOptions)
        if trail:
            options["existing_trail"] = ExistingTrail(arn=trail.arn, log_group=trail.log_group)
        args = AwsSecretStoreArgs(
            **settings.store_args,
            **principal.account.args,
            **options,
            operators=store.operators,
            reader=principal,
            copilot=not isinstance(server, EcsServer) or server.copilot,
            replica_regions=store.replicas,
            kms_key=store.kms_key,
            vpc=Vpc(subnets=vpc.subnets, security_groups=vpc.security_groups, way_out=vpc.way_out or "")
            if vpc
            else None,
        )
        return AwsSecretStore(name, args, opts)

    def open_server(
        self, name: str, settings: Settings, workload: Workload, secrets: Reference, opts: pulumi.ResourceOptions
    ) -> EcsMcpServer:
        from .ecs import EcsMcpServer, EcsMcpServerArgs, LoadBalancer

        assert isinstance(server := settings.server, EcsServer)
        assert isinstance(workload, EcsTask)
        assert isinstance(secrets, NativeRef | Fetched)
        balancer, own = server.load_balancer, server.arguments_of(EcsMcpServerArgs)
        if balancer:
            own["load_balancer"] = LoadBalancer(**{key: getattr(balancer, key) for key in type(balancer).model_fields})
        args = EcsMcpServerArgs(
            **settings.server_args,
            **workload.account.args,
            **own,
            references=secrets,
            task=workload,
            production=settings.environment is Environment.PRODUCTION,
        )
        return EcsMcpServer(name, args, opts)


def _identity(name: str, settings: Settings, opts: pulumi.ResourceOptions) -> AwsIdentity:
    from .identity import AwsIdentity, AwsIdentityArgs

    assert isinstance(store := settings.store, AwsStore)
    return AwsIdentity(name, AwsIdentityArgs(stack=settings.stack, **store.arguments_of(AwsIdentityArgs)), opts)


PLATFORM = Aws()
