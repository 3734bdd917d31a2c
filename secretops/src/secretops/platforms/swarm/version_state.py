"""What is known of a stack's versions: labels of one config, changed by compare-and-swap. Public; never a value.

A config's content can't change, its labels can, in one write that names the index it was decided on. So every write of
a fact is fenced: who was followed in the lease, which is one of the labels, can write none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import StoreError
from secretops.platforms.swarm.api import PAUSES, Api, encoded
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.platforms.swarm.names import INSTANCE
from secretops.stores import lease, store_errors

Noted = TypeVar("Noted")

CONTENT = b"What is known of the stack's secrets are this config's labels. secretops writes them.\n"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One version that is kept: its facts, and by which number and fields its Swarm secrets are called."""

    version: Version
    number: int
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that is known of one secret."""

    kept: tuple[Kept, ...] = ()
    next: int = 1
    """The number of the next version. None is given twice: what has a lower one and is not kept is over."""

    @property
    def versions(self) -> Versions:
        return Versions(tuple(each.version for each in self.kept))

    def of(self, secret: str, version: str) -> Kept:
        """The one called `version`. Raises NotFoundError."""
        for each in self.kept:
            if each.version.id == version:
                return each
        raise store_errors.no_value(secret, version)

    def at(self, versions: Versions, new: Kept | None = None) -> Page:
        """With these versions; `new` is the one that was not kept before."""
        known = {each.version.id: each for each in (*self.kept, *((new,) if new else ()))}
        kept = (
            Kept(version=version, number=known[version.id].number, fields=known[version.id].fields)
            for version in versions.all
        )
        return Page(kept=tuple(kept), next=self.next)

    @property
    def living(self) -> tuple[int, ...]:
        """The numbers of those whose values are kept."""
        return tuple(each.number for each in self.kept if not each.version.retired)

    @property
    def current(self) -> Kept | None:
        return next((each for each in self.kept if each.version.stage is Stage.CURRENT), None)


@dataclass(frozen=True, kw_only=True)
class Term:
    """Who rotates, and since when. Each renewal is another number."""

    holder: str
    token: str
    since: datetime
    duration: float
    renewals: int = 0


_PAGE, _TERM, _ENTRY = TypeAdapter(Page), TypeAdapter(Term), TypeAdapter(Entry)
_PREFIX = "coreflux-mcp-secrets."
_VERSIONS, _JOURNAL, _LEASE = f"{_PREFIX}versions.", f"{_PREFIX}journal.", f"{_PREFIX}lease"


class Book:
    """The book as it was read. Changes are to what was read; `Shelf.change` writes them."""

    def __init__(self, name: str, labels: dict[str, str], *, id: str = "") -> None:
        self.id, self.labels, self._name = id, labels, name

    def page(self, secret: str) -> Page:
        """Raises StoreError."""
        return self._note(f"{_VERSIONS}{secret}", _PAGE) or Page()

    def write(self, secret: str, page: Page) -> None:
        self.labels[f"{_VERSIONS}{secret}"] = _PAGE.dump_json(page, exclude_none=True).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Those of which there is a page, also an empty one."""
        return tuple(sorted(key.removeprefix(_VERSIONS) for key in self.labels if key.startswith(_VERSIONS)))

    @property
    def kept(self) -> tuple[str, ...]:
        """The secrets of which any version is kept."""
        return tuple(secret for secret in self.secrets if self.page(secret).kept)

    @property
    def term(self) -> Term | None:
        """Who holds the lease. Raises StoreError."""
        return self._note(_LEASE, _TERM)

    def write_term(self, term: Term | None) -> None:
        if term:
            self.labels[_LEASE] = _TERM.dump_json(term).decode()
        else:
            self.labels.pop(_LEASE, None)

    def last_entry(self, secret: str) -> Entry | None:
        """The newest entry of the journal about `secret`. Raises StoreError."""
        return self._note(f"{_JOURNAL}{secret}", _ENTRY)

    def keep_entry(self, entry: Entry) -> None:
        self.labels[f"{_JOURNAL}{entry.secret}"] = _ENTRY.dump_json(entry).decode()

    def forget_entry(self, secret: str) -> None:
        self.labels.pop(f"{_JOURNAL}{secret}", None)

    def _note(self, label: str, kind: TypeAdapter[Noted]) -> Noted | None:
        text = self.labels.get(label)
        if text is None:
            return None
        try:
            return kind.validate_json(text)
        except ValueError:
            raise StoreError(
                f"config {self._name}: label {label} does not read as secretops wrote it",
                rule="this config's labels are written by secretops alone",
                remedy="docker config inspect shows it; the values are whole: they are the Swarm's secrets",
            ) from None


