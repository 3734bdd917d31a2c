"""Values and versions of the secret "it", which the places of all stores have."""

from datetime import UTC, datetime
from typing import Protocol

from secretops.engine.ports import VersionStore
from secretops.engine.state import Stage, Version
from secretops.values import Value, new_password

FIELDS = ("username", "password", "ca.crt")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Opens(Protocol):
    def open(self) -> VersionStore: ...


def make(**fields: str) -> Value:
    """Return a new value with random fields, except for `fields`."""
    return Value({**{name: new_password() for name in FIELDS}, **fields})


def version(name: str, user: str | None = "a") -> Version:
    return Version(id=name, stage=Stage.PENDING, created=NOW, user=user)


def publish(place: Opens, name: str, value: Value | None = None) -> Value:
    """Publish a new version, and return its value."""
    return publish_with(place.open(), name, value)


def publish_with(store: VersionStore, name: str, value: Value | None = None) -> Value:
    """Publish a new version in an open store, and return its value."""
    value = value or make()
    store.add("it", version(name), value)
    store.publish("it", name, NOW)
    return value


def stages(place: Opens) -> dict[str, Stage]:
    """Return version id -> stage."""
    return {one.id: one.stage for one in place.open().versions("it").all}
