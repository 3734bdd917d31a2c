"""Physical names, computed in one place from a logical name, and cut by hash where a platform's limit asks for it."""

from __future__ import annotations

import hashlib

import pulumi

from secretops.manifest import HTTP_TOKEN

PROJECT = "coreflux-mcp-secrets"

DAY = 86400  # seconds

BROKER_USER_LIMIT = 64
"""Characters. The MQTT specification sets no limit below 65,535 bytes; brokers' user tables commonly do."""


CERTIFICATE_FILES = ("ca.crt", "client.crt", "client.key")
"""The fields of client-cert, and the files that the launcher looks for in a folder (the guide, Directory Structure)."""

_READ_BY_THE_LAUNCHER = {HTTP_TOKEN: "MCP_HTTP_TOKEN"}


def variable_of(secret: str, field: str) -> str:
    """The variable that carries a field of a secret that the stack declares: db and url give DB_URL."""
    if named := _READ_BY_THE_LAUNCHER.get((secret, field)):
        return named
    return f"{secret}_{field}".upper().replace("-", "_")


def physical_name(*parts: str, limit: int) -> str:
    """`parts` joined with dashes, at most `limit` characters. What is cut off is replaced by a hash of the whole."""
    whole = "-".join(parts)
    if len(whole) <= limit:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: limit - 9].rstrip('-')}-{digest}"


def stack_name(given: str | None) -> str:
    """Return what the names of a stack's resources contain: the Pulumi stack's name, if nothing else is given."""
    return given or pulumi.get_stack()
