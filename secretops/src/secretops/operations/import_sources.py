"""Read the variables of a server that runs without secretops, from each kind of source. Errors never quote the
source."""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from dotenv.parser import parse_stream
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from secretops.errors import UsageError
from secretops.launcher.settings import read_file
from secretops.launcher.sources import MOUNTED_FILES
from secretops.registry import with_extra
from secretops.stores import env_file

# Name of a file or of a key in a Secret -> the variable that names such a file. A Secret of type TLS has the last two.
_VARIABLES = {name: variable for variable, name in MOUNTED_FILES.items()} | {
    "tls.crt": "MQTT_CLIENT_CERT",
    "tls.key": "MQTT_CLIENT_KEY",
}

# Folders in the section "Directory Structure" of the Secret Management Guide, and folders of mounted secrets.
_FOLDERS = (".", "config", "certs", "secrets")

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")

# A reference of a compose file: $$, $NAME, or ${NAME} with a default, an alternative or an error.
_REFERENCE = re.compile(
    r"\$(?:(\$)|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-?+])([^${}]*))?\}|(.?))", re.ASCII | re.DOTALL
)

_ALIKE = "secretops must read the same value as Compose, which parses such text by other rules"
_RESOLVED = "docker compose config > FILE.yml; secretops import --from FILE.yml; rm FILE.yml, which has the values"
_READABLE = "a source must be a readable folder, or a readable file of at most 1 MiB in UTF-8"


@dataclass(frozen=True, repr=False)
class SourceEntry:
    """A variable and its text, which is hidden in repr."""

    origin: str
    name: str
    text: str
    # Reads the file that the text may name. Raises OSError.
    read_file: Callable[[str], bytes]


_Entries = Iterator[SourceEntry | UsageError]


def read_source(source: str, stdin: Callable[[], bytes], wanted: Collection[str]) -> list[SourceEntry | UsageError]:
    """Return the entries of a source, and an error for each malformed entry. `wanted` are the variables of the stack's
    secrets.

    Raises UsageError.
    """
    path = Path(source)
    if source == "-":
        return list(_kubernetes(stdin(), wanted))
    if path.is_dir():
        return list(_folder(path, wanted))
    if path.suffix in (".yml", ".yaml"):
        return list(_compose(path, wanted))
    return list(_env(path, "", path.parent))


def _env(path: Path, origin: str, folder: Path) -> _Entries:
    text, lines = _text(path), dict[str, int]()
    for binding in parse_stream(StringIO(text)):
        whole = binding.original.string
        line = binding.original.line + whole[: len(whole) - len(whole.lstrip())].count("\n")
        if binding.key and binding.value is not None:
            lines[binding.key] = line
        elif binding.key or binding.error:  # it may be a part of a value
            what, rule = f"{origin}line {line}: not NAME=VALUE", "each line must be NAME=VALUE, a comment or empty"
            yield UsageError(what, rule=rule, remedy="correct the line or its quotes", code="import-line-malformed")
    for name, value in env_file.parse(text).items():
        if name in lines:
            shown = _shown(name, f"line {lines[name]}")
            yield SourceEntry(f"{origin}{shown}", name, value or "", lambda named: read_file(folder / named))


def _shown(name: str, place: str) -> str:
    # Text that is no variable's name may be a part of a value.
    return name if _VARIABLE.fullmatch(name) else place


