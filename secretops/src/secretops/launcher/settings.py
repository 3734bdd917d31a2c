"""What the server runs on: variables as the Secret Management Guide has them, checked, from whatever source.

The variables are upstream's own, so that a .env works for both. Ours are MQTT_PROTOCOL, DO_AGENT_URL and
SECRETOPS_VERSION_*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from secretops.errors import SecretopsError, UsageError, WaitingError
from secretops.forms import version_variable
from secretops.launcher.variables import LOG_LEVELS, content_or_error, keyed_digest, read_file
from secretops.manifest import MqttProtocol
from secretops.targets.https import check_url
from secretops.values import Value

_PORTS = range(1, 65536)


class NotYetError(WaitingError):
    """Everything is well but for values that nobody has supplied yet. `secrets` are the names of their secrets.

    `http_token` is there if it is there: it guards what is answered meanwhile.
    """

    def __init__(self, what: str, *, secrets: tuple[str, ...], http_token: Value | None = None) -> None:
        super().__init__(what)
        self.secrets, self.http_token = secrets, http_token


@dataclass(frozen=True, kw_only=True)
class Tls:
    """The files of a TLS connection. The broker's certificate and its hostname are always checked."""

    ca_file: Path | None
    """PEM bundle that signs the broker's certificate; None trusts the system's."""
    certificate: Path | None
    key: Path | None
    digest: bytes = field(default=b"", repr=False)
    """Of the files' contents when they were read: two settings are equal only when these are."""

    @property
    def files(self) -> tuple[Path | None, Path | None, Path | None]:
        return self.ca_file, self.certificate, self.key

    def expires_at(self) -> datetime | None:
        """Until when the client's own certificate, the first of its file, is valid. None without a readable one."""
        if self.certificate is None:
            return None
        try:
            return x509.load_pem_x509_certificates(read_file(self.certificate))[0].not_valid_after_utc
        except (OSError, ValueError):
            return None


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Everything the launcher gives to the server and to its MQTT client. Values hide themselves."""

    broker: str
    port: int
    protocol: MqttProtocol
    tls: Tls | None
    client_id_prefix: str
    log_level: str
    lot_verifier_url: str | None
    mqtt: Value
    """Fields `username` and `password`."""
    agent_url: str | None = None
    """Where the agent is asked, without a path; None leaves it to the server, which knows the Coreflux Copilot's."""
    agent_key: Value | None
    """Field `api-key`; None until there is one, which only the tool request_lot_code needs."""
    http_token: Value | None = None
    """Field `token`; None where nobody is asked for one, which only loopback and stdio allow."""
    versions: Mapping[str, str]
    """secret -> id of the version in use, of every secret that was read."""

    @property
    def link(self) -> tuple[object, ...]:
        """All that a connection to the broker is made with: another one is needed only when this differs."""
        return self.broker, self.port, self.protocol, self.tls, self.client_id_prefix, self.mqtt

    def public_variables(self) -> dict[str, str]:
        """The settings that open nothing, as the variables upstream reads from its environment."""
        tls = self.tls or Tls(ca_file=None, certificate=None, key=None)
        variables = {
            "MQTT_BROKER": self.broker,
            "MQTT_PORT": str(self.port),
            "MQTT_USE_TLS": "true" if self.tls else "false",
            "MQTT_CA_CERT": tls.ca_file,
            "MQTT_CLIENT_CERT": tls.certificate,
            "MQTT_CLIENT_KEY": tls.key,
            "LOG_LEVEL": self.log_level,
            "LOT_VERIFIER_API_URL": self.lot_verifier_url,
        }
        return {name: str(value) for name, value in variables.items() if value is not None}


def read_settings(variables: Mapping[str, str], where: str) -> ServerSettings:
    """The settings that `variables` make, which came from `where`. Files that they name are read.

    Raises UsageError with every mistake at once, NotYetError when only values are missing.
    """
    return _Reading(variables, where).settings()


