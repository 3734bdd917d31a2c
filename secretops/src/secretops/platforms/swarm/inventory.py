"""Swarm secrets of a stack, found by their labels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from secretops.errors import StoreError, UsageError
from secretops.platforms.swarm.api import SwarmApi, encoded
from secretops.platforms.swarm.location import SWARM_INSTANCE
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.platforms.swarm.version_state import SecretState, StoredVersion
from secretops.stores import env_file
from secretops.values import Value

# Labels of a Swarm secret: the id of the config that records it, the stack's secret, and the number of the version.
CONFIG, OF_SECRET, NUMBER = (f"coreflux-mcp-secrets.{label}" for label in ("config", "secret", "number"))

# Bytes of one Swarm secret: https://docs.docker.com/engine/swarm/secrets/
MOST_BYTES = 500 * 1024 - 1
_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?")

# Attempts to find a number that no Swarm secret has. The Swarm secrets of a lost config may still exist.
MOST_NUMBERS = 100


@dataclass(frozen=True, kw_only=True)
class SwarmSecret:
    id: str
    name: str
    secret: str
    number: int
    config: str


class Inventory:
    def __init__(self, api: SwarmApi, location: Location) -> None:
        self._api, self._location = api, location

    def all(self, secret: str | None = None) -> list[SwarmSecret]:
        labels = [f"{SWARM_INSTANCE}={self._location.instance}", f"{OF_SECRET}={secret}" if secret else OF_SECRET]
        return [_parse(each) for each in self._api.get("/secrets", label=labels) or []]

    def names(self, secret: str, number: int, fields: tuple[str, ...]) -> dict[str | None, str]:
        """Return field -> name of its Swarm secret. The key None has the Swarm secret of the version's id. Raises
        UsageError."""
        start = f"{self._location.prefix}{secret}-v{number}"
        names = {field: start if field is None else f"{start}-{field}" for field in (None, *fields)}
        for name in names.values():
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"{name} is not a valid name of a Swarm secret",
                    rule="the name must have at most 64 characters: letters, digits, dots, dashes and underscores",
                    remedy="rename the secret, the field or the stack in the stack file",
                    code="swarm-name-invalid",
                )
        return names

    def make(self, config: str, secret: str, stored: StoredVersion, texts: dict[str | None, str]) -> bool:
        """Create a version's Swarm secrets. `config`: id of the config that records them. Return False if a name is
        taken."""
        labels = {
            SWARM_INSTANCE: self._location.instance,
            CONFIG: config,
            OF_SECRET: secret,
            NUMBER: str(stored.number),
        }
        for field, name in self.names(secret, stored.number, stored.fields).items():
            spec = {"Name": name, "Labels": labels, "Data": encoded(texts[field].encode())}
            if self._api.create("secrets", spec) is None:
                return False
        return True

    def sweep(self, secret: str, state: SecretState) -> None:
        """Remove the Swarm secrets of retired versions, unless a service uses them.

        Skips those of another config. Also skips version numbers that this config has not recorded yet: another process
        may be creating their secrets.
        """
        for each in self.all(secret):
            if each.config == state.config and each.number < state.next and each.number not in state.living:
                self._api.remove("secrets", each.id)


def _parse(listed: dict[str, Any]) -> SwarmSecret:
    name, labels = listed["Spec"]["Name"], listed["Spec"].get("Labels") or {}
    if not (number := labels.get(NUMBER, "0")).isdecimal():
        raise StoreError(
            f"Docker secret {name}: label {NUMBER} is {number!r}, not a number",
            rule="only secretops may write this label",
            remedy=f"docker secret inspect {name} shows when it was made; if it is not the stack's: docker secret rm "
            f"{name}",
            code="swarm-label-invalid",
        )
    secret, config = labels.get(OF_SECRET, ""), labels.get(CONFIG, "")
    return SwarmSecret(id=listed["ID"], name=name, secret=secret, number=int(number), config=config)


def check_value(secret: str, value: Value) -> None:
    env_file.check_value(secret, value)
    for field, text in value.items():
        size = len(text.encode())
        if not 0 < size <= MOST_BYTES:
            raise UsageError(
                f"{secret}.{field} has {size} bytes",
                rule=f"a Swarm secret must have 1 to {MOST_BYTES} bytes; nothing was changed",
                remedy=f"supply a smaller value that is not empty: secretops put {secret}",
                code="value-size-invalid",
            )
