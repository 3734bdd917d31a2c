"""What a source of the server's settings and values is, and what all sources share.

Each makes the same variables, which `settings` checks. `sources` lists them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from secretops.errors import SecretopsError, UsageError
from secretops.forms import version_variable
from secretops.launcher.json_document import JsonDocument
from secretops.launcher.settings import ServerSettings, read_settings
from secretops.launcher.variables import (
    MOST_BYTES,
    OWN_VARIABLES,
    PUBLIC_VARIABLES,
    folders,
    keyed_digest,
    material,
    read_file,
)
from secretops.redaction import remember
from secretops.stores import env_file, files


class Source(Protocol):
    """Where settings and values are read from, again and again."""

    def read(self) -> ServerSettings:
        """What is there now. Raises UsageError with every mistake at once, NotYetError when only values are missing,
        StoreError when the access cannot be recorded."""

    def fingerprint(self) -> str:
        """Changes when what `read` would give does. Of no use outside this process, and never logged. Never raises."""

    def read_at(self) -> float:
        """Return when the store or the files were last read without an error, in seconds since 1970; 0 before that."""

    def folders(self) -> frozenset[Path]:
        """Where a change would be seen by watching. Empty for what can only be asked. Never raises."""

    def may_bring(self, variable: str) -> bool:
        """Whether the value of `variable`, which is missing, may still come."""


class OfVariables:
    """What all sources on this machine share. A subclass says how the variables are found."""

    where: str
    _read_at = 0.0

    def variables(self) -> Mapping[str, str]:
        raise NotImplementedError

    def read(self) -> ServerSettings:
        return read_settings(self.variables(), self.where)

    def may_bring(self, variable: str) -> bool:  # noqa: ARG002 - the same of all of them
        return True

    def fingerprint(self) -> str:
        try:
            found = material(self.variables())
        except SecretopsError as error:
            return keyed_digest([b"unreadable", str(error).encode()]).hex()
        self._read_at = time.time()
        return keyed_digest(found).hex()

    def read_at(self) -> float:
        return self._read_at

    def folders(self) -> frozenset[Path]:
        try:
            return frozenset(folders(self.variables()))
        except SecretopsError:
            return frozenset()


class OfDocument(OfVariables):
    """What sources share that find secrets by the names and fields of the catalogue. What is public is in the
    environment."""

    def __init__(self) -> None:
        self._public = public_environment()
        self._pem: Path | None = None

    def variables_of(self, document: JsonDocument) -> Mapping[str, str]:
        """The variables that `document` makes. Certificates become private files: OpenSSL reads a key from no other."""
        mqtt, agent, cert = document.mqtt, document.agent_key, document.client_cert
        found = self._public | {
            "MQTT_USER": mqtt.username,
            "MQTT_PASSWORD": mqtt.password,
            "DO_AGENT_API_KEY": agent.api_key,
            "MCP_HTTP_TOKEN": document.http_token.token,
            version_variable("mqtt"): mqtt.version,
            version_variable("agent-key"): agent.version,
            version_variable("client-cert"): cert.version,
            version_variable("http-token"): document.http_token.version,
        }
        # The other values become a `Value`, which registers them; the key is only written to a file.
        remember(cert.key)
        pem = {"MQTT_CA_CERT": cert.ca, "MQTT_CLIENT_CERT": cert.certificate, "MQTT_CLIENT_KEY": cert.key}
        found |= {name: str(self._as_file(name, text)) for name, text in pem.items() if text}
        if "MQTT_CA_CERT" in found:
            found.setdefault("MQTT_USE_TLS", "true")
        return {name: text for name, text in found.items() if text}

    def _as_file(self, name: str, text: str) -> Path:
        if self._pem is None:
            self._pem = files.private_folder()
        path = self._pem / name
        if not path.exists() or path.read_text() != text:
            files.write(path, text.encode(), files.PRIVATE)
        return path


def public_environment(*more: str) -> dict[str, str]:
    """Taken when a source is opened: upstream's own are set anew for its import."""
    return named({*PUBLIC_VARIABLES, *OWN_VARIABLES, *more} - ({"MQTT_USER"} - set(more)))


def named(names: Iterable[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def text_of(path: Path, remedy: str, most: int = MOST_BYTES) -> str:
    """Return the text of a file of at most `most` bytes. Raises UsageError, with `remedy` where there is no file."""
    try:
        return env_file.decoded(path, read_file(path, MOST_BYTES), UsageError, most)
    except FileNotFoundError:
        raise UsageError(
            f"{path} does not exist", rule="the server reads its settings from this file", remedy=remedy
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}",
            rule=f"a regular file of at most {most} bytes, which the account that runs the server can read",
            remedy="run the server as the file's owner, or name another file",
        ) from error
