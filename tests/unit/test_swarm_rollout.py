"""Which error of a task is an update's own. Docker's API is a stand-in that tells one state: no daemon is asked."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from secretops.manifest import SwarmStore
from secretops.stores.swarm.api import Api
from secretops.stores.swarm.rollout import NeverRanError, Rollout, UpdateFailedError

NEVER_RAN = "starting container failed: unable to remount dir as readonly: device or resource busy"


class WentBack(Api):
    """A service whose update went back, and a task that never ran."""

    def __init__(self) -> None:
        pass

    def get(self, path: str, **_: Any) -> Any:
        if path == "/tasks":
            status = {"State": "failed", "Err": NEVER_RAN, "Timestamp": "2026-01-01T00:00:00Z"}
            return [{"ID": "one", "DesiredState": "shutdown", "Status": status}]
        spec: dict[str, Any] = {"TaskTemplate": {"ContainerSpec": {}}, "Mode": {"Replicated": {"Replicas": 1}}}
        return {"ID": "service", "Spec": spec, "UpdateStatus": {"State": "rollback_completed", "Message": "back"}}


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        pytest.param(set(), NeverRanError, id="of this update"),
        pytest.param({"one"}, UpdateFailedError, id="of one before"),
        pytest.param(None, UpdateFailedError, id="where none was sent"),
    ],
)
def test_an_update_is_tried_again_for_a_task_of_its_own_that_never_ran(
    failed: set[str] | None, expected: type[UpdateFailedError]
) -> None:
    rollout = Rollout(WentBack(), SwarmStore.model_construct(service="server"))
    wanted = [{"SecretID": "id", "File": {"Name": "it"}}]
    with pytest.raises(UpdateFailedError) as caught:
        rollout.wait(wanted, is_new=True, failed=failed)
    assert type(caught.value) is expected
    assert (NEVER_RAN in str(caught.value)) == (failed != {"one"})
