"""Parts that the components on a Swarm share: provider, network, names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_docker as docker

from ..core.component import Component, ComponentError
from ..core.naming import stack_name
from .names import Names, names_of
from .server_spec import SwarmMcpServerArgs
from .service_spec import SwarmPlace, SwarmService
from .store_spec import SwarmSecretStoreArgs

LEAST_VXLAN, VXLANS = 2**20, 2**24
VXLAN = "com.docker.network.driver.overlay.vxlanid_list"


@dataclass(frozen=True, kw_only=True)
class SwarmIdentityArgs:
    host: pulumi.Input[str] | None = None
    """Address of a manager's daemon, such as ssh://user@host. By default DOCKER_HOST, or the address of a provider in
    `opts`."""
    registries: Sequence[str] = ()
    """Registries from which nodes pull with the Docker login of the machine that deploys."""
    encrypted: bool = True
    """Whether the stack's overlay network encrypts traffic between nodes."""
    stack: str | None = None
    """Stack name, for resource names; by default Pulumi's."""
    reader: str | None = None
    """ARN of the role or user with which the launcher reads a store on AWS."""


class SwarmIdentity(Component):
    """The provider for a manager, and the stack's overlay network. Creates no service or secret.

    Uses `opts.provider` if it is set.
    """

    service: SwarmService
    """The stack's provider and network, the prefix of its names, and the launcher's AWS identity, to pass to other
    components as `shared`."""

    def __init__(
        self, name: str, args: SwarmIdentityArgs | None = None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("coreflux-mcp-secrets:swarm:Identity", name, opts, formerly="")
        args = args or SwarmIdentityArgs()
        names = names_of(stack_name(args.stack))
        yours = _provider_of(self)
        provider = yours or docker.Provider(
            f"{name}-swarm",
            host=args.host,
            # Addresses only: the provider finds the login in Docker's own file.
            registry_auth=[{"address": each} for each in args.registries] or None,
            disable_docker_daemon_check=True,  # a first preview needs no daemon
            opts=pulumi.ResourceOptions(parent=self),
        )
        network = docker.Network(
            f"{name}-network",
            name=names.network(encrypted=args.encrypted),
            driver="overlay",
            attachable=True,  # a reverse proxy in a container without a service can connect, too
            options=options_of(names) if args.encrypted else None,
            labels=[{"label": key, "value": value} for key, value in names.labels.items()],
            opts=pulumi.ResourceOptions(parent=self, provider=provider),
        )
        found = network.id
        if isinstance(yours, docker.Provider) and args.host:

            def checked(known: Sequence[str | None]) -> str:
                host, wanted, made = known
                if host and host != wanted:
                    raise ComponentError(
                        f"{name}: the Docker provider is for {host}",
                        f"the provider must be for the argument `host`, which secretops uses: {wanted}",
                        f"remove the argument `host`, or pass a provider for {wanted}",
                        code="provider-of-other-host",
                    )
                return str(made)

            found = pulumi.Output.all(yours.host, args.host, network.id).apply(checked)
        place = SwarmPlace(provider=provider, network=found)
        self.service = SwarmService(place=place, base=names.base, reader=args.reader)
        self.register_outputs({"network": names.network(encrypted=args.encrypted)})


def open_service(name: str, args: SwarmSecretStoreArgs | SwarmMcpServerArgs, parent: Component) -> SwarmService:
    """Return `args.shared`, with the provider of `parent` if that has one. If `args.shared` is None, declare an
    identity below `parent`, and return its service."""
    if args.shared is None:
        own = SwarmIdentityArgs(stack=args.stack, encrypted=args.encrypted)
        return SwarmIdentity(f"{name}-identity", own, pulumi.ResourceOptions(parent=parent)).service
    if provider := _provider_of(parent):
        return replace(args.shared, place=replace(args.shared.place, provider=provider))
    return args.shared


def options_of(names: Names) -> dict[str, str]:
    """Return the driver options of an encrypted network, VXLAN id included.

    A refresh reads all options, and an undeclared one would replace network and service. The id is a hash of the
    stack's name, far above Docker's own ids, which start at 4096.
    """
    spread = int(hashlib.sha256(names.base.encode()).hexdigest()[:8], 16)
    return {"encrypted": "true", VXLAN: str(LEAST_VXLAN + spread % (VXLANS - LEAST_VXLAN))}


def _provider_of(component: pulumi.ComponentResource) -> pulumi.ProviderResource | None:
    return component.get_provider("docker:index/network:Network")
