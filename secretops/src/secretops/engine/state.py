"""The facts a decision rests on: which versions of a secret a store has. Public; a value is never among them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from secretops.errors import NotFoundError


class Stage(StrEnum):
    """Where a version stands. A secret has at most one version in each stage."""

    PENDING = "pending"
    CURRENT = "current"
    PREVIOUS = "previous"


@dataclass(frozen=True, kw_only=True)
class Version:
    """One immutable value of a secret, told by everything but the value. Times are aware and in UTC."""

    id: str
    """The token of the rotation that made it; sorts by time."""
    stage: Stage
    created: datetime
    user: str | None = None
    """The broker user it is for, or the id of its key at an agent of ours (AGENT/KEY), where there is one."""
    published: datetime | None = None
    """Since when readers can see it. None on a current version: the move is done, its delivery is not."""
    verified: datetime | None = None
    """When it last logged in."""
    retired: datetime | None = None
    """Since when the target refuses it."""
    expires: datetime | None = None
    """Until when it is valid by itself (a certificate)."""

    def __post_init__(self) -> None:
        """Raises ValueError for a time that could be compared with no other: it was not written by us."""
        for time in (self.created, self.published, self.verified, self.retired, self.expires):
            if time is not None and time.utcoffset() is None:
                raise ValueError("a time with no zone")

    def at(self, **changes: datetime | Stage | None) -> Version:
        """A copy with other times or another stage."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Versions:
    """All versions of one secret that a store still has, and how each change of a stage leaves them."""

    all: tuple[Version, ...] = ()

    def in_stage(self, stage: Stage) -> Version | None:
        for version in self.all:  # asked at each decision: a generator would cost more than what it looks at
            if version.stage is stage:
                return version
        return None

    @property
    def pending(self) -> Version | None:
        return self.in_stage(Stage.PENDING)

    @property
    def current(self) -> Version | None:
        return self.in_stage(Stage.CURRENT)

    @property
    def previous(self) -> Version | None:
        return self.in_stage(Stage.PREVIOUS)

    @property
    def living(self) -> tuple[Version, ...]:
        """Those whose value is kept: a retired one's is forgotten."""
        return tuple(version for version in self.all if not version.retired)

    def known(self, secret: str, version: str) -> Version:
        """The one called `version`. Raises NotFoundError that names `secret`."""
        for kept in self.all:
            if kept.id == version:
                return kept
        raise NotFoundError(f"{secret}: no version {version}", remedy="secretops status lists the versions kept")

    def with_pending(self, version: Version) -> Versions:
        """With `version` pending, in place of any other that was."""
        kept = [old for old in self.all if old.stage is not Stage.PENDING]
        return Versions((*kept, version.at(stage=Stage.PENDING)))

    def without_pending(self, version: str) -> Versions:
        """Without the pending one called `version`, if there is such a one."""
        return Versions(tuple(old for old in self.all if old.id != version or old.stage is not Stage.PENDING))

    def promoted(self, version: Version) -> Versions:
        """With `version` current, not delivered yet, and the old current previous. The old previous is dropped."""
        kept = [old.at(stage=Stage.PREVIOUS) for old in self.all if old.stage is Stage.CURRENT]
        return Versions((*kept, version.at(stage=Stage.CURRENT, published=None)))

    def published(self, version: Version, now: datetime) -> Versions:
        """With `version` current and delivered, as `VersionStore.publish` leaves it."""
        known = next((old for old in self.all if old.id == version.id), version)
        moved = self if known.stage is Stage.CURRENT else self.promoted(known)
        return moved.changed(known.id, published=known.published or now)

    def changed(self, version: str, **times: datetime | None) -> Versions:
        """With these times set on the one called `version`; a time that is None stays as it was."""
        given = {name: time for name, time in times.items() if time is not None}
        return Versions(tuple(old.at(**given) if old.id == version else old for old in self.all))


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What one running server says of itself: which version of a secret it uses, and since when."""

    id: str
    """Its MQTT client id, another one after each change of version."""
    user: str
    """The broker user it is logged in as."""
    secret: str
    version: str
    """ "unknown" when its source does not say."""
    since: datetime
