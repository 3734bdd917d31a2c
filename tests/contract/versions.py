"""Values and versions of secret "it", which every place of a store delivers."""

from datetime import UTC, datetime
from typing import Protocol

from secretops.engine.ports import VersionStore
from secretops.engine.state import Stage, Version
from secretops.values import Value, new_password

FIELDS = ("username", "password", "ca.crt")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Opens(Protocol):
    """A place of a store."""

    def open(self) -> VersionStore:
        """Open its store."""


def make(**fields: str) -> Value:
    """Return a new value with random fields, but for those that are named."""
    return Value({**{name: new_password() for name in FIELDS}, **fields})


def version(name: str, user: str | None = "a") -> Version:
    """Return a pending version of NOW."""
    return Version(id=name, stage=Stage.PENDING, created=NOW, user=user)


def publish(place: Opens, name: str, value: Value | None = None) -> Value:
    """Make a new version the current one, and return its value."""
    return publish_with(place.open(), name, value)


def publish_with(store: VersionStore, name: str, value: Value | None = None) -> Value:
    """Make a new version the current one of an open store, and return its value."""
    value = value or make()
    store.add("it", version(name), value)
    store.publish("it", name, NOW)
    return value


def stages(place: Opens) -> dict[str, Stage]:
    """Return version id -> stage."""
    return {one.id: one.stage for one in place.open().versions("it").all}
