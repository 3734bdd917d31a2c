"""Where the server's settings and values come from. Every source makes the same variables, which `settings` checks.

A store that is asked over a network (aws-sm:, azure-kv:, vault:) is one more class with the same methods, in a
module of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from secretops.access import AccessRecords, this_actor
from secretops.errors import SecretopsError, StoreError, UsageError
from secretops.launcher.json_document import JsonDocument
from secretops.launcher.settings import ServerSettings, read_settings
from secretops.launcher.variables import (
    CARRIERS,
    OWN_VARIABLES,
    PUBLIC_VARIABLES,
    SECRET_VARIABLES,
    VERSION_VARIABLES,
    folders,
    keyed_digest,
    material,
)
from secretops.stores import env_file, files, lacking
from secretops.stores.delivery import version_variable

_CARRIED = {
    "MQTT_USER": "mqtt-user",
    "MQTT_PASSWORD": "mqtt-password",  # nosec B105 - a file's name
    "DO_AGENT_API_KEY": "api-key",
    "MCP_HTTP_TOKEN": "http-token",  # nosec B105 - a file's name
}
_NAMED = {"MQTT_CA_CERT": "ca.crt", "MQTT_CLIENT_CERT": "client.crt", "MQTT_CLIENT_KEY": "client.key"}
"""Variable -> the file in a mounted folder that holds its value, or that it names."""


class Source(Protocol):
    """Where settings and values are read from, again and again."""

    def read(self) -> ServerSettings:
        """What is there now. Raises UsageError with every mistake at once, NotYetError when only values are missing,
        StoreError when the access cannot be recorded."""

    def fingerprint(self) -> str:
        """Changes when what `read` would give does. Of no use outside this process, and never logged. Never raises."""

    def folders(self) -> frozenset[Path]:
        """Where a change would be seen by watching. Empty for what can only be asked. Never raises."""

    def may_bring(self, variable: str) -> bool:
        """Whether the value of `variable`, which is missing, may still come."""


class _OfVariables:
    """What all sources on this machine share. A subclass says how the variables are found."""

    where: str

    def variables(self) -> Mapping[str, str]:
        raise NotImplementedError

    def read(self) -> ServerSettings:
        return read_settings(self.variables(), self.where)

    def may_bring(self, variable: str) -> bool:  # noqa: ARG002 - the same of all of them
        return True

    def fingerprint(self) -> str:
        try:
            return keyed_digest(material(self.variables())).hex()
        except SecretopsError as error:
            return keyed_digest([b"unreadable", str(error).encode()]).hex()

    def folders(self) -> frozenset[Path]:
        try:
            return frozenset(folders(self.variables()))
        except SecretopsError:
            return frozenset()


class EnvFile(_OfVariables):
    """`file:<path>`: a .env, and the files that its variables name."""

    def __init__(self, place: str) -> None:
        self._path = Path(place).expanduser()
        self.where = str(self._path)

    def variables(self) -> Mapping[str, str]:
        text = text_of(self._path, "run `pulumi up` to lay it down, or name another place with --from")
        return {name: value for name, value in env_file.values(text).items() if value is not None}

    def folders(self) -> frozenset[Path]:
        return super().folders() | {self._path.parent}


class DotenvStore(EnvFile):
    """`dotenv:<root>`: the folder of the dotenv store. What is read is on record before it is used."""

    def __init__(self, place: str) -> None:
        self._root = Path(place).expanduser()
        super().__init__(str(self._root / "config" / ".env"))

    def read(self) -> ServerSettings:
        settings = super().read()
        log = self._root / "log"
        try:
            log.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{log}: {error.strerror}",
                rule="every access to a secret is recorded in this folder",
                remedy="give it to the account that runs the server, then try again",
            ) from error
        records = AccessRecords(log / "access.jsonl", this_actor("server"))
        for secret, version in settings.versions.items():
            records.write("read", secret, version, "serve")
        return settings


class Environment(_OfVariables):
    """`env:`: this process's own variables, and the files that they name.

    A value given in a variable is taken out of `os.environ`, so that no child inherits it; what the kernel shows of
    this process's start stays. It can't change either: only the files can. A variable that says a version may have its
    text in a file, too: a Swarm gives a container files, and never another variable.
    """

    where = "the environment"

    def __init__(self, _place: str = "") -> None:
        self._variables = _public_environment(*CARRIERS, "MQTT_USER")
        self._versions = _named(f"{name}_FILE" for name in VERSION_VARIABLES)
        for name in SECRET_VARIABLES:
            if value := os.environ.pop(name, None):
                self._variables[name] = value

    def variables(self) -> Mapping[str, str]:
        return self._variables | dict(self._said())

    def _said(self) -> Iterator[tuple[str, str]]:
        for name, place in self._versions.items():
            path = Path(place)
            if path.exists():  # it comes with the first value
                yield name.removesuffix("_FILE"), text_of(path, "mount it again").strip()

    def may_bring(self, variable: str) -> bool:
        return f"{variable}_FILE" in self._variables


class Files(_OfVariables):
    """`files:<folder>`: one file a field, as Kubernetes and Swarm mount them. What is public is in the environment.

    A `<secret>-version` beside them says which version they are.
    """

    def __init__(self, place: str) -> None:
        self._folder = Path(place).expanduser()
        self.where = str(self._folder)
        self._public = _public_environment()

    def variables(self) -> Mapping[str, str]:
        try:
            present = {path.name for path in self._folder.iterdir()}
        except OSError as error:
            raise UsageError(
                f"{self._folder}: {error.strerror}",
                rule="the server's values are the files in this folder, and the account that runs it reads them",
                remedy="mount the secret there, or name another place with --from",
            ) from None

        def file(name: str) -> Path | None:
            return next((self._folder / each for each in (name, name.replace("-", "_")) if each in present), None)

        found = dict(self._public)
        for variable, name in _CARRIED.items():
            if path := file(name):
                found[f"{variable}_FILE"] = str(path)
        for variable, name in _NAMED.items():
            if path := file(name):
                found[variable] = str(path)
        if "MQTT_CA_CERT" in found:  # plaintext is never what somebody wants who mounts a CA
            found.setdefault("MQTT_USE_TLS", "true")
        for secret in ("mqtt", "agent-key", "client-cert", "http-token"):
            if path := file(f"{secret}-version"):
                found[version_variable(secret)] = text_of(path, "write it again").strip()
        return found

    def folders(self) -> frozenset[Path]:
        return super().folders() | {self._folder}


class OfDocument(_OfVariables):
    """What sources share that find secrets by the names and fields of the catalogue. What is public is in the
    environment."""

    def __init__(self) -> None:
        self._public = _public_environment()
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


def _json(place: str) -> Source:
    from secretops.launcher.json_source import Json

    return Json(place)


def _secrets_manager(place: str) -> Source:
    try:
        from secretops.launcher.secrets_manager import SecretsManager
    except ModuleNotFoundError as error:
        raise lacking(error, "aws") from None
    return SecretsManager(place)


def _key_vault(place: str) -> Source:
    try:
        from secretops.launcher.key_vault import KeyVault
    except ModuleNotFoundError as error:
        raise lacking(error, "azure") from None
    return KeyVault(place)


def _vault(place: str) -> Source:
    try:
        from secretops.launcher.vault import Vault
    except ModuleNotFoundError as error:
        raise lacking(error, "vault") from None
    return Vault(place)


SOURCES: dict[str, tuple[str, Callable[[str], Source]]] = {
    "dotenv": ("<folder of the store>", DotenvStore),
    "file": ("<path of a .env>", EnvFile),
    "files": ("<folder with one file a field>", Files),
    "json": ("<path of a JSON document, or of a folder of them>", _json),
    "env": ("", Environment),
    "aws-sm": ("<region>/<start of the names>/<secret>[+<secret>…]", _secrets_manager),
    "azure-kv": ("<vault's host>/<secret>[+<secret>…]", _key_vault),
    "vault": ("<host>[:<port>]/<mount>/data/<secret>[+<secret>…][,<option>…]", _vault),
}
"""scheme -> what follows it, and the class."""


def open_source(text: str) -> Source:
    """The source called `text`, a --from. Reads nothing yet, except the environment. Raises UsageError."""
    scheme, colon, place = text.partition(":")
    placeholder, make = SOURCES.get(scheme, ("", Environment))
    if scheme in SOURCES and colon and bool(place) is bool(placeholder):
        return make(place)
    known = ", ".join(f"{scheme}:{what}" for scheme, (what, _) in SOURCES.items())
    raise UsageError(
        f"--from {text!r}",
        rule=f"the server's settings and values come from one of {known}",
        remedy="name one of them, for example --from dotenv:/etc/coreflux-mcp",
    )


def _public_environment(*more: str) -> dict[str, str]:
    """Taken when a source is opened: upstream's own are set anew for its import."""
    return _named({*PUBLIC_VARIABLES, *OWN_VARIABLES, *more} - ({"MQTT_USER"} - set(more)))


def _named(names: Iterable[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def text_of(path: Path, remedy: str) -> str:
    """What stands in a file. Raises UsageError, with `remedy` where there is none."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise UsageError(
            f"{path} does not exist", rule="the server reads its settings from this file", remedy=remedy
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}",
            rule="the account that runs the server reads its settings from this file",
            remedy="run the server as the file's owner",
        ) from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text", rule="it is UTF-8", remedy="write it as UTF-8") from None
