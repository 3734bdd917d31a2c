"""Run the program on the Azure platform under mocks, and list its role assignments for reviewers.

To update the list, run python -m tests.unit.azure_stack > tests/unit/golden/azure-roles.txt
"""

import json
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from components.settings.section import PROJECT_FOLDER
from secretops.manifest import Manifest
from secretops.platforms.azure.location import AzureStoreLocation
from tests.unit.aws_stack import a_kubeconfig
from tests.unit.azure_ids import SUBSCRIPTION, TENANT, object_id
from tests.unit.harness import Deployed, ca_file, deploy
from tests.unit.stack_file import StackFile
from tools.standin import sdk_types

IMAGE = "registry.example.com/coreflux-mcp-secrets:0.1.0"
ACR_IMAGE = "plant.azurecr.io/coreflux-mcp-secrets:0.1.0"
READER = "99999999-8888-7777-6666-555555555555"
ISSUER = f"https://westeurope.oic.prod-aks.azure.com/{TENANT}/0123456789abcdef/"
OPERATOR = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
GOLDEN = Path(__file__).with_name("golden") / "azure-roles.txt"
NETWORK = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/network/providers/Microsoft.Network"
SUBNET = f"{NETWORK}/virtualNetworks/plant/subnets/containers"
OFFICE = f"{NETWORK}/virtualNetworks/office/subnets/desks"
ENDPOINTS = f"{NETWORK}/virtualNetworks/plant/subnets/endpoints"
ZONES = {
    "vault": f"{NETWORK}/privateDnsZones/privatelink.vaultcore.azure.net",
    "blob": f"{NETWORK}/privateDnsZones/privatelink.blob.core.windows.net",
}
ENDPOINT = f'{{subnet: "{ENDPOINTS}", dns_zones: {json.dumps(ZONES)}}}'
REGISTRY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shared/providers/Microsoft.ContainerRegistry/registries/Plant"

STORE = (
    f'kind: azure, tenant: "{TENANT}", subscription: "{SUBSCRIPTION}", location: westeurope, operators: ["{OPERATOR}"]'
)
SHIPPED = PROJECT_FOLDER / "examples/Pulumi.prod-azure.yaml"


def file_on_azure(
    store: str = "",
    server: str = "",
    broker: str = "",
    *,
    kind: str = "kind: containerapp",
    image: str | None = None,
    **more: str,
) -> StackFile:
    """Return a stack file of the Azure store, with more entries in each section. `kind` is the server's kind."""
    if image is None:
        image = ACR_IMAGE if "registry:" in store else IMAGE
    option = f', image: "{image}"' if image else ""
    if not re.search(r"\b(network: |open_to_internet)", store):
        store += ", open_to_internet: true"
    sections = {
        "store": f"{{{STORE}{store}}}",
        "server": f"{{{kind}{option}{server}}}",
        "broker": f"{{kind: coreflux, host: mqtt.example.com{broker}}}",
        **more,
    }
    return StackFile.read("\n".join(["config:", *(f"  {name}: {text}" for name, text in sections.items())]))


def on_azure(
    store: str = "", server: str = "", broker: str = "", *, stack: str = "prod", preview: bool = False, **more: str
) -> Deployed:
    """Deploy a stack of the Azure platform, with more entries in each section."""
    return deploy(file_on_azure(store, server, broker, **more), stack, preview=preview)


def for_pods(store: str = "", server: str = "", broker: str = "", **more: str) -> Deployed:
    with a_kubeconfig():
        return on_azure(store, server, broker, kind=f"kind: kubernetes, oidc_issuer: '{ISSUER}'", preview=False, **more)


def for_this_machine(
    store: str = f", image: '{IMAGE}'", server: str = "", broker: str = "", *, stack: str = "dev", **more: str
) -> Deployed:
    kind = f"kind: local, reader: '{READER}'"
    return on_azure(store, server, broker, stack=stack, kind=kind, image="", preview=False, **more)


# Stacks that several tests use, each deployed once. Production has only what it needs.
production = cache(on_azure)
trial = cache(lambda: on_azure(stack="dev-trial"))
ca = cache(lambda: ca_file(Path(tempfile.mkdtemp())))
with_ca = cache(lambda: on_azure(broker=f', ca_file: "{ca()}"'))
pods = cache(for_pods)
here = cache(lambda: for_this_machine(broker=f', ca_file: "{ca()}"'))


