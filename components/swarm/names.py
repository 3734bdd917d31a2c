"""Names in the Swarm. A Swarm has no namespaces, so each name starts with the stack's name."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from secretops.formats import version_variable
from secretops.launcher.settings import OWN_VARIABLES
from secretops.manifest import HTTP_TOKEN, Secret, SecretKind
from secretops.platforms.swarm.location import SWARM_INSTANCE, SwarmFile, version_file

from ..core.naming import variable_of
from ..core.secrets import variables_of

BASE = "coreflux-mcp"

# Maximum length of `base`. Of a name's 64 characters, it leaves 40 for secret, version and field after a separator.
BASE_LIMIT = 23

# Maximum number of characters of a secret's or a config's name (swarmkit, manager/controlapi).
NAME_LIMIT = 64

# Docker's folder of mounted secrets.
SECRETS_FOLDER = "/run/secrets"

# The longest version that a name can contain.
LATEST = "v9999"

# Names of files, as in the Secret Management Guide (Secret Management Tools, Docker Secrets).
_FILES = {
    SecretKind.MQTT_USER: {"username": "mqtt_user", "password": "mqtt_password"},  # nosec B105 - names of files
    SecretKind.AGENT_KEY: {"api-key": "api_key"},
    SecretKind.X509: {"ca.crt": "ca.crt", "client.crt": "client.crt", "client.key": "client.key"},
}

# Fields whose variable, such as MQTT_CLIENT_KEY, always contains a path, and therefore has no suffix _FILE.
_BY_PATH = frozenset({"ca.crt", "client.crt", "client.key"})


@dataclass(frozen=True)
class Names:
    """Names of a stack in a Swarm. `base` is also the stack's name for `docker stack deploy`."""

    base: str

    @property
    def prefix(self) -> str:
        return f"{self.base}_"

    def of(self, what: str) -> str:
        return f"{self.base}_{what}"

    def network(self, *, encrypted: bool) -> str:
        """Return the network's name. It depends on `encrypted`, so that a change creates a new network first: a network
        in use can't be removed."""
        return self.of("mcp" if encrypted else "mcp-plain")

    def config(self, what: str, text: str) -> str:
        """Return a config's name with a hash of its text. Configs are immutable: a changed text needs a new config."""
        return f"{self.of(what)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def labels(self) -> dict[str, str]:
        return {SWARM_INSTANCE: self.base}

    def longest(self, secret: str, field: str) -> str:
        return f"{self.prefix}{secret}-{LATEST}-{field}"


def names_of(stack: str) -> Names:
    """Return a stack's names. They are valid host names, shortened with a hash if needed."""
    whole = f"{BASE}-{stack}"
    plain = re.sub(r"[^a-z0-9-]", "-", whole.lower()).strip("-")
    if plain == whole and len(whole) <= BASE_LIMIT:
        return Names(whole)
    return Names(f"{plain[: BASE_LIMIT - 7].rstrip('-')}-{hashlib.sha256(whole.encode()).hexdigest()[:6]}")


def files_of(secret: Secret) -> dict[str, SwarmFile]:
    named = _FILES.get(secret.kind) or {field: _plain_file(secret.name, field) for field in secret.fields}
    return {field: SwarmFile(name=name) for field, name in named.items()}


def variables_to(secret: Secret, *, has_ca: bool) -> dict[str, str]:
    """Return the file path for each of a secret's variables, such as MQTT_PASSWORD_FILE. With `has_ca`, omit the
    secret's CA file: the stack configures the broker's CA."""
    files = files_of(secret)
    named = {}
    for field, variable in variables_of(secret).items():
        if field == "ca.crt" and has_ca:
            continue
        by_path = secret.kind is SecretKind.X509 and field in _BY_PATH
        named[variable if by_path else f"{variable}_FILE"] = f"{SECRETS_FOLDER}/{files[field].name}"
    version = version_variable(secret.name)
    if version in OWN_VARIABLES:  # for the launcher's report of versions, which omits declared secrets
        named[f"{version}_FILE"] = f"{SECRETS_FOLDER}/{version_file(secret.name)}"
    return named


def _plain_file(secret: str, field: str) -> str:
    if (secret, field) == HTTP_TOKEN:
        return "http_token"
    return variable_of(secret, field).lower()
