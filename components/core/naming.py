"""Names of resources, shortened with a hash to the limits of platforms."""

from __future__ import annotations

import hashlib

import pulumi

from secretops.formats import field_variable
from secretops.manifest import HTTP_TOKEN

PROJECT = "coreflux-mcp-secrets"

DAY = 86400  # seconds

# Maximum number of characters of a broker user's name. MQTT allows 65,535 bytes, but brokers' user tables often allow
# fewer.
BROKER_USER_LIMIT = 64


# Fields of the secret client-cert, and names of its files in a folder (Secret Management Guide, Directory Structure).
CERTIFICATE_FILES = ("ca.crt", "client.crt", "client.key")

_READ_BY_THE_LAUNCHER = {HTTP_TOKEN: "MCP_HTTP_TOKEN"}


def variable_of(secret: str, field: str) -> str:
    """Return the name of the environment variable in which the launcher expects a secret's field."""
    return _READ_BY_THE_LAUNCHER.get((secret, field)) or field_variable(secret, field)


def physical_name(*parts: str, limit: int) -> str:
    """Join `parts` with dashes. A name of more than `limit` characters is cut, and gets a hash of the whole name."""
    whole = "-".join(parts)
    if len(whole) <= limit:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: limit - 9].rstrip('-')}-{digest}"


def stack_name(given: str | None) -> str:
    return given or pulumi.get_stack()
