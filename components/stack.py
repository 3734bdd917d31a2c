"""Declare a whole stack from its settings, for `__main__.py` and CorefluxSecrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pulumi

from secretops.manifest import AGENT_ADMIN, HTTP_TOKEN, PrivateCaIssuer

from .core.platform import Feature, Platform
from .core.registry import platform_of
from .core.secrets import CLIENT_CERT
from .settings.sections import EmbeddedBroker, OwnedAgent
from .settings.settings import Settings


def open_stack(settings: Settings, *, parent: pulumi.Resource | None = None) -> dict[str, Any]:
    """Declare a stack, below `parent` if set. Return the stack's outputs: places and names, but no secret values.

    The server's identity is declared first, then the grants, then the server.
    """
    of_store, of_server = _platforms(settings)
    below = pulumi.ResourceOptions(parent=parent)
    workload = of_server.open_workload("identity", settings, below)
    principal = of_store.open_principal("identity", settings, workload, below)
    store = of_store.open_store("secrets", settings, principal, below)
    # Without `ephemeral`, the CLI would print the line again among its diagnostics.
    pulumi.log.info("limitations of this stack: pulumi stack output gaps", store, ephemeral=True)
    references = store.publish(reader=principal)
    schedule = store.rotate()
    trail = store.record_access()
    server = of_server.open_server(
        "server", settings, workload, references, pulumi.ResourceOptions(parent=parent, depends_on=[store])
    )
    return {
        "environment": settings.environment.value,
        "secretops": store.manifest_output,
        "references": {key: entry for key, entry in vars(references).items() if entry is not None},
        "schedule": schedule,
        "trail": {**vars(trail), "gap": of_store.gaps.get(Feature.READ_TRAIL, "")},
        "gaps": of_store.gaps_of(settings),
        "server": server.endpoint,
        "next": next_step(settings),
        **({"csr": store.csr} if store.csr is not None else {}),
    }


def run_preflight(settings: Settings) -> None:
    for platform in dict.fromkeys(reversed(_platforms(settings))):
        platform.preflight(settings)


def next_step(settings: Settings) -> str:
    """Return the stack's output `next`: a sentence with what an operator does after `pulumi up`."""
    of_store, of_server = _platforms(settings)
    tick = of_store.first_tick(settings) or of_server.first_tick(settings) or "secretops tick"
    first = ", then secretops put ".join((_broker(settings), *_values_to_put(settings, of_server)))
    if settings.tick_alone_signs:
        first = f"{tick}, which has the client certificate signed, then {first}"
    last = [step for platform in dict.fromkeys((of_store, of_server)) for step in platform.last_steps(settings)]
    return ", then ".join([first, tick, "secretops status", *last])


def _platforms(settings: Settings) -> tuple[Platform, Platform]:
    return platform_of("store", settings.store.kind), platform_of("server", settings.server.kind)


def _broker(settings: Settings) -> str:
    """Return the commands that supply a required client certificate, and then those for the broker's admin user."""
    first = "secretops import --from PATH if a server runs already, then secretops put broker-admin"
    if isinstance(settings.broker, EmbeddedBroker):
        first = "secretops broker start"
    for secret in settings.secrets:
        if secret.name == CLIENT_CERT and not settings.tick_alone_signs:
            first = f"secretops {'rotate' if secret.issuer else 'put'} {secret.name}, then {first}"
            if isinstance(secret.issuer, PrivateCaIssuer):
                made = f"secretops rotate {secret.issuer.secret}"
                first = f"{made}, then have the broker trust what secretops trust prints, then {made}, then {first}"
    return first


def _values_to_put(settings: Settings, of_server: Platform) -> Iterator[str]:
    if settings.server.is_remote:
        yield HTTP_TOKEN[0]
    if isinstance(settings.agent, OwnedAgent):
        yield AGENT_ADMIN[0]
    yield from of_server.values_to_put(settings)