@cache
def with_every_option(*, preview: bool = False) -> Deployed:
    """Deploy a stack with each option that adds a resource. The result is cached."""
    return on_azure(
        f', resource_group: plant, subnet: "{SUBNET}", registry: "{REGISTRY}", alert_emails: [ops@example.com], '
        "tags: {Cost-Center: plant}, zone_redundant: true, "
        f'network: {{addresses: [203.0.113.7], subnets: ["{OFFICE}"], '
        f"private_endpoint: {ENDPOINT}}}",
        ", ingress: network, allowed_hosts: [mcp.example.com], bootstrapped: true",
        ", client_certificate: true",
        secrets="{plant-db: {fields: [url], readers: [rotator]}}",
        preview=preview,
    )


@cache
def shipped(ca: Path, name: str = "prod-azure") -> Deployed:
    text = re.sub(r"/etc/ssl/certs/\w+-ca\.crt", str(ca), (PROJECT_FOLDER / f"examples/Pulumi.{name}.yaml").read_text())
    with a_kubeconfig():
        return deploy(StackFile.read(text), name)


def assignments(deployed: Deployed) -> list[Any]:
    return [one.inputs for one in deployed.of_type("azure-native:authorization:RoleAssignment")]


def role_of(assignment: Any) -> str:
    from components.azure.roles import ROLES  # imports the SDK

    guid = assignment["roleDefinitionId"].rpartition("/")[2]
    return next(role.name for role in ROLES if role.guid == guid)


def names_of_principals(deployed: Deployed) -> dict[str, str]:
    """Return object id -> name of each identity."""
    identities = deployed.of_type("azure-native:managedidentity:UserAssignedIdentity")
    return {object_id(one.inputs["resourceName"]): one.inputs["resourceName"] for one in identities}


def inputs(deployed: Deployed, name: str) -> Any:
    return deployed.resources[name].inputs


def manifest_of(deployed: Deployed) -> Manifest:
    return Manifest.model_validate(deployed.exports["secretops"])


def store_of(manifest: Manifest) -> AzureStoreLocation:
    assert isinstance(manifest.store, AzureStoreLocation)
    return manifest.store


def container(deployed: Deployed, name: str) -> Any:
    (one,) = inputs(deployed, name)["template"]["containers"]
    return one


def variables(one: Any) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in one["env"]}


def whole(entry: Any) -> Any:
    """Convert whole floats to integers, as the engine does. The mocks' protocol turns integers into floats."""
    match entry:
        case dict():
            return {key: whole(inner) for key, inner in entry.items()}
        case list():
            return [whole(inner) for inner in entry]
        case float() if entry.is_integer():
            return int(entry)
    return entry


def wrong(deployed: Deployed) -> list[str]:
    return [
        f"{one.name}: {problem}"
        for one in deployed.resources.values()
        if one.type.startswith("azure-native:")
        for problem in sdk_types.problems(one.type, whole(one.inputs))
    ]


def every_role() -> str:
    others = {
        "In a cluster, by External Secrets: the server's are": (pods(), "-sync"),
        "On this machine: the server's are": (here(), "the user of this machine"),
        "With a registry and a client certificate: those of platform and server are": (
            with_every_option(),
            "-platform|-server",
        ),
    }
    lines = [
        "What each identity of a stack of Azure may, as tests/unit/test_azure_grants.py finds it in the program.",
        "Made by: python -m tests.unit.azure_stack > tests/unit/golden/azure-roles.txt",
    ]
    lines += ["", "examples/Pulumi.prod-azure.yaml", *_shown(shipped(ca()))]
    for title, (deployed, only) in others.items():
        lines += ["", title, *_shown(deployed, only)]
    return "\n".join(lines) + "\n"


def _shown(deployed: Deployed, only: str = "") -> Iterator[str]:
    names = {**names_of_principals(deployed), OPERATOR: "an operator", READER: "the user of this machine"}
    found: dict[str, dict[tuple[str, str, str], list[str]]] = {}
    for one in assignments(deployed):
        principal = f"{names[one['principalId']]} ({one['principalType']})"
        scope, slash, name = one["scope"].partition("/resourceGroups/")[2].replace("/providers", "").rpartition("/")
        which = (role_of(one), f"{scope}{slash}", one["description"].replace(name, "{}"))
        found.setdefault(principal, {}).setdefault(which, []).append(name)
    for principal, theirs in sorted(found.items()):
        if not re.search(only, principal):
            continue
        yield f"  {principal}"
        for (role, scope, why), on in sorted(theirs.items()):
            what = on[0] if len(on) == 1 else f"{{{', '.join(sorted(on))}}}"
            yield f"    {role} on {scope}{what}; {why.replace('{}', what) if len(on) == 1 else why}"


if __name__ == "__main__":
    print(every_role(), end="")
