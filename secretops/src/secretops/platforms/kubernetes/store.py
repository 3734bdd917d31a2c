"""`VersionStore` over the Secrets of one namespace.

The versions Secret is the truth, and what is delivered follows it. `publish` moves the truth in one write, then
delivers in one write; a crash in between leaves readers on the previous version, which still works, and `settle`
delivers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime

from secretops.engine.journal import Journal
from secretops.engine.state import Stage, Version, Versions
from secretops.platforms.kubernetes.api import Api
from secretops.platforms.kubernetes.delivery import Content, Delivery, merged
from secretops.platforms.kubernetes.journal import KubernetesJournal
from secretops.platforms.kubernetes.kubeconfig import in_a_pod
from secretops.platforms.kubernetes.lease import Timing, hold
from secretops.platforms.kubernetes.location import KubernetesStoreLocation as Location
from secretops.platforms.kubernetes.secrets import Secrets, Sheet
from secretops.platforms.kubernetes.version_state import Book
from secretops.stores import env_file, store_errors
from secretops.stores.lease import Fence
from secretops.values import Value


class KubernetesVersionStore:
    """Keeps versions in one Secret. Writes no access records: the API server's audit log has every read."""

    def __init__(self, location: Location, api: Api, *, loud: bool = False, timing: Timing | None = None) -> None:
        self._location, self._api, self._timing = location, api, timing or Timing()
        self._fence = Fence()
        self._secrets = Secrets(api, self._fence.check)
        self._delivery = Delivery(location, self._secrets)
        self.journal: Journal = KubernetesJournal(self._secrets, location.versions, loud=loud)

    @classmethod
    def open(cls, location: Location, *, timing: Timing | None = None) -> KubernetesVersionStore:
        """The store at `location`. Touches nothing yet. In a pod the journal is also its log."""
        return cls(location, Api(location.namespace, location.context), loud=in_a_pod(), timing=timing)

    def versions(self, secret: str) -> Versions:
        return self._book().versions(secret)

    def read(self, secret: str, version: str, *, purpose: str) -> Value:  # noqa: ARG002 - the audit log has none
        value = self._book().value(secret, version)
        self._fence.check(False)  # now that it is in hand: the API server may have been long in answering
        return value

    def add(self, secret: str, version: Version, value: Value) -> None:
        for field, text in value.items():
            env_file.check_text(f"{secret}.{field}", text)
        if _forgetting(self._book(), secret):
            self.forget(secret)

        def keep(book: Book) -> None:
            versions = book.versions(secret)
            if all(kept.id != version.id for kept in versions.all):
                book.keep(secret, versions.with_pending(version), {version.id: value})

        self._secrets.make_missing({place.name for place in self._location.delivered.values()})
        self._change(keep)

    def publish(self, secret: str, version: str, now: datetime) -> None:
        def move(book: Book) -> None:
            versions = book.versions(secret)
            chosen = versions.known(secret, version)
            if chosen.stage is Stage.CURRENT:
                return
            content, before = self._content(book, secret, chosen), book.names(secret)
            ours = self._ours(book, secret, chosen)
            self._delivery.check(secret, content, ours, before)
            current = versions.current
            if current and current.published is None:  # else what readers hold would be of no version that is kept
                self._delivery.bring(secret, self._content(book, secret, current), ours, before, now)
                versions = versions.changed(current.id, published=now)
            book.keep(secret, versions.promoted(chosen))
            book.keep_names(secret, merged(before, self._delivery.names(secret, content)))

        self._change(move)
        self._deliver(secret, now)

    def settle(self, secret: str, now: datetime) -> None:
        book = self._deliver(secret, now)
        if current := book.versions(secret).current:
            value = book.value(secret, current.id)
            if lacking := [field for field in self._delivery.fields(secret) if field not in value]:
                raise store_errors.lacking(secret, lacking)
        elif _forgetting(book, secret):
            self.forget(secret)

    def astray(self, secret: str) -> str | None:
        book = self._book()
        current = book.versions(secret).current
        if current is None:
            return None
        return self._delivery.astray(secret, self._content(book, secret, current), self._ours(book, secret))

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        def note(book: Book) -> None:
            versions = book.versions(secret)
            versions.known(secret, version)
            book.keep(secret, versions.changed(version, verified=verified, retired=retired))

        self._change(note)

    def discard(self, secret: str, version: str) -> None:
        def drop(book: Book) -> None:
            versions = book.versions(secret)
            if (kept := versions.without_pending(version)) != versions:
                book.keep(secret, kept)

        self._change(drop)

    def kept(self) -> tuple[str, ...]:
        return self._book().kept()

    def forget(self, secret: str) -> None:
        self._change(lambda book: book.drop(secret))
        self._delivery.take_back(secret, self._book().names(secret))
        self._change(lambda book: book.forget(secret))

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        place = self._location
        with (
            hold(self._api, place.lease, holder, self._timing, instance=place.instance) as held,
            self._fence.behind(held),
        ):
            yield

    def confirm(self) -> None:
        self._fence.check(True)

    def _book(self) -> Book:
        return Book(self._location.versions, self._secrets.read(self._location.versions))

    def _change(self, decide: Callable[[Book], None]) -> None:
        name = self._location.versions

        def change(sheet: Sheet) -> None:
            decide(Book(name, sheet))

        self._secrets.change(name, change)

    def _deliver(self, secret: str, now: datetime) -> Book:
        """Bring readers to the current version, and note since when they are. Refuses what somebody edited.

        What was read for it: its values are still the kept ones.
        """
        book = self._book()
        current = book.versions(secret).current
        if current is None:
            return book
        content, before = self._content(book, secret, current), book.names(secret)
        names = self._delivery.names(secret, content)
        if (both := merged(before, names)) != before:
            self._change(lambda book: book.keep_names(secret, both))
        self._delivery.bring(secret, content, self._ours(book, secret), both, now)

        def done(book: Book) -> None:
            versions = book.versions(secret)
            if any(kept.id == current.id and kept.published is None for kept in versions.all):
                book.keep(secret, versions.changed(current.id, published=now))
            book.keep_names(secret, names)

        if current.published is None or names != before:
            self._change(done)
        return book

    def _content(self, book: Book, secret: str, version: Version) -> Content:
        return self._delivery.content(secret, version.id, book.value(secret, version.id))

    def _ours(self, book: Book, secret: str, chosen: Version | None = None) -> list[Content]:
        """What readers may find without anybody having edited it."""
        return [
            self._content(book, secret, version)
            for version in book.versions(secret).living
            if (chosen and version.id == chosen.id) or version.stage is not Stage.PENDING
        ]


def _forgetting(book: Book, secret: str) -> bool:
    """Whether `secret` is being forgotten: it is delivered, and no version of it is kept any more."""
    return bool(book.names(secret)) and book.versions(secret).current is None
