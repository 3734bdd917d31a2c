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
from ..settings.remote_constraints import (
    of_fetching,
    out_of_reach,
    too_many_certificates,
)
from ..settings.sections import DeclaredSecret
from .names import PENDING
from .settings import AzureStore, ContainerAppServer


def cross_field_rules(parsed: Mapping[str, Any]) -> Iterator[Problem]:
    store, server, broker = parsed.get("store"), parsed.get("server"), parsed.get("broker")
    secrets = parsed.get("secrets", {})
    if isinstance(server, ContainerAppServer):
        yield from out_of_reach(
            "server containerapp",
            broker,
            "the stack copies the file into the containers of server and rotator",
            runs="container",
        )
        yield from of_fetching("server containerapp", parsed)
    if isinstance(store, AzureStore):
        yield from _in_azure(store, server, secrets)
        yield from _of_networks(store, server)
        yield from too_many_certificates(
            broker,
            write_files.LIMIT,
            "a container gets the certificates as one variable, which Linux limits to 128 KiB",
        )
        if server and not isinstance(server, ContainerAppServer):
            yield from _read_from_elsewhere(server)
        if server and not server.is_remote:
            yield from out_of_reach(
                "store azure", broker, "the stack copies the file into the rotator's containers", runs="container"
            )
            yield from of_fetching("store azure and server local", parsed)


def _in_azure(store: AzureStore, server: Any, secrets: Mapping[str, DeclaredSecret]) -> Iterator[Problem]:
    names = {*secrets, *GUIDE, HTTP_TOKEN[0]}
    for name in sorted(secrets):
        if name.removesuffix(PENDING) in names - {name}:
            yield Problem(
                f"secrets.{name}: this name is reserved for the pending version of {name.removesuffix(PENDING)}",
                "each secret must have a unique name in Key Vault, where a pending version is a separate secret",
                "rename the secret",
                code="secret-name-taken",
            )
    if server and not server.is_remote and not store.image:
        yield Problem(
            "store.image: required when server.kind is local",
            "the rotator runs in a container in Azure, so it needs an image; a local server has no image to share "
            "with it",
            "build and push the image (docs/operations/image.md), then write the image's name in store.image",
            code="image-missing",
        )
    if store.registry and not known(store.registry):
        return
    registry = store.registry.rpartition("/")[2].lower() if store.registry else ""
    for key, image in ((key, image) for key, image in _images(store, server) if known(image)):
        host = (image_registry(image) or "").lower()
        name = host.partition(".")[0].partition("-")[0]  # without the hash of a domain name label
        if not registry and host.endswith(".azurecr.io"):
            yield Problem(
                f"store.registry: missing, and the image in {key} is from {host}",
                "the stack must know the registry, so that it can grant its containers the role to pull the image",
                f"write the registry's id in store.registry; to print it: az acr show --name {name} --query id",
                code="registry-missing",
            )
        if registry and not re.fullmatch(rf"{registry}(-[a-z0-9]+)?\.azurecr\.io", image.partition("/")[0]):
            yield Problem(
                f"{key}: {image}",
                f"with store.registry, images must be from {registry}.azurecr.io, or {registry}-….azurecr.io if the "
                "registry's login server has a domain name label",
                f"write an image of that registry in {key}, or remove store.registry",
                code="registry-mismatch",
            )


def _of_networks(store: AzureStore, server: Any) -> Iterator[Problem]:
    if not store.network and not store.open_to_internet:
        yield Problem(
            "store.network: missing",
            "the networks that may connect to the vault and to the lease's storage account must be declared",
            "write store.subnet and store.network (docs/operations/azure.md, Networks); or write "
            "store.open_to_internet: true, which allows all networks",
            code="network-missing",
        )
    if store.network and store.open_to_internet:
        yield Problem(
            "store.open_to_internet: true, with store.network",
            "only one of the two may be set: with store.network, no other network may connect to the vault "
            "and to the lease's storage account",
            "remove store.open_to_internet, or remove store.network",
            code="open-with-network",
        )
    if store.network and not store.subnet:
        yield Problem(
            "store.network: without store.subnet",
            "store.network requires a subnet for the stack's containers, from which they connect to the vault",
            "write in store.subnet the id of a subnet that is delegated to Microsoft.App/environments; or remove "
            "store.network",
            code="network-needs-subnet",
        )
    own = known(store.subnet)
    if store.network and not store.network.is_way_in(own):
        yield Problem(
            "store.network: has no addresses, no subnets except the stack's own, and no private endpoint",
            "operators must be able to connect to the vault, to supply the first secret values",
            "write the addresses from which your operators connect in store.network.addresses, or remove store.network",
            code="network-without-client",
        )
    if isinstance(server, ContainerAppServer) and server.ingress == "network" and not store.subnet:
        yield Problem(
            "server.ingress: network, without store.subnet",
            "ingress: network requires store.subnet: without a subnet, the server would be reachable from the internet",
            "write store.subnet, or remove server.ingress",
            code="ingress-needs-subnet",
        )
    if store.zone_redundant and not store.subnet:
        yield Problem(
            "store.zone_redundant: true, without store.subnet",
            "store.zone_redundant requires store.subnet: Container Apps spreads an environment over zones only in "
            "your own subnet",
            "add store.subnet, or remove store.zone_redundant",
            code="zones-need-subnet",
        )
    endpoint = store.network.private_endpoint if store.network else None
    if endpoint and (known(endpoint.subnet) or "-").lower() == (own or "").lower():
        yield Problem(
            f"store.network.private_endpoint.subnet: {endpoint.subnet}",
            "a private endpoint must not be in store.subnet, which is delegated to Container Apps",
            "write the id of another subnet of the same virtual network",
            code="endpoint-in-delegated-subnet",
        )
    for key, subnet, what in (
        ("store.subnet", store.subnet, "a Container Apps environment"),
        ("store.network.private_endpoint.subnet", endpoint.subnet if endpoint else None, "a private endpoint"),
    ):
        if subnet and known(subnet) and (found := subnet.split("/")[2]) != store.subscription:
            yield Problem(
                f"{key}: in subscription {found}",
                f"{what} must be in the subscription of the store, {store.subscription}",
                f"write in {key} the id of a subnet of that subscription, in the stack's location",
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
            "server.reader must be the object id of the user with which the launcher reads the vault",
            "write the object id in server.reader; az ad signed-in-user show --query id prints yours",
            code="reader-missing",
        )
    if server.kind == "kubernetes" and not server.oidc_issuer:
        yield Problem(
            "server.oidc_issuer: required with store azure",
            "Entra must trust the cluster's OIDC issuer, so that External Secrets can log in",
            "write the issuer's URL in server.oidc_issuer; to print it: az aks show --resource-group GROUP --name "
            "CLUSTER --query oidcIssuerProfile.issuerUrl",
            code="oidc-issuer-missing",
        )
