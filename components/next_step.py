"""What a person does once `pulumi up` is through, as a sentence: the stack's output `next`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from secretops.manifest import AGENT_ADMIN, HTTP_TOKEN, PrivateCaIssuer
from secretops.platforms.aws.location import AwsPrivateCaIssuer

from .aws.settings import AwsStore, EcsServer
from .azure.settings import AzureStore, ContainerAppServer
from .dotenv.settings import LocalServer
from .kubernetes.settings import KubernetesServer
from .settings import catalogue
from .settings.sections import EmbeddedBroker, OwnedAgent
from .swarm.settings import SwarmServer
from .vault.settings import VaultStore

if TYPE_CHECKING:
    from .settings.settings import Settings


def next_step(settings: Settings) -> str:
    """From the first values to a look at them all."""
    store, server, tick = settings.store, settings.server, _tick(settings)
    first = ", then secretops put ".join((_broker(settings), *_put_once(settings)))
    if any(isinstance(secret.issuer, AwsPrivateCaIssuer) for secret in settings.catalogue):
        first = f"{tick}, which has the client certificate signed, then {first}"
    last = "secretops status"
    if isinstance(store, VaultStore) and store.waits_for_a_signature:
        last += ", then sign the output csr, name what was signed in store.pki.certificate_file, and pulumi up"
    if isinstance(server, ContainerAppServer) and not server.bootstrapped:
        last += ", then bootstrapped: true in the section server, and pulumi up"
    return f"{first}, then {tick}, then {last}"


def _broker(settings: Settings) -> str:
    """How it comes to an admin, and to a certificate to show before, where it asks for one."""
    first = "secretops broker start" if isinstance(settings.broker, EmbeddedBroker) else "secretops put broker-admin"
    for secret in settings.catalogue:
        by_tick = isinstance(secret.issuer, AwsPrivateCaIssuer)
        if secret.name == catalogue.CLIENT_CERT and not by_tick:
            first = f"secretops {'rotate' if secret.issuer else 'put'} {secret.name}, then {first}"
            if isinstance(secret.issuer, PrivateCaIssuer):
                made = f"secretops rotate {secret.issuer.secret}"
                first = f"{made}, then have the broker trust what secretops trust prints, then {made}, then {first}"
    return first


def _tick(settings: Settings) -> str:
    """The first one, where it runs. Platforms are imported when they are the stack's: a preview ends soon."""
    store, server = settings.store, settings.server
    match store:
        case AwsStore():
            from .aws.names import names_of

            function = names_of(store, settings.stack).plain("tick")
            return (
                f"aws lambda invoke --cli-read-timeout 0 --region {store.region} "  # it may take minutes
                f"--function-name {function} /dev/stdout (or wait for the full hour)"
            )
        case AzureStore():
            from .azure.names import names_of as names_in_azure

            names = names_in_azure(store, settings.stack)
            return (
                f"az containerapp job start --subscription {store.subscription} -g {names.group} -n {names.job} "
                "(or wait for the full hour)"
            )
        case VaultStore() if isinstance(server, LocalServer | SwarmServer):
            from .vault.login import before_a_tick

            return f"{before_a_tick(store, server, settings.stack)}, then secretops tick"
    if isinstance(server, KubernetesServer):
        context = f" --context {shlex.quote(server.context)}" if server.context else ""
        return (
            "kubectl create job first-tick --from=cronjob/coreflux-mcp-rotator "
            f"-n {server.namespace}{context} (or wait an hour at most)"
        )
    return "secretops tick"


def _put_once(settings: Settings) -> Iterator[str]:
    """What an operator supplies beside the broker's own, and why where it is not plain."""
    server = settings.server
    if not isinstance(server, LocalServer):
        yield HTTP_TOKEN[0]
    if isinstance(settings.agent, OwnedAgent):
        yield AGENT_ADMIN[0]
    elif isinstance(server, EcsServer) and server.copilot and server.reference == "NativeRef":
        yield "agent-key (a task starts once each of its secrets has a value)"
