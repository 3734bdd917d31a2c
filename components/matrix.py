"""Which store goes with which server, and what a store cannot do. The only module that knows both axes.

The README's tables are printed from here: python -m components.matrix
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from components.references import ReferenceKind

NATIVE, SYNCED = ReferenceKind.NATIVE_REF, ReferenceKind.SYNCED_KEY
FILES, FETCHED = ReferenceKind.MOUNTED_FILES, ReferenceKind.FETCHED


class StoreKind(StrEnum):
    """Where values live."""

    DOTENV = "dotenv"
    SWARM = "swarm"
    KUBERNETES = "kubernetes"
    AWS = "aws"
    AZURE = "azure"
    VAULT = "vault"


class ServerKind(StrEnum):
    """Where the MCP server runs."""

    LOCAL = "local"
    SWARM = "swarm"
    KUBERNETES = "kubernetes"
    ECS = "ecs"
    CONTAINERAPP = "containerapp"


class Feature(StrEnum):
    """What the guide asks of a store."""

    ENCRYPTION_AT_REST = "encryption at rest"
    READ_TRAIL = "trail of every read"
    SCHEDULE = "rotation schedule"
    GRANT = "a grant per secret"


PAIRS: Mapping[StoreKind, Mapping[ServerKind, tuple[ReferenceKind, ...]]] = MappingProxyType(
    {
        StoreKind.DOTENV: {ServerKind.LOCAL: (FILES,)},
        StoreKind.SWARM: {ServerKind.SWARM: (FILES,)},
        StoreKind.KUBERNETES: {ServerKind.KUBERNETES: (FILES,)},
        StoreKind.AWS: {
            ServerKind.LOCAL: (FETCHED,),
            ServerKind.SWARM: (FETCHED,),
            ServerKind.KUBERNETES: (SYNCED,),
            ServerKind.ECS: (NATIVE, FETCHED),
        },
        StoreKind.AZURE: {
            ServerKind.LOCAL: (FETCHED,),
            ServerKind.KUBERNETES: (SYNCED,),
            ServerKind.CONTAINERAPP: (FETCHED,),
        },
        StoreKind.VAULT: {
            ServerKind.LOCAL: (FETCHED,),
            ServerKind.SWARM: (FETCHED,),
            ServerKind.KUBERNETES: (FILES,),
            ServerKind.ECS: (FETCHED,),
        },
    }
)
"""store -> server -> the kinds of reference that work, the default one first. What is not here is refused."""

WHY_NOT: Mapping[StoreKind, str] = MappingProxyType(
    {
        StoreKind.DOTENV: "its files lie on one machine and for one account",
        StoreKind.SWARM: "only Swarm's own services can be given its secrets",
        StoreKind.KUBERNETES: "only pods of its namespace can be given its secrets",
        StoreKind.AWS: "the server there has no AWS identity to read with",
        StoreKind.AZURE: "the server there has no Azure identity to read with",
        StoreKind.VAULT: "the server there has no way to log in to Vault",
    }
)
"""Why a store goes with no other servers than those in PAIRS."""

BUILT: frozenset[StoreKind | ServerKind] = frozenset(
    {
        *(StoreKind.DOTENV, ServerKind.LOCAL),
        *(StoreKind.KUBERNETES, ServerKind.KUBERNETES),
        *(StoreKind.AWS, ServerKind.ECS),
        *(StoreKind.AZURE, ServerKind.CONTAINERAPP),
    }
)
"""What can be deployed today. The rest is refused with the platform that it arrives with."""

ARRIVES_WITH: Mapping[str, str] = MappingProxyType({ServerKind.ECS: "aws", ServerKind.CONTAINERAPP: "azure"})
"""The platform of a kind that has another name than its platform."""

GAPS: Mapping[StoreKind, Mapping[Feature, str]] = MappingProxyType(
    {
        StoreKind.DOTENV: {
            Feature.ENCRYPTION_AT_REST: "files are plain text; put the folder on an encrypted disk",
            Feature.READ_TRAIL: "secretops and the launcher record each access; another program's read is not seen",
            Feature.GRANT: "one account owns the folder: the server could read what is meant for the rotator alone",
            Feature.SCHEDULE: "a systemd user timer is written, and runs once you enable it",
        },
        StoreKind.KUBERNETES: {
            Feature.ENCRYPTION_AT_REST: "it is the cluster's; secretops doctor looks, and asks you where it can't see",
            Feature.READ_TRAIL: "the API server records each read once whoever runs it gives it the audit policy",
            Feature.GRANT: "one Secret holds all that the server reads; the rotator reads every version of each secret",
        },
        StoreKind.AWS: {
            Feature.READ_TRAIL: "CloudTrail has each read, minutes later; in a task or cluster they can be read unseen",
        },
        StoreKind.AZURE: {
            Feature.READ_TRAIL: "Log Analytics has each read, minutes later; "
            "who may delete or purge its data can take one out",
            Feature.GRANT: "who may assign roles can assign himself any secret's: an alert tells, nothing forbids it",
        },
    }
)
"""What a built store cannot do by itself, with the reason: in each stack's output `gaps` and in the README."""


def refusal(store: str, server: str) -> tuple[str, str, str] | None:
    """Why a pair can't be deployed, as value, rule, remedy; None when it can."""
    pair = f"store {store} with server {server}"
    kind, where = StoreKind(store), ServerKind(server)
    if where not in PAIRS[kind]:
        works = ", ".join(PAIRS[kind])
        others = ", ".join(other for other in StoreKind if where in PAIRS[other])
        return (
            f"{pair}: cannot work",
            WHY_NOT[kind],
            f"store {store} goes with server {works}; server {server} goes with store {others}",
        )
    missing = [part for part in (kind, where) if part not in BUILT]
    if missing:
        platform = ARRIVES_WITH.get(missing[0], missing[0].value)
        return (
            f"{pair}: arrives with {platform}",
            f"the pair is planned, and the {platform} platform is not built yet",
            "until then: store dotenv with server local",
        )
    return None


def can_be_deployed(store: StoreKind, server: ServerKind) -> bool:
    """Whether a pair that works by design can be deployed today."""
    return {store, server} <= BUILT


def gaps(store: str) -> dict[str, str]:
    """What a store cannot do by itself -> the reason and what helps."""
    return {feature.value: why for feature, why in GAPS.get(StoreKind(store), {}).items()}


def markdown() -> str:
    """The two tables of the README."""
    servers = list(ServerKind)
    lines = ["| store \\ server | " + " | ".join(servers) + " |", "|---|" + "---|" * len(servers)]
    for store in StoreKind:
        cells = [
            "–"
            if server not in PAIRS[store]
            else " or ".join(PAIRS[store][server]) + ("" if can_be_deployed(store, server) else " (planned)")
            for server in servers
        ]
        lines.append(f"| {store} | " + " | ".join(cells) + " |")
    lines += ["", "| store | what it does not do by itself | |", "|---|---|---|"]
    lines += [f"| {store} | {feature} | {why} |" for store, gaps in GAPS.items() for feature, why in gaps.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201
