"""The base of stores that record all versions of a secret in one document: a file, a Kubernetes Secret, a Swarm config.

A change has five steps: access record, value, document (by compare-and-swap), delivery, removal of old values. After a
crash between them readers have a working version, and `recover` finishes the rest.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from pydantic import TypeAdapter

from secretops.access import Operation
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import NotFoundError, StoreError
from secretops.stores import env_file, store_errors
from secretops.stores.lease import Fence
from secretops.values import Value

STATE = TypeAdapter(tuple[Version, ...])
VALUE = TypeAdapter(dict[str, str])

Change = Callable[[Versions], Versions]


def deliverable(versions: Versions, chosen: Version | None = None) -> list[Version]:
    """Return the versions whose values readers may already have: `chosen`, and those that are neither pending nor
    retired. Any other delivered value is a manual edit."""
    return [each for each in versions.living if each.stage is not Stage.PENDING or (chosen and each.id == chosen.id)]


class UndeliverableError(StoreError):
    """The current version can't be delivered to its readers."""


class Document(Protocol):
    @property
    def versions(self) -> Versions: ...


class Records(Protocol):
    def write(self, operation: Operation, secret: str, version: str, purpose: str) -> None:
        """Record an access before it happens. If this raises StoreError, the access must not happen."""


class NoRecords:
    """Writes no access records, since the platform's own trail has every access."""

    def write(self, operation: Operation, secret: str, version: str, purpose: str) -> None: ...


Read = TypeVar("Read", bound=Document)
Form = TypeVar("Form")


