"""Where the server's settings and values come from. Every source makes the same variables, which `settings` checks.

The source of a platform is a class with the same methods in the platform's folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from secretops import registry
from secretops.errors import UsageError
from secretops.forms import version_variable
from secretops.launcher.source import OfVariables, Source, named, public_environment, text_of
from secretops.launcher.variables import (
    CARRIERS,
    SECRET_VARIABLES,
    VERSION_VARIABLES,
)
from secretops.stores import env_file

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


SOURCES: dict[str, tuple[str, Callable[[str], Source]]] = {
    "file": ("<path of a .env>", EnvFile),
    "files": ("<folder with one file a field>", Files),
    "json": ("<path of a JSON document, or of a folder of them>", _json),
    "env": ("", Environment),
}
"""scheme -> what follows it, and the class. The registry has those of platforms."""


def open_source(text: str) -> Source:
    """The source called `text`, a --from. Reads nothing yet, except the environment. Raises UsageError."""
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
