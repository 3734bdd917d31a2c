"""The Kubernetes store under faults: everything converges and nothing is lost.

Concurrent rotators, an API server that stops in mid-rotation, and SIGKILL at three moments. Readers can log in at a
real mosquitto all the while.
"""

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from secretops.platforms.kubernetes.api import PATIENCE_SECONDS
from tests.gates.converging import converged, prepare
from tests.gates.doomed import start
from tests.real.cluster import Cluster, OwnCluster
from tests.real.cluster_stack import ClusterStack, make_cluster_stack
from tests.real.mosquitto import Mosquitto
from tests.real.stack import Readers

pytestmark = [pytest.mark.real, pytest.mark.slow]

# The codes of a rotation that waited for the API server for too long.
GAVE_UP = re.compile(r"\[(service-unreachable|service-failing|lease-renewal-slow)\]")


@pytest.fixture
def stack_in(tmp_path: Path, mosquitto: Mosquitto) -> Callable[[Cluster], ClusterStack]:
    def make(cluster: Cluster) -> ClusterStack:
        stack = make_cluster_stack(tmp_path, mosquitto.broker(), cluster)
        stack.put("broker-admin", dict(mosquitto.admin))
        return stack

    return make


def test_rotation_killed_three_times_ends_by_a_tick(
    stack_in: Callable[[Cluster], ClusterStack], cluster: Cluster
) -> None:
    stack = stack_in(cluster)
    for each in ("broker-admin", "mqtt"):
        stack.rotate(each)
    with Readers(stack) as readers:
        replaced = prepare(stack, readers, "mqtt")
        recorded = start(stack, "rotate", "mqtt")
        assert recorded.end() == 0, recorded.moments
        moments = recorded.moments
        assert {"before store.add", "after target.apply", "before store.publish", "after target.retire"} <= {*moments}
        converged(stack, readers, "mqtt", [replaced])
        begin = moments.index("after target.retire") + 1
        apply = moments.index("after target.apply", begin)
        published = moments.index("after store.publish", begin)
        for kill_at in (begin, apply, published):
            replaced = prepare(stack, readers, "mqtt")
            doomed = start(stack, "rotate", "mqtt", kill_at=kill_at)
            assert doomed.end() == -signal.SIGKILL
            assert doomed.moments == moments[: kill_at + 1], "not the rotation that was recorded"
            assert stack.log_in() == "Success", moments[kill_at]
            converged(stack, readers, "mqtt", [replaced])
        assert readers.failures == []


def test_restarted_api_server_only_delays(stack_in: Callable[[Cluster], ClusterStack], own_cluster: OwnCluster) -> None:
    stack = stack_in(own_cluster)
    for _ in range(2):
        stack.rotate()
        stack.skip_grace()
    undisturbed = start(stack, "rotate", "mqtt")
    assert undisturbed.end() == 0
    stack.skip_grace()
    before = stack.credential()
    moments = [undisturbed.moments.index(moment) for moment in ("before store.add", "before store.publish")]
    rotating = start(stack, "rotate", "mqtt", hold_at=moments)
    outages: list[float] = []
    gave_up = False
    for moment in moments:
        while len(rotating.moments) <= moment and not gave_up:
            gave_up = bool(GAVE_UP.search(rotating.next_moment()))
        if gave_up:
            break
        began = time.monotonic()
        own_cluster.stop_api()
        rotating.go_on()
        assert stack.log_in(before) == "Success", "readers need no API server"
        own_cluster.start_api()
        outages.append(time.monotonic() - began)
    code, is_long = rotating.end(), max(outages) > PATIENCE_SECONDS / 2  # The rotator may be slow, too.
    assert code == 0 or (is_long and GAVE_UP.search(rotating.moments[-1])), (outages, rotating.moments)
    assert [one.error for one in stack.tick() if one.error] == []
    if stack.credential() == before:  # the outage outlasted its patience at the first moment
        stack.rotate()
    after = stack.credential()
    assert after["username"] != before["username"]
    assert (stack.log_in(after), stack.log_in(before)) == ("Success", "Success")
    stack.skip_grace()
    assert [one.error for one in stack.tick() if one.error] == []
    assert (stack.log_in(after), stack.log_in(before) == "Success") == ("Success", False)
