"""docs/operations/kubernetes.md, followed word for word in a clone with the shipped stack's name, on a real API server.

The user is the cluster's admin; a stand-in for kubelet (tests/real/kubelet.py) runs its pods. A fake `age` passes its
input through.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from lightkube import ApiError
from lightkube.resources.core_v1 import Namespace, Secret

from secretops.errors import ExitCode
from tests.real.cluster import CONTEXT, Cluster, running_cluster
from tests.real.kubelet import Kubelet
from tests.real.mosquitto import Mosquitto
from tests.real.upstream import SMALL_SERVER, real_server
from tests.stacks.project import PREFIX
from tests.stacks.runbook import Clone, Page, desk
from tests.stacks.staging import NAMESPACE, SECRETS, stack_config
from tools import kubernetes_parts

pytestmark = [pytest.mark.real, pytest.mark.slow]

# Encrypts nothing.
AGE = """#!/bin/sh
for last; do :; done
case "$1" in -d) exec cat "$last" ;; *) exec cat ;; esac
"""


@dataclass
class Desk:
    clone: Clone
    cluster: Cluster
    admin: str  # The broker's, as `put` takes it.


@pytest.fixture
def sitting(broker: Mosquitto, tmp_path: Path) -> Iterator[Desk]:
    if kubernetes_parts.PLUGIN not in kubernetes_parts.built():
        pytest.skip(f"{kubernetes_parts.PLUGIN} is missing: python3 tools/setup.py --parts")
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    config = {f"{PREFIX}:{section}": entry for section, entry in stack_config(broker, CONTEXT).items()}
    stack_file = tmp_path / "Pulumi.staging.yaml"
    stack_file.write_text(yaml.safe_dump({"config": config}))
    clone = desk(tmp_path / PREFIX, stack_file)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "age").write_text(AGE)
    (programs / "age").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    # The namespace has the page's name, like test_staging.py's on the shared cluster.
    with running_cluster(tmp_path / "cluster", controllers=True) as cluster:
        clone.environment |= {
            **{"PATH": path, "KUBECONFIG": str(cluster.admin), "PULUMI_SKIP_CONFIRMATIONS": "true"},
            **{"PULUMI_BACKEND_URL": f"file://{tmp_path}", "PULUMI_HOME": str(tmp_path / "home")},
            "PULUMI_CONFIG_PASSPHRASE": "",
        }
        with Kubelet(cluster, NAMESPACE, tmp_path / "kubelet", server=real_server() or SMALL_SERVER):
            yield Desk(clone, cluster, json.dumps(dict(broker.admin)))


def test_kubernetes_page_works_from_deployment_to_removal(sitting: Desk) -> None:
    page, client = Page(sitting.clone, "kubernetes.md"), sitting.cluster.client()
    page.follow("make setup STACK=staging", stdin=sitting.admin, before="kubectl -n coreflux-mcp create")
    page.follow("kubectl -n coreflux-mcp create job first-tick")
    assert client.get(Secret, SECRETS[0], namespace=NAMESPACE).data, "the server gets a value"

    page.follow("stack output trail")
    policy = yaml.safe_load((sitting.clone.folder / "audit-policy.yaml").read_text())
    assert policy["kind"] == "Policy"
    page.follow("secretops doctor --confirm")
    kept = client.get(Secret, SECRETS[2], namespace=NAMESPACE)
    assert kept.metadata and "ticket 12" in json.dumps(kept.metadata.annotations)

    shutil.copy(sitting.cluster.audit_file, sitting.clone.folder / "audit.log")
    assert "\tcoreflux-mcp-rotator" in page.follow("jq -r")

    page.follow("get secret coreflux-mcp-versions", before="age -d")
    client.delete(Secret, SECRETS[2], namespace=NAMESPACE)
    page.follow("create -f -")
    assert client.get(Secret, SECRETS[2], namespace=NAMESPACE).data == kept.data
    assert sitting.clone.sh("secretops tick").returncode == ExitCode.DONE

    page.follow("pulumi destroy")
    page.is_followed_to_its_end()
    with pytest.raises(ApiError, match="not found"):
        client.get(Namespace, NAMESPACE)
