"""The versions of a secret in a store. Public; a value is never among them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from secretops.errors import NotFoundError


class Stage(StrEnum):
    """The stage of a version. A secret has at most one version in each."""

    PENDING = "pending"
    CURRENT = "current"
    PREVIOUS = "previous"


@dataclass(frozen=True, kw_only=True)
class Version:
    """One immutable value of a secret: everything but the value. Times are aware and in UTC."""

    # The token of the rotation that made it; sorts by time.
    id: str
    stage: Stage
    created: datetime
    # The broker user it is for, or the id of its key at an agent of ours (AGENT/KEY).
    user: str | None = None
    # Since when readers can see it. None on a current version: it is published, and not delivered yet.
    published: datetime | None = None
    # When it last logged in.
    verified: datetime | None = None
    # Since when the target refuses it.
    retired: datetime | None = None
    # When a certificate ends.
    expires: datetime | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a time without a zone: secretops did not write it."""
        for time in (self.created, self.published, self.verified, self.retired, self.expires):
            if time is not None and time.utcoffset() is None:
                raise ValueError("a time with no zone")

    def at(self, **changes: datetime | Stage | None) -> Version:
        """Return a copy with other times or another stage."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def _only(stage: Stage) -> cached_property[Version | None]:
    """Return a property of `Versions`: the version in `stage`, or None."""

    def find(versions: Versions) -> Version | None:
        for version in versions.all:
            if version.stage is stage:
                return version
        return None

    return cached_property(find)


@dataclass(frozen=True)
class Versions:
    """All versions of one secret that a store keeps, and what each change makes of them."""

    all: tuple[Version, ...] = ()

    pending = _only(Stage.PENDING)
    current = _only(Stage.CURRENT)
    previous = _only(Stage.PREVIOUS)

    @cached_property
    def living(self) -> tuple[Version, ...]:
        """Those with a value: the value of a retired one is forgotten."""
        return tuple([version for version in self.all if not version.retired])

    def get(self, secret: str, version: str) -> Version:
        """Return the version `version`. Raises NotFoundError that names `secret`."""
        for kept in self.all:
            if kept.id == version:
                return kept
        raise NotFoundError(f"{secret}: no version {version}", remedy="secretops status lists the versions kept")

    def with_pending(self, version: Version) -> Versions:
        """Return them with `version` pending, in place of another pending one."""
        kept = [old for old in self.all if old.stage is not Stage.PENDING]
        return Versions((*kept, version if version.stage is Stage.PENDING else version.at(stage=Stage.PENDING)))

    def without_pending(self, version: str) -> Versions:
        """Return them without the pending version `version`, if there is one."""
        return Versions(tuple(old for old in self.all if old.id != version or old.stage is not Stage.PENDING))

    def promoted(self, version: Version) -> Versions:
        """Return them with `version` current, not delivered yet, the old current previous, and no old previous."""
        kept = [old.at(stage=Stage.PREVIOUS) for old in self.all if old.stage is Stage.CURRENT]
        return Versions((*kept, version.at(stage=Stage.CURRENT, published=None)))

    def published(self, version: Version, now: datetime) -> Versions:
        """Return them with `version` current and delivered, as `VersionStore.publish` leaves it."""
        if version.stage is Stage.CURRENT:
            return self.changed(version.id, published=version.published or now)
        kept = [old.at(stage=Stage.PREVIOUS) for old in self.all if old.stage is Stage.CURRENT]
        return Versions((*kept, version.at(stage=Stage.CURRENT, published=now)))

    def changed(self, version: str, **times: datetime | None) -> Versions:
        """Return them with these times set on `version`; a time that is None stays as it was."""
        given = {name: time for name, time in times.items() if time is not None}
        return Versions(tuple([old.at(**given) if old.id == version else old for old in self.all]))


@dataclass(frozen=True, kw_only=True)
class Replica:
    """The report of one running server: which version of a secret it uses, and since when."""

    # Its MQTT client id, another one after each change of version.
    id: str
    # The broker user it is logged in as.
    user: str
    secret: str
    # "unknown" when its source names none.
    version: str
    since: datetime
