"""Which stores work with which servers, and the stores' limitations, also as tables for docs/stores.md."""

from __future__ import annotations

from collections.abc import Iterator

from .references import ReferenceKind
from .registry import kinds, platform_of


def references(store: str, server: str) -> tuple[ReferenceKind, ...]:
    """Return the kinds of reference by which the server can read the store, the default first; empty if the pair is
    unsupported."""
    return platform_of("store", store).references.get(server, ())


def can_be_deployed(store: str, server: str) -> bool:
    return bool(references(store, server)) and server not in platform_of("store", store).planned


def deployable_pairs() -> Iterator[tuple[str, str]]:
    for store in kinds("store"):
        yield from ((store, server) for server in kinds("server") if can_be_deployed(store, server))


def refusal(store: str, server: str) -> tuple[str, str] | None:
    """Return rule and remedy if store and server can't be deployed together, or None if they can."""
    if can_be_deployed(store, server):
        return None
    pairs, platform = list(deployable_pairs()), platform_of("store", store)
    servers = ", ".join(other for one, other in pairs if one == store)
    stores = ", ".join(one for one, other in pairs if other == server)
    if reason := platform.planned.get(server):
        return (
            f"this pair must first be implemented: {reason}",
            f"choose another pair: store {store} works with server {servers}",
        )
    remedy = (
        f"choose another pair: store {store} works with server {servers}; server {server} works with store {stores}"
    )
    return f"the server must be able to read the store: {platform.why_no_other}", remedy


def pairs_table() -> str:
    servers = kinds("server")
    lines = ["| store \\ server | " + " | ".join(servers) + " |", "|---|" + "---|" * len(servers)]
    for store in kinds("store"):
        planned = platform_of("store", store).planned
        cells = [
            " or ".join(found) + (" (planned)" if server in planned else "")
            if (found := references(store, server))
            else "–"
            for server in servers
        ]
        lines.append(f"| {store} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def gaps_table() -> str:
    lines = ["| store | gap | what to know |", "|---|---|---|"]
    for store in kinds("store"):
        lines += [f"| {store} | {feature} | {why} |" for feature, why in platform_of("store", store).gaps.items()]
    return "\n".join(lines) + "\n"
