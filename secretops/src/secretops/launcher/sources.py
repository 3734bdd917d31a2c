"""Sources of the launcher's variables, which `settings` parses."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from secretops import registry
from secretops.errors import SecretopsError, UsageError
from secretops.formats import version_variable
from secretops.launcher import settings
from secretops.launcher.settings import FIELDS, MAX_BYTES, NotYetError, ServerSettings
from secretops.redaction import remember
from secretops.stores import env_file, files

# Secrets by their names and fields in the manifest. A secret without a value is absent or empty.
Document = Mapping[str, Mapping[str, str]]

# Fields that a secret may lack, and the field with the id of its version.
_OPTIONAL, _VERSION = frozenset({"ca.crt"}), "version"

_SURROGATE = re.compile("[\ud800-\udfff]")

# Variable that names a file -> the file's name in a mounted folder.
MOUNTED_FILES = {
    "MQTT_USER_FILE": "mqtt-user",
    "MQTT_PASSWORD_FILE": "mqtt-password",  # nosec B105 - name of a file
    "DO_AGENT_API_KEY_FILE": "api-key",
    "MCP_HTTP_TOKEN_FILE": "http-token",  # nosec B105 - name of a file
    **{variable: field for field, variable in FIELDS["client-cert"].items()},
}


class Source:
    """Base class of sources. A subclass implements `variables`."""

    where: str
    _read_at = 0.0

    def variables(self) -> Mapping[str, str]:
        raise NotImplementedError

    def read(self) -> ServerSettings:
        """Return settings. Raises UsageError with all mistakes, NotYetError if only values are missing, StoreError if
        the access cannot be recorded."""
        return settings.read_settings(self.variables(), self.where)

    def fingerprint(self) -> str:
        """Return a text that changes with the result of `read`. Comparable within this process only; never raises."""
        try:
            found = settings.fingerprint_inputs(self.variables())
        except SecretopsError as error:
            return settings.keyed_digest([b"unreadable", str(error).encode()]).hex()
        self._read_at = time.time()
        return settings.keyed_digest(found).hex()

    def read_at(self) -> float:
        """Return when the last read succeeded, in seconds since 1970, or 0."""
        return self._read_at

    def folders(self) -> frozenset[Path]:
        """Return folders to watch; none for a source that is only polled. Never raises."""
        try:
            found = self.variables()
        except SecretopsError:
            return frozenset()
        return frozenset(Path(found[name]).parent for name in settings.FILE_VARIABLES if found.get(name))

    def may_arrive(self, variable: str) -> bool:  # noqa: ARG002 - a subclass may distinguish them
        return True


class EnvFile(Source):
    """`file:<path>`: a .env file, and the files that its variables name."""

    def __init__(self, place: str) -> None:
        self._path = Path(place).expanduser()
        self.where = str(self._path)

    def variables(self) -> Mapping[str, str]:
        text = read_text(
            self._path, "write the file (pulumi up for a dotenv store), or change --from", env_file.MOST_BYTES
        )
        return {name: value for name, value in env_file.parse(text).items() if value is not None}

    def folders(self) -> frozenset[Path]:
        return super().folders() | {self._path.parent}


class Environment(Source):
    """`env:`: this process's variables, and the files that they name.

    Removes secret variables from `os.environ`, so that no child inherits them. SECRETOPS_VERSION_*_FILE may name a file
    with the version's id: in a running container of a Swarm, files can change, but variables cannot.
    """

    where = "the environment"

    def __init__(self, _place: str = "") -> None:
        self._variables = public_settings(*settings.VALUE_FILE_VARIABLES, "MQTT_USER")
        self._version_files = _environment(f"{name}_FILE" for name in settings.VERSION_VARIABLES)
        for name in settings.SECRET_VARIABLES:
            if value := os.environ.pop(name, None):
                self._variables[name] = value

    def variables(self) -> Mapping[str, str]:
        return self._variables | {
            name.removesuffix("_FILE"): read_text(Path(path), "mount the file again").strip()
            for name, path in self._version_files.items()
            if Path(path).exists()  # the file appears with the first value
        }

    def may_arrive(self, variable: str) -> bool:
        return f"{variable}_FILE" in self._variables


class Files(Source):
    """`files:<folder>`: a file for each field, and `<secret>-version`, as Kubernetes and Swarm mount them."""

    def __init__(self, place: str) -> None:
        self._folder = Path(place).expanduser()
        self.where = str(self._folder)
        self._public = public_settings()

    def variables(self) -> Mapping[str, str]:
        try:
            present = {path.name for path in self._folder.iterdir()}
        except OSError as error:
            remedy = "check that the secret is mounted there, and the owner and mode of the folder; or change --from"
            raise unreadable(self._folder, error, "the folder", remedy) from None

        def file(name: str) -> Path | None:
            return next((self._folder / each for each in (name, name.replace("-", "_")) if each in present), None)

        named = {variable: str(path) for variable, name in MOUNTED_FILES.items() if (path := file(name))}
        found = self._public | named
        if "MQTT_CA_CERT" in found:  # use TLS if a CA is mounted
            found.setdefault("MQTT_USE_TLS", "true")
        for secret in FIELDS:
            if path := file(f"{secret}-version"):
                found[version_variable(secret)] = read_text(path, "write the file again").strip()
        return found

    def folders(self) -> frozenset[Path]:
        return super().folders() | {self._folder}


class DocumentSource(Source):
    """Base of sources that read all values as one Document. Public settings come from the environment."""

    def __init__(self) -> None:
        self._public = public_settings()
        self._pem: Path | None = None

    def variables_of(self, document: Document) -> Mapping[str, str]:
        """Return environment variables with the values of `document`.

        Writes PEM to private files, because Python's ssl reads keys only from files.
        """
        found = dict(self._public)
        for secret, fields in FIELDS.items():
            values = document.get(secret, {})
            found[version_variable(secret)] = values.get(_VERSION, "")
            for field, variable in fields.items():
                text = values.get(field, "")
                if variable not in settings.CERTIFICATE_VARIABLES:
                    found[variable] = text
                elif text and not (field == "ca.crt" and variable in self._public):  # may be old
                    found[variable] = str(self._write_pem(variable, text))
        # Other values become a `Value`, which registers them for redaction; the key would only be written to a file.
        remember(document.get("client-cert", {}).get("client.key", ""))
        if "MQTT_CA_CERT" in found:
            found.setdefault("MQTT_USE_TLS", "true")
        return {name: text for name, text in found.items() if text}

    def _write_pem(self, name: str, text: str) -> Path:
        if self._pem is None:
            self._pem = files.private_folder()
        path = self._pem / name
        if not path.exists() or path.read_text() != text:
            files.write(path, text.encode(), files.PRIVATE)
        return path


class Json(DocumentSource):
    """`json:<path>`: {"mqtt": {"username": …, "password": …, "version": …}, "agent-key": {"api-key": …}, …}.

    The *.json files of a folder together form a document, with one file per secret, as Vault's agent writes them. A
    path that ends with a slash is a folder, even before it exists.
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
                f"{self._path} does not exist yet",
                rule=f"{error}\nVault's agent injector must mount this file into the pod",
                remedy="read the injector's log: kubectl logs -A -l app.kubernetes.io/name=vault-agent-injector",
                code="injected-file-missing",
                secrets=error.secrets,
                http_token=error.http_token,
            ) from None

    def variables(self) -> Mapping[str, str]:
        found: dict[str, Path] = {}
        document: dict[str, Mapping[str, str]] = {}
        for path in self._files():
            part = _read_document(path)
            if twice := sorted(found.keys() & part.keys()):
                secret, other = twice[0], found[twice[0]].name
                raise UsageError(
                    f"{path}: secret {secret} is also in {other}",
                    rule="a secret must be in only one file of the folder",
                    remedy="remove the secret from one of the two files",
                    code="document-secret-duplicate",
                )
            found |= dict.fromkeys(part, path)
            document |= part
        return self.variables_of(document)

    def folders(self) -> frozenset[Path]:
        return frozenset({self._path if self._is_folder or self._path.is_dir() else self._path.parent})

    def _files(self) -> list[Path]:
        if not self._is_folder and not self._path.is_dir():
            return [self._path]
        try:
            return sorted(
                path for path in self._path.iterdir() if path.suffix == ".json" and not path.name.startswith(".")
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unreadable(self._path, error, "the folder", "run the server as the folder's owner") from None


def _read_document(path: Path) -> Document:
    try:
        return check_document(json.loads(read_text(path, "write the file, or change --from")))
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, InvalidDocumentError) else "not JSON"
        raise UsageError(
            f"{path}: {reason}",
            rule='the file must be a JSON object of secrets and fields: {"mqtt": {"username": …, "password": …}, …}',
            remedy=f"correct {path}",
            code="document-invalid",
        ) from None


