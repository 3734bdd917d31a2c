"""Parse the server's settings and values from the variables that upstream documents (Secret Management Guide).

MQTT_PROTOCOL, DO_AGENT_URL and SECRETOPS_VERSION_* are variables of the launcher.
"""

from __future__ import annotations

import errno
import hmac
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from secretops.errors import UsageError, WaitingError
from secretops.formats import version_variable
from secretops.manifest import HTTP_TOKEN, MqttProtocol
from secretops.targets.https import check_url
from secretops.values import Value

# Levels that upstream's --log-level accepts; NONE logs nothing.
LOG_LEVELS = ("NONE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# Secret of the server -> its fields, and the variable of each.
FIELDS = {
    "mqtt": {"username": "MQTT_USER", "password": "MQTT_PASSWORD"},  # nosec B105 - names of variables
    "agent-key": {"api-key": "DO_AGENT_API_KEY"},
    "client-cert": {"ca.crt": "MQTT_CA_CERT", "client.crt": "MQTT_CLIENT_CERT", "client.key": "MQTT_CLIENT_KEY"},
    HTTP_TOKEN[0]: {"token": "MCP_HTTP_TOKEN"},  # nosec B105 - names of variables
}

# Every secret variable of upstream, and MCP_HTTP_TOKEN, which the launcher's HTTP transports require.
SECRET_VARIABLES = ("MQTT_PASSWORD", "DO_AGENT_API_KEY", "MCP_HTTP_TOKEN")
CERTIFICATE_VARIABLES = tuple(FIELDS["client-cert"].values())
PUBLIC_VARIABLES = (
    *("MQTT_BROKER", "MQTT_PORT", "MQTT_USER", "MQTT_CLIENT_ID", "MQTT_USE_TLS"),
    *(*CERTIFICATE_VARIABLES, "LOG_LEVEL", "LOT_VERIFIER_API_URL"),
)

# Variables that name the file with a value. Upstream does not know them.
VALUE_FILE_VARIABLES = ("MQTT_USER_FILE", *(f"{name}_FILE" for name in SECRET_VARIABLES))

VERSION_VARIABLES = tuple(map(version_variable, FIELDS))
OWN_VARIABLES = ("MQTT_PROTOCOL", "DO_AGENT_URL", *VERSION_VARIABLES)
FILE_VARIABLES = frozenset({*CERTIFICATE_VARIABLES, *VALUE_FILE_VARIABLES})
_KNOWN_VARIABLES = frozenset({*SECRET_VARIABLES, *PUBLIC_VARIABLES, *VALUE_FILE_VARIABLES, *OWN_VARIABLES})

# Bytes of the largest file that is read: the size limit of a Kubernetes Secret, and more than a system's CAs.
MAX_BYTES = 1024 * 1024

_DIGEST_KEY = secrets.token_bytes(32)


class NotYetError(WaitingError):
    """The settings are valid, but the values of `secrets` are missing. `http_token` is set if its value exists."""

    def __init__(
        self, what: str, *, rule: str, remedy: str, code: str, secrets: tuple[str, ...], http_token: Value | None
    ) -> None:
        super().__init__(what, rule=rule, remedy=remedy, code=code)
        self.secrets, self.http_token = secrets, http_token


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Files of a TLS connection, which always checks the broker's certificate and host name."""

    # PEM bundle with the CA of the broker's certificate. None: trust the system's CAs.
    ca_file: Path | None
    certificate: Path | None
    key: Path | None
    # Digest of the files' contents when they were read: with other contents, settings are not equal.
    digest: bytes = field(default=b"", repr=False)

    @property
    def files(self) -> tuple[Path | None, Path | None, Path | None]:
        return self.ca_file, self.certificate, self.key

    def expires_at(self) -> datetime | None:
        """Return the client certificate's expiry, or None if there is no readable certificate."""
        try:
            pem = read_file(self.certificate) if self.certificate else b""
            return x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc
        except (OSError, ValueError):
            return None


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    broker: str
    port: int
    protocol: MqttProtocol
    tls: Tls | None
    client_id_prefix: str
    log_level: str
    lot_verifier_url: str | None
    # Fields `username` and `password`.
    mqtt: Value
    # The agent's address, without a path. None: the Coreflux Copilot's, which the server knows.
    agent_url: str | None = None
    # Field `api-key`. Only the tool request_lot_code needs it.
    agent_key: Value | None
    # Field `token`; None only on loopback and over stdio.
    http_token: Value | None = None
    # Secret -> id of the version in use, of every secret that was read.
    versions: Mapping[str, str]

    @property
    def link(self) -> tuple[object, ...]:
        """Return the settings that require a new MQTT client when they change."""
        return self.broker, self.port, self.protocol, self.tls, self.client_id_prefix, self.mqtt

    def public_variables(self) -> dict[str, str]:
        variables = {
            "MQTT_BROKER": self.broker,
            "MQTT_PORT": str(self.port),
            "MQTT_USE_TLS": "true" if self.tls else "false",
            **dict(zip(CERTIFICATE_VARIABLES, self.tls.files if self.tls else (), strict=False)),
            "LOG_LEVEL": self.log_level,
            "LOT_VERIFIER_API_URL": self.lot_verifier_url,
        }
        return {name: str(value) for name, value in variables.items() if value is not None}


def read_settings(variables: Mapping[str, str], where: str) -> ServerSettings:
    """Read `variables`, and the files that they name. `where` is their origin, for messages.

    Raises UsageError with all mistakes, and NotYetError if only values are missing.
    """
    return _Reading(variables, where).settings()


class _Reading:
    def __init__(self, variables: Mapping[str, str], where: str) -> None:
        self._where = where
        self._mistakes: list[UsageError] = []
        self._missing: dict[str, list[str]] = {}
        self._variables = {name: text for name, text in variables.items() if text}

    def settings(self) -> ServerSettings:
        tls = self._tls()
        user, password = self._value("MQTT_USER"), self._value("MQTT_PASSWORD")
        if not password:
            self._wait("mqtt", "MQTT_PASSWORD: secretops tick generates it")
        elif not user:
            rule = "a password in MQTT_PASSWORD requires a user"
            self._mistake("MQTT_USER is missing", rule, "set MQTT_USER", code="user-missing")
        api_key, token = self._value("DO_AGENT_API_KEY"), self._value("MCP_HTTP_TOKEN")
        present = {"mqtt": password, "agent-key": api_key, "client-cert": tls and tls.key, "http-token": token}
        settings = ServerSettings(
            broker=self._host(),
            port=self._port(8883 if tls else 1883),
            protocol=MqttProtocol(self._choice("MQTT_PROTOCOL", tuple(MqttProtocol), MqttProtocol.V5)),
            tls=tls,
            client_id_prefix=self._variables.get("MQTT_CLIENT_ID", "coreflux-mcp"),
            log_level=self._choice("LOG_LEVEL", LOG_LEVELS, "INFO"),
            lot_verifier_url=self._variables.get("LOT_VERIFIER_API_URL"),
            agent_url=self._agent_url(),
            mqtt=Value({"username": user or "", "password": password or ""}),
            agent_key=Value({"api-key": api_key}) if api_key else None,
            http_token=Value({"token": token}) if token else None,
            versions={
                secret: self._variables.get(version_variable(secret), "unknown")
                for secret, value in present.items()
                if value
            },
        )
        if self._mistakes:
            mistakes = "\n".join(map(str, self._mistakes))
            raise UsageError(f"{self._where}: invalid settings", rule=mistakes, code="settings-invalid")
        if self._missing:
            raise NotYetError(
                f"{self._where}: values of {', '.join(self._missing)} are missing",
                rule="\n".join(each for missing in self._missing.values() for each in missing),
                remedy="to see what each secret waits for: secretops status",
                code="values-missing",
                secrets=tuple(self._missing),
                http_token=settings.http_token,
            )
        return settings

    def _host(self) -> str:
        host = self._variables.get("MQTT_BROKER", "")
        if not host:
            self._mistake(
                "MQTT_BROKER is missing",
                "MQTT_BROKER must be the broker's host name or address",
                "set MQTT_BROKER",
                code="broker-missing",
            )
            return host
        try:
            well_formed = not set(host) & set("/ @\t") and bool(host.encode("idna"))
        except UnicodeError:  # an empty or overlong label, which would end paho's thread
            well_formed = False
        if not well_formed:
            rule = "MQTT_BROKER must be a host name or an address, not a URL"
            self._mistake(
                f"MQTT_BROKER={host!r}", rule, "remove scheme, port and path from MQTT_BROKER", code="broker-invalid"
            )
        return host

    def _agent_url(self) -> str | None:
        url = self._variables.get("DO_AGENT_URL")
        if url:
            try:
                check_url(url)
            except UsageError as error:
                self._mistake(f"DO_AGENT_URL={url!r}", error.rule, error.remedy, code=error.code)
        return url

    def _port(self, default: int) -> int:
        text = self._variables.get("MQTT_PORT", str(default))
        if text.isascii() and text.isdigit() and int(text) in range(1, 65536):
            return int(text)
        remedy = "set MQTT_PORT=1883, or 8883 with MQTT_USE_TLS=true"
        self._mistake(f"MQTT_PORT={text!r}", "MQTT_PORT must be a number from 1 to 65535", remedy, code="port-invalid")
        return default

    def _choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        text = self._variables.get(name, default)
        for choice in allowed:
            if choice.lower() == text.lower():
                return choice
        rule, remedy = f"{name} must be one of {', '.join(allowed)}", f"correct {name}, or unset it for {default}"
        self._mistake(f"{name}={text!r}", rule, remedy, code="setting-invalid")
        return default

    def _tls(self) -> Tls | None:
        if self._choice("MQTT_USE_TLS", ("true", "false"), "false") == "false":
            return None
        ca_file, certificate, key = map(self._file, CERTIFICATE_VARIABLES)
        tls = Tls(ca_file=ca_file, certificate=certificate, key=key)
        tls = replace(tls, digest=keyed_digest(content_or_error(path) for path in tls.files if path))
        if bool(certificate) != bool(key):
            names = ("MQTT_CLIENT_CERT", "MQTT_CLIENT_KEY")
            present, missing = names if certificate else names[::-1]
            self._mistake(
                f"{present} is set without {missing}",
                "a client certificate and its key must be set together",
                "set both variables, or neither",
                code="private-key-unpaired",
            )
        return tls

    def _file(self, name: str) -> Path | None:
        text = self._variables.get(name)
        if not text:
            return None
        try:
            read_file(Path(text))
        except FileNotFoundError:
            self._wait("client-cert", f"{name}={text}: supply it with `secretops put client-cert`, or correct the path")
        except OSError as error:
            self._unreadable(name, text, error)
        return Path(text)

    def _value(self, name: str) -> str | None:
        variable = f"{name}_FILE"
        value, path = self._variables.get(name), self._variables.get(variable)
        if value and path:
            what = f"{name} and {variable} are both set"
            self._mistake(what, "only one of the two variables may be set", "unset one of them", code="value-set-twice")
        if not path:
            return value
        try:
            return read_file(Path(path)).decode().removesuffix("\n")
        except FileNotFoundError:  # the first value is not written yet
            return None
        except OSError as error:
            self._unreadable(variable, path, error)
        except UnicodeDecodeError:
            self._mistake(
                f"{variable}={path} is not text",
                "the file must be UTF-8 text",
                "write the file again as UTF-8",
                code="file-not-text",
            )
        return "unreadable"

    def _unreadable(self, name: str, path: str, error: OSError) -> None:
        rule, remedy = (
            "the account that runs the server must be able to read the file",
            "correct the file's path, owner or mode",
        )
        self._mistake(f"{name}={path}: {error.strerror}", rule, remedy, code="value-unreadable")

    def _mistake(self, what: str, rule: str, remedy: str, *, code: str) -> None:
        self._mistakes.append(UsageError(what, rule=rule, remedy=remedy, code=code))

    def _wait(self, secret: str, missing: str) -> None:
        self._missing.setdefault(secret, []).append(missing)


def keyed_digest(parts: Iterable[bytes]) -> bytes:
    """Return a digest with a random key, so that it can be compared only within this process."""
    digest = hmac.new(_DIGEST_KEY, digestmod="sha256")
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def fingerprint_inputs(variables: Mapping[str, str]) -> Iterator[bytes]:
    """Yield everything that `read_settings` reads, files included, in a fixed order. Never raises."""
    for name in sorted(_KNOWN_VARIABLES & variables.keys()):
        yield name.encode()
        yield variables[name].encode(errors="surrogateescape")
        if name in FILE_VARIABLES:
            yield content_or_error(Path(variables[name]))


def content_or_error(path: Path) -> bytes:
    """Return a file's content, or its error, for a digest. Never raises."""
    try:
        return read_file(path)
    except OSError as error:
        return f"errno {error.errno}".encode()


def read_file(path: Path) -> bytes:
    """Read a regular file of at most MAX_BYTES. Raises OSError for any other; never blocks."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a FIFO would block
    except ValueError as error:  # the path contains a NUL
        raise OSError(errno.EINVAL, str(error)) from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"more than {MAX_BYTES} bytes")
    return content
