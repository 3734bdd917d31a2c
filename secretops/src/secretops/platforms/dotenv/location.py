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


# Public settings of the server, which only the stack sets.
_SETTINGS = frozenset(
    {"MQTT_BROKER", "MQTT_PORT", "MQTT_USE_TLS", "MQTT_PROTOCOL", "MQTT_CLIENT_ID"}
    | {"DO_AGENT_URL", "LOG_LEVEL", "LOT_VERIFIER_API_URL", "COREFLUX_SERVER_DIR"}
)


def _check_root(text: str) -> str:
    if check_path(text).count("/") <= 1:
        raise refused("the store must have its own folder, not one directly below /")
    return text


def _check_variable(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,127}", name, re.ASCII):
        raise refused("a variable's name must be capital letters, digits and underscores, and start with a letter")
    if name in _SETTINGS or formats.is_reserved_variable(name):
        raise refused("a secret must not use a variable that the system, a library or a client reads")
    return name


RootFolder = Annotated[str, AfterValidator(_check_root)]
Variable = Annotated[str, AfterValidator(_check_variable)]

# The only variables that `pulumi up` writes to config/.env (components/core/broker.py).
PublicVariable = Annotated[
    str, Field(pattern=r"^(MQTT_BROKER|MQTT_PORT|MQTT_USE_TLS|MQTT_PROTOCOL|MQTT_CA_CERT|DO_AGENT_URL|LOG_LEVEL)$")
]
PublicText = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]


class DotenvStoreLocation(StoreLocation):
    kind: Literal["dotenv"] = "dotenv"
    root: RootFolder
    # secret -> field -> the variable in config/.env with the value.
    variables: dict[SecretName, dict[FieldName, Variable]] = Field(default_factory=dict)
    # secret -> field -> path of the file with the value, below root. With `{version}` in the path each version has its
    # own file, which is never rewritten: config/.env gets the new path together with the secret's other variables.
    files: dict[SecretName, dict[FieldName, DeliveredFile]] = Field(default_factory=dict)
    # secret -> field -> the variable in config/.env with the file's path, e.g. MQTT_PASSWORD_FILE.
    file_variables: dict[SecretName, dict[FieldName, Variable]] = Field(default_factory=dict)
    # variable -> text: the public lines of config/.env, which `pulumi up` writes and doctor compares.
    lines: dict[PublicVariable, PublicText] = Field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(self.root)
