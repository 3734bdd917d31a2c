"""The facts a decision rests on: which versions of a secret a store has. Public; a value is never among them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
    """The broker user it is for, where there is one."""
    published: datetime | None = None
    """Since when readers can see it. None on a current version: the move is done, its delivery is not."""
    verified: datetime | None = None
    """When it last logged in."""
    retired: datetime | None = None
    """Since when the target refuses it."""
    expires: datetime | None = None
    """Until when it is valid by itself (a certificate)."""

    def at(self, **changes: datetime | Stage | None) -> Version:
        """A copy with other times or another stage."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Versions:
    """All versions of one secret that a store still has."""

    all: tuple[Version, ...] = ()

    def in_stage(self, stage: Stage) -> Version | None:
        return next((version for version in self.all if version.stage is stage), None)

    @property
    def pending(self) -> Version | None:
        return self.in_stage(Stage.PENDING)

    @property
    def current(self) -> Version | None:
        return self.in_stage(Stage.CURRENT)

    @property
    def previous(self) -> Version | None:
        return self.in_stage(Stage.PREVIOUS)


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