class Shelf:
    """Where the book lies. While a lease is held, only its holder's changes are written."""

    def __init__(self, api: Api, location: Location) -> None:
        self.api, self.location = api, location
        self.token = ""  # nosec B105 - of a lease that nobody holds
        """Of the lease that this process holds; empty for none."""

    def read(self) -> Book:
        """The book; an empty one, without an id, where there is none. Raises StoreError, UnreachableError."""
        return self.opened(self.api.get(f"/configs/{self.location.book}"))

    def ours(self) -> Book:
        """The book as it is while the lease, if this process took it, is its own. Raises as `change` does."""
        return self.change(lambda _book: None)

    def change(self, decide: Callable[[Book], None]) -> Book:
        """Let `decide` change the book, in one write, and in none when it changes nothing. Gives it as written.

        It is called again with what is there then when somebody else has written in between. A book that is missing is
        made once there is something to write. Raises StoreError, also when the lease is not ours any more,
        UnreachableError, and what `decide` raises.
        """
        for pause in (*PAUSES, 0.0):
            found = self.api.get(f"/configs/{self.location.book}")
            book = self.opened(found)
            before = dict(book.labels)
            if self.token:
                term = book.term
                if term is None or term.token != self.token:
                    raise lease.lost_to(term.holder if term else "nobody")
            decide(book)
            if book.labels == before:
                return book
            if self.write(found, book):
                return book if found else self.read()
            time.sleep(pause)
        raise StoreError(
            f"config {self.location.book}: somebody else changed it {len(PAUSES) + 1} times in a row",
            rule="a change is only written over what it was decided on; nothing was overwritten",
            remedy="find out who writes it: docker events --filter type=config; the next tick goes on from here",
        )

    def write(self, found: dict[str, Any] | None, book: Book) -> bool:
        """Write `book` over what was `found`; False when that is not what is there any more."""
        if found:
            spec = {**found["Spec"], "Labels": book.labels}
            return self.api.update("configs", found, spec)
        self._check_swarm()
        labels = {INSTANCE: self.location.instance, **book.labels}
        spec = {"Name": self.location.book, "Labels": labels, "Data": encoded(CONTENT)}
        return self.api.create("configs", spec) is not None

    def opened(self, found: dict[str, Any] | None) -> Book:
        """The config that was `found` as a book. Raises StoreError when it is another stack's."""
        name = self.location.book
        if found is None:
            return Book(name, {})
        labels = dict(found["Spec"].get("Labels") or {})
        theirs, ours = labels.get(INSTANCE) or "no stack", self.location.instance
        if theirs != ours:
            raise StoreError(
                f"config {name} is of {theirs}, and we are of {ours}",
                rule=f"its label {INSTANCE} names its stack, and nobody writes the secrets of another",
                remedy="nothing was written; lead DOCKER_HOST, or Docker's context, to the stack's own Swarm",
            )
        return Book(name, labels, id=str(found["ID"]))

    @property
    def is_nowhere(self) -> bool:
        """Whether nothing says that this is the stack's Swarm: no book is here, and no service."""
        return self.read().id == "" and self.api.get(f"/services/{self.location.service}") is None

    def close_empty(self) -> None:
        """Remove a book in which nothing is kept: with the last value the stack leaves no trace.

        While the lease is ours, for a removal names no index: whoever had the lease then would lose the book with what
        they write. The lease goes with the book, so that nothing is given back.
        """
        book = self.ours()
        if book.id and not book.kept and self.token:
            with self.api.impatient():
                self.api.remove("configs", book.id)

    def _check_swarm(self) -> None:
        """Raise StoreError where a book would be begun anew in another stack's Swarm."""
        if self.is_nowhere:
            raise StoreError(
                f"there is no service {self.location.service} and no config {self.location.book} in this Swarm",
                rule="values are first written where the stack's service is",
                remedy="pulumi up makes it; if it has run: does DOCKER_HOST, or Docker's context, lead to its Swarm?",
            )
