from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from secretops.errors import NotFoundError


class Stage(StrEnum):
    """The stage of a version. A secret has at most one version in each stage."""

    PENDING = "pending"
    CURRENT = "current"
    PREVIOUS = "previous"


@dataclass(frozen=True, kw_only=True)
class Version:
    """A secret's version, without its value. Times are in UTC."""

    # Token of the rotation that made it. Tokens sort by time.
    id: str
    stage: Stage
    created: datetime
    # Broker user that it is for, or the id of its key at an owned agent (AGENT/KEY).
    user: str | None = None
    # When readers could first see it; None before, also for a current version that is not delivered yet.
    published: datetime | None = None
    # When it last logged in.
    verified: datetime | None = None
    # When the target began to refuse it.
    retired: datetime | None = None
    # When a certificate expires.
    expires: datetime | None = None

    def __post_init__(self) -> None:
        for time in (self.created, self.published, self.verified, self.retired, self.expires):
            if time is not None and time.utcoffset() is None:
                raise ValueError("a time with no zone")

    def at(self, **changes: datetime | Stage | None) -> Version:
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def _only(stage: Stage) -> cached_property[Version | None]:
    def find(versions: Versions) -> Version | None:
        for version in versions.all:
            if version.stage is stage:
                return version
        return None

    return cached_property(find)


@dataclass(frozen=True)
class Versions:
    """The stored versions of one secret. Immutable: methods return a changed copy."""

    all: tuple[Version, ...] = ()

    pending = _only(Stage.PENDING)
    current = _only(Stage.CURRENT)
    previous = _only(Stage.PREVIOUS)

    @cached_property
    def living(self) -> tuple[Version, ...]:
        """Return the versions that are not retired."""
        return tuple([version for version in self.all if not version.retired])

    def get(self, secret: str, version: str) -> Version:
        for kept in self.all:
            if kept.id == version:
                return kept
        raise NotFoundError(
            f"{secret}: the store has no version {version}",
            rule="the version must be in the store",
            remedy="to see the secret's versions: secretops status",
            code="version-unknown",
        )

    def with_pending(self, version: Version) -> Versions:
        kept = [old for old in self.all if old.stage is not Stage.PENDING]
        return Versions((*kept, version if version.stage is Stage.PENDING else version.at(stage=Stage.PENDING)))

    def without_pending(self, version: str) -> Versions:
        return Versions(tuple(old for old in self.all if old.id != version or old.stage is not Stage.PENDING))

    def published(self, version: Version, now: datetime | None) -> Versions:
        """Return a copy in which `version` is current, and the old current version previous. `now`: when `version` was
        delivered; None if not yet."""
        if version.stage is Stage.CURRENT:
            return self.changed(version.id, published=version.published or now)
        kept = [old.at(stage=Stage.PREVIOUS) for old in self.all if old.stage is Stage.CURRENT]
        return Versions((*kept, version.at(stage=Stage.CURRENT, published=now)))

    def changed(self, version: str, **times: datetime | None) -> Versions:
        """Return a copy in which `version` has the new `times`. None keeps the old time."""
        changes = {name: time for name, time in times.items() if time is not None}
        return Versions(tuple([old.at(**changes) if old.id == version else old for old in self.all]))


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A running server's report of the version that it uses, and since when."""

    # Its MQTT client id, which changes with each version.
    id: str
    # Broker user that it is logged in as.
    user: str
    secret: str
    # "unknown" if its source names no version.
    version: str
    since: datetime
