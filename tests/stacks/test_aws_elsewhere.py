"""The examples whose store is AWS and whose server runs elsewhere: in a cluster, and on this machine.

The AWS provider is the stand-in (tools/standin lists what it does not prove), Secrets Manager and IAM are moto; API
server, Kubernetes provider and broker are real, a stand-in for kubelet runs pods. External Secrets does not run. The
test copies values as its objects in the cluster say, which proves that they name the right secrets and keys. It does
not prove that External Secrets can assume its role.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secretops.values import new_password
from tests.gates.test_leak import forms
from tests.real.cluster import CONTEXT, Cluster
from tests.real.kubelet import Kubelet
from tests.real.mcp_client import call_tool, stdio_session
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.moto import Aws
from tests.real.strict_secrets_manager import strict
from tests.real.upstream import SMALL_SERVER, real_server
from tests.stacks.prod_aws import AwsProd, new_prod
from tests.stacks.staging import SERVER, link_provider
from tests.unit.test_kubernetes_operators import published, renamed

pytestmark = [pytest.mark.real, pytest.mark.slow]

NAMESPACE = "on-aws"
SYNC = "coreflux-mcp-sync"


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    made = start_mosquitto(tmp_path_factory.mktemp("mosquitto"))
    yield made
    made.stop()


def put_first_values(stack: AwsProd) -> None:
    stack.operator("put", "broker-admin", stdin=json.dumps(dict(stack.broker.admin)))
    stack.operator("put", "agent-key", "--untested", stdin=f"canary-{new_password()}/+%")
    stack.operator("rotate", "mqtt")


def value(stack: AwsProd, name: str) -> dict[str, str]:
    text = stack.moto.secrets_manager.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")["SecretString"]
    found: dict[str, str] = json.loads(text)
    stack.values |= {part for field, part in found.items() if field != "username"}
    return found


def nothing_leaked(stack: AwsProd, *more: str) -> None:
    done = stack.stack.run("preview", "--refresh", "--diff", "--expect-no-changes")
    assert done.returncode == 0, done.stdout[-4000:]
    for name in stack.outputs["secretops"]["store"]["secrets"].values():
        value(stack, name)
    whole = "\0".join([*stack.stack.output, stack.stack.state(), *more]).encode()
    assert len(stack.values) >= 3, "an admin's, an agent key, a password of mqtt"
    assert not [form for one in stack.values for form in forms(one) if form in whole]


@pytest.fixture
def here(moto: Aws, broker: Mosquitto, tmp_path: Path) -> Iterator[AwsProd]:
    stack = new_prod(tmp_path, broker, moto, "examples/Pulumi.dev-aws-local.yaml")
    stack.config["server"] |= {"folder": str(tmp_path / "mcp"), "source": str(real_server() or SMALL_SERVER)}
    stack.configure()
    stack.up()
    with strict(moto) as strictly:
        yield AwsProd(stack, broker, moto=moto, strict=strictly)


async def _publish(stack: AwsProd, entry: dict[str, Any], folder: Path) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, **stack.strict.environment, **entry["env"]}
    async with stdio_session([entry["command"], *entry["args"]], environment, folder, folder / "log") as session:
        return await call_tool(session, "mqtt_publish", topic="plant/a", message="{}", qos=1)


def test_local_client_serves_on_a_value_rotated_in_aws(here: AwsProd, tmp_path: Path) -> None:
    written = tmp_path / "mcp" / "config" / "mcp.json"
    assert here.outputs["server"] == str(written)
    entry = json.loads(written.read_text())["mcpServers"]["coreflux"]
    put_first_values(here)
    here.operator("tick")
    here.operator("rotate", "mqtt")
    here.operator("status")

    output = asyncio.run(_publish(here, entry, tmp_path))
    assert "publish" in output.lower() and "error" not in output.lower(), output
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    nothing_leaked(here, written.read_text(), log)
    done = here.stack.run("destroy", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout[-4000:]
    assert not written.exists()


@pytest.fixture
def clustered(
    cluster: Cluster, moto: Aws, broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AwsProd]:
    for kind in ("SecretStore", "ExternalSecret"):
        cluster.define(published(kind))
    monkeypatch.setenv("KUBECONFIG", str(cluster.admin))
    stack = new_prod(tmp_path, broker, moto, "examples/Pulumi.prod-aws-kubernetes.yaml")
    link_provider(tmp_path)
    stack.config["server"] |= {"namespace": NAMESPACE, "context": CONTEXT}
    stack.configure()
    stack.up()
    with strict(moto) as strictly:
        yield AwsProd(stack, broker, moto=moto, strict=strictly)


def copy(stack: AwsProd, cluster: Cluster) -> set[str]:
    from lightkube.generic_resource import create_namespaced_resource
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import Secret

    client = cluster.client()
    requested = create_namespaced_resource("external-secrets.io", "v1", "ExternalSecret", "externalsecrets")
    made = set()
    for each in client.list(requested, namespace=NAMESPACE):
        assert each.spec
        (whole,), target = each.spec["dataFrom"], each.spec["target"]
        found = value(stack, whole["extract"]["key"])
        data = {key: found[field] for field, key in renamed(whole, found).items()}
        about = ObjectMeta(name=target["name"], namespace=NAMESPACE)
        client.create(Secret(metadata=about, stringData=data))
        made.add(target["name"])
    return made


def test_pods_serve_what_external_secrets_copies(clustered: AwsProd, cluster: Cluster, tmp_path: Path) -> None:
    from lightkube import ApiError
    from lightkube.generic_resource import create_namespaced_resource
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import Namespace, Secret, ServiceAccount

    client = cluster.client()
    (store,) = client.list(
        create_namespaced_resource("external-secrets.io", "v1", "SecretStore", "secretstores"), namespace=NAMESPACE
    )
    account = client.get(ServiceAccount, SYNC, namespace=NAMESPACE)
    assert store.spec and account.metadata and account.metadata.annotations
    assert store.spec["provider"]["aws"]["auth"] == {"jwt": {"serviceAccountRef": {"name": SYNC}}}
    role = clustered.resource("sync-role")
    assert account.metadata.annotations["eks.amazonaws.com/role-arn"] == role["arn"]
    kept = clustered.moto.client("iam").get_role(RoleName=role["name"])["Role"]["AssumeRolePolicyDocument"]
    assert f"system:serviceaccount:{NAMESPACE}:{SYNC}" in json.dumps(kept)
    assert not list(client.list(Secret, namespace=NAMESPACE)), "no Secret is the stack's"

    put_first_values(clustered)
    clustered.operator("put", "http-token", stdin=new_password())
    with Kubelet(cluster, NAMESPACE, tmp_path / "kubelet", server=real_server() or SMALL_SERVER) as kubelet:
        copied = copy(clustered, cluster)

        def available() -> bool:
            found = client.get(Deployment, SERVER, namespace=NAMESPACE)
            assert found.spec
            return bool(found.status and found.status.availableReplicas == found.spec.replicas)

        kubelet.until("the Deployment is available", available)
        logs = [pod.log for pod in kubelet.pods(f"{SERVER}-")]
        nothing_leaked(clustered, *logs)
        assert copied == {f"coreflux-mcp-secrets-{name}" for name in ("mqtt", "agent-key", "http-token")}

        stack = clustered.stack
        assert stack.run("state", "unprotect", "--all", "--yes", config=False).returncode == 0
        done = stack.run("destroy", "--yes", "--skip-preview")
        assert done.returncode == 0, done.stdout[-4000:]
    with pytest.raises(ApiError, match="not found"):
        client.get(Namespace, NAMESPACE)
