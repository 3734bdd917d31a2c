"""A store in memory, for tests only. A simulated year on it takes a tenth of a second."""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from secretops.engine.state import Stage, Version, Versions
from secretops.stores import store_errors
from secretops.stores.lease import LeaseLostError, lease_held
from secretops.values import Value

_numbers = itertools.count()
AGAIN = "verify again"  # The write that only records that a version still logs in.


@dataclass(frozen=True)
class Delivered:
    """What the readers of a secret find."""

    version: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Holder:
    token: str
    reported: str


@dataclass(frozen=True)
class Kept:
    """All data of a stack in the store. It is replaced as a whole, so that no write is half-done."""

    versions: dict[str, Versions] = field(default_factory=dict)
    values: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)  # secret -> version -> its fields.
    delivered: dict[str, Delivered] = field(default_factory=dict)
    holder: Holder | None = None


class Medium(Protocol):
    """Holds the data. Its methods may raise a store's errors."""

    def load(self, what: str) -> Kept: ...

    def save(self, kept: Kept, what: str) -> None: ...


class StandInStore:
    """A `VersionStore` on a medium. `fields` has the delivered fields of each secret."""

    def __init__(self, medium: Medium, fields: Mapping[str, tuple[str, ...]], lives: Callable[[str], bool]) -> None:
        """`lives`: whether the holder of a lease, by its token, was recently alive."""
        self._medium, self._fields, self._lives = medium, fields, lives
        self.token = f"{os.getpid()}:{next(_numbers)}"
        self._holds = False

    def versions(self, secret: str) -> Versions:
        return self._medium.load("versions").versions.get(secret, Versions())

    def read(self, secret: str, version: str, *, purpose: str) -> Value:  # noqa: ARG002 - it keeps no records
        return _value(self._medium.load("read"), secret, version)

    def add(self, secret: str, version: Version, value: Value) -> None:
        kept = self._load("add")
        versions = kept.versions.get(secret, Versions())
        if any(one.id == version.id for one in versions.all):
            return
        values = {**kept.values.get(secret, {}), version.id: dict(value)}
        self._save(_with(kept, secret, versions.with_pending(version), values), f"add {secret} {version.id}")

    def publish(self, secret: str, version: str, now: datetime) -> None:
        kept = self._load("publish")
        versions = kept.versions.get(secret, Versions())
        chosen = versions.get(secret, version)
        if chosen.stage is not Stage.CURRENT:
            if versions.current and versions.current.published is None:
                self._deliver(secret, now)
                kept = self._load("publish")
            promoted = kept.versions[secret].published(chosen, None)
            self._save(_with(kept, secret, promoted), f"publish {secret} {version}")
        self._deliver(secret, now)

    def recover(self, secret: str, now: datetime) -> None:
        kept = self._load("recover")
        current = kept.versions.get(secret, Versions()).current
        if current is None:
            return
        self._deliver(secret, now)

    def delivery_drift(self, secret: str) -> str | None:
        kept = self._medium.load("delivery_drift")
        current = kept.versions.get(secret, Versions()).current
        if current is None or secret not in self._fields:
            return None
        there = kept.delivered.get(secret)
        return None if there and there.version == current.id else "not delivered: secretops tick"

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        kept = self._load("mark")
        versions = kept.versions.get(secret, Versions())
        before = versions.get(secret, version)
        what = "retired" if retired else AGAIN if before.verified else "verified"
        changed = versions.changed(version, verified=verified, retired=retired)
        self._save(_with(kept, secret, changed), f"{what} {secret} {version}")

    def discard(self, secret: str, version: str) -> None:
        kept = self._load("discard")
        before = kept.versions.get(secret, Versions())
        left = before.without_pending(version)
        if left != before:
            self._save(_with(kept, secret, left), f"discard {secret} {version}")

    def secret_names(self) -> tuple[str, ...]:
        return tuple(sorted(self._medium.load("secret_names").versions))

    def forget(self, secret: str) -> None:
        raise AssertionError(f"nobody purges {secret} in the simulated year")

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        kept = self._medium.load("lease")
        if kept.holder and self._lives(kept.holder.token):
            raise lease_held(kept.holder.reported, None)
        self._medium.save(replace(kept, holder=Holder(self.token, holder)), "lease")
        self._holds = True
        try:
            yield
        finally:
            self._holds = False
            kept = self._medium.load("lease")
            if kept.holder and kept.holder.token == self.token:
                self._medium.save(replace(kept, holder=None), "lease")

    def confirm(self, secret: str | None = None, previous: str | None = None) -> None:  # noqa: ARG002
        self._load("confirm")

    def _load(self, what: str) -> Kept:
        kept = self._medium.load(what)
        if self._holds and (kept.holder is None or kept.holder.token != self.token):
            raise LeaseLostError(kept.holder.reported if kept.holder else "somebody")
        return kept

    def _save(self, kept: Kept, what: str) -> None:
        self._medium.save(kept, what)

    def _deliver(self, secret: str, now: datetime) -> None:
        kept = self._load("deliver")
        current = kept.versions[secret].current
        if current is None:
            return
        supplied = self._given(kept, secret, current.id)
        if supplied and kept.delivered.get(secret) != supplied:
            kept = replace(kept, delivered={**kept.delivered, secret: supplied})
            self._save(kept, f"deliver {secret} {current.id}")
            kept = self._load("deliver")
        if current.published is None:
            changed = kept.versions[secret].changed(current.id, published=now)
            self._save(_with(kept, secret, changed), f"delivered {secret} {current.id}")

    def _given(self, kept: Kept, secret: str, version: str) -> Delivered | None:
        wanted, value = self._fields.get(secret, ()), kept.values[secret][version]
        return Delivered(version, {name: value[name] for name in wanted if name in value}) if wanted else None


def _value(kept: Kept, secret: str, version: str) -> Value:
    try:
        return Value(kept.values[secret][version])
    except KeyError:
        raise store_errors.no_value(secret, version) from None


def _with(kept: Kept, secret: str, versions: Versions, values: Mapping[str, dict[str, str]] | None = None) -> Kept:
    all_values = kept.values.get(secret, {}) if values is None else values
    living = {one.id: all_values[one.id] for one in versions.living}
    return replace(kept, versions={**kept.versions, secret: versions}, values={**kept.values, secret: living})
