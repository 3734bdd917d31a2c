"""The variables that settings and values arrive in, and how it is seen that one of them has changed."""

from __future__ import annotations

import errno
import hmac
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from secretops.forms import version_variable

LOG_LEVELS = ("NONE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""What upstream's --log-level takes; NONE logs nothing."""

SECRET_VARIABLES = ("MQTT_PASSWORD", "DO_AGENT_API_KEY", "MCP_HTTP_TOKEN")
PUBLIC_VARIABLES = (
    *("MQTT_BROKER", "MQTT_PORT", "MQTT_USER", "MQTT_CLIENT_ID", "MQTT_USE_TLS"),
    *("MQTT_CA_CERT", "MQTT_CLIENT_CERT", "MQTT_CLIENT_KEY", "LOG_LEVEL", "LOT_VERIFIER_API_URL"),
)
"""Together every variable that upstream reads, and MCP_HTTP_TOKEN, which the launcher's own transports ask for."""

CARRIERS = ("MQTT_USER_FILE", *(f"{name}_FILE" for name in SECRET_VARIABLES))
"""Variables that name the file with a value, which upstream does not know."""

VERSION_VARIABLES = tuple(map(version_variable, ("mqtt", "agent-key", "client-cert", "http-token")))
OWN_VARIABLES = ("MQTT_PROTOCOL", "DO_AGENT_URL", *VERSION_VARIABLES)

FILE_VARIABLES = frozenset({"MQTT_CA_CERT", "MQTT_CLIENT_CERT", "MQTT_CLIENT_KEY", *CARRIERS})
KNOWN_VARIABLES = frozenset({*SECRET_VARIABLES, *PUBLIC_VARIABLES, *CARRIERS, *OWN_VARIABLES})
# The largest file that is read, in bytes: as large as a Secret of Kubernetes, more than the CAs of a system.
MOST_BYTES = 1024 * 1024

_DIGEST_KEY = secrets.token_bytes(32)


def keyed_digest(parts: Iterable[bytes]) -> bytes:
    """Tells contents apart within this process. Keyed anew in each, so that nobody can try values against it."""
    digest = hmac.new(_DIGEST_KEY, digestmod="sha256")
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def material(variables: Mapping[str, str]) -> Iterator[bytes]:
    """Everything that `read_settings` would look at, files' contents included, in a fixed order. Never raises."""
    for name in sorted(KNOWN_VARIABLES & variables.keys()):
        yield name.encode()
        yield variables[name].encode(errors="surrogateescape")
        if name in FILE_VARIABLES:
            yield content_or_error(Path(variables[name]))


def folders(variables: Mapping[str, str]) -> set[Path]:
    """The folders of the files that `variables` name: where a change of their contents would be seen."""
    return {Path(variables[name]).parent for name in FILE_VARIABLES if variables.get(name)}


def content_or_error(path: Path) -> bytes:
    """What a digest is made over: a file that cannot be read differs from any that can. Never raises."""
    try:
        return read_file(path)
    except OSError as error:
        return f"errno {error.errno}".encode()


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file of at most `most` bytes. Raises OSError for any other, and never blocks."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO waits for its writer
    except ValueError as error:  # a NUL
        raise OSError(errno.EINVAL, str(error)) from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"more than {most} bytes")
    return content
