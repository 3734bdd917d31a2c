"""A program for each component alone, for mocks here and for the engine in tests/stacks.

Physical names contain the component's name, so that one server may have all components of a platform at once.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pulumi

from components.core.broker import BrokerArgs
from components.core.principals import HostUser
from components.core.references import Fetched, MountedFiles, NativeRef
from components.core.secret_store import SecretStore, SecretStoreArgs
from components.core.secrets import guide_secrets
from components.vault.args import VaultServerArgs
from secretops.manifest import Manifest, StoreLocation
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.kubernetes.location import KubernetesStoreLocation
from secretops.platforms.swarm.location import SwarmStoreLocation
from secretops.platforms.vault.location import VaultStoreLocation
from tests.unit.azure_ids import SUBSCRIPTION, TENANT

BROKER = BrokerArgs(host="mqtt.example.com")
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/coreflux-mcp-secrets:0.1.0"
AWS: Any = {"account": "123456789012", "region": "eu-central-1"}
OPERATOR, PERSON = "arn:aws:iam::123456789012:role/secrets-operator", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
KEY_VAULT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/mine/providers/Microsoft.KeyVault/vaults/mine"
VAULT = os.environ.get("VAULT_ADDR", "https://vault.example.com:8200")
FETCHED = Fetched(source="env:", secrets=(), login_variable="LOGIN")
MOUNTED = MountedFiles(source="env:", secrets=("mqtt",))
PLAIN: Any = {"secrets": {}, "pending": {}}


def component(path: str) -> Any:
    """Return the component class at `path`, which is `module:name`. Imports an SDK."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(f"components.{module}"), name)


def later(entry: Any) -> Any:
    return pulumi.Output.from_input(entry)


def manifest(name: str, store: StoreLocation) -> Manifest:
    return SecretStoreArgs(broker=BROKER, stack=name).manifest(store=store, broker=BROKER.location())


def known(platform: str, name: str) -> dict[str, Any]:
    """Return the arguments that the components of a platform share."""
    own: dict[str, Any] = {"stack": name, "broker": BROKER, "image": later(IMAGE), "references": FETCHED}
    folder = str(Path.cwd() / name)
    match platform:
        case "dotenv":
            return {**own, "root": folder}
        case "swarm":
            return {**own, "image": IMAGE, "rotator": "service"}
        case "kubernetes":
            place: Any = {"namespace": f"mcp-{name}"}
            store: StoreLocation = KubernetesStoreLocation(**place, versions="versions", lease="lease")
            account = component("kubernetes.identity:KubernetesIdentityArgs")(**place)
            own |= {"account": account, "mounted": ["own"], "references": MOUNTED, **place}
            return {
                **own,
                "manifest": manifest(name, store),
                "pods": component("kubernetes.pod_args:PodArgs")(image=IMAGE),
            }
        case "aws":
            reader = component("aws.principals:AwsCaller")(arn="arn:aws:iam::123456789012:user/alice")
            groups = [later("sg-0123456789abcdef0")]
            own |= {"subnets": later(["subnet-0123456789abcdef0"]), "security_groups": groups, "redeploys": False}
            return {**own, **AWS, "image": IMAGE, "operators": [OPERATOR], "reader": reader}
        case "azure":
            lease = "https://mine.blob.core.windows.net/mine/rotator"
            store = AzureStoreLocation(tenant=TENANT, vault="https://mine.vault.azure.net", lease=lease, **PLAIN)
            own |= {"tenant": TENANT, "subscription": SUBSCRIPTION, "location": "westeurope", "vault": later(KEY_VAULT)}
            return {**own, "operators": [PERSON], "secrets": guide_secrets(name), "manifest": manifest(name, store)}
        case _:
            store = VaultStoreLocation(address=VAULT, mount=name, lease="lease", **PLAIN)
            identity = component("vault.identity:VaultIdentitiesArgs")(address=VAULT, folder=folder, stack=name)
            own |= {"address": VAULT, "server": VaultServerArgs(address=VAULT), "reader": identity}
            product = "openbao" if "VAULT_ADDR" in os.environ else "vault"
            return {**own, "operators": ["userpass/a"], "product": product, "manifest": manifest(name, store)}