class DocumentVersionStore(abc.ABC, Generic[Read]):
    """A version store with one document for each secret. Hooks may raise StoreError and UnreachableError."""

    def __init__(self, records: Records) -> None:
        self._records, self._fence = records, Fence()

    def versions(self, secret: str) -> Versions:
        return self._read(secret).versions

    def read(self, secret: str, version: str, *, purpose: str) -> Value:
        document = self._read(secret)
        self._records.write("read", secret, version, purpose)
        value = self._value(secret, document, version)
        self._fence.check(False)  # the answer may have taken longer than the lease
        return value

    def add(self, secret: str, version: Version, value: Value) -> None:
        with self._writing():
            document = self._finish_forgetting(secret, self._read(secret))
            if version.id in [kept.id for kept in document.versions.all]:
                return
            self._check_value(secret, document, value)
            self._records.write("write", secret, version.id, "keep as pending")
            self._sweep(secret, self._store_pending(secret, version, value))

    def publish(self, secret: str, version: str, now: datetime) -> None:
        with self._writing():
            document = self._read(secret)
            versions = document.versions
            chosen = versions.get(secret, version)
            if chosen.stage is not Stage.CURRENT:
                self._check_delivery(secret, document, chosen)
                if versions.current and versions.current.published is None:
                    # Readers still have the previous version, which this publish removes from the store.
                    with contextlib.suppress(UndeliverableError, NotFoundError):
                        self._deliver(secret, document, now, chosen)
                self._records.write("write", secret, version, "publish")
                document = self._change(secret, lambda found: found.published(found.get(secret, version), None))
            self._sweep(secret, self._deliver(secret, document, now))

    def recover(self, secret: str, now: datetime) -> None:
        with self._writing():
            document = self._finish_forgetting(secret, self._read(secret))
            if current := document.versions.current:
                self._compare(secret, document, current)
                document = self._deliver(secret, document, now)
            self._sweep(secret, document)
            if current and (lacking := list(self._missing_fields(secret, document, current))):
                raise store_errors.lacking(secret, lacking)

    def delivery_drift(self, secret: str) -> str | None:
        document = self._read(secret)
        current = document.versions.current
        return self._drift(secret, document, current) if current else None

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        def marked(versions: Versions) -> Versions:
            versions.get(secret, version)
            return versions.changed(version, verified=verified, retired=retired)

        with self._writing():
            if retired:
                self._read(secret).versions.get(secret, version)
                self._records.write("delete", secret, version, "retire")
            document = self._change(secret, marked)
            if retired:
                self._sweep(secret, document)

    def discard(self, secret: str, version: str) -> None:
        with self._writing():
            versions = self._read(secret).versions
            if versions.without_pending(version) != versions:
                self._records.write("delete", secret, version, "discard")
                self._sweep(secret, self._change(secret, lambda found: found.without_pending(version)))

    def forget(self, secret: str) -> None:
        with self._writing():
            self._forget(secret)

    def confirm(self, secret: str | None = None, previous: str | None = None) -> None:  # noqa: ARG002 - its reads are never stale
        self._fence.check(True)

    def _deliver(self, secret: str, document: Read, now: datetime, chosen: Version | None = None) -> Read:
        """Deliver the current version, and record when. A delivered value of `chosen` is not a manual edit."""
        current = document.versions.current
        if current is None or not self._write_delivery(secret, document, current, chosen, now) or current.published:
            return document

        def delivered(versions: Versions) -> Versions:
            is_current = versions.current and versions.current.id == current.id
            return versions.changed(current.id, published=now) if is_current else versions

        return self._change(secret, delivered)

    # Hooks, which a platform implements.

    def _writing(self) -> AbstractContextManager[None]:
        """Exclude other writers during the block. Only a store without compare-and-swap overrides this."""
        return contextlib.nullcontext()

    @abc.abstractmethod
    def _read(self, secret: str) -> Read:
        """Return the document; if it is missing, return one without versions."""

    @abc.abstractmethod
    def _change(self, secret: str, decide: Change) -> Read:
        """Write what `decide` returns; on a conflict call `decide` again. Return the new document."""

    def _check_value(self, secret: str, document: Read, value: Value) -> None:  # noqa: ARG002
        env_file.check_value(secret, value)

    @abc.abstractmethod
    def _store_pending(self, secret: str, version: Version, value: Value) -> Read:
        """Write `value`, and record `version` as pending."""

    @abc.abstractmethod
    def _value(self, secret: str, document: Read, version: str) -> Value: ...

    @abc.abstractmethod
    def _check_delivery(self, secret: str, document: Read, chosen: Version) -> None:
        """Raise StoreError if `chosen` can't replace the delivered value."""

    def _compare(self, secret: str, document: Read, current: Version) -> None:
        """Raise StoreError if somebody edited the delivered value in a way that `_write_delivery` does not detect."""

    @abc.abstractmethod
    def _write_delivery(
        self, secret: str, document: Read, current: Version, chosen: Version | None, now: datetime
    ) -> bool:
        """Deliver `current`. Return False if the secret has no reader. Raises UndeliverableError, and StoreError if
        somebody edited the delivered value."""

    @abc.abstractmethod
    def _drift(self, secret: str, document: Read, current: Version) -> str | None: ...

    @abc.abstractmethod
    def _missing_fields(self, secret: str, document: Read, current: Version) -> Iterable[str]: ...

    def _sweep(self, secret: str, document: Read) -> None: ...

    @abc.abstractmethod
    def _forget(self, secret: str) -> None: ...

    @abc.abstractmethod
    def _finish_forgetting(self, secret: str, document: Read) -> Read: ...


class StateLabels:
    """Labels or annotations that record facts about secrets, but no values."""

    def __init__(self, where: str, prefix: str, labels: dict[str, str], *, remedy: str) -> None:
        self._where, self._prefix, self.labels, self._remedy = where, prefix, labels, remedy

    def secrets(self, kind: str) -> tuple[str, ...]:
        start = f"{self._prefix}{kind}."
        return tuple(sorted(label.removeprefix(start) for label in self.labels if label.startswith(start)))

    def read(self, name: str, form: TypeAdapter[Form]) -> Form | None:
        """Parse a label; None if it is missing. Raises StoreError."""
        label = self._prefix + name
        text = self.labels.get(label)
        try:
            return None if text is None else form.validate_json(text)
        except ValueError:
            raise StoreError(
                f"{self._where} {label} can't be parsed",
                rule="only secretops may write this record",
                remedy=self._remedy,
                code="state-unreadable",
            ) from None

    def write(self, name: str, form: TypeAdapter[Form], content: Form | None) -> None:
        if content is None:
            self.labels.pop(f"{self._prefix}{name}", None)
        else:
            self.labels[f"{self._prefix}{name}"] = form.dump_json(content, exclude_none=True).decode()
