"""The sources on this machine, and `open_source`, which finds a source by its scheme.

Every source makes the same variables, which `settings` checks. A platform's source is in its folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from secretops import registry
from secretops.errors import UsageError
from secretops.formats import version_variable
from secretops.launcher.settings import (
    SECRET_VARIABLES,
    VALUE_FILE_VARIABLES,
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
    public_settings,
    read_text,
)
from secretops.stores import env_file

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
        text = read_text(self._path, remedy, env_file.MOST_BYTES)
        return {name: value for name, value in env_file.parse(text).items() if value is not None}

    def folders(self) -> frozenset[Path]:
        return super().folders() | {self._path.parent}


class Environment(EnvSource):
    """`env:`: this process's own variables, and the files that they name.

    A secret variable is removed from `os.environ`, so that no child inherits it. A version may also be in a file that
    `<variable>_FILE` names: a Swarm gives a running container files only.
    """

    where = "the environment"

    def __init__(self, _place: str = "") -> None:
        self._variables = public_settings(*VALUE_FILE_VARIABLES, "MQTT_USER")
        self._version_files = environment(f"{name}_FILE" for name in VERSION_VARIABLES)
        for name in SECRET_VARIABLES:
            if value := os.environ.pop(name, None):
                self._variables[name] = value

    def variables(self) -> Mapping[str, str]:
        return self._variables | {
            name.removesuffix("_FILE"): read_text(Path(path), "mount it again").strip()
            for name, path in self._version_files.items()
            if Path(path).exists()  # it arrives with the first value
        }

    def may_arrive(self, variable: str) -> bool:
        return f"{variable}_FILE" in self._variables


class Files(EnvSource):
    """`files:<folder>`: a file per field, as Kubernetes and Swarm mount them. Public settings are in the environment.

    A file `<secret>-version` has the secret's version.
    """

    def __init__(self, place: str) -> None:
        self._folder = Path(place).expanduser()
        self.where = str(self._folder)
        self._public = public_settings()

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
                found[version_variable(secret)] = read_text(path, "write it again").strip()
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
        return JsonDocument.model_validate_json(read_text(path, "write it, or name another place with --from"))
    except ValidationError as error:
        raise UsageError(
            f"{path}: not as it should be: {invalid_fields(error)}",
            rule='one JSON object of secrets and all their fields, {"mqtt": {"username": …, "password": …}, …}; '
            "each field is a text that is not empty",
            remedy="write it again, whole",
        ) from None


# Scheme -> what follows it, and the class. The registry has those of platforms.
SOURCES: dict[str, tuple[str, Callable[[str], Source]]] = {
    "file": ("<path of a .env>", EnvFile),
    "files": ("<folder with one file a field>", Files),
    "json": ("<path of a JSON document, or of a folder of them>", Json),
    "env": ("", Environment),
}


def open_source(text: str) -> Source:
    """Return the source that `text`, a --from, names. Reads only the environment. Raises UsageError."""
    scheme, colon, place = text.partition(":")
    if colon and scheme in SOURCES and bool(place) is bool(SOURCES[scheme][0]):
        return SOURCES[scheme][1](place)
    of_platforms = registry.sources()
    if place and scheme in of_platforms:
        found: Source = registry.find_source(scheme).open_source(place)
        return found
    forms = of_platforms | {scheme: form for scheme, (form, _) in SOURCES.items()}
    known = ", ".join(f"{scheme}:{form}" for scheme, form in forms.items())
    raise UsageError(
        f"--from {text!r}",
        rule=f"the server's settings and values come from one of {known}",
        remedy="name one of them, for example --from dotenv:/etc/coreflux-mcp",
    )
