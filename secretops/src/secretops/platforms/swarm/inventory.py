"""The Swarm secrets of a stack, as they are: told by their labels, with nothing remembered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from secretops.errors import StoreError
from secretops.platforms.swarm.api import Api, encoded
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.platforms.swarm.names import BOOK, INSTANCE, NUMBER, OF_SECRET, swarm_name
from secretops.platforms.swarm.version_state import Book, Kept

MOST_NUMBERS = 100
"""How many numbers in a row may be taken by secrets of a book that is lost."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """One Swarm secret of the stack."""

    id: str
    name: str
    secret: str
    number: int
    book: str


class Inventory:
    """What of a stack's secrets is in the Swarm."""

    def __init__(self, api: Api, location: Location) -> None:
        self._api, self._location = api, location

    def all(self, secret: str | None = None) -> list[Found]:
        """Those of the stack, or of one of its secrets. Raises StoreError, UnreachableError."""
        labels = [f"{INSTANCE}={self._location.instance}", f"{OF_SECRET}={secret}" if secret else OF_SECRET]
        listed: list[dict[str, Any]] = self._api.get("/secrets", label=labels) or []
        return list(_found(listed))

    def names(self, secret: str, number: int, fields: tuple[str, ...]) -> dict[str | None, str]:
        """Field -> its Swarm secret; None -> that of the version's id. Raises UsageError."""
        return {field: swarm_name(self._location.prefix, secret, number, field) for field in (None, *fields)}

    def make(self, book: Book, secret: str, kept: Kept, texts: dict[str | None, str]) -> bool:
        """Make the Swarm secrets of a version; False when one of the names is taken. Raises StoreError."""
        labels = {
            INSTANCE: self._location.instance,
            BOOK: book.id,
            OF_SECRET: secret,
            NUMBER: str(kept.number),
        }
        for field, name in self.names(secret, kept.number, kept.fields).items():
            spec = {"Name": name, "Labels": labels, "Data": encoded(texts[field].encode())}
            if self._api.create("secrets", spec) is None:
                return False
        return True

    def sweep(self, book: Book, secret: str) -> None:
        """Remove what no version is kept of, unless a service uses it still: then a later tick does.

        Only what `book` knew: a number that it has not given yet is somebody's who writes now, and what another book
        knew is nobody's to remove unasked.
        """
        page = book.page(secret)
        for each in self.all(secret):
            if each.book == book.id and each.number < page.next and each.number not in page.living:
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
