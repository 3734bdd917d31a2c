"""`VersionStore` over the secrets of one Swarm.

The book is the truth, and the service's list of secrets follows it. `publish` moves the book in one write, then the
list in one update; a crash in between, or an update that goes back, leaves readers on the previous version, which
still works, and `settle` delivers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime

from secretops.engine.journal import Journal
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import StoreError
from secretops.platforms.swarm.api import Api
from secretops.platforms.swarm.delivery import Delivery
from secretops.platforms.swarm.inventory import MOST_NUMBERS, Found, Inventory
from secretops.platforms.swarm.journal import SwarmJournal
from secretops.platforms.swarm.lease import hold
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.platforms.swarm.names import check_value
from secretops.platforms.swarm.records import LogRecords, Records
from secretops.platforms.swarm.rollout import UpdateFailedError
from secretops.platforms.swarm.task import actor
from secretops.platforms.swarm.values import Elsewhere, Values, found_here
from secretops.platforms.swarm.version_state import Book, Kept, Page, Shelf
from secretops.stores import store_errors
from secretops.stores.lease import Fence, Timing
from secretops.values import Value


class SwarmVersionStore:
    """Keeps versions as Swarm secrets. What it can read depends on where it runs: see `values`."""

    def __init__(
        self,
        location: Location,
        api: Api,
        *,
        values: Values,
        records: Records,
        loud: bool = False,
        timing: Timing | None = None,
    ) -> None:
        self._location, self._values, self._records = location, values, records
        self._timing = timing or Timing()
        self._fence, self._shelf = Fence(), Shelf(api, location)
        self._forgot = False
        """Whether this process has removed a secret's values for good: then the book may have nothing to keep."""
        self._inventory = Inventory(api, location)
        self._delivery = Delivery(api, location, self._inventory, values)
        self.journal: Journal = SwarmJournal(self._shelf, loud=loud)

    @classmethod
    def open(cls, location: Location, *, role: str) -> SwarmVersionStore:
        """The store at `location`, for a process in `role`. Touches nothing yet."""
        values = found_here()
        loud = not isinstance(values, Elsewhere)
        return cls(location, Api(), values=values, records=LogRecords(actor(role), reads=loud), loud=loud)

    def versions(self, secret: str) -> Versions:
        return self._shelf.read().page(secret).versions

    def read(self, secret: str, version: str, *, purpose: str) -> Value:
        kept = self._shelf.read().page(secret).of(secret, version)
        if kept.version.retired:
            raise store_errors.no_value(secret, version)
        self._records.write("read", secret, version, purpose)
        names = self._inventory.names(secret, kept.number, kept.fields)
        texts = {field: self._values.text(names[field]) for field in kept.fields}
        self._fence.check(False)
        found = {field: text for field, text in texts.items() if text is not None}
        if len(found) != len(texts):
            raise store_errors.no_value(secret, version)
        return Value(found)

    def add(self, secret: str, version: Version, value: Value) -> None:
        check_value(secret, value)
        page = self._shelf.read().page(secret)
        if any(kept.version.id == version.id for kept in page.kept):
            return
        self._inventory.names(secret, page.next, tuple(value))  # refuses names that are too long, before anything
        if not page.kept:
            self.forget(secret)  # an earlier one that was cut short; no-op else
        self._records.write("write", secret, version.id, "keep as pending")
        book, kept = self._make(secret, version, value)

        def keep(book: Book) -> None:
            page = book.page(secret)
            if all(each.version.id != version.id for each in page.kept):
                book.write(secret, page.at(page.versions.with_pending(version), kept))

        book = self._shelf.change(keep)
        self._inventory.sweep(book, secret)

    def publish(self, secret: str, version: str, now: datetime) -> None:
        page = self._shelf.read().page(secret)
        chosen = page.versions.known(secret, version)
        if chosen.stage is not Stage.CURRENT:
            self._delivery.check(secret, page.of(secret, version), self._ours(page))
            self._records.write("write", secret, version, "publish")
            if page.current and page.current.version.published is None:
                with contextlib.suppress(UpdateFailedError):  # what can't run is followed by what may
                    self._deliver(secret, now)

            def move(book: Book) -> None:
                page = book.page(secret)
                chosen = page.versions.known(secret, version)
                if chosen.stage is not Stage.CURRENT:
                    book.write(secret, page.at(page.versions.promoted(chosen)))

            self._shelf.change(move)
        self._deliver(secret, now)
        self._inventory.sweep(self._shelf.ours(), secret)

    def settle(self, secret: str, now: datetime) -> None:
        book = self._shelf.read()
        page = book.page(secret)
        if page.current:
            self._deliver(secret, now)
            lacking = [field for field in self._delivery.files(secret) if field not in page.current.fields]
            if lacking:
                raise store_errors.lacking(secret, lacking)
        elif not page.kept:
            self.forget(secret)
        if book.id:
            self._inventory.sweep(self._shelf.ours(), secret)

    def astray(self, secret: str) -> str | None:
        page = self._shelf.read().page(secret)
        if page.current is None:
            return None
        return self._delivery.astray(secret, page.current, self._ours(page))

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        self._shelf.read().page(secret).versions.known(secret, version)
        if retired:
            self._records.write("delete", secret, version, "retire")

        def note(book: Book) -> None:
            page = book.page(secret)
            page.versions.known(secret, version)
            book.write(secret, page.at(page.versions.changed(version, verified=verified, retired=retired)))

        book = self._shelf.change(note)
        if retired:
            self._inventory.sweep(book, secret)

    def discard(self, secret: str, version: str) -> None:
        page = self._shelf.read().page(secret)
        if page.versions.without_pending(version) == page.versions:
            return
        self._records.write("delete", secret, version, "discard")

        def drop(book: Book) -> None:
            page = book.page(secret)
            if (kept := page.versions.without_pending(version)) != page.versions:
                book.write(secret, page.at(kept))

        self._inventory.sweep(self._shelf.change(drop), secret)

    def kept(self) -> tuple[str, ...]:
        book = self._shelf.read()
        return tuple(sorted({*book.kept, *(each.secret for each in self._left(book))}))

    def forget(self, secret: str) -> None:
        book = self._shelf.ours()
        if not book.page(secret).kept and not self._left(book, secret):
            return
        self._records.write("delete", secret, "all", "purge")

        def drop(book: Book) -> None:
            page = book.page(secret)
            book.write(secret, Page(next=page.next))
            book.forget_entry(secret)

        book = self._shelf.change(drop)
        self._delivery.bring(secret, None, (), before=self._before_a_write)
        self._inventory.sweep(book, secret)
        self._forgot = True

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        with contextlib.ExitStack() as holding:
            if held := holding.enter_context(hold(self._shelf, holder, self._timing)):
                holding.enter_context(self._fence.behind(held))
            yield
            if held and self._forgot and not self.kept():
                self._fence.check(True)
                self._shelf.close_empty()

    def confirm(self) -> None:
        self._fence.check(True)

    def _left(self, book: Book, secret: str | None = None) -> list[Found]:
        """The Swarm secrets that `book` knew, also those of versions that it keeps no more."""
        return [each for each in self._inventory.all(secret) if each.book == book.id]

    def _make(self, secret: str, version: Version, value: Value) -> tuple[Book, Kept]:
        """Reserve a number for `version` and make its Swarm secrets. The book is not told of them yet."""
        texts = dict[str | None, str](value.items()) | {None: version.id}
        for _ in range(MOST_NUMBERS):

            def reserve(book: Book) -> None:
                page = book.page(secret)
                book.write(secret, Page(kept=page.kept, next=page.next + 1))

            book = self._shelf.change(reserve)
            kept = Kept(version=version, number=book.page(secret).next - 1, fields=tuple(value))
            if self._inventory.make(book, secret, kept, texts):
                for field, name in self._inventory.names(secret, kept.number, kept.fields).items():
                    self._values.keep(name, texts[field])
                return book, kept
        raise StoreError(
            f"{secret}: the names of {MOST_NUMBERS} versions in a row are taken",
            rule="a book that was lost left its secrets behind, or another stack has the same prefix",
            remedy="secretops doctor names them; docker secret rm those that no service uses",
        )

    def _deliver(self, secret: str, now: datetime) -> None:
        """Bring readers to the current version, and note since when they are. Refuses what somebody edited."""
        page = self._shelf.read().page(secret)
        current = page.current
        if current is None:
            return
        done = self._delivery.bring(
            secret, current, self._ours(page), before=lambda: self._before_delivery(secret, current)
        )
        if done is None and self._delivery.files(secret):
            return  # there is no service yet: whoever makes it, the next tick delivers
        if current.version.published is None:

            def delivered(book: Book) -> None:
                page = book.page(secret)
                if page.current and page.current.version.id == current.version.id:
                    book.write(secret, page.at(page.versions.changed(current.version.id, published=now)))

            self._shelf.change(delivered)

    def _before_delivery(self, secret: str, current: Kept) -> None:
        self._before_a_write()
        self._records.write("write", secret, current.version.id, "deliver")

    def _before_a_write(self) -> None:
        self._fence.check(True)

    @staticmethod
    def _ours(page: Page) -> list[Kept]:
        """What readers may find without anybody having edited it."""
        return [kept for kept in page.kept if not kept.version.retired and kept.version.stage is not Stage.PENDING]
