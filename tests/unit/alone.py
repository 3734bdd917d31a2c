"""Each component of a platform alone in a program, with a few arguments: for mocks, and for the engine (tests/stacks).

A function for each platform, since it imports the SDK. It returns programs, each with a child that it makes. A program
takes the name of its component, which is the stack in physical names, too: one server may have all of them at once.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pulumi

from components.core.broker import BrokerArgs
from components.core.references import Fetched, MountedFiles, NativeRef
from components.core.secret_store import SecretStoreArgs
from components.core.secrets import guide_secrets
from secretops.manifest import Manifest, StoreLocation
from tests.unit.azure_ids import SUBSCRIPTION, TENANT

Programs = list[tuple[str, Callable[[str], object]]]
BROKER = BrokerArgs(host="mqtt.example.com")
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/coreflux-mcp-secrets:0.1.0"
AWS: Any = {"account": "123456789012", "region": "eu-central-1"}
AZURE: Any = {"tenant": TENANT, "subscription": SUBSCRIPTION, "location": "westeurope"}
OPERATOR, PERSON = "arn:aws:iam::123456789012:role/secrets-operator", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
VAULT = os.environ.get("VAULT_ADDR", "https://vault.example.com:8200")
PRODUCT: Literal["vault", "openbao"] = "openbao" if "VAULT_ADDR" in os.environ else "vault"
FETCHED = Fetched(source="env:", secrets=(), login_variable="LOGIN")


def later(entry: Any) -> Any:
    return pulumi.Output.from_input(entry)


def manifest(name: str, store: StoreLocation) -> Manifest:
    return SecretStoreArgs(broker=BROKER, stack=name).manifest(store=store, broker=BROKER.location())


def dotenv() -> Programs:
    from components.core.principals import HostUser
    from components.dotenv.mcp_server import LocalMcpServer, LocalMcpServerArgs
    from components.dotenv.secret_store import DotenvSecretStore, DotenvSecretStoreArgs

    def store(name: str) -> None:
        root = str(Path.cwd() / name)
        made = DotenvSecretStore(name, DotenvSecretStoreArgs(broker=BROKER, root=root, stack=name))
        assert made.publish(reader=HostUser.this()).source == f"dotenv:{root}"
        assert name in made.rotate().turn_on
        made.record_access()

    def server(name: str) -> None:
        root = str(Path.cwd() / name)
        LocalMcpServer(name, LocalMcpServerArgs(broker=BROKER, references=FETCHED, root=root))

    return [("rotator", store), ("x-files", server)]


def swarm() -> Programs:
    from components.swarm.identity import SwarmIdentity, SwarmIdentityArgs
    from components.swarm.mcp_server import SwarmMcpServer
    from components.swarm.secret_store import SwarmRotator, SwarmSecretStore
    from components.swarm.server_spec import SwarmMcpServerArgs
    from components.swarm.store_spec import SwarmRotatorArgs, SwarmSecretStoreArgs
    from secretops.platforms.swarm.location import SwarmStoreLocation

    def store(name: str) -> None:
        args = SwarmSecretStoreArgs(image=IMAGE, broker=BROKER, rotator="service", stack=name)
        made = SwarmSecretStore(name, args)
        assert made.publish(reader=made.service).secrets == ("mqtt", "agent-key", "http-token")
        assert made.rotate().turn_on == ""

    def rotator(name: str) -> None:
        shared = SwarmIdentity(f"{name}-identity", SwarmIdentityArgs(stack=name)).service
        names: Any = {"prefix": f"{shared.base}_", "book": f"{shared.base}_book", "instance": shared.base}
        place = SwarmStoreLocation(**names, service=f"{shared.base}_server", uid=10001, image=IMAGE)
        SwarmRotator(name, SwarmRotatorArgs(manifest=manifest(name, place), shared=shared))

    def server(references: MountedFiles | Fetched) -> Callable[[str], object]:
        args: Any = {"image": IMAGE, "broker": BROKER, "references": references}
        return lambda name: SwarmMcpServer(name, SwarmMcpServerArgs(**args, stack=name))

    return [
        ("rotator", store),
        ("rotator-service", rotator),
        ("service", server(MountedFiles(source="env:", secrets=("mqtt",)))),
        ("service", server(FETCHED)),
        ("network", lambda name: SwarmIdentity(name, SwarmIdentityArgs(stack=name))),
    ]


def kubernetes() -> Programs:
    from components.kubernetes.identity import KubernetesIdentity, KubernetesIdentityArgs
    from components.kubernetes.pod_args import PodArgs
    from components.kubernetes.rotation import KubernetesRotator, KubernetesRotatorArgs
    from components.kubernetes.secret_store import KubernetesSecretStore, KubernetesSecretStoreArgs
    from secretops.platforms.kubernetes.location import KubernetesStoreLocation

    def place(name: str) -> KubernetesIdentityArgs:
        return KubernetesIdentityArgs(namespace=f"mcp-{name}")

    def store(name: str) -> None:
        args = KubernetesSecretStoreArgs(broker=BROKER, image=IMAGE, account=place(name))
        made = KubernetesSecretStore(name, args)
        made.publish(reader=made.account)
        made.rotate()
        made.record_access()

    def rotator(name: str) -> None:
        store = KubernetesStoreLocation(namespace=f"mcp-{name}", versions="versions", lease="lease")
        known, pods = manifest(name, store), PodArgs(image=IMAGE)
        args = KubernetesRotatorArgs(manifest=known, broker=BROKER, pods=pods, account=place(name), secrets=["own"])
        KubernetesRotator(name, args)

    return [
        ("namespace", lambda name: KubernetesIdentity(name, place(name))),
        ("lease", store),
        ("rotator-cronjob", rotator),
        ("deployment", lambda name: kubernetes_server(name, place(name))),
    ]


def kubernetes_server(name: str, account: Any, opts: pulumi.ResourceOptions | None = None) -> None:
    from components.kubernetes.mcp_server import KubernetesMcpServer, KubernetesMcpServerArgs

    own = MountedFiles(source="files:/etc/coreflux-mcp/secrets", secrets=())
    image: Any = {"image": later(IMAGE), "mounted": ["own"]}
    KubernetesMcpServer(name, KubernetesMcpServerArgs(broker=BROKER, references=own, account=account, **image), opts)


def aws() -> Programs:
    import pytest

    from components.aws.access_trail import AwsAccessTrail, AwsAccessTrailArgs
    from components.aws.ecs import EcsMcpServer, EcsMcpServerArgs
    from components.aws.identity import AwsIdentity, AwsIdentityArgs
    from components.aws.principals import AwsCaller
    from components.aws.redeploy import Redeploy, RedeployArgs
    from components.aws.rotation import AwsRotation, AwsRotationArgs
    from components.aws.secret_store import AwsSecretStore, AwsSecretStoreArgs

    def store(name: str) -> None:
        caller = AwsCaller(arn="arn:aws:iam::123456789012:user/alice")
        args = AwsSecretStoreArgs(**AWS, operators=[OPERATOR], broker=BROKER, reader=caller, stack=name)
        made = AwsSecretStore(name, args)
        references = made.publish(reader=caller)
        assert isinstance(references, Fetched)
        assert references.source.startswith(f"aws-sm:eu-central-1/coreflux-mcp/{name}/")
        made.rotate()
        made.record_access()
        with pytest.raises(pulumi.RunError, match=f"publish to {OPERATOR}"):
            made.publish(reader=AwsCaller(arn=OPERATOR))

    def server(references: Fetched | NativeRef) -> Callable[[str], object]:
        def program(name: str) -> None:
            subnets, groups = later(["subnet-0123456789abcdef0"]), [later("sg-0123456789abcdef0")]
            network: Any = {"subnets": subnets, "security_groups": groups, "redeploys": False, "image": IMAGE}
            EcsMcpServer(name, EcsMcpServerArgs(**AWS, **network, broker=BROKER, references=references, stack=name))

        return program

    def redeploy(name: str) -> None:
        arns = {what: f"arn:aws:ecs:eu-central-1:123456789012:{what}/plant" for what in ("cluster", "service")}
        of: Any = {"cluster": arns["cluster"], "service": "mcp", "service_arn": arns["service"], "secrets": ["mqtt"]}
        Redeploy(name, RedeployArgs(**AWS, **of, stack=name))

    def injected(name: str) -> None:
        url = later("arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf:url::")
        server(NativeRef(source="env:", secrets=("db",), variables={"DB_URL": url}))(name)

    return [
        ("rotate-mqtt-schedule", store),
        ("task-role", lambda name: AwsIdentity(name, AwsIdentityArgs(**AWS, stack=name)).task()),
        ("schedule", lambda name: AwsRotation(name, AwsRotationArgs(**AWS, broker=BROKER, stack=name))),
        ("trail-bucket", lambda name: AwsAccessTrail(name, AwsAccessTrailArgs(**AWS, stack=name))),
        ("service", server(FETCHED)),
        ("task", injected),
        ("new-versions", redeploy),
    ]


def azure() -> Programs:
    from components.azure.access_trail import AzureAccessTrail, AzureAccessTrailArgs
    from components.azure.container_app import ContainerAppMcpServer, ContainerAppMcpServerArgs
    from components.azure.identity import AzureIdentities
    from components.azure.names import AzureIdentitiesArgs
    from components.azure.rotation import AzureRotation, AzureRotationArgs
    from secretops.platforms.azure.location import AzureStoreLocation

    def rotation(name: str) -> None:
        lease = "https://mine.blob.core.windows.net/mine/rotator"
        place = AzureStoreLocation(
            tenant=TENANT, vault="https://mine.vault.azure.net", secrets={}, pending={}, lease=lease
        )
        AzureRotation(name, AzureRotationArgs(**AZURE, stack=name, manifest=manifest(name, place), image=IMAGE))

    def trail(name: str) -> None:
        vault = later(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/mine/providers/Microsoft.KeyVault/vaults/mine")
        of: Any = {"vault": vault, "secrets": guide_secrets(name), "operators": [PERSON]}
        AzureAccessTrail(name, AzureAccessTrailArgs(**AZURE, **of, stack=name))

    def server(name: str) -> None:
        of: Any = {"references": FETCHED, "image": later(IMAGE), "broker": BROKER}
        ContainerAppMcpServer(name, ContainerAppMcpServerArgs(**AZURE, **of, stack=name))

    return [
        ("vault", azure_store),
        ("platform-identity", lambda name: AzureIdentities(name, AzureIdentitiesArgs(**AZURE, stack=name))),
        ("job", rotation),
        ("vault-audit", trail),
        ("app", server),
    ]


def azure_store(name: str, opts: pulumi.ResourceOptions | None = None, **place: str) -> None:
    from components.azure.principals import AzureUser
    from components.azure.secret_store import AzureSecretStore, AzureSecretStoreArgs

    args = AzureSecretStoreArgs(**{**AZURE, **place}, operators=[PERSON], image=IMAGE, broker=BROKER, stack=name)
    made = AzureSecretStore(name, args, opts)
    made.publish(reader=AzureUser(object_id="99999999-8888-7777-6666-555555555555"))
    made.rotate()
    made.record_access()


def vault() -> Programs:
    from components.vault.access_trail import VaultAccessTrail, VaultAccessTrailArgs
    from components.vault.args import VaultServerArgs
    from components.vault.identity import VaultIdentities, VaultIdentitiesArgs
    from components.vault.rotation import VaultRotation, VaultRotationArgs
    from components.vault.secret_store import VaultSecretStore, VaultSecretStoreArgs
    from secretops.platforms.vault.location import VaultStoreLocation

    def reader(name: str) -> VaultIdentitiesArgs:
        return VaultIdentitiesArgs(address=VAULT, folder=str(Path.cwd() / name), stack=name)

    def store(name: str) -> None:
        of: Any = {"reader": reader(name), "operators": ["userpass/alice"], "product": PRODUCT}
        made = VaultSecretStore(name, VaultSecretStoreArgs(broker=BROKER, **of, stack=name))
        assert made.publish(reader=made.reader).secrets == ("mqtt", "agent-key", "http-token")
        assert made.rotate().turn_on
        made.record_access()

    def rotation(name: str) -> None:
        place = VaultStoreLocation(address=VAULT, mount=name, secrets={}, pending={}, lease="rotator/lease")
        args = VaultRotationArgs(manifest=manifest(name, place), broker=BROKER, reader=reader(name))
        assert VaultRotation(name, args).schedule.turn_on

    def trail(name: str) -> None:
        server = VaultServerArgs(address=VAULT)
        made = VaultAccessTrail(name, VaultAccessTrailArgs(server=server, product=PRODUCT, stack=name))
        assert bool(made.trail.policy) is (PRODUCT == "openbao")

    return [
        ("server-role", lambda name: VaultIdentities(name, reader(name))),
        ("server-policy", store),
        ("rotator-policy", rotation),
        ("audit-2", trail),
        ("pki-client", vault_certificates),
    ]


def vault_certificates(name: str, opts: pulumi.ResourceOptions | None = None) -> None:
    from components.vault.args import VaultServerArgs
    from components.vault.pki import VaultCertificates, VaultCertificatesArgs

    VaultCertificates(name, VaultCertificatesArgs(server=VaultServerArgs(address=VAULT), stack=name), opts)


PLATFORMS: dict[str, Callable[[], Programs]] = {
    each.__name__: each for each in (dotenv, swarm, kubernetes, aws, azure, vault)
}
