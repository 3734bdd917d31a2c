"""Stores and servers: every pair works by a known kind of reference, or is rejected with a reason and a remedy."""

import re

import pytest

from components.core import registry
from components.core.matrix import references, refusal
from components.core.platform import Feature

# The design's table of stores and servers, copied by hand: the default kind first.
DESIGNED = {
    ("dotenv", "local"): "MountedFiles", ("swarm", "swarm"): "MountedFiles",
    ("kubernetes", "kubernetes"): "MountedFiles", ("aws", "local"): "Fetched", ("aws", "swarm"): "Fetched",
    ("aws", "kubernetes"): "SyncedKey", ("aws", "ecs"): "NativeRef, Fetched", ("azure", "local"): "Fetched",
    ("azure", "kubernetes"): "SyncedKey", ("azure", "containerapp"): "Fetched", ("vault", "local"): "Fetched",
    ("vault", "swarm"): "Fetched", ("vault", "kubernetes"): "MountedFiles, SyncedKey", ("vault", "ecs"): "Fetched",
}  # fmt: skip

NOT_BUILT = ("vault", "ecs")
LACKS = {
    "kubernetes": {"encryption at rest", "trail of every read", "a grant per secret"},
    "aws": {"trail of every read"},
    "azure": {"trail of every read", "a grant per secret"},
    "vault": {"trail of every read", "a grant per secret", "rotation schedule"},
}
EVERY_PAIR = [(store, server) for store in registry.kinds("store") for server in registry.kinds("server")]


@pytest.mark.parametrize(("store", "server"), EVERY_PAIR)
def test_pair_is_deployed_as_designed_or_refused_with_what_works(store: str, server: str) -> None:
    assert ", ".join(references(store, server)) == DESIGNED.get((store, server), "")
    refused = refusal(store, server)
    assert (refused is None) is ((store, server) in DESIGNED and (store, server) != NOT_BUILT)
    if refused:
        why, remedy = refused
        assert why
        named = [
            (store, offered) if side == "server" else (offered, server)
            for side, listed in re.findall(r"works with (server|store) ([\w, ]+)", remedy)
            for offered in listed.split(", ")
        ]
        assert named
        assert [pair for pair in named if refusal(*pair)] == []


def test_store_reports_each_feature_that_it_lacks() -> None:
    gaps = {store: registry.platform_of("store", store).gaps for store in registry.kinds("store")}
    assert set(gaps["dotenv"]) == set(Feature)
    assert {store: {feature.value for feature in gaps[store]} for store in LACKS} == LACKS
    assert all(len(why) > 20 for each in gaps.values() for why in each.values())
