"""Stores and servers: every pair works by a known kind of reference, or is refused with the exact message."""

from __future__ import annotations

import re

import pytest

from components.matrix import GAPS, PAIRS, Feature, ServerKind, StoreKind, gaps, pairs_table, refusal
from components.references import ReferenceKind

DESIGNED = {
    ("dotenv", "local"): "MountedFiles",
    ("swarm", "swarm"): "MountedFiles",
    ("kubernetes", "kubernetes"): "MountedFiles",
    ("aws", "local"): "Fetched",
    ("aws", "swarm"): "Fetched",
    ("aws", "kubernetes"): "SyncedKey",
    ("aws", "ecs"): "NativeRef, Fetched",
    ("azure", "local"): "Fetched",
    ("azure", "kubernetes"): "SyncedKey",
    ("azure", "containerapp"): "Fetched",
    ("vault", "local"): "Fetched",
    ("vault", "swarm"): "Fetched",
    ("vault", "kubernetes"): "MountedFiles, SyncedKey",
    ("vault", "ecs"): "Fetched",
}
"""The design's table of stores and servers, copied by hand: the default kind first."""

NOT_BUILT = {("vault", "ecs")}

ONE_MACHINE = "its files lie on one machine and for one account"
SWARM_ONLY = "only Swarm's own services can be given its secrets"
PODS_ONLY = "only pods of its namespace can be given its secrets"
NO_AWS = "the server there has no AWS identity to read with"
NO_AZURE = "the server there has no Azure identity to read with"
NO_LOGIN = (
    "a task has but its AWS role to log in by: OpenBao has no such auth method, and all others take a secret id or a "
    "token that somebody has to lay into the task"
)
NO_VAULT = "the server there has no way to log in to Vault"
DOTENV, SWARM = "store dotenv goes with server local", "store swarm goes with server swarm"
TO_SWARM = "server swarm goes with store swarm, aws, vault"
TO_LOCAL = "server local goes with store dotenv, aws, azure, vault"
TO_KUBERNETES = "server kubernetes goes with store kubernetes, aws, azure, vault"
TO_ECS = "server ecs goes with store aws"
TO_CONTAINERAPP = "server containerapp goes with store azure"
FROM_KUBERNETES = "store kubernetes goes with server kubernetes"
FROM_AWS = "store aws goes with server local, swarm, kubernetes, ecs"
FROM_AZURE = "store azure goes with server local, kubernetes, containerapp"
FROM_VAULT = "store vault goes with server local, swarm, kubernetes"

IMPOSSIBLE = {
    ("dotenv", "swarm"): (ONE_MACHINE, f"{DOTENV}; {TO_SWARM}"),
    ("dotenv", "kubernetes"): (ONE_MACHINE, f"{DOTENV}; {TO_KUBERNETES}"),
    ("dotenv", "ecs"): (ONE_MACHINE, f"{DOTENV}; {TO_ECS}"),
    ("dotenv", "containerapp"): (ONE_MACHINE, f"{DOTENV}; {TO_CONTAINERAPP}"),
    ("swarm", "local"): (SWARM_ONLY, f"{SWARM}; {TO_LOCAL}"),
    ("swarm", "kubernetes"): (SWARM_ONLY, f"{SWARM}; {TO_KUBERNETES}"),
    ("swarm", "ecs"): (SWARM_ONLY, f"{SWARM}; {TO_ECS}"),
    ("swarm", "containerapp"): (SWARM_ONLY, f"{SWARM}; {TO_CONTAINERAPP}"),
    ("kubernetes", "local"): (PODS_ONLY, f"{FROM_KUBERNETES}; {TO_LOCAL}"),
    ("kubernetes", "swarm"): (PODS_ONLY, f"{FROM_KUBERNETES}; {TO_SWARM}"),
    ("kubernetes", "ecs"): (PODS_ONLY, f"{FROM_KUBERNETES}; {TO_ECS}"),
    ("kubernetes", "containerapp"): (PODS_ONLY, f"{FROM_KUBERNETES}; {TO_CONTAINERAPP}"),
    ("aws", "containerapp"): (NO_AWS, f"{FROM_AWS}; {TO_CONTAINERAPP}"),
    ("azure", "swarm"): (NO_AZURE, f"{FROM_AZURE}; {TO_SWARM}"),
    ("azure", "ecs"): (NO_AZURE, f"{FROM_AZURE}; {TO_ECS}"),
    ("vault", "containerapp"): (NO_VAULT, f"{FROM_VAULT}; {TO_CONTAINERAPP}"),
}