class _Reading:
    """One pass over a .env that collects what is wrong instead of stopping at the first mistake."""

    def __init__(self, variables: Mapping[str, str], where: str) -> None:
        self._where = where
        self._mistakes: list[SecretopsError] = []
        self._waiting: dict[str, list[SecretopsError]] = {}
        self._variables = {name: text for name, text in variables.items() if text}

    def settings(self) -> ServerSettings:
        tls = self._tls()
        user, password = self._carried("MQTT_USER"), self._carried("MQTT_PASSWORD")
        if not password:
            self._wait("MQTT_PASSWORD", "mqtt", "run `secretops tick`, which makes it and proves it")
        elif not user:
            self._mistake("MQTT_USER is missing", "a password belongs to a user", "set MQTT_USER in the same file")
        api_key, token = self._carried("DO_AGENT_API_KEY"), self._carried("MCP_HTTP_TOKEN")
        secrets = {"mqtt": password, "agent-key": api_key, "client-cert": tls and tls.key, "http-token": token}
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
                for secret, present in secrets.items()
                if present
            },
        )
        self._raise(settings.http_token)
        return settings

    def _host(self) -> str:
        host = self._variables.get("MQTT_BROKER", "")
        if not host:
            self._mistake("MQTT_BROKER is missing", "the server needs a broker", "set it to the broker's hostname")
            return host
        try:
            well_formed = not set(host) & set("/ @\t") and bool(host.encode("idna"))
        except UnicodeError:  # an empty or overlong label; paho's thread would die of it
            well_formed = False
        if not well_formed:
            self._mistake(
                f"MQTT_BROKER={host!r}", "it is a hostname or an address, not a URL", "leave out scheme, port and path"
            )
        return host

    def _agent_url(self) -> str | None:
        url = self._variables.get("DO_AGENT_URL")
        if url:
            try:
                check_url(url)
            except UsageError as error:
                self._mistake(f"DO_AGENT_URL={url!r}", error.rule, error.remedy)
        return url

    def _port(self, default: int) -> int:
        text = self._variables.get("MQTT_PORT", str(default))
        if text.isascii() and text.isdigit() and int(text) in _PORTS:
            return int(text)
        self._mistake(
            f"MQTT_PORT={text!r}", "a port is a number from 1 to 65535", "1883 is usual, 8883 with MQTT_USE_TLS=true"
        )
        return default

    def _choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        text = self._variables.get(name, default)
        for choice in allowed:
            if choice.lower() == text.lower():
                return choice
        self._mistake(f"{name}={text!r}", f"it is one of {', '.join(allowed)}", f"{default} is the default")
        return default

    def _tls(self) -> Tls | None:
        if self._choice("MQTT_USE_TLS", ("true", "false"), "false") == "false":
            return None
        tls = Tls(
            ca_file=self._file("MQTT_CA_CERT"),
            certificate=self._file("MQTT_CLIENT_CERT"),
            key=self._file("MQTT_CLIENT_KEY"),
        )
        tls = replace(tls, digest=keyed_digest(content_or_error(path) for path in tls.files if path))
        if bool(tls.certificate) != bool(tls.key):
            there, missing = ("CERT", "KEY") if tls.certificate else ("KEY", "CERT")
            self._mistake(
                f"MQTT_CLIENT_{there} is set and MQTT_CLIENT_{missing} is not",
                "a client certificate and its key come together",
                "set both or neither",
            )
        return tls

    def _file(self, name: str) -> Path | None:
        text = self._variables.get(name)
        if not text:
            return None
        path = Path(text)
        try:
            read_file(path)
        except FileNotFoundError:
            self._wait(
                f"{name}={text}",
                "client-cert",
                "supply it with `secretops put client-cert`, or correct the path",
            )
        except OSError as error:
            self._unreadable(name, text, error)
        return path

    def _carried(self, name: str) -> str | None:
        """The value of `name`, or what the file named by `name`_FILE holds but for one final newline."""
        variable = f"{name}_FILE"
        value, path = self._variables.get(name), self._variables.get(variable)
        if value and path:
            self._mistake(f"{name} and {variable} are both set", "one of them carries the value", "remove the other")
        if not path:
            return value
        try:
            return read_file(Path(path)).decode().removesuffix("\n")
        except FileNotFoundError:  # named before its first value was written
            return None
        except OSError as error:
            self._unreadable(variable, path, error)
        except UnicodeDecodeError:
            self._mistake(f"{variable}={path}: not text", "a value is UTF-8", "write the value again")
        return "unreadable"

    def _unreadable(self, name: str, path: str, error: OSError) -> None:
        self._mistake(
            f"{name}={path}: {error.strerror}",
            "it names a file that the account running the server can read",
            "correct the path, or the file's owner and mode",
        )

    def _mistake(self, what: str, rule: str, remedy: str) -> None:
        self._mistakes.append(UsageError(what, rule=rule, remedy=remedy))

    def _wait(self, what: str, secret: str, remedy: str) -> None:
        missing = WaitingError(f"{what} is not there yet", rule=f"it is part of secret {secret}", remedy=remedy)
        self._waiting.setdefault(secret, []).append(missing)

    def _raise(self, http_token: Value | None) -> None:
        if self._mistakes:
            raise UsageError(self._told(self._mistakes))
        if self._waiting:
            raise NotYetError(
                self._told([one for found in self._waiting.values() for one in found]),
                secrets=tuple(self._waiting),
                http_token=http_token,
            )

    def _told(self, findings: list[SecretopsError]) -> str:
        return "\n".join([f"{self._where}:", *map(str, findings)])
