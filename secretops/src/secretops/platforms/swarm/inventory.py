"""The Swarm secrets of a stack, found by their labels. A label names the stack; a secret's name is for people."""

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

# Labels of a secret: the id of the config that knows it (those of a lost config are not ours to remove), the secret of
# the catalogue, and the number of the version.
CONFIG, OF_SECRET, NUMBER = (f"coreflux-mcp-secrets.{label}" for label in ("config", "secret", "number"))

# Of one secret: https://docs.docker.com/engine/swarm/secrets/
MOST_BYTES = 500 * 1024 - 1
_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?")

# How many numbers in a row may be taken by secrets of a config that is lost.
MOST_NUMBERS = 100


@dataclass(frozen=True, kw_only=True)
class SwarmSecret:
    """One Swarm secret of the stack."""

    id: str
    name: str
    secret: str
    number: int
    config: str


class Inventory:
    """Lists, creates and removes the stack's Swarm secrets. Raises StoreError, UnreachableError."""

    def __init__(self, api: SwarmApi, location: Location) -> None:
        self._api, self._location = api, location

    def all(self, secret: str | None = None) -> list[SwarmSecret]:
        """Return those of the stack, or of one of its secrets."""
        labels = [f"{SWARM_INSTANCE}={self._location.instance}", f"{OF_SECRET}={secret}" if secret else OF_SECRET]
        return [_found(each) for each in self._api.get("/secrets", label=labels) or []]

    def names(self, secret: str, number: int, fields: tuple[str, ...]) -> dict[str | None, str]:
        """Return the Swarm secret of each field, and of None for the version's id. Raises UsageError."""
        start = f"{self._location.prefix}{secret}-v{number}"
        names = {field: start if field is None else f"{start}-{field}" for field in (None, *fields)}
        for name in names.values():
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"{name}: no name of a Swarm secret",
                    rule="64 characters at most, of letters, digits, dots, dashes and underscores",
                    remedy="give the secret, the field or the stack a shorter name",
                )
        return names

    def make(self, config: str, secret: str, stored: StoredVersion, texts: dict[str | None, str]) -> bool:
        """Create the Swarm secrets of a version that config `config` is to know; False if one of the names is taken."""
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
        """Remove the secrets of versions that are not kept. One that a service still uses is left to a later tick.

        Only those that the config of `state` knew: a number that it has not given yet is of a version that somebody is
        writing, and those of another config are for an operator to remove.
        """
        for each in self.all(secret):
            if each.config == state.config and each.number < state.next and each.number not in state.living:
                self._api.remove("secrets", each.id)


def _found(listed: dict[str, Any]) -> SwarmSecret:
    name, labels = listed["Spec"]["Name"], listed["Spec"].get("Labels") or {}
    if not (number := labels.get(NUMBER, "0")).isdecimal():
        raise StoreError(
            f"secret {name}: label {NUMBER} is no number",
            rule="these labels are written by secretops alone",
            remedy="docker secret rm it, if it is not the stack's",
        )
    secret, config = labels.get(OF_SECRET, ""), labels.get(CONFIG, "")
    return SwarmSecret(id=listed["ID"], name=name, secret=secret, number=int(number), config=config)


def check_value(secret: str, value: Value) -> None:
    """Raise UsageError for a value that no reader can get, or no Swarm secret holds."""
    env_file.check_value(secret, value)
    for field, text in value.items():
        size = len(text.encode())
        if not 0 < size <= MOST_BYTES:
            raise UsageError(
                f"{secret}.{field}: it is {size} bytes",
                rule=f"a Swarm secret holds 1 to {MOST_BYTES} bytes; nothing was changed",
                remedy="give a value of that size, or leave the field out of the stack",
            )
