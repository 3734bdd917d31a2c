"""A version of the lease's secret that one taker has to itself, and what the labels on such versions say."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from secretops.errors import StoreError
from secretops.stores.secrets_manager.api import CURRENT, Api, Labels, where
from secretops.stores.secrets_manager.labels import NO_VALUE

FREE = NO_VALUE
"""The version that has AWSCURRENT while nobody holds the lease."""

STALE = timedelta(hours=1)
"""After that long a taker that was killed before it took anything is no longer about to."""

STALE_WITHOUT_ROOM = timedelta(minutes=1)
"""The same, where its labels keep others out: one that lives after all finds out when it renews, and writes no more."""

LONGEST_NAME = 180
"""Characters of a holder's name as it is written: the rest of its label has 70."""

MOST_LABELS = 20
"""Of a secret. https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html"""

ROOM = 4
"""Labels that a taker needs: two of its own, and one more for a moment when it or another holder renews."""

IDLE = 2
"""Versions kept for the next takers. More take the lease at once too rarely to be worth a label each."""

_HELD = re.compile(r"secretops\.held\.(?P<since>\d{8}T\d{6}Z)\.(?P<token>[0-9a-f]+)\.(?P<holder>.*)")
_RENEWED = re.compile(r"secretops\.renewed\.(?P<token>[0-9a-f]+)\.(?P<count>\d+)")
_IDLE = re.compile(r"secretops\.idle\.[0-9a-f]+")


class Seat:
    """A version that is ours alone while we take, hold and give back the lease of secret `name` as `holder`."""

    def __init__(self, api: Api, name: str, holder: str) -> None:
        self.api, self.name, self._token = api, name, secrets.token_hex(8)
        self.held = f"secretops.held.{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{self._token}.{quote(holder)[:LONGEST_NAME]}"
        self.count = 0
        self.version: str | None = None
        self.tried = False
        """Whether AWSCURRENT may be with us by now."""

    @property
    def renewed(self) -> str:
        """The label of our last renewal. Whoever moves it away from us follows us."""
        return self.renewal(self.count)

    def renewal(self, count: int) -> str:
        return f"secretops.renewed.{self._token}.{count}"

    def move(self, label: str, source: str | None, target: str | None) -> bool:
        return self.api.move(self.name, label, source, target)

    def sit(self, labels: Labels) -> str:
        """Have a version, with our labels on it: one that somebody has given back, or a new one.

        Raises StoreError also where there is no room for them.
        """
        if self.version:
            return self.version
        tidy(self.api, self.name, labels)
        if not _room(labels) and not _room(labels := self.api.labels(self.name)):
            raise _full(self.name, self.api.region, labels)
        for version, has in labels.items():
            for label in filter(_IDLE.fullmatch, sorted(has)):
                if self.move(label, version, None) and self._settle(version):
                    return version
        self.version = f"secretops-lease-{secrets.token_hex(8)}"
        self.api.put(self.name, self.version, "{}", (self.held, self.renewed))
        return self.version

    def leave(self) -> None:
        """Free the lease if it is ours, and let the next taker have our version."""
        if self.version is None:
            return
        if self.tried:
            self.move(CURRENT, self.version, FREE)
        unfollowed = self.move(self.renewed, self.version, None)  # else the follower may yet take AWSCURRENT from here
        labels = self.api.labels(self.name)
        for version, label in self._own(labels):
            self.move(label, version, None)
        if unfollowed and sum(bool(_IDLE.fullmatch(label)) for has in labels.values() for label in has) < IDLE:
            self.move(f"secretops.idle.{secrets.token_hex(8)}", None, self.version)

    def clear_renewals(self, labels: Labels) -> None:
        """Take away what confirmed an earlier renewal."""
        for version, label in self._own(labels):
            if version == FREE:
                self.move(label, FREE, None)

    def _own(self, labels: Labels) -> list[tuple[str, str]]:
        places = (FREE, self.version)
        return [(v, one) for v in places if v for one in sorted(labels.get(v, ())) if _token(one) == self._token]

    def _settle(self, version: str) -> bool:
        """Put our labels on a version that was given back. False when somebody has done so too: neither uses it.

        AWS says of a label that is elsewhere that it can't be taken away, not so of one that is nowhere.
        """
        self.version = version
        self.move(self.held, None, version)
        self.move(self.renewed, None, version)
        has = self.api.labels(self.name).get(version, frozenset())
        if {label for label in has if _HELD.fullmatch(label)} <= {self.held}:
            return True
        self.move(self.renewed, version, None)
        self.move(self.held, version, None)
        self.version = None
        return False


def last_renewal(labels: Labels, holder: str) -> str | None:
    """The label that version `holder` would confirm by: the lowest of its numbers, wherever a follower has put it."""
    tokens = _holding(labels, holder)
    found = [
        (int(match["count"]), label)
        for version, has in labels.items()
        for label in has
        if version != FREE and (match := _RENEWED.fullmatch(label)) and match["token"] in tokens
    ]
    return min(found)[1] if found else None


def tidy(api: Api, name: str, labels: Labels, followed: str | None = None) -> None:
    """Take the labels from whom we followed, and from who was killed before it took anything."""
    current = where(labels, CURRENT)
    holding = _holding(labels, current)
    longest = STALE if _room(labels) else STALE_WITHOUT_ROOM
    for version, has in labels.items():
        since = since_of(has)
        if since is None or datetime.now(UTC) - since > longest or version in (current, followed):
            for label in sorted(has):
                if (token := _token(label)) and token not in holding:
                    api.move(name, label, version, None)


def holder_name(labels: Labels, version: str | None) -> str:
    """Of whoever has that version; empty for nobody."""
    for label in labels.get(version or "", ()):
        if match := _HELD.fullmatch(label):
            return unquote(match["holder"], errors="replace")
    return ""


def since_of(has: frozenset[str]) -> datetime | None:
    """When whoever put these labels on its version began to take the lease."""
    for label in has:
        if match := _HELD.fullmatch(label):
            return datetime.strptime(match["since"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return None


def _holding(labels: Labels, version: str | None) -> set[str]:
    return {match["token"] for label in labels.get(version or "", ()) if (match := _HELD.fullmatch(label))}


def _token(label: str) -> str | None:
    """Of a label that a taker, holder or follower has put there."""
    match = _HELD.fullmatch(label) or _RENEWED.fullmatch(label)
    return match["token"] if match else None


def _count(labels: Labels) -> int:
    return sum(map(len, labels.values()))


def _room(labels: Labels) -> bool:
    return _count(labels) <= MOST_LABELS - ROOM


def _full(name: str, region: str, labels: Labels) -> StoreError:
    theirs = [(v, one) for v, has in labels.items() for one in sorted(has) if not one.startswith(("AWS", "secretops."))]
    aws = f"aws secretsmanager update-secret-version-stage --region {region} --secret-id {name}"
    return StoreError(
        f"secret {name} in {region} has {_count(labels)} staging labels of the {MOST_LABELS} that AWS allows",
        rule=f"whoever takes the lease needs {ROOM} more; nothing was begun",
        remedy="; ".join(f"{aws} --version-stage {one} --remove-from-version-id {v}" for v, one in theirs)
        or "nothing to do: many want the lease at this moment, and take away their own; try again in a minute",
    )
