"""What everything in the Swarm is called, which has no namespaces: every name begins with the stack's own."""

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

BASE_LIMIT = 23
"""Characters: with its separator they leave 40 of a secret's 64 for the secret, the version and the field."""

NAME_LIMIT = 64
"""Characters of a secret's or a config's name (swarmkit, manager/controlapi)."""

SECRETS_FOLDER = "/run/secrets"
"""Where Docker lays each secret that a service is given."""

LATEST = "v9999"
"""As long as a version's part of a name is taken to become."""

_FILES = {
    SecretKind.MQTT_USER: {"username": "mqtt_user", "password": "mqtt_password"},  # nosec B105 - names of files
    SecretKind.AGENT_KEY: {"api-key": "api_key"},
    SecretKind.X509: {"ca.crt": "ca.crt", "client.crt": "client.crt", "client.key": "client.key"},
}
"""As the guide has them: Docker Secrets, the last of its Secret Management Tools."""

_BY_PATH = frozenset({"ca.crt", "client.crt", "client.key"})
"""Fields whose variable is a path already (MQTT_CLIENT_KEY), and needs no _FILE."""


@dataclass(frozen=True)
class Names:
    """Of one stack in one Swarm. `base` is the name that `docker stack deploy` is given for its compose file, too."""

    base: str

    @property
    def prefix(self) -> str:
        """What the name of each of the stack's secrets begins with."""
        return f"{self.base}_"

    def of(self, what: str) -> str:
        """Return the name of a service, a network or the versions' config: as `docker stack deploy` makes it."""
        return f"{self.base}_{what}"

    def network(self, *, encrypted: bool) -> str:
        """Return the name of the stack's own overlay network.

        An encrypted network has another name, so that a change of `encrypted` makes the new network first: one that a
        service uses can't be removed.
        """
        return self.of("mcp" if encrypted else "mcp-plain")

    def config(self, what: str, text: str) -> str:
        """The name of the config that has `text`. Configs never change: another text is another config."""
        return f"{self.of(what)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def labels(self) -> dict[str, str]:
        """On everything that the stack or secretops makes."""
        return {SWARM_INSTANCE: self.base}

    def longest(self, secret: str, field: str) -> str:
        """The longest name that a version's field can have here."""
        return f"{self.prefix}{secret}-{LATEST}-{field}"


def names_of(stack: str) -> Names:
    """The names of `stack`: letters, digits and dashes, so that they are hosts' names, too; else cut by a hash."""
    whole = f"{BASE}-{stack}"
    plain = re.sub(r"[^a-z0-9-]", "-", whole.lower()).strip("-")
    if plain == whole and len(whole) <= BASE_LIMIT:
        return Names(whole)
    return Names(f"{plain[: BASE_LIMIT - 7].rstrip('-')}-{hashlib.sha256(whole.encode()).hexdigest()[:6]}")


def files_of(secret: Secret) -> dict[str, SwarmFile]:
    """field -> its file in the server's containers."""
    named = _FILES.get(secret.kind) or {field: _plain_file(secret.name, field) for field in secret.fields}
    return {field: SwarmFile(name=name) for field, name in named.items()}


def variables_to(secret: Secret, *, has_ca: bool) -> dict[str, str]:
    """Variable -> the path of the file that it names. With the stack's own CA file the secret's is not asked for."""
    files = files_of(secret)
    named = {}
    for field, variable in variables_of(secret).items():
        if field == "ca.crt" and has_ca:
            continue
        by_path = secret.kind is SecretKind.X509 and field in _BY_PATH
        named[variable if by_path else f"{variable}_FILE"] = f"{SECRETS_FOLDER}/{files[field].name}"
    version = version_variable(secret.name)
    if version in OWN_VARIABLES:  # the launcher's report says it; a secret of the stack's own has none there
        named[f"{version}_FILE"] = f"{SECRETS_FOLDER}/{version_file(secret.name)}"
    return named


def _plain_file(secret: str, field: str) -> str:
    """Of a secret that the stack declares: its variable in lower case, as the guide's own are. http-token is one."""
    if (secret, field) == HTTP_TOKEN:
        return "http_token"
    return variable_of(secret, field).lower()
