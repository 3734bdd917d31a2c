"""Where the server's settings and values come from. Every source makes the same variables, which `settings` checks.

A store that is asked over a network (aws-sm:, azure-kv:, vault:) is one more class with the same methods, in a
module of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from secretops.access import AccessRecords, this_actor
from secretops.errors import StoreError, UsageError
from secretops.launcher.settings import ServerSettings
from secretops.launcher.source import OfVariables, Source, named, public_environment, text_of
from secretops.launcher.variables import (
    CARRIERS,
    SECRET_VARIABLES,
    VERSION_VARIABLES,
)
from secretops.stores import env_file, files, lacking
from secretops.stores.env_file import version_variable

_CARRIED = {
    "MQTT_USER": "mqtt-user",
    "MQTT_PASSWORD": "mqtt-password",  # nosec B105 - a file's name
    "DO_AGENT_API_KEY": "api-key",
    "MCP_HTTP_TOKEN": "http-token",  # nosec B105 - a file's name
}
_NAMED = {"MQTT_CA_CERT": "ca.crt", "MQTT_CLIENT_CERT": "client.crt", "MQTT_CLIENT_KEY": "client.key"}
"""Variable -> the file in a mounted folder that holds its value, or that it names."""


class EnvFile(OfVariables):
    """`file:<path>`: a .env, and the files that its variables name."""

    def __init__(self, place: str) -> None:
        self._path = Path(place).expanduser()
        self.where = str(self._path)

    def variables(self) -> Mapping[str, str]:
        remedy = "run `pulumi up` to write it, or name another place with --from"
        text = text_of(self._path, remedy, env_file.MOST_BYTES)
        return {name: value for name, value in env_file.values(text).items() if value is not None}

    def folders(self) -> frozenset[Path]:
        return super().folders() | {self._path.parent}


class DotenvStore(EnvFile):
    """`dotenv:<root>`: the folder of the dotenv store. What is read is on record before it is used."""

    def __init__(self, place: str) -> None:
        self._root = Path(place).expanduser()
        super().__init__(str(self._root / "config" / ".env"))

    def variables(self) -> Mapping[str, str]:
        if self._root.is_dir():
            files.check_store(self._root)
        files.read(self._path)  # refuses a link
        return super().variables()

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


class Environment(OfVariables):
    """`env:`: this process's own variables, and the files that they name.

    A value given in a variable is taken out of `os.environ`, so that no child inherits it; what the kernel shows of
    this process's start stays. It can't change either: only the files can. A variable that says a version may have its
    text in a file, too: a Swarm gives a container files, and never another variable.
    """

    where = "the environment"

    def __init__(self, _place: str = "") -> None:
        self._variables = public_environment(*CARRIERS, "MQTT_USER")
        self._versions = named(f"{name}_FILE" for name in VERSION_VARIABLES)
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


class Files(OfVariables):
    """`files:<folder>`: one file a field, as Kubernetes and Swarm mount them. What is public is in the environment.

    A `<secret>-version` beside them says which version they are.
    """

    def __init__(self, place: str) -> None:
        self._folder = Path(place).expanduser()
        self.where = str(self._folder)
        self._public = public_environment()

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


def _json(place: str) -> Source:
    from secretops.launcher.json_source import Json

    return Json(place)


def _secrets_manager(place: str) -> Source:
    try:
        from secretops.platforms.aws.source import SecretsManager
    except ModuleNotFoundError as error:
        raise lacking(error, "aws") from None
    return SecretsManager(place)


def _key_vault(place: str) -> Source:
    try:
        from secretops.platforms.azure.source import KeyVault
    except ModuleNotFoundError as error:
        raise lacking(error, "azure") from None
    return KeyVault(place)


def _vault(place: str) -> Source:
    try:
        from secretops.platforms.vault.source import Vault
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
