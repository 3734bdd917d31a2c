"""Cross-field rules for stacks on Azure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from secretops.formats import image_registry
from secretops.manifest import HTTP_TOKEN
from secretops.platforms.azure import write_files

from ..core.secrets import GUIDE
from ..settings.outputs import known
from ..settings.problems import Problem
from ..settings.remote_constraints import fetched_too_late, not_fetched, out_of_reach, too_many_certificates
from ..settings.sections import DeclaredSecret
from .names import PENDING
from .settings import AzureStore, ContainerAppServer


def cross_field_rules(parsed: Mapping[str, Any]) -> Iterator[Problem]:
    store, server, broker = parsed.get("store"), parsed.get("server"), parsed.get("broker")
    secrets = parsed.get("secrets", {})
    if isinstance(server, ContainerAppServer):
        yield from out_of_reach(
            "server containerapp", broker, "goes into the containers of server and rotator", runs="container"
        )
        yield from not_fetched(secrets, "server containerapp", "write readers: [rotator], or take it out")
        yield from fetched_too_late(parsed.get("rotation"), "server containerapp")
    if isinstance(store, AzureStore):
        yield from _in_azure(store, server, secrets)
        yield from _of_networks(store, server)
        yield from too_many_certificates(
            broker, write_files.LIMIT, "a container gets them as one variable, which Linux limits to 128 KiB"
        )
        if server and not isinstance(server, ContainerAppServer):
            yield from _read_from_elsewhere(server)
        if server and not server.is_remote:
            yield from out_of_reach("store azure", broker, "goes into the containers that rotate", runs="container")
            yield from not_fetched(secrets, "store azure and server local", "write readers: [rotator], or take it out")


def _in_azure(store: AzureStore, server: Any, secrets: Mapping[str, DeclaredSecret]) -> Iterator[Problem]:
    names = {*secrets, *GUIDE, HTTP_TOKEN[0]}
    for name in sorted(secrets):
        if name.removesuffix(PENDING) in names - {name}:
            yield Problem(
                f"secrets.{name}: the name of the pending version of {name.removesuffix(PENDING)}",
                "Key Vault stores a pending value in a separate secret of that name",
                "rename it",
                code="secret-name-taken",
            )
    if server and not server.is_remote and not store.image:
        yield Problem(
            "store.image: required when server.kind is local",
            "the rotator runs in a container of Azure, and a server on this machine has no image",
            "push the image of docs/operations/image.md, then add image: its name",
            code="image-missing",
        )
    if store.registry and not known(store.registry):
        return
    registry = store.registry.rpartition("/")[2].lower() if store.registry else ""
    for key, image in ((key, image) for key, image in _images(store, server) if known(image)):
        host = (image_registry(image) or "").lower()
        if not registry and host.endswith(".azurecr.io"):
            yield Problem(
                f"store.registry: missing, and {key} is of {host}",
                "Container Apps pulls from an Azure container registry with an identity that has a role there",
                f"add registry: its resource id (az acr show --name {host.partition('.')[0]} --query id)",
                code="registry-missing",
            )
        if registry and not re.fullmatch(rf"{registry}(-[a-z0-9]+)?\.azurecr\.io", image.partition("/")[0]):
            yield Problem(
                f"{key}: {image}",
                f"with store.registry images must be from {registry}.azurecr.io, or {registry}-….azurecr.io if its "
                "login server has a label",
                "write an image of that registry, or take registry out",
                code="registry-mismatch",
            )


def _of_networks(store: AzureStore, server: Any) -> Iterator[Problem]:
    if not store.network and not store.open_to_internet:
        yield Problem(
            "store.network: missing",
            "without it vault and lease accept every network, and roles alone protect them",
            "add subnet and network (docs/operations/azure.md, Networks), or write open_to_internet: true",
            code="network-missing",
        )
    if store.network and store.open_to_internet:
        yield Problem(
            "store.open_to_internet: true, with store.network",
            "network closes vault and lease to all other networks",
            "take one of them out",
            code="open-with-network",
        )
    if store.network and not store.subnet:
        yield Problem(
            "store.network: without store.subnet",
            "without a subnet the stack's containers have no fixed address, and would not reach the vault",
            "add subnet: the id of a subnet delegated to Microsoft.App/environments, or take network out",
            code="network-needs-subnet",
        )
    own = known(store.subnet)
    if store.network and not store.network.is_way_in(own):
        yield Problem(
            "store.network: no address, no subnet but the stack's own, and no private endpoint",
            "vault and lease would be closed to everybody, and nobody could put the first value",
            "add the networks of operators, or take network out",
            code="network-without-client",
        )
    if isinstance(server, ContainerAppServer) and server.ingress == "network" and not store.subnet:
        yield Problem(
            "server.ingress: network, without store.subnet",
            "without a subnet the network is the internet",
            "add subnet to the store, or take ingress out",
            code="ingress-needs-subnet",
        )
    if store.zone_redundant and not store.subnet:
        yield Problem(
            "store.zone_redundant: true, without store.subnet",
            "Container Apps has zone redundancy only for an environment in your network",
            "add subnet, or take zone_redundant out",
            code="zones-need-subnet",
        )
    endpoint = store.network.private_endpoint if store.network else None
    if endpoint and (known(endpoint.subnet) or "-").lower() == (own or "").lower():
        yield Problem(
            f"store.network.private_endpoint.subnet: {endpoint.subnet}",
            "this subnet is store.subnet, which is delegated to Container Apps alone",
            "write another subnet of the same virtual network",
            code="endpoint-in-delegated-subnet",
        )
    for key, subnet, what in (
        ("store.subnet", store.subnet, "a Container Apps environment"),
        ("store.network.private_endpoint.subnet", endpoint.subnet if endpoint else None, "a private endpoint"),
    ):
        if subnet and known(subnet) and (found := subnet.split("/")[2]) != store.subscription:
            yield Problem(
                f"{key}: of subscription {found}",
                f"{what} must be in the subscription of its network, here {store.subscription}",
                "name a subnet of that subscription, in the stack's location",
                code="other-subscription",
            )


def _images(store: AzureStore, server: Any) -> Iterator[tuple[str, str]]:
    if store.image:
        yield "store.image", store.image
    if isinstance(server, ContainerAppServer) or (server and server.kind == "kubernetes" and not store.image):
        yield "server.image", server.image


def _read_from_elsewhere(server: Any) -> Iterator[Problem]:
    if server.kind == "local" and (not server.reader or server.reader.startswith("arn:")):
        yield Problem(
            f"server.reader: {server.reader}" if server.reader else "server.reader: required with store azure",
            "the launcher reads as a user, who gets the server's secrets",
            "add reader: the user's object id (az ad signed-in-user show --query id)",
            code="reader-missing",
        )
    if server.kind == "kubernetes" and not server.oidc_issuer:
        yield Problem(
            "server.oidc_issuer: required with store azure",
            "Entra has to trust the cluster's service account of External Secrets",
            "add oidc_issuer: its URL (az aks show --query oidcIssuerProfile.issuerUrl)",
            code="oidc-issuer-missing",
        )
