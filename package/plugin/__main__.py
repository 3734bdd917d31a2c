"""The component as a Pulumi plugin: the engine starts it beside a program of another language, and asks it."""

from coreflux_mcp_secrets import CorefluxSecrets
from pulumi.provider.experimental import component_provider_host

if __name__ == "__main__":
    component_provider_host([CorefluxSecrets], name="coreflux-mcp-secrets")
