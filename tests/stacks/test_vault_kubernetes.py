"""vault+kubernetes end to end: a real API server with Pulumi's real provider, a real OpenBao, a real broker with TLS.

OpenBao has the API server review the pods' tokens. A stand-in for kubelet runs pods; their agents are real, configured
by a stand-in for the injector (see tests/real/kubelet.py and agent_injector.py). In place of Pulumi's Vault provider, a
stand-in creates all resources in OpenBao.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from lightkube import Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import RoleRef, Subject
from lightkube.resources.core_v1 import Secret, ServiceAccount
from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding

from secretops.errors import ExitCode
from secretops.values import new_password
from tests.gates.test_leak import forms
from tests.real.agent_injector import AgentInjector
from tests.real.cluster import CONTEXT, Cluster
from tests.real.kubelet import Kubelet, RunningPod
from tests.real.mosquitto import Mosquitto
from tests.real.openbao import OpenBao
from tests.real.upstream import SMALL_SERVER, real_server
from tests.stacks.prod_vault import VaultStack, block, new_vault
from tests.stacks.staging import SERVER, all_log, is_available, link_provider, rotate_under_clients, run_job

pytestmark = [pytest.mark.real, pytest.mark.slow]

FILE = "examples/Pulumi.prod-vault-kubernetes.yaml"
NAMESPACE = "on-vault"
REVIEWER = "vault-reviewer"
MANIFEST_PATH = "/etc/coreflux-mcp/stack/secretops.json"


@dataclass(kw_only=True)
class ClusterVault(VaultStack):
    cluster: Cluster
    kubelet: Kubelet
    client: Client
    token: str = field(default="", repr=False)  # Presented by MCP clients.

    def job(self, name: str, arguments: list[str] | None = None) -> RunningPod:
        return run_job(self.client, self.kubelet, NAMESPACE, name, arguments, output=self.stack.output)

    def servers(self) -> list[RunningPod]:
        return self.kubelet.pods(f"{SERVER}-")

    def is_available(self) -> bool:
        return is_available(self.client, NAMESPACE)

    def trust_the_cluster(self) -> None:
        self.client.create(ServiceAccount(metadata=ObjectMeta(name=REVIEWER)), namespace="default")
        self.client.create(
            ClusterRoleBinding(
                metadata=ObjectMeta(name=REVIEWER),
                roleRef=RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name="system:auth-delegator"),
                subjects=[Subject(kind="ServiceAccount", name=REVIEWER, namespace="default")],
            )
        )
        kubeconfig = json.loads(self.cluster.kubeconfig_of("default", REVIEWER).read_text())
        reviewer = str(kubeconfig["users"][0]["user"]["token"])
        self.values.add(reviewer)
        shown = self.stack.home / "reviewer"
        shown.touch(mode=0o600)
        shown.write_text(reviewer)
        files = f"kubernetes_ca_cert=@{self.cluster.ca_file} token_reviewer_jwt=- < {shown}"
        there = f"kubernetes_host={self.cluster.url} {files}"
        self.bao(block("In a cluster", "sh").replace("kubernetes_host=https://kubernetes.default.svc", there))
        shown.unlink()

    def forget_the_cluster(self) -> None:
        self.openbao.client().sys.disable_auth_method("kubernetes")
        self.client.delete(ClusterRoleBinding, REVIEWER)
        self.client.delete(ServiceAccount, REVIEWER, namespace="default")


@pytest.fixture(scope="module")
def deployed(
    cluster: Cluster, openbao: OpenBao, broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterVault]:
    home = tmp_path_factory.mktemp("vault-kubernetes")
    stack = new_vault(home, FILE, broker, openbao)
    link_provider(home)
    stack.leads = {**stack.leads, "KUBECONFIG": str(cluster.admin)}
    stack.config["server"] |= {"namespace": NAMESPACE, "context": CONTEXT}
    stack.config["log_level"] = "INFO"  # type: ignore[assignment]  # by which a launcher names its listener
    stack.configure()
    injector = AgentInjector(openbao.program)
    with Kubelet(
        cluster, NAMESPACE, home / "kubelet", server=real_server() or SMALL_SERVER, injector=injector
    ) as kubelet:
        made = ClusterVault(
            stack=stack, broker=broker, openbao=openbao, cluster=cluster, kubelet=kubelet, client=cluster.client()
        )
        made.trust_the_cluster()
        try:
            assert "STAND-IN for vault " in stack.up()
            made.welcome_operator()
            yield made
        finally:
            made.forget_the_cluster()


@pytest.fixture(scope="module")
def serving(deployed: ClusterVault) -> ClusterVault:
    deployed.kubelet.until("the pods say what they wait for", lambda: all_log(deployed.kubelet, "Waiting:"))
    assert not deployed.is_available()
    admin = dict(deployed.broker.admin)
    deployed.operator("put", "broker-admin", stdin=json.dumps(admin))
    first = deployed.job("first-tick")
    assert first.code == ExitCode.DONE, first.log
    deployed.token, key = new_password(), f"canary-{new_password()}/+%"
    deployed.operator("put", "http-token", stdin=deployed.token)
    deployed.operator("put", "agent-key", "--untested", stdin=key)
    deployed.values |= {admin["password"], deployed.token, key}
    deployed.kubelet.until("the Deployment is available", deployed.is_available)
    return deployed


@pytest.fixture(scope="module")
def rotated(serving: ClusterVault) -> ClusterVault:
    """Return the stack after three more rotations with the rotator's own login, under an MCP client on each pod."""
    asyncio.run(rotate_under_clients(serving.kubelet, serving.token, partial(_rotate, serving)))
    serving.stack.output += [pod.log for pod in serving.servers()]
    return serving


