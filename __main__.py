"""The secrets of a Coreflux MCP server, per stack: containers, grants, schedule, trail, references. Never a value."""

from __future__ import annotations

from dataclasses import asdict

import pulumi

from components.matrix import gaps
from components.platforms import open_identity, open_server, open_store
from settings import Settings

settings = Settings.load()  # every error of the stack file at once, an impossible pair included

identity = open_identity("identity", settings)
store = open_store("secrets", settings, identity=identity)
references = store.publish(reader=identity.principal)
schedule = store.rotate()
trail = store.record_access()
server = open_server(
    "server",
    settings,
    identity=identity,
    secrets=references,
    opts=pulumi.ResourceOptions(depends_on=[store]),
)

pulumi.export("secretops", store.told)
pulumi.export("references", vars(references))
pulumi.export("schedule", asdict(schedule))
pulumi.export("trail", asdict(trail))
pulumi.export("gaps", gaps(settings.store.kind))
pulumi.export("server", server.endpoint)
pulumi.export("next", settings.next_step)
