"""The Kubernetes store: versions in a Secret that only the rotator reads, delivered to the Secrets that pods mount.

    Secret <versions>     all versions of all secrets: metadata in annotations, values in data
    Secret <delivered>    what readers get: a key for each field, and <secret>-version
    Lease <lease>         the lease of the rotator

A secret is delivered in one write, so no reader gets a mix of two versions. The API server's audit log is the trail.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from pydantic import TypeAdapter

from secretops.engine.journal import Entry, Journal
from secretops.engine.state import Version, Versions
from secretops.errors import NotFoundError, StoreError
from secretops.platforms.kubernetes.api import PATIENCE_SECONDS, Api
from secretops.platforms.kubernetes.kubeconfig import in_a_pod
from secretops.platforms.kubernetes.lease import LeaseObject, Timing
from secretops.platforms.kubernetes.location import KubernetesStoreLocation as Location
from secretops.platforms.kubernetes.secrets import PREFIX, SecretData, Secrets, check_size
from secretops.stores import store_errors
from secretops.stores.document_versions import (
    STATE,
    VALUE,
    Change,
    DocumentVersionStore,
    NoRecords,
    StateLabels,
    deliverable,
)
from secretops.stores.lease import hold
from secretops.stores.version_facts import StoreJournal
from secretops.values import Value

# Name of a Secret -> the keys in it that a secret is, or was, delivered to.
DeliveredKeys = dict[str, tuple[str, ...]]

_DELIVERED_KEYS, _ENTRY = TypeAdapter(DeliveredKeys), TypeAdapter(Entry)
_VERSIONS, _DELIVERED, _JOURNAL = "versions", "delivered", "journal"


class Content(dict[str, bytes]):
    """The keys and values of a version, as readers get them. Its repr shows no value."""

    def __repr__(self) -> str:
        return "Content(…)"


class SecretState:
    """The state of one secret, in a copy of the Secret with all versions. Methods change the copy, which the caller
    writes."""

    def __init__(self, name: str, content: SecretData, secret: str) -> None:
        self._name, self._data, self._secret = name, content.data, secret
        remedy = "restore the annotation from a backup; the values in the Secret are intact"
        self._labels = StateLabels(f"Secret {name}: annotation", PREFIX, content.annotations, remedy=remedy)

    @functools.cached_property
    def versions(self) -> Versions:
        return Versions(self._labels.read(f"{_VERSIONS}.{self._secret}", STATE) or ())

    @property
    def delivered(self) -> DeliveredKeys:
        """Return Secret -> keys that may contain the secret's value. A delivery first records its keys."""
        return self._labels.read(f"{_DELIVERED}.{self._secret}", _DELIVERED_KEYS) or {}

    @property
    def last_entry(self) -> Entry | None:
        return self._labels.read(f"{_JOURNAL}.{self._secret}", _ENTRY)

    def value(self, version: str) -> Value:
        found = self._data.get(f"{self._secret}.{version}")
        if found is None:
            raise store_errors.no_value(self._secret, version)
        try:
            return Value(VALUE.validate_json(found, strict=True))
        except ValueError:
            raise store_errors.InvalidValueError(
                f"Secret {self._name}: entry {self._secret}.{version} is not a valid value",
                rule="only secretops may write this Secret",
                remedy="restore the Secret from a backup; or, for a new version: secretops rotate "
                f"{self._secret} --now, or secretops put {self._secret}",
                code="value-invalid",
            ) from None

    def write(self, versions: Versions, new: Mapping[str, Value]) -> None:
        """Set the versions, add the values `new`, and remove values of retired versions."""
        if versions == self.versions:
            return
        living = {version.id for version in versions.living}
        for version in self.versions.all:
            if version.id not in living:
                self._data.pop(f"{self._secret}.{version.id}", None)
        for version_id, value in new.items():
            self._data[f"{self._secret}.{version_id}"] = json.dumps(dict(value), ensure_ascii=False).encode()
        self._labels.write(f"{_VERSIONS}.{self._secret}", STATE, versions.all)
        self.versions = versions

    def write_delivered(self, keys: DeliveredKeys) -> None:
        self._labels.write(f"{_DELIVERED}.{self._secret}", _DELIVERED_KEYS, keys or None)

    def write_entry(self, entry: Entry) -> None:
        self._labels.write(f"{_JOURNAL}.{self._secret}", _ENTRY, entry)

    def forget(self) -> None:
        self.write(Versions(), {})
        for kind in (_VERSIONS, _DELIVERED, _JOURNAL):
            self._labels.write(f"{kind}.{self._secret}", STATE, None)


