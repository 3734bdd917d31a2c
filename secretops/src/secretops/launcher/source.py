"""The protocol of a source of the server's settings and values, and the base classes of all sources."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from secretops.errors import SecretopsError, UsageError
from secretops.formats import version_variable
from secretops.launcher.settings import (
    CERTIFICATE_VARIABLES,
    FILE_VARIABLES,
    MOST_BYTES,
    OWN_VARIABLES,
    PUBLIC_VARIABLES,
    ServerSettings,
    fingerprint_inputs,
    keyed_digest,
    read_file,
    read_settings,
)
from secretops.redaction import remember
from secretops.stores import env_file, files


class Source(Protocol):
    """Where settings and values are read from, repeatedly."""

    def read(self) -> ServerSettings:
        """Return the current settings. Raises UsageError with all mistakes at once, NotYetError when only values are
        missing, StoreError when the access cannot be recorded."""

    def fingerprint(self) -> str:
        """Return a text that changes whenever the result of `read` would. Valid in this process only; never raises."""

    def read_at(self) -> float:
        """Return when the source was last read without an error, in seconds since 1970, or 0."""

    def folders(self) -> frozenset[Path]:
        """Return the folders to watch for changes; none for a source that is only polled. Never raises."""

    def may_arrive(self, variable: str) -> bool:
        """Return whether the missing value of `variable` may still arrive."""


class EnvSource:
    """Base of all sources. A subclass implements `variables`."""

    where: str
    _read_at = 0.0

    def variables(self) -> Mapping[str, str]:
        raise NotImplementedError

    def read(self) -> ServerSettings:
        return read_settings(self.variables(), self.where)

    def may_arrive(self, variable: str) -> bool:  # noqa: ARG002 - a subclass may distinguish them
        return True

    def fingerprint(self) -> str:
        try:
            found = fingerprint_inputs(self.variables())
        except SecretopsError as error:
            return keyed_digest([b"unreadable", str(error).encode()]).hex()
        self._read_at = time.time()
        return keyed_digest(found).hex()

    def read_at(self) -> float:
        return self._read_at

    def folders(self) -> frozenset[Path]:
        """Return the folders of the files that the variables name."""
        try:
            found = self.variables()
        except SecretopsError:
            return frozenset()
        return frozenset(Path(found[name]).parent for name in FILE_VARIABLES if found.get(name))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class _Secret(_Strict):
    """One secret: an empty object without a value yet, else every field of `together`, none of them empty."""

    together: ClassVar[frozenset[str]]
    version: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> _Secret:
        given = self.model_fields_set
        lacking = self.together - given if given & self.together or given == {"version"} else frozenset()
        if lacking or not all(getattr(self, name) for name in given - {"version"}):
            raise ValueError("a field is missing or empty")
        return self


class _Mqtt(_Secret):
    together = frozenset({"username", "password"})
    username: str = ""
    password: str = ""


class _AgentKey(_Secret):
    together = frozenset({"api_key"})
    api_key: str = Field(default="", alias="api-key")


class _ClientCert(_Secret):
    together = frozenset({"certificate", "key"})
    ca: str = Field(default="", alias="ca.crt")
    certificate: str = Field(default="", alias="client.crt")
    key: str = Field(default="", alias="client.key")


class _HttpToken(_Secret):
    together = frozenset({"token"})
    token: str = ""


class JsonDocument(_Strict):
    """Secrets by the names and fields of the catalogue, all optional. No validation error repeats its input."""

    mqtt: _Mqtt = _Mqtt()
    agent_key: _AgentKey = Field(default=_AgentKey(), alias="agent-key")
    client_cert: _ClientCert = Field(default=_ClientCert(), alias="client-cert")
    http_token: _HttpToken = Field(default=_HttpToken(), alias="http-token")


def invalid_fields(error: ValidationError) -> str:
    """Return the paths of the invalid fields, without their contents."""
    return ", ".join(".".join(map(str, each["loc"])) or "the whole" for each in error.errors(include_input=False))


class DocumentSource(EnvSource):
    """Base of the sources that read a JsonDocument. The public settings come from the environment."""

    def __init__(self) -> None:
        self._public = public_settings()
        self._pem: Path | None = None

    def variables_of(self, document: JsonDocument) -> Mapping[str, str]:
        """Return the variables that `document` makes. OpenSSL reads a key from a file only, so PEM texts become private
        files."""
        cert = document.client_cert
        found = self._public | {
            "MQTT_USER": document.mqtt.username,
            "MQTT_PASSWORD": document.mqtt.password,
            "DO_AGENT_API_KEY": document.agent_key.api_key,
            "MCP_HTTP_TOKEN": document.http_token.token,
        }
        for name, field in JsonDocument.model_fields.items():
            found[version_variable(field.alias or name)] = getattr(document, name).version
        # Other values become a `Value`, which registers them for redaction; the key is only written to a file.
        remember(cert.key)
        pem = zip(CERTIFICATE_VARIABLES, (cert.ca, cert.certificate, cert.key), strict=True)
        found |= {name: str(self._as_file(name, text)) for name, text in pem if text}
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


def public_settings(*more: str) -> dict[str, str]:
    """Return the public settings of the environment. Call it when a source is opened: importing upstream changes them.

    MQTT_USER is included only if `more` names it.
    """
    return environment({*PUBLIC_VARIABLES, *OWN_VARIABLES, *more} - ({"MQTT_USER"} - set(more)))


def environment(names: Iterable[str]) -> dict[str, str]:
    """Return the variables of these names that are set and not empty."""
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def read_text(path: Path, remedy: str, most: int = MOST_BYTES) -> str:
    """Return the text of a file of at most `most` bytes. Raises UsageError, with `remedy` for a missing file."""
    try:
        return env_file.decode(path, read_file(path, MOST_BYTES), UsageError, most)
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