def _rotate(deployed: ClusterVault, turn: int) -> str:
    deployed.preview_is_empty()
    pod = deployed.job(f"rotation-{turn}", ["rotate", "mqtt", "--manifest", MANIFEST_PATH])
    assert pod.code == ExitCode.DONE, pod.log
    return deployed.version("mqtt")


def test_the_first_values_reach_the_pods_by_their_agents_and_no_secret_object(serving: ClusterVault) -> None:
    assert not list(serving.client.list(Secret, namespace=NAMESPACE)), "no Secret holds a value"
    for pod in serving.servers():
        assert pod.code is None
        assert "Waiting:" in pod.log and "Traceback" not in pod.log
        for file in (pod.folder / "vault-secrets").glob("*.json"):
            assert file.stat().st_mode & 0o777 == 0o400, "for the launcher's user alone"
            assert file.stat().st_uid == 10001
            assert set(json.loads(file.read_text())) == {file.stem}


def test_three_rotations_reach_every_pod_which_goes_on_with_its_clients(rotated: ClusterVault) -> None:
    assert len(rotated.servers()) == 2, "no other pod was ever made"
    for pod in rotated.servers():
        assert pod.code is None
        assert len(re.findall(r"Using version \S+ of mqtt", pod.log)) >= 3
        assert "Traceback" not in pod.log


def test_every_read_is_in_the_audit_file_with_its_reader_and_without_its_value(rotated: ClusterVault) -> None:
    got = rotated.got(rotated.openbao.audit_files[0])
    assert not [row["reader"] for row in got if not row["declared"]]
    server, rotator, operator = rotated.place["readers"]["mqtt"]
    assert {row["reader"] for row in got} == {server, rotator, operator}
    reads = sum(row["count"] for row in got if (row["reader"], row["secret"]) == (server, "mqtt"))
    assert reads >= 2 * 4, "each pod, each value"
    whole = b"".join(file.read_bytes() for file in rotated.openbao.audit_files)
    assert not [True for value in rotated.values for form in forms(value) if form in whole]


def test_after_rotations_refresh_and_preview_find_nothing_and_no_value_is_anywhere(rotated: ClusterVault) -> None:
    stack = rotated.stack
    done = stack.run("refresh", "--yes")
    assert done.returncode == 0, done.stdout[-4000:]
    rotated.preview_is_empty()
    for pod in rotated.servers():
        for file in (pod.folder / "vault-secrets").glob("*.json"):
            (fields,) = json.loads(file.read_text()).values()
            rotated.values |= {text for name, text in fields.items() if name not in ("username", "version")}
        rotated.values.add((pod.folder / "vault-home" / ".vault-token").read_text())
    kept = [*(stack.home / "state").rglob("*"), *rotated.cluster.folder.glob("*.log"), rotated.cluster.audit_file]
    kept += [rotated.openbao.log_file, *(pod.folder / "agent.log" for pod in rotated.servers())]
    texts = [path.read_text() for path in kept if path.is_file()]
    whole = "\0".join([*stack.output, stack.state(), *texts]).encode()
    assert len(rotated.values) >= 8
    assert sum(form in whole for value in rotated.values for form in forms(value)) == 0
    assert b'"ciphertext"' not in whole, "and nothing is kept encrypted either"
