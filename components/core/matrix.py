"""Which store goes with which server, and what a store cannot do. The only module that knows both axes.

The tables of docs/stores.md are written from here (tools/pages.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from .references import ReferenceKind

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
            ServerKind.KUBERNETES: (FILES, SYNCED),
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

LATER: Mapping[tuple[StoreKind, ServerKind], str] = MappingProxyType(
    {
        (StoreKind.VAULT, ServerKind.ECS): "a task has but its AWS role to log in by: OpenBao has no such auth method, "
        "and all others take a secret id or a token that somebody has to lay into the task",
    }
)
"""Pairs that work by design and are not built: why."""

GAPS: Mapping[StoreKind, Mapping[Feature, str]] = MappingProxyType(
    {
        StoreKind.DOTENV: {
            Feature.ENCRYPTION_AT_REST: "files are plain text; put the folder on an encrypted disk",
            Feature.READ_TRAIL: "secretops and the launcher record each access; another program's read is not seen",
            Feature.GRANT: "one account owns the folder: the server could read what is meant for the rotator alone",
            Feature.SCHEDULE: "a systemd user timer is written, and runs once you enable it",
        },
        StoreKind.SWARM: {
            Feature.ENCRYPTION_AT_REST: "managers encrypt what they keep; with autolock off the key lies beside it",
            Feature.READ_TRAIL: "a Swarm records no read: launcher and ticks record their own, another's is not seen",
            Feature.GRANT: "whoever may use a manager's socket can give any secret to a container of his own",
            Feature.SCHEDULE: "a systemd timer is written, and runs once a manager has it enabled; or a service runs",
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
        StoreKind.VAULT: {
            Feature.READ_TRAIL: "each request is in the audit log of the Vault server, which whoever runs it keeps; "
            "what an agent has laid into a pod is read there unseen",
            Feature.GRANT: "who may write policies or roles, as root may, can let himself read any; the log has it",
            Feature.SCHEDULE: "it runs no rotator: a cluster's CronJob does, or a systemd user timer that you enable",
        },
    }
)
"""What a store cannot do by itself, with the reason: in each stack's output `gaps` and in docs/stores.md."""


def refusal(store: str, server: str) -> tuple[str, str, str] | None:
    """Why a pair can't be deployed, as value, rule, remedy; None when it can."""
    pair = f"store {store} with server {server}"
    kind, where = StoreKind(store), ServerKind(server)
    works = ", ".join(other for other in PAIRS[kind] if can_be_deployed(kind, other))
    if where not in PAIRS[kind]:
        others = ", ".join(other for other in StoreKind if can_be_deployed(other, where))
        return (
            f"{pair}: cannot work",
            WHY_NOT[kind],
            f"store {store} goes with server {works}; server {server} goes with store {others}",
        )
    if (kind, where) in LATER:
        return f"{pair}: is not built", LATER[kind, where], f"today store {store} goes with server {works}"
    return None


def can_be_deployed(store: StoreKind, server: ServerKind) -> bool:
    """Whether a pair works, and is built."""
    return server in PAIRS[store] and (store, server) not in LATER


OPEN_TO_INTERNET = {
    "network": "open_to_internet: true: vault and lease answer every network, and roles alone guard them; "
    "add store.network to close both"
}


def gaps(store: str, *, open_to_internet: bool = False) -> dict[str, str]:
    """Return what a store cannot do by itself, or does not by its stack file, with the reason and what helps."""
    found = {feature.value: why for feature, why in GAPS.get(StoreKind(store), {}).items()}
    return found | OPEN_TO_INTERNET if open_to_internet else found


def pairs_table() -> str:
    """Return the Markdown table of stores, servers and the kinds of reference between them."""
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
    return "\n".join(lines) + "\n"


def gaps_table() -> str:
    """Return the Markdown table of what each store does not do by itself."""
    lines = ["| store | gap | what to know |", "|---|---|---|"]
    lines += [f"| {store} | {feature} | {why} |" for store, gaps in GAPS.items() for feature, why in gaps.items()]
    return "\n".join(lines) + "\n"
