"""What the readers of a secret find: keys of the Secret that their pods mount. The delivery, not the truth.

One secret is in one Secret, so that it changes in one write and no reader sees a torn pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from secretops.errors import StoreError
from secretops.platforms.kubernetes.location import KubernetesStoreLocation as Location
from secretops.platforms.kubernetes.secrets import PREFIX, Secrets, Sheet, check_size
from secretops.platforms.kubernetes.version_state import Names
from secretops.stores import store_errors
from secretops.values import Value


@dataclass(frozen=True, repr=False)
class Content:
    """One version as readers find it. Holds values, so it prints none."""

    version: str
    keys: dict[str, bytes]


class Delivery:
    """Writes the Secrets that pods mount."""

    def __init__(self, location: Location, secrets: Secrets) -> None:
        self._location, self._secrets = location, secrets

    def fields(self, secret: str) -> tuple[str, ...]:
        """The fields that readers are to find."""
        place = self._location.delivered.get(secret)
        return tuple(place.keys) if place else ()

    def names(self, secret: str, content: Content) -> Names:
        """Where readers of `content` find it."""
        place = self._location.delivered.get(secret)
        return {place.name: tuple(sorted(content.keys))} if place else {}

    def content(self, secret: str, version: str, value: Value) -> Content:
        """What readers of `version` find. A field that the value lacks is left out."""
        place = self._location.delivered.get(secret)
        keys = place.keys if place else {}
        found = {key: value[field].encode() for field, key in keys.items() if field in value}
        return Content(version, {**found, version_key(secret): version.encode()} if place else {})

    def astray(self, secret: str, content: Content, ours: Sequence[Content]) -> str | None:
        """In what way readers do not find `content`: something of none of `ours`, or not yet. None when they do.

        Raises StoreError, UnreachableError.
        """
        place = self._location.delivered.get(secret)
        if place is None:
            return None
        sheet = self._secrets.read(place.name)
        if edited := self._edited(secret, sheet, ours):
            return edited.what
        return None if content.keys.items() <= sheet.data.items() else "not delivered: secretops tick"

    def check(self, secret: str, content: Content, ours: Sequence[Content], before: Names) -> None:
        """Raise StoreError when `bring` would: what is there is somebody's, or there is no room."""
        if place := self._location.delivered.get(secret):
            sheet = self._secrets.read(place.name)
            self._fill(secret, sheet, content, ours, before)
            check_size(place.name, sheet)

    def bring(self, secret: str, content: Content, ours: Sequence[Content], before: Names, now: datetime) -> None:
        """Make readers find `content` in place of any of `ours`, in one write, then take back what is asked no more.

        `before` says where it was delivered until now. Raises StoreError when what they find is of none of `ours`,
        UnreachableError.
        """

        def fill(sheet: Sheet) -> None:
            found = dict(sheet.data)
            self._fill(secret, sheet, content, ours, before)
            if sheet.data != found:
                sheet.notes[f"{PREFIX}version.{secret}"] = content.version
                sheet.notes[f"{PREFIX}delivered.{secret}"] = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

        place = self._location.delivered.get(secret)
        if place:
            self._secrets.change(place.name, fill)
        self._take(secret, {name: keys for name, keys in before.items() if place is None or name != place.name})

    def take_back(self, secret: str, before: Names) -> None:
        """Remove everything of `secret` that readers find or ever found. Raises StoreError, UnreachableError."""
        place = self._location.delivered.get(secret)
        asked = {place.name: (*place.keys.values(), version_key(secret))} if place else {}
        self._take(secret, merged(before, asked))

    def _take(self, secret: str, names: Names) -> None:
        for name, keys in names.items():

            def take(sheet: Sheet, keys: Iterable[str] = keys) -> None:
                for key in keys:
                    sheet.data.pop(key, None)
                for note in ("version", "delivered"):
                    sheet.notes.pop(f"{PREFIX}{note}.{secret}", None)

            self._secrets.change(name, take)

    def _fill(self, secret: str, sheet: Sheet, content: Content, ours: Sequence[Content], before: Names) -> None:
        if error := self._edited(secret, sheet, ours):
            raise error
        for key in before.get(self._location.delivered[secret].name, ()):
            sheet.data.pop(key, None)
        sheet.data.update(content.keys)

    def _edited(self, secret: str, sheet: Sheet, ours: Sequence[Content]) -> StoreError | None:
        name, namespace = self._location.delivered[secret].name, self._location.namespace
        for key in sorted({key for content in ours for key in content.keys}):
            found = sheet.data.get(key)
            if found is not None and all(found != content.keys.get(key) for content in ours):
                what = f"Secret {name} in namespace {namespace}: {key} was changed by hand"
                return store_errors.edited(secret, what, f"its key {key} (kubectl -n {namespace} edit secret {name})")
        return None


def merged(one: Names, other: Names) -> Names:
    """The keys of both."""
    return {name: tuple(sorted({*one.get(name, ()), *other.get(name, ())})) for name in sorted({*one, *other})}


def version_key(secret: str) -> str:
    """The key that says which version of `secret` is delivered."""
    return f"{secret}-version"