EVERY_PAIR = [(store.value, server.value) for store in StoreKind for server in ServerKind]


@pytest.mark.parametrize(("store", "server"), EVERY_PAIR)
def test_a_pair_is_offered_by_the_designs_kinds_or_not_at_all(store: str, server: str) -> None:
    kinds = PAIRS[StoreKind(store)].get(ServerKind(server), ())

    assert ", ".join(kinds) == DESIGNED.get((store, server), "")


@pytest.mark.parametrize(("store", "server"), EVERY_PAIR)
def test_a_pair_can_be_deployed_or_is_refused_with_the_exact_message(store: str, server: str) -> None:
    pair = f"store {store} with server {server}"

    if (store, server) in NOT_BUILT:
        assert refusal(store, server) == (
            f"{pair}: is not built",
            NO_LOGIN,
            "today store vault goes with server local, swarm, kubernetes",
        )
    elif (store, server) in DESIGNED:
        assert refusal(store, server) is None
    else:
        assert refusal(store, server) == (f"{pair}: cannot work", *IMPOSSIBLE[store, server])


@pytest.mark.parametrize(("store", "server"), [*IMPOSSIBLE, *NOT_BUILT])
def test_a_remedy_names_no_pair_that_is_refused_in_its_turn(store: str, server: str) -> None:
    _, _, remedy = refusal(store, server) or pytest.fail("it is refused")

    named = [
        (store, offered) if side == "server" else (offered, server)
        for side, listed in re.findall(r"goes with (server|store) ([\w, ]+)", remedy)
        for offered in listed.split(", ")
    ]
    assert named
    assert [pair for pair in named if refusal(*pair)] == []


def test_every_pair_is_in_one_of_the_two_tables() -> None:
    assert sorted([*DESIGNED, *IMPOSSIBLE]) == sorted(EVERY_PAIR)


def test_every_kind_of_reference_is_used_by_a_pair() -> None:
    used = {kind for servers in PAIRS.values() for kinds in servers.values() for kind in kinds}

    assert used == set(ReferenceKind)


def test_the_table_of_pairs_marks_what_is_planned() -> None:
    assert "| dotenv | MountedFiles | – | – | – | – |" in pairs_table()
    assert "| kubernetes | – | – | MountedFiles | – | – |" in pairs_table()
    assert "| azure | Fetched | – | SyncedKey | – | Fetched |" in pairs_table()
    assert "| swarm | – | MountedFiles | – | – | – |" in pairs_table()
    assert "| aws | Fetched | Fetched | SyncedKey | NativeRef or Fetched | – |" in pairs_table()
    assert "| vault | Fetched | Fetched | MountedFiles or SyncedKey | Fetched (planned) | – |" in pairs_table()


def test_a_built_store_says_of_each_feature_it_lacks_why_and_what_helps() -> None:
    assert gaps("dotenv") == {feature.value: GAPS[StoreKind.DOTENV][feature] for feature in Feature}
    assert gaps("kubernetes").keys() == {"encryption at rest", "trail of every read", "a grant per secret"}
    assert gaps("aws").keys() == {"trail of every read"}
    assert gaps("azure").keys() == {"trail of every read", "a grant per secret"}
    assert all(len(why) > 20 for store in StoreKind for why in gaps(store).values())
    assert gaps("vault").keys() == {"trail of every read", "a grant per secret", "rotation schedule"}
