"""Names of resources, shortened with a hash to the limits of platforms."""

from __future__ import annotations

import hashlib

import pulumi

from secretops.formats import field_variable
from secretops.manifest import HTTP_TOKEN

PROJECT = "coreflux-mcp-secrets"

DAY = 86400  # seconds

# Characters. The MQTT specification has no limit below 65,535 bytes; brokers' user tables commonly have one.
BROKER_USER_LIMIT = 64


# The fields of client-cert, and the files of the launcher in a folder (the guide, Directory Structure).
CERTIFICATE_FILES = ("ca.crt", "client.crt", "client.key")

_READ_BY_THE_LAUNCHER = {HTTP_TOKEN: "MCP_HTTP_TOKEN"}


def variable_of(secret: str, field: str) -> str:
    """Return the environment variable of a secret's field, as the launcher knows it."""
    return _READ_BY_THE_LAUNCHER.get((secret, field)) or field_variable(secret, field)


def physical_name(*parts: str, limit: int) -> str:
    """Join `parts` with dashes. A name of more than `limit` characters is cut, and gets a hash of the whole."""
    whole = "-".join(parts)
    if len(whole) <= limit:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: limit - 9].rstrip('-')}-{digest}"


def stack_name(given: str | None) -> str:
    return given or pulumi.get_stack()
