"""Each component of Kubernetes and of Vault in another program, with three lines of arguments."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import cast

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_vault as vault
import pytest

from components.core.broker import BrokerArgs
from components.core.references import MountedFiles
from components.kubernetes.identity import KubernetesIdentity, KubernetesIdentityArgs
from components.kubernetes.mcp_server import KubernetesMcpServer, KubernetesMcpServerArgs
from components.kubernetes.secret_store import KubernetesSecretStore, KubernetesSecretStoreArgs
from components.vault.identity import VaultIdentities, VaultIdentitiesArgs
from components.vault.pki import VaultCertificates, VaultCertificatesArgs
from components.vault.args import VaultServerArgs
from components.vault.secret_store import VaultSecretStore, VaultSecretStoreArgs
from tests.unit.harness import Deployed, deploy
from tests.unit.stack_file import StackFile

BROKER = BrokerArgs(host="mqtt.example.com")
ADDRESS = "https://vault.example.com:8200"


def run(program: Callable[[], object]) -> Deployed:
    return deploy(StackFile({}, []), "shop", program=lambda: cast(None, program()))


def server(opts: pulumi.ResourceOptions | None = None) -> None:
    image = pulumi.Output.from_input("registry.example.com/mcp:1")
    own = MountedFiles(source="files:/etc/coreflux-mcp/secrets", secrets=())
    KubernetesMcpServer("x", KubernetesMcpServerArgs(broker=BROKER, image=image, references=own, mounted=["own"]), opts)


def store() -> None:
    made = KubernetesSecretStore("x", KubernetesSecretStoreArgs(broker=BROKER, image="registry.example.com/mcp:1"))
    made.publish(reader=made.account)
    made.rotate()
    made.record_access()


def vault_store() -> None:
    reader = VaultIdentitiesArgs(address=ADDRESS)
    made = VaultSecretStore("x", VaultSecretStoreArgs(broker=BROKER, reader=reader, operators=["userpass/alice"]))
    assert made.publish(reader=made.reader).secrets == ("mqtt", "agent-key", "http-token")
    made.record_access()


def certificates(opts: pulumi.ResourceOptions | None = None) -> None:
    VaultCertificates("x", VaultCertificatesArgs(server=VaultServerArgs(address=ADDRESS)), opts)


@pytest.mark.parametrize(
    ("program", "child", "provider"),
    [
        (lambda: KubernetesIdentity("x", KubernetesIdentityArgs(namespace="mcp")), "namespace", "cluster"),
        (store, "rotator-cronjob", "cluster"),
        (server, "deployment", "cluster"),
        (lambda: VaultIdentities("x", VaultIdentitiesArgs(address=ADDRESS)), "server-role", "vault"),
        (vault_store, "server-policy", "vault"),
        (certificates, "pki-client", "vault"),
    ],
)
def test_component_works_alone(program: Callable[[], object], child: str, provider: str) -> None:
    assert run(program).resources[child].provider == provider


def test_provider_of_the_program_is_used_in_a_cluster() -> None:
    made = run(lambda: server(pulumi.ResourceOptions(provider=kubernetes.Provider("yours"))))
    assert {one.provider for one in made.resources.values() if one.type.startswith("kubernetes:")} == {"yours"}


@pytest.mark.parametrize("address", [ADDRESS, "https://other.example.com"])
def test_provider_of_the_program_is_of_the_same_vault(address: str) -> None:
    refused = pytest.raises(pulumi.RunError, match="give both the same address")
    with nullcontext() if address == ADDRESS else refused:
        run(lambda: certificates(pulumi.ResourceOptions(provider=vault.Provider("yours", address=address))))