class InvalidDocumentError(ValueError):
    """A document has invalid parts. The message names them, but not their contents."""


def check_document(document: Any) -> Document:
    if not isinstance(document, dict):
        raise InvalidDocumentError("not an object")
    if invalid := [part for secret, fields in document.items() for part in _invalid_parts(secret, fields)]:
        raise InvalidDocumentError(f"missing, empty, unknown or not a string: {', '.join(invalid)}")
    return document


def _invalid_parts(secret: str, fields: Any) -> Iterator[str]:
    if secret not in FIELDS or not isinstance(fields, dict):
        yield secret
        return
    for field, text in fields.items():
        is_text = isinstance(text, str) and not _SURROGATE.search(text)
        if field not in (*FIELDS[secret], _VERSION) or not is_text or not (text or field == _VERSION):
            yield f"{secret}.{field}"
    required = FIELDS[secret].keys() - _OPTIONAL
    if required & fields.keys() or fields.keys() == {_VERSION}:
        yield from (f"{secret}.{field}" for field in sorted(required - fields.keys()))


def public_settings(*more: str) -> dict[str, str]:
    """Return the environment's public settings, and MQTT_USER only if `more` names it.

    Call it when a source is opened: the later import of upstream changes these variables.
    """
    return _environment({*settings.PUBLIC_VARIABLES, *settings.OWN_VARIABLES, *more} - ({"MQTT_USER"} - set(more)))


