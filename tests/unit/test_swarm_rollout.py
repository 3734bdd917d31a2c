"""How long a rotation waits for the replicas of a service, held against what the settings let them take."""

from __future__ import annotations

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from components.swarm.contradictions import A_REPLICA, ROLLED
from secretops.stores.swarm.rollout import longest


@pytest.mark.parametrize("replicas", [0, 1, 60, 100])
def test_a_service_of_many_replicas_is_waited_for_longer_than_the_settings_count_on(replicas: int) -> None:
    assert longest(replicas) >= 2 * (ROLLED + A_REPLICA * replicas)
