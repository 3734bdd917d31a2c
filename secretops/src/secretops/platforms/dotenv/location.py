"""The manifest's model of the dotenv store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from secretops import formats
from secretops.manifest.field_types import FieldName, SecretName, check_path, matching, refused
from secretops.manifest.model import StoreLocation

DeliveredFile = Annotated[
    str,
    matching(
        r"(certs|secrets)/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(\{version\})?([A-Za-z0-9_.-]{0,32})",
        "a file in certs/ or secrets/ of the store's root; {version} is the only placeholder",
    ),
]


# The server's own public settings: the stack sets them, and no secret does.
_SETTINGS = frozenset(
    {"MQTT_BROKER", "MQTT_PORT", "MQTT_USE_TLS", "MQTT_PROTOCOL", "MQTT_CLIENT_ID"}
    | {"DO_AGENT_URL", "LOG_LEVEL", "LOT_VERIFIER_API_URL", "COREFLUX_SERVER_DIR"}
)


def _check_root(text: str) -> str:
    if check_path(text).count("/") <= 1:
        raise refused("the store has a folder of its own, below a folder of the machine")
    return text


def _check_variable(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,127}", name, re.ASCII):
        raise refused("a variable's name: capital letters, digits and underscores, a letter first")
    if name in _SETTINGS or formats.is_reserved_variable(name):
        raise refused("a variable that carries a secret is none that the system, a library or a client reads")
    return name


RootFolder = Annotated[str, AfterValidator(_check_root)]
Variable = Annotated[str, AfterValidator(_check_variable)]

# The server's variables that `pulumi up` writes into config/.env (components/core/broker.py), and no other.
PublicVariable = Annotated[
    str, Field(pattern=r"^(MQTT_BROKER|MQTT_PORT|MQTT_USE_TLS|MQTT_PROTOCOL|MQTT_CA_CERT|DO_AGENT_URL|LOG_LEVEL)$")
]
PublicText = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]


class DotenvStoreLocation(StoreLocation):
    """A folder as the Secret Management Guide draws it."""

    kind: Literal["dotenv"] = "dotenv"
    root: RootFolder
    variables: dict[SecretName, dict[FieldName, Variable]] = Field(default_factory=dict)
    """secret -> field -> the variable in config/.env that carries the value."""
    files: dict[SecretName, dict[FieldName, DeliveredFile]] = Field(default_factory=dict)
    """secret -> field -> path below root of the file that carries the value. With `{version}` in its name a file is
    never rewritten: config/.env moves to the next one together with the secret's other variables, in one rename."""
    file_variables: dict[SecretName, dict[FieldName, Variable]] = Field(default_factory=dict)
    """secret -> field -> the variable in config/.env that names that file, e.g. MQTT_PASSWORD_FILE."""
    lines: dict[PublicVariable, PublicText] = Field(default_factory=dict)
    """variable -> its text: the public lines of config/.env, which `pulumi up` writes and doctor compares."""

    @property
    def folder(self) -> Path:
        return Path(self.root)