def _environment(names: Iterable[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def read_text(path: Path, remedy: str, most: int = MAX_BYTES) -> str:
    """Read a file of at most `most` bytes. Raises UsageError."""
    try:
        return env_file.decode(path, settings.read_file(path), UsageError, most)
    except FileNotFoundError:
        rule = "the file with the server's settings must exist"
        raise UsageError(f"{path} does not exist", rule=rule, remedy=remedy, code="source-missing") from None
    except OSError as error:
        what = f"the file, which may have at most {MAX_BYTES} bytes"
        raise unreadable(path, error, what, "run the server as the file's owner, or change --from") from error


def unreadable(path: Path, error: OSError, what: str, remedy: str) -> UsageError:
    rule = f"the account that runs the server must be able to read {what}"
    return UsageError(f"{path}: {error.strerror}", rule=rule, remedy=remedy, code="source-unreadable")


# Scheme of a --from argument -> the format of what follows the colon, and the class. The registry has the schemes of
# platforms.
SOURCES: dict[str, tuple[str, Callable[[str], Source]]] = {
    "file": ("<path of a .env>", EnvFile),
    "files": ("<folder with a file for each field>", Files),
    "json": ("<path of a JSON document, or of a folder of them>", Json),
    "env": ("", Environment),
}


def open_source(text: str) -> Source:
    """Open the source of a --from argument. Reads only the environment. Raises UsageError."""
    scheme, colon, place = text.partition(":")
    if colon and scheme in SOURCES and bool(place) is bool(SOURCES[scheme][0]):
        return SOURCES[scheme][1](place)
    of_platforms = registry.sources()
    if place and scheme in of_platforms:
        found: Source = registry.find_source(scheme).open_source(place)
        return found
    forms = of_platforms | {scheme: form for scheme, (form, _) in SOURCES.items()}
    raise UsageError(
        f"--from {text!r} is not a source",
        rule=f"a source must be one of {', '.join(f'{scheme}:{form}' for scheme, form in forms.items())}",
        remedy="for example: --from dotenv:/etc/coreflux-mcp",
        code="source-unknown",
    )
