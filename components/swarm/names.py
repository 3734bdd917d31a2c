"""Names in the Swarm, which has no namespaces: each starts with the stack's."""

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

# Characters: with a separator they leave 40 of a name's 64 for secret, version and field.
BASE_LIMIT = 23

# Characters of a secret's or a config's name (swarmkit, manager/controlapi).
NAME_LIMIT = 64

# Docker's folder of mounted secrets.
SECRETS_FOLDER = "/run/secrets"

# The longest version in a name.
LATEST = "v9999"

# As in the guide (Secret Management Tools, Docker Secrets).
_FILES = {
    SecretKind.MQTT_USER: {"username": "mqtt_user", "password": "mqtt_password"},  # nosec B105 - names of files
    SecretKind.AGENT_KEY: {"api-key": "api_key"},
    SecretKind.X509: {"ca.crt": "ca.crt", "client.crt": "client.crt", "client.key": "client.key"},
}

# Fields whose variable is a path (MQTT_CLIENT_KEY), without _FILE.
_BY_PATH = frozenset({"ca.crt", "client.crt", "client.key"})


@dataclass(frozen=True)
class Names:
    """Names of a stack in a Swarm. `base` is also the argument of `docker stack deploy`."""

    base: str

    @property
    def prefix(self) -> str:
        """Prefix of secret names."""
        return f"{self.base}_"

    def of(self, what: str) -> str:
        """Return a name as `docker stack deploy` does."""
        return f"{self.base}_{what}"

    def network(self, *, encrypted: bool) -> str:
        """Return a network's name. It depends on `encrypted`, so that a change creates the new network first."""
        return self.of("mcp" if encrypted else "mcp-plain")

    def config(self, what: str, text: str) -> str:
        """Return a config's name, with a digest of its text: configs are immutable."""
        return f"{self.of(what)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def labels(self) -> dict[str, str]:
        return {SWARM_INSTANCE: self.base}

    def longest(self, secret: str, field: str) -> str:
        return f"{self.prefix}{secret}-{LATEST}-{field}"


def names_of(stack: str) -> Names:
    """Return valid host names, shortened by a hash if needed."""
    whole = f"{BASE}-{stack}"
    plain = re.sub(r"[^a-z0-9-]", "-", whole.lower()).strip("-")
    if plain == whole and len(whole) <= BASE_LIMIT:
        return Names(whole)
    return Names(f"{plain[: BASE_LIMIT - 7].rstrip('-')}-{hashlib.sha256(whole.encode()).hexdigest()[:6]}")


def files_of(secret: Secret) -> dict[str, SwarmFile]:
    """Return field -> its file."""
    named = _FILES.get(secret.kind) or {field: _plain_file(secret.name, field) for field in secret.fields}
    return {field: SwarmFile(name=name) for field, name in named.items()}


def variables_to(secret: Secret, *, has_ca: bool) -> dict[str, str]:
    """Return variable -> path. With `has_ca` the stack's CA file replaces the secret's."""
    files = files_of(secret)
    named = {}
    for field, variable in variables_of(secret).items():
        if field == "ca.crt" and has_ca:
            continue
        by_path = secret.kind is SecretKind.X509 and field in _BY_PATH
        named[variable if by_path else f"{variable}_FILE"] = f"{SECRETS_FOLDER}/{files[field].name}"
    version = version_variable(secret.name)
    if version in OWN_VARIABLES:  # for the launcher's report, which has no declared secrets
        named[f"{version}_FILE"] = f"{SECRETS_FOLDER}/{version_file(secret.name)}"
    return named


def _plain_file(secret: str, field: str) -> str:
    """Return the variable in lower case, as in the guide."""
    if (secret, field) == HTTP_TOKEN:
        return "http_token"
    return variable_of(secret, field).lower()
