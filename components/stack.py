"""What a stack is made of, in the order that its grants ask for. `__main__.py` opens one, and so does the component."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pulumi

from .azure.settings import AzureStore
from .core.matrix import gaps
from .next_step import next_step
from .platforms import open_identity, open_server, open_store
from .settings.settings import Settings


def open_stack(settings: Settings, *, parent: pulumi.Resource | None = None) -> dict[str, Any]:
    """Declare all of a stack, below `parent` where it has one. Gives what is told of it: places and names."""
    below = pulumi.ResourceOptions(parent=parent)
    identity = open_identity("identity", settings, opts=below)
    store = open_store("secrets", settings, identity=identity, opts=below)
    # Ephemeral: else the CLI prints it again among its diagnostics.
    pulumi.log.info("its limitations: pulumi stack output gaps", store, ephemeral=True)
    references = store.publish(reader=identity.principal)
    schedule = store.rotate()
    trail = store.record_access()
    server = open_server(
        "server",
        settings,
        identity=identity,
        secrets=references,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[store]),
    )
    return {
        "environment": settings.environment.value,
        "secretops": store.told,
        "references": vars(references),
        "schedule": asdict(schedule),
        "trail": asdict(trail),
        "gaps": gaps(
            settings.store.kind,
            open_to_internet=isinstance(settings.store, AzureStore) and settings.store.open_to_internet,
        ),
        "server": server.endpoint,
        "next": next_step(settings),
    }