class KubernetesVersionStore(DocumentVersionStore[SecretState]):
    """Writes the metadata and the value of a version in one request."""

    def __init__(
        self, location: Location, api: Api, *, log_entries: bool = False, timing: Timing | None = None
    ) -> None:
        super().__init__(NoRecords())
        self._location, self._api, self._timing = location, api, timing or Timing()
        self._secrets = Secrets(api, self._fence.check)
        self.journal: Journal = StoreJournal(
            self._store_entry, lambda secret: self._read(secret).last_entry, log_entries=log_entries
        )

    @classmethod
    def open(cls, location: Location) -> KubernetesVersionStore:
        return cls(location, Api(location.namespace, location.context), log_entries=in_a_pod())

    def secret_names(self) -> tuple[str, ...]:
        annotations = self._secrets.read(self._location.versions).annotations
        return StateLabels("", PREFIX, annotations, remedy="").secrets(_VERSIONS)

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        record = LeaseObject(self._api, self._location)
        with hold(record, holder, self._timing) as held, self._fence.behind(held):
            yield

    def _write(
        self, secret: str, decide: Callable[[SecretState], None], *, patience: float = PATIENCE_SECONDS
    ) -> SecretState:
        name = self._location.versions
        written = self._secrets.change(
            name, lambda content: decide(SecretState(name, content, secret)), patience=patience
        )
        return SecretState(name, written, secret)

    def _store_entry(self, entry: Entry) -> None:
        self._write(entry.secret, lambda state: state.write_entry(entry), patience=0)

    def _read(self, secret: str) -> SecretState:
        return SecretState(self._location.versions, self._secrets.read(self._location.versions), secret)

    def _change(self, secret: str, decide: Change) -> SecretState:
        return self._write(secret, lambda state: state.write(decide(state.versions), {}))

    def _store_pending(self, secret: str, version: Version, value: Value) -> SecretState:
        self._secrets.create_missing({place.name for place in self._location.delivered.values()})
        new = {version.id: value}
        return self._write(secret, lambda state: state.write(state.versions.with_pending(version), new))

    def _value(self, secret: str, state: SecretState, version: str) -> Value:  # noqa: ARG002
        return state.value(version)

    def _content(self, secret: str, state: SecretState, version: Version) -> Content:
        value, place = state.value(version.id), self._location.delivered.get(secret)
        if place is None:
            return Content()
        found = {key: value[field].encode() for field, key in place.keys.items() if field in value}
        return Content({**found, _version_key(secret): version.id.encode()})

    def _known(self, secret: str, state: SecretState, chosen: Version | None = None) -> list[Content]:
        found = []
        for version in deliverable(state.versions, chosen):
            try:
                found.append(self._content(secret, state, version))
            except (NotFoundError, StoreError):  # lost or invalid
                found.append(Content({_version_key(secret): version.id.encode()}))
        return found

    def _check_delivery(self, secret: str, state: SecretState, chosen: Version) -> None:
        content, known = self._content(secret, state, chosen), self._known(secret, state, chosen)
        if place := self._location.delivered.get(secret):
            found = self._secrets.read(place.name)
            self._fill(secret, found, content, known, state.delivered)
            check_size(place.name, found)

    def _write_delivery(
        self, secret: str, state: SecretState, current: Version, chosen: Version | None, now: datetime
    ) -> bool:
        content, known = self._content(secret, state, current), self._known(secret, state, chosen)
        place, before = self._location.delivered.get(secret), state.delivered
        keys: DeliveredKeys = {place.name: tuple(sorted(content))} if place else {}
        both = _merged(before, keys)
        if both != before:
            self._write(secret, lambda found: found.write_delivered(both))

        def fill(found: SecretData) -> None:
            data = dict(found.data)
            self._fill(secret, found, content, known, both)
            if found.data != data:
                found.annotations[f"{PREFIX}version.{secret}"] = current.id
                found.annotations[f"{PREFIX}delivered.{secret}"] = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

        if place:
            self._secrets.change(place.name, fill)
        self._withdraw(secret, {name: keys_there for name, keys_there in both.items() if name not in keys})
        if keys != both:
            self._write(secret, lambda found: found.write_delivered(keys))
        return True

    def _fill(
        self, secret: str, found: SecretData, content: Content, known: list[Content], before: DeliveredKeys
    ) -> None:
        if error := self._edited(secret, found, known):
            raise error
        for key in before.get(self._location.delivered[secret].name, ()):
            found.data.pop(key, None)
        found.data.update(content)

    def _edited(self, secret: str, found: SecretData, known: list[Content]) -> StoreError | None:
        name, namespace = self._location.delivered[secret].name, self._location.namespace
        if Content({_version_key(secret): found.data.get(_version_key(secret), b"")}) in known:
            return None  # the delivered version has no valid value to compare with
        for key in sorted({key for content in known for key in content}):
            data = found.data.get(key)
            if data is not None and all(data != content.get(key) for content in known):
                what = f"Secret {name} in namespace {namespace}: entry {key} was changed by hand"
                undo = f"kubectl -n {namespace} edit secret {name}, and remove the entry {key}"
                return store_errors.edited(secret, what, undo)
        return None

    def _withdraw(self, secret: str, delivered: DeliveredKeys) -> None:
        for name, keys in delivered.items():

            def remove(found: SecretData, keys: Iterable[str] = keys) -> None:
                for key in keys:
                    found.data.pop(key, None)
                for label in ("version", "delivered"):
                    found.annotations.pop(f"{PREFIX}{label}.{secret}", None)

            self._secrets.change(name, remove)

    def _drift(self, secret: str, state: SecretState, current: Version) -> str | None:
        content, known = self._content(secret, state, current), self._known(secret, state)
        if (place := self._location.delivered.get(secret)) is None:
            return None
        found = self._secrets.read(place.name)
        if edited := self._edited(secret, found, known):
            return edited.note
        return None if content.items() <= found.data.items() else store_errors.NOT_DELIVERED

    def _missing_fields(self, secret: str, state: SecretState, current: Version) -> Iterator[str]:
        value, place = state.value(current.id), self._location.delivered.get(secret)
        yield from (field for field in (place.keys if place else ()) if field not in value)

    def _forget(self, secret: str) -> None:
        state, place = self._write(secret, lambda found: found.write(Versions(), {})), self._location.delivered
        own = {place[secret].name: (*place[secret].keys.values(), _version_key(secret))} if secret in place else {}
        self._withdraw(secret, _merged(state.delivered, own))
        self._write(secret, SecretState.forget)

    def _finish_forgetting(self, secret: str, state: SecretState) -> SecretState:
        if state.versions.current or not state.delivered:  # else it is delivered, but no version is stored
            return state
        self._forget(secret)
        return self._read(secret)


def _merged(one: DeliveredKeys, other: DeliveredKeys) -> DeliveredKeys:
    return {name: tuple(sorted({*one.get(name, ()), *other.get(name, ())})) for name in sorted({*one, *other})}


def _version_key(secret: str) -> str:
    return f"{secret}-version"
