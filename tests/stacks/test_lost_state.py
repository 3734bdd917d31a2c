"""A stack on Kubernetes whose Pulumi state is gone: an `up` takes over what there is, and nothing of it begins anew.

tests/stacks/test_runbooks.py has the same of a folder, by the words of docs/operations/lost-state.md.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Namespace, Secret

from tests.real.cluster import OwnCluster
from tests.real.mosquitto import Mosquitto
from tests.stacks.staging import NAMESPACE, SERVER, new_staging

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_up_without_state_takes_a_cluster_over_as_it_is(
    own_cluster: OwnCluster, broker: Mosquitto, tmp_path: Path
) -> None:
    stack, client = new_staging(tmp_path, own_cluster.admin, broker), own_cluster.client()
    stack.up()
    done = stack.secretops("put", "broker-admin", given=json.dumps(dict(broker.admin)))
    assert done.returncode == 0, done.stdout

    def there() -> tuple[object, ...]:
        """What would be another one after a replacement, or a rollout."""
        deployment = client.get(Deployment, SERVER, namespace=NAMESPACE)
        values = client.get(Secret, "coreflux-mcp-versions", namespace=NAMESPACE)
        namespace = client.get(Namespace, NAMESPACE)
        assert deployment.metadata
        assert values.metadata
        assert namespace.metadata
        return deployment.metadata.uid, deployment.metadata.generation, values.metadata.uid, namespace.metadata.uid

    before = there()
    shutil.rmtree(tmp_path / "state")
    stack.create()
    stack.up()
    stack.preview_is_empty()
    assert there() == before
    assert stack.secretops("tick").returncode == 0
