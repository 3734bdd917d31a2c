"""What the readers of a secret find: keys of the Secret that their pods mount. The delivery, not the truth.

One secret is in one Secret, so that it changes in one write and no reader sees a torn pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from secretops.errors import StoreError
from secretops.platforms.kubernetes.location import KubernetesStoreLocation as Location
from secretops.platforms.kubernetes.secrets import PREFIX, SecretData, Secrets, check_size
from secretops.stores import store_errors
from secretops.values import Value

# Name of a Secret -> the keys in it that a secret is, or was, delivered under.
Names = dict[str, tuple[str, ...]]


class Content(dict[str, bytes]):
    """Keys of a Secret as readers of one version find them. Holds values, so it prints none."""

    def __repr__(self) -> str:
        return "Content(…)"


class Delivery:
    """Writes the Secrets that pods mount. Raises StoreError, UnreachableError."""

    def __init__(self, location: Location, secrets: Secrets) -> None:
        self._location, self._secrets = location, secrets

    def fields(self, secret: str) -> tuple[str, ...]:
        """Return the fields that readers are to find."""
        place = self._location.delivered.get(secret)
        return tuple(place.keys) if place else ()

    def content(self, secret: str, version: str, value: Value) -> Content:
        """Return what readers of `version` find. A field that the value lacks is left out."""
        if (place := self._location.delivered.get(secret)) is None:
            return Content()
        found = {key: value[field].encode() for field, key in place.keys.items() if field in value}
        return Content({**found, _version_key(secret): version.encode()})

    def drift(self, secret: str, content: Content, ours: Sequence[Content]) -> str | None:
        """Return how readers do not find `content`: what none of `ours` delivers, or not yet. None if they do."""
        if (place := self._location.delivered.get(secret)) is None:
            return None
        found = self._secrets.read(place.name)
        if edited := self._edited(secret, found, ours):
            return edited.what
        return None if content.items() <= found.data.items() else "not delivered: secretops tick"

    def check(self, secret: str, content: Content, ours: Sequence[Content], before: Names) -> None:
        """Raise StoreError if `bring` would: what is there is edited, or there is no room."""
        if place := self._location.delivered.get(secret):
            found = self._secrets.read(place.name)
            self._fill(secret, found, content, ours, before)
            check_size(place.name, found)

    def bring(self, secret: str, content: Content, ours: Sequence[Content], before: Names, now: datetime) -> None:
        """Make readers find `content` in place of any of `ours`, in one write. Then remove what is no longer delivered.

        `before` says where it was delivered until now. Raises StoreError if what they find is of none of `ours`.
        """

        def fill(found: SecretData) -> None:
            data = dict(found.data)
            self._fill(secret, found, content, ours, before)
            if found.data != data:
                found.annotations[f"{PREFIX}version.{secret}"] = content[_version_key(secret)].decode()
                found.annotations[f"{PREFIX}delivered.{secret}"] = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

        place = self._location.delivered.get(secret)
        if place:
            self._secrets.change(place.name, fill)
        self._take(secret, {name: keys for name, keys in before.items() if place is None or name != place.name})

    def take_back(self, secret: str, before: Names) -> None:
        """Remove everything of `secret` that readers find or ever found."""
        place = self._location.delivered.get(secret)
        asked = {place.name: (*place.keys.values(), _version_key(secret))} if place else {}
        self._take(secret, merged(before, asked))

    def _take(self, secret: str, names: Names) -> None:
        for name, keys in names.items():

            def take(found: SecretData, keys: Iterable[str] = keys) -> None:
                for key in keys:
                    found.data.pop(key, None)
                for label in ("version", "delivered"):
                    found.annotations.pop(f"{PREFIX}{label}.{secret}", None)

            self._secrets.change(name, take)

    def _fill(self, secret: str, found: SecretData, content: Content, ours: Sequence[Content], before: Names) -> None:
        if error := self._edited(secret, found, ours):
            raise error
        for key in before.get(self._location.delivered[secret].name, ()):
            found.data.pop(key, None)
        found.data.update(content)

    def _edited(self, secret: str, found: SecretData, ours: Sequence[Content]) -> StoreError | None:
        name, namespace = self._location.delivered[secret].name, self._location.namespace
        for key in sorted({key for content in ours for key in content}):
            data = found.data.get(key)
            if data is not None and all(data != content.get(key) for content in ours):
                what = f"Secret {name} in namespace {namespace}: {key} was changed by hand"
                return store_errors.edited(secret, what, f"its key {key} (kubectl -n {namespace} edit secret {name})")
        return None


def merged(one: Names, other: Names) -> Names:
    return {name: tuple(sorted({*one.get(name, ()), *other.get(name, ())})) for name in sorted({*one, *other})}


def _version_key(secret: str) -> str:
    """The key that says which version of `secret` is delivered."""
    return f"{secret}-version"