def _folder(folder: Path, wanted: Collection[str]) -> _Entries:
    for place in _FOLDERS:
        try:
            paths = sorted((folder / place).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _unreadable(str(folder / place), error) from None
        for path in paths:
            origin = str(path.relative_to(folder))
            # An entry's text is the file's path, so its variable ends with _FILE, even if the file is MQTT_PASSWORD.
            name = f"{path.name.upper().replace('-', '_')}_FILE"
            name = _VARIABLES.get(path.name.replace("_", "-"), name)
            if path.name == ".env":
                yield from _env(path, f"{origin}: ", path.parent)
            elif not path.name.startswith(".") and (name in wanted or path.is_file()):
                yield SourceEntry(origin, name, str(path), lambda named: read_file(Path(named)))


class _Secret(BaseModel):
    kind: Literal["Secret"]
    metadata: dict[str, Any]
    data: dict[str, str] = Field(default_factory=dict)
    # Not base64. It replaces `data`, as in the API.
    text: dict[str, str] = Field(default_factory=dict, alias="stringData")


class _Secrets(BaseModel):
    kind: Literal["List"]
    items: list[_Secret]


_KUBECTL: TypeAdapter[_Secret | _Secrets] = TypeAdapter(_Secret | _Secrets)


def _kubernetes(content: bytes, wanted: Collection[str]) -> _Entries:
    try:
        document = _KUBECTL.validate_json(content)
    except (ValidationError, RecursionError):
        what = "standard input is not a Kubernetes Secret in JSON"
        rule = "with --from -, standard input must be the output of kubectl get secret NAME -o json"
        remedy = "kubectl get secret NAME -o json | secretops import --from -"
        raise UsageError(what, rule=rule, remedy=remedy, code="import-secret-malformed") from None
    decoded: list[tuple[str, str, bytes]] = []
    for secret in document.items if isinstance(document, _Secrets) else [document]:
        for key, text in (secret.data | secret.text).items():
            name = secret.metadata.get("name")
            origin = f"{name}: {key}"
            try:
                content = text.encode() if key in secret.text else base64.b64decode(text, validate=True)
                decoded.append((origin, key, content))
            except binascii.Error:
                what, rule = f"{origin}: not base64", "the data of a Kubernetes Secret must be base64"
                remedy = "write the value of this key as base64"
                yield UsageError(what, rule=rule, remedy=remedy, code="import-base64-malformed")

    def read(path: str) -> bytes:
        # The path is inside the container. Any of the Secrets may have the key with the name of that file.
        found = {content: origin for origin, key, content in decoded if key == PurePosixPath(path).name}
        if not found:
            raise OSError(errno.ENOENT, "no key of the Secret has this file's name")
        if len(found) > 1:
            raise ambiguous("the file that an entry names", found.values())
        return next(iter(found))

    for origin, key, content in decoded:
        if variable := _VARIABLES.get(key.replace("_", "-")):
            yield SourceEntry(origin, variable, key, partial(_same, content))
            continue
        try:
            yield SourceEntry(origin, key, content.decode(), read)
        except UnicodeDecodeError:
            yield not_text(origin) if key in wanted else SourceEntry(origin, key, "binary", read)


def _same(content: bytes, _: str) -> bytes:
    return content


class _EnvFile(BaseModel):
    path: str
    format: str = ""
    required: bool = True


class _Mount(BaseModel):
    type: str = ""
    source: str = ""
    target: str = ""


class _Service(BaseModel):
    environment: dict[str, str | None] | list[str] = Field(default_factory=dict)
    env_file: str | list[str | _EnvFile] = Field(default_factory=list)
    secrets: list[str | _Mount] = Field(default_factory=list)
    volumes: list[str | _Mount] = Field(default_factory=list)
    extends: Any = None


class _SecretFile(BaseModel):
    file: str | None = None
    environment: str | None = None


class _Project(BaseModel):
    services: dict[str, _Service]
    secrets: dict[str, _SecretFile | None] = Field(default_factory=dict)


def _compose(path: Path, wanted: Collection[str]) -> _Entries:
    project = _parse_compose(path)
    compose = _Compose(path.parent, project, wanted)
    found = {name: list(compose.entries(service)) for name, service in project.services.items()}
    chosen = [
        name
        for name, entries in found.items()
        if any(isinstance(one, SourceEntry) and one.name in wanted for one in entries)
    ]
    if len(chosen) != 1:
        what = f"{path}: no service sets a variable of the server's secrets"
        if services := " and ".join(chosen):
            what = f"{path}: the services {services} set variables of the server's secrets"
        rule = f"exactly one service must set variables of the server's secrets: {', '.join(wanted)}"
        remedy = "import a copy of the file in which only the server's service sets these variables"
        raise UsageError(what, rule=rule, remedy=remedy, code="import-service-unclear")
    if project.services[chosen[0]].extends:
        service = chosen[0]
        what, rule = f"service {service} extends another service", "the file must contain the whole service"
        remedy = (
            f"docker compose -f {path} config > FILE.yml; secretops import --from FILE.yml; rm FILE.yml, which has the "
            "values"
        )
        yield UsageError(what, rule=rule, remedy=remedy, code="import-service-extended")
    yield from found[chosen[0]]


def _parse_compose(path: Path) -> _Project:
    text, where = _text(path), ""
    with with_extra("cli"):
        import yaml

    class Loader(yaml.SafeLoader):
        # Scalars stay text: a password may look like a number.
        yaml_implicit_resolvers = {  # noqa: RUF012 - as in its base
            first: [pair for pair in pairs if pair[0].endswith((":merge", ":null"))]
            for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        return _Project.model_validate(yaml.load(text, Loader))  # noqa: S506 # nosec B506 - a SafeLoader
    except ValidationError as error:
        known = (*_Project.model_fields, *_Service.model_fields)  # another key may be a part of a value
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"] if part in known)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else ""
    except RecursionError:
        pass
    part = where or "nesting"
    what = f"{path}: {part} is not valid in a compose file"
    rule = "the file must follow the Compose specification"
    remedy = f"docker compose -f {path} config --quiet shows the error"
    raise UsageError(what, rule=rule, remedy=remedy, code="import-compose-malformed")


class _Compose:
    def __init__(self, folder: Path, project: _Project, wanted: Collection[str]) -> None:
        self._folder, self._secrets, self._wanted = folder, project.secrets, wanted
        own = _text(folder / ".env") if (folder / ".env").is_file() else ""
        self._variables = {name: text or "" for name, text in env_file.parse(own).items()} | os.environ
        self._unclear = _unclear(own) - os.environ.keys()

    def entries(self, service: _Service) -> _Entries:
        read = partial(self._read, service)
        listed = service.environment
        # A name alone passes a variable of the shell.
        parts = [] if isinstance(listed, dict) else [line.partition("=") for line in listed]
        pairs = listed if isinstance(listed, dict) else {name: text if sign else None for name, sign, text in parts}
        for named in [service.env_file] if isinstance(service.env_file, str) else service.env_file:
            for entry in self._env_file(_EnvFile(path=named) if isinstance(named, str) else named, pairs):
                yield entry if isinstance(entry, UsageError) else replace(entry, read_file=read)
        for number, (name, text) in enumerate(pairs.items(), 1):
            origin = f"environment: {_shown(name, f'entry {number}')}"
            try:
                value = self._variable(name) or "" if text is None else self._resolve(text)
                yield SourceEntry(origin, name, value, read)
            except OSError as error:
                what, rule = f"{origin}: {error.strerror}", "a reference must be $NAME or ${NAME…}"
                remedy = f"if the $ belongs to the value, write $$; for another reference: {_RESOLVED}"
                yield UsageError(what, rule=rule, remedy=remedy, code="import-reference-malformed")
            except UsageError as error:
                yield error

    def _env_file(self, named: _EnvFile, replaced: Collection[str]) -> _Entries:
        try:
            path = self._folder / self._resolve(named.path)
            if not named.required and not path.exists():
                return
            unclear = _unclear(_text(path))
            for entry in _env(path, f"{path.name}: ", path.parent):
                if isinstance(entry, SourceEntry):
                    if entry.name in replaced:
                        continue
                    if entry.name in self._wanted and (named.format or entry.name in unclear):
                        why = "env_file sets a format" if named.format else "the value has a $ or a backslash"
                        what = f"{entry.origin}: {why}"
                        yield UsageError(what, rule=_ALIKE, remedy=_RESOLVED, code="import-value-unclear")
                yield entry
        except OSError as error:
            what = f"env_file {named.path}: {error.strerror}"
            rule = "env_file must name a readable file, and a reference in the name must be $NAME or ${NAME…}"
            remedy = f"correct env_file; or: {_RESOLVED}"
            yield UsageError(what, rule=rule, remedy=remedy, code="import-source-unreadable")
        except UsageError as error:
            yield error

    def _variable(self, name: str) -> str | None:
        if name in self._unclear:
            what = f".env: {_shown(name, 'a variable')}: the value has a $ or a backslash"
            raise UsageError(what, rule=_ALIKE, remedy=_RESOLVED, code="import-value-unclear")
        return self._variables.get(name)

    def _resolve(self, text: str) -> str:
        return _REFERENCE.sub(self._replace, text)

    def _replace(self, found: re.Match[str]) -> str:
        dollar, bare, name, operator, other, unknown = found.groups()
        if unknown is not None:
            raise OSError(errno.EINVAL, "a reference in an unknown form")
        if dollar:
            return "$"
        value = self._variable(bare or name)
        is_set = bool(value) if operator and operator.startswith(":") else value is not None
        if operator and operator.endswith("+"):
            return str(other) if is_set else ""
        return value or "" if is_set or not operator or operator.endswith("?") else str(other)

    def _read(self, service: _Service, named: str) -> bytes:
        # The path is inside the container, in a secret or a bind mount of the service.
        for one in service.secrets:
            mount = _Mount(source=one) if isinstance(one, str) else one
            if PurePosixPath("/run/secrets", mount.target or mount.source) == PurePosixPath(named):
                return self._read_secret(self._secrets.get(mount.source))
        for volume in service.volumes:
            mount = volume if isinstance(volume, _Mount) else _mount(self._resolve(volume))
            if mount.type == "bind" and PurePosixPath(named).is_relative_to(mount.target):
                inside = PurePosixPath(named).relative_to(mount.target)
                return read_file(self._folder / Path(self._resolve(mount.source)).expanduser() / inside)
        raise OSError(errno.ENOENT, "no secret or bind mount of the service has this file")

    def _read_secret(self, secret: _SecretFile | None) -> bytes:
        if secret and secret.file:
            return read_file(self._folder / self._resolve(secret.file))
        if secret and secret.environment and (text := self._variable(secret.environment)) is not None:
            return text.encode()
        raise OSError(errno.ENOENT, "an external secret, which Docker never returns")


def _unclear(text: str) -> set[str]:
    # Compose interpolates $NAME, and its escape sequences differ from python-dotenv's.
    return {one.key for one in parse_stream(StringIO(text)) if one.key and re.search(r"[$\\]", one.original.string)}


def _mount(short: str) -> _Mount:
    # SOURCE:TARGET[:OPTIONS]. A source that is no path is a volume of Docker.
    source, _, rest = short.partition(":")
    return _Mount(
        type="bind" if source[:1] in ("/", ".", "~") else "volume", source=source, target=rest.partition(":")[0]
    )


def _text(path: Path) -> str:
    try:
        return read_file(path).decode()
    except OSError as error:
        raise _unreadable(str(path), error) from None
    except UnicodeDecodeError:
        raise not_text(str(path)) from None


def _unreadable(where: str, error: OSError) -> UsageError:
    remedy = "correct the path, or run the command as the account that runs the server"
    return UsageError(f"{where}: {error.strerror}", rule=_READABLE, remedy=remedy, code="import-source-unreadable")


def ambiguous(where: str, origins: Iterable[str]) -> UsageError:
    places = " and ".join(origins)
    what, rule = f"{where}: different values in {places}", "a field must have one value"
    return UsageError(
        what, rule=rule, remedy="import a copy of the source with only the right value", code="import-ambiguous"
    )


def not_text(origin: str) -> UsageError:
    rule = "a source and its values must be UTF-8 text"
    return UsageError(f"{origin}: not UTF-8", rule=rule, remedy="write the text as UTF-8", code="import-not-text")
