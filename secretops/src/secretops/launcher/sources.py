"""The sources on this machine, and `open_source`, which finds a source by its scheme.

Every source makes the same variables, which `settings` checks. A platform's source (aws-sm:, azure-kv:, vault:) is in
the platform's folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from secretops.access import AccessRecords, this_actor
from secretops.errors import StoreError, UsageError
from secretops.launcher.settings import (
    CARRIERS,
    SECRET_VARIABLES,
    VARIABLES_OF,
    VERSION_VARIABLES,
    NotYetError,
    ServerSettings,
)
from secretops.launcher.source import (
    DocumentSource,
    EnvSource,
    JsonDocument,
    Source,
    environment,
    invalid_fields,
    public_environment,
    text_of,
)
from secretops.stores import env_file, files, lacking
from secretops.stores.delivery import version_variable

# Variable -> the file of a mounted folder that has its value, or that the variable names.
_VALUE_FILES = {
    "MQTT_USER": "mqtt-user",
    "MQTT_PASSWORD": "mqtt-password",  # nosec B105 - a file's name
    "DO_AGENT_API_KEY": "api-key",
    "MCP_HTTP_TOKEN": "http-token",  # nosec B105 - a file's name
}
_NAMED_FILES = {"MQTT_CA_CERT": "ca.crt", "MQTT_CLIENT_CERT": "client.crt", "MQTT_CLIENT_KEY": "client.key"}


class EnvFile(EnvSource):
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
    """`dotenv:<root>`: the folder of the dotenv store. Each read is recorded before a value is used."""

    def __init__(self, place: str) -> None:
        self._root = Path(place).expanduser()
        super().__init__(str(self._root / "config" / ".env"))

    def variables(self) -> Mapping[str, str]:
        if self._root.is_dir():
            files.check_store(self._root)
        files.read(self._path)  # rejects a link
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


class Environment(EnvSource):
    """`env:`: this process's own variables, and the files that they name.

    A secret variable is removed from `os.environ`, so that no child inherits it. A version may also be in a file that
    `<variable>_FILE` names: a Swarm gives a running container files only.
    """

    where = "the environment"

    def __init__(self, _place: str = "") -> None:
        self._variables = public_environment(*CARRIERS, "MQTT_USER")
        self._version_files = environment(f"{name}_FILE" for name in VERSION_VARIABLES)
        for name in SECRET_VARIABLES:
            if value := os.environ.pop(name, None):
                self._variables[name] = value

    def variables(self) -> Mapping[str, str]:
        return self._variables | {
            name.removesuffix("_FILE"): text_of(Path(path), "mount it again").strip()
            for name, path in self._version_files.items()
            if Path(path).exists()  # it arrives with the first value
        }

    def may_bring(self, variable: str) -> bool:
        return f"{variable}_FILE" in self._variables


class Files(EnvSource):
    """`files:<folder>`: a file per field, as Kubernetes and Swarm mount them. Public settings are in the environment.

    A file `<secret>-version` has the secret's version.
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

        wanted = {f"{variable}_FILE": name for variable, name in _VALUE_FILES.items()} | _NAMED_FILES
        found = self._public | {variable: str(path) for variable, name in wanted.items() if (path := file(name))}
        if "MQTT_CA_CERT" in found:  # a mounted CA means TLS
            found.setdefault("MQTT_USE_TLS", "true")
        for secret in VARIABLES_OF:
            if path := file(f"{secret}-version"):
                found[version_variable(secret)] = text_of(path, "write it again").strip()
        return found

    def folders(self) -> frozenset[Path]:
        return super().folders() | {self._folder}


class Json(DocumentSource):
    """`json:<path>`: {"mqtt": {"username": …, "password": …}, "agent-key": {"api-key": …}, "client-cert": {…}}.

    Each secret may have a "version". In a folder, all *.json together are the document, with each secret in one file:
    Vault's agent writes them one after the other. A place that ends with a slash is a folder, even before it exists.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self._path, self._is_folder = Path(place).expanduser(), place.endswith("/")
        self.where = str(self._path)

    def read(self) -> ServerSettings:
        try:
            return super().read()
        except NotYetError as error:
            if self._path.exists():
                raise
            raise NotYetError(
                f"{error}\n{self._path}: nobody has laid this folder there yet\n"
                "-> In a pod the agent's injector does: is it in the cluster, and did it see the pod being made?",
                secrets=error.secrets,
                http_token=error.http_token,
            ) from None

    def variables(self) -> Mapping[str, str]:
        found: dict[str, Path] = {}
        whole: dict[str, object] = {}
        for path in self._files():
            document = _document(path).model_dump(by_alias=True, exclude_unset=True)
            if twice := sorted(found.keys() & document.keys()):
                raise UsageError(
                    f"{path}: {', '.join(twice)} stands in {found[twice[0]].name}, too",
                    rule="each secret is in one file of the folder",
                    remedy="take it out of one of them",
                )
            found |= dict.fromkeys(document, path)
            whole |= document
        return self.variables_of(JsonDocument.model_validate(whole))

    def folders(self) -> frozenset[Path]:
        return frozenset({self._path if self._is_folder or self._path.is_dir() else self._path.parent})

    def _files(self) -> list[Path]:
        """Return the file, or the folder's files that are not being written under a temporary name."""
        if not self._is_folder and not self._path.is_dir():
            return [self._path]
        try:
            return sorted(
                path for path in self._path.iterdir() if path.suffix == ".json" and not path.name.startswith(".")
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UsageError(
                f"{self._path}: {error.strerror}",
                rule="the account that runs the server reads the files of this folder",
                remedy="run the server as the folder's owner",
            ) from None


def _document(path: Path) -> JsonDocument:
    try:
        return JsonDocument.model_validate_json(text_of(path, "write it, or name another place with --from"))
    except ValidationError as error:
        raise UsageError(
            f"{path}: not as it should be: {invalid_fields(error)}",
            rule='one JSON object of secrets and all their fields, {"mqtt": {"username": …, "password": …}, …}; '
            "each field is a text that is not empty",
            remedy="write it again, whole",
        ) from None


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
    "json": ("<path of a JSON document, or of a folder of them>", Json),
    "env": ("", Environment),
    "aws-sm": ("<region>/<start of the names>/<secret>[+<secret>…]", _secrets_manager),
    "azure-kv": ("<vault's host>/<secret>[+<secret>…]", _key_vault),
    "vault": ("<host>[:<port>]/<mount>/data/<secret>[+<secret>…][,<option>…]", _vault),
}
"""scheme -> what follows it, and the class."""


def open_source(text: str) -> Source:
    """Return the source that `text`, a --from, names. Reads only the environment. Raises UsageError."""
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
