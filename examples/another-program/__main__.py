"""A shop's program. Beside whatever else it declares it has an MCP server, whose secrets somebody has to keep."""

import pulumi
from coreflux_mcp_secrets import CorefluxSecrets

config = pulumi.Config()

mcp = CorefluxSecrets("mcp", config.require_object("mcp"))

pulumi.export("secretops", mcp.secretops)  # by this name the command finds it
pulumi.export("environment", mcp.environment)  # by this one the policies judge it
pulumi.export("server", mcp.server)
pulumi.export("schedule", mcp.schedule)
pulumi.export("gaps", mcp.gaps)
pulumi.export("next", mcp.next)