READERS: dict[str, Callable[[Any], Any]] = {
    "dotenv": lambda _: HostUser.this(),
    "swarm": lambda store: store.service,
    "kubernetes": lambda store: store.account,
    "aws": lambda _: known("aws", "")["reader"],
    "azure": lambda _: component("azure.principals:AzureUser")(object_id=PERSON),
    "vault": lambda store: store.reader,
}


class Alone(NamedTuple):
    """A component, and a child that it makes."""

    child: str
    path: str
    # The component's name -> arguments that other components of the platform do not take.
    more: Callable[[str], dict[str, Any]] = lambda _: {}

    def deploy(self, name: str, opts: pulumi.ResourceOptions | None = None, **other: Any) -> None:
        args, platform = component(f"{self.path}Args"), self.path.partition(".")[0]
        every = known(platform, name)
        taken = {each.name: every[each.name] for each in fields(args) if each.name in every}
        made = component(self.path)(name, args(**{**taken, **self.more(name), **other}), opts)
        if isinstance(made, SecretStore):
            assert made.publish(reader=READERS[platform](made)).secrets
            made.rotate()
            made.record_access()


def shared(name: str) -> dict[str, Any]:
    made = component("swarm.identity:SwarmIdentity")(f"{name}-identity").service
    place: Any = {"prefix": f"{made.base}_", "state_config": f"{made.base}_book", "service": f"{made.base}_server"}
    store = SwarmStoreLocation(**place, instance=made.base, uid=10001, image=IMAGE)
    return {"shared": made, "manifest": manifest(name, store)}


def cluster(_: str) -> dict[str, Any]:
    cluster, service = (f"arn:aws:ecs:eu-central-1:123456789012:{what}/plant" for what in ("cluster", "service"))
    return {"cluster": cluster, "service_arn": service, "service": "mcp", "secrets": ["mqtt"]}


def injected(_: str) -> dict[str, Any]:
    place = later("arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf:url::")
    return {"references": NativeRef(source="env:", secrets=("db",), variables={"DB_URL": place})}


ALONE = {
    "dotenv": [
        Alone("rotator", "dotenv.secret_store:DotenvSecretStore"),
        Alone("x-files", "dotenv.mcp_server:LocalMcpServer"),
    ],
    "swarm": [
        Alone("network", "swarm.identity:SwarmIdentity"),
        Alone("rotator", "swarm.secret_store:SwarmSecretStore"),
        Alone("rotator-service", "swarm.secret_store:SwarmRotator", shared),
        Alone("service", "swarm.mcp_server:SwarmMcpServer"),
        Alone("service", "swarm.mcp_server:SwarmMcpServer", lambda _: {"references": MOUNTED}),
    ],
    "kubernetes": [
        Alone("namespace", "kubernetes.identity:KubernetesIdentity"),
        Alone("lease", "kubernetes.secret_store:KubernetesSecretStore"),
        Alone("rotator-cronjob", "kubernetes.rotation:KubernetesRotator"),
        Alone("deployment", "kubernetes.mcp_server:KubernetesMcpServer"),
    ],
    "aws": [
        Alone("letters", "aws.identity:AwsIdentity"),
        Alone("rotate-mqtt-schedule", "aws.secret_store:AwsSecretStore"),
        Alone("schedule", "aws.rotation:AwsRotation"),
        Alone("trail-bucket", "aws.access_trail:AwsAccessTrail"),
        Alone("service", "aws.ecs:EcsMcpServer"),
        Alone("task", "aws.ecs:EcsMcpServer", injected),
        Alone("new-versions", "aws.redeploy:Redeploy", cluster),
    ],
    "azure": [
        Alone("platform-identity", "azure.identity:AzureIdentities"),
        Alone("vault", "azure.secret_store:AzureSecretStore"),
        Alone("job", "azure.rotation:AzureRotation"),
        Alone("vault-audit", "azure.access_trail:AzureAccessTrail"),
        Alone("app", "azure.container_app:ContainerAppMcpServer"),
    ],
    "vault": [
        Alone("server-role", "vault.identity:VaultIdentities"),
        Alone("server-policy", "vault.secret_store:VaultSecretStore"),
        Alone("rotator-policy", "vault.rotation:VaultRotation"),
        Alone("audit-2", "vault.access_trail:VaultAccessTrail"),
        Alone("pki-client", "vault.pki:VaultCertificates"),
    ],
}
