"""The Swarm secrets of a stack, found by their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from secretops.errors import StoreError
from secretops.platforms.swarm.api import Api, encoded
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.platforms.swarm.names import BOOK, INSTANCE, NUMBER, OF_SECRET, swarm_name
from secretops.platforms.swarm.version_state import SecretState, StoredVersion

# How many numbers in a row may be taken by secrets of a config that is lost.
MOST_NUMBERS = 100


@dataclass(frozen=True, kw_only=True)
class Found:
    """One Swarm secret of the stack."""

    id: str
    name: str
    secret: str
    number: int
    book: str


class Inventory:
    """Lists, creates and removes the stack's Swarm secrets. Raises StoreError, UnreachableError."""

    def __init__(self, api: Api, location: Location) -> None:
        self._api, self._location = api, location

    def all(self, secret: str | None = None) -> list[Found]:
        """Return those of the stack, or of one of its secrets."""
        labels = [f"{INSTANCE}={self._location.instance}", f"{OF_SECRET}={secret}" if secret else OF_SECRET]
        listed: list[dict[str, Any]] = self._api.get("/secrets", label=labels) or []
        return list(_found(listed))

    def names(self, secret: str, number: int, fields: tuple[str, ...]) -> dict[str | None, str]:
        """Return the Swarm secret of each field, and of None for the version's id. Raises UsageError."""
        return {field: swarm_name(self._location.prefix, secret, number, field) for field in (None, *fields)}

    def make(self, config: str, secret: str, stored: StoredVersion, texts: dict[str | None, str]) -> bool:
        """Create the Swarm secrets of a version that config `config` is to know; False if one of the names is taken."""
        labels = {INSTANCE: self._location.instance, BOOK: config, OF_SECRET: secret, NUMBER: str(stored.number)}
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
            if each.book == state.config and each.number < state.next and each.number not in state.living:
                self._api.remove("secrets", each.id)


def _found(listed: list[dict[str, Any]]) -> Iterator[Found]:
    for each in listed:
        labels = each["Spec"].get("Labels") or {}
        try:
            yield Found(
                id=each["ID"],
                name=each["Spec"]["Name"],
                secret=labels.get(OF_SECRET, ""),
                number=int(labels.get(NUMBER, "0")),
                book=labels.get(BOOK, ""),
            )
        except ValueError:
            raise StoreError(
                f"secret {each['Spec']['Name']}: label {NUMBER} is no number",
                rule="these labels are written by secretops alone",
                remedy="docker secret rm it, if it is not the stack's",
            ) from None
