"""The Kubernetes store: versions in a Secret that only the rotator reads, delivered into the Secrets that pods mount.

    Secret <versions>     every version kept of every secret: their facts in annotations, their values in data
    Secret <delivered>    what readers find: a key a field, and <secret>-version
    Lease <lease>         who rotates

The API server's audit log is the trail, so this store writes no access records of its own.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from pydantic import TypeAdapter

from secretops.engine.journal import Entry, Journal
from secretops.engine.state import Version, Versions
from secretops.errors import StoreError
from secretops.platforms.kubernetes.api import PATIENCE_SECONDS, Api
from secretops.platforms.kubernetes.delivery import Content, Delivery, Names, merged
from secretops.platforms.kubernetes.kubeconfig import in_a_pod
from secretops.platforms.kubernetes.lease import LeaseObject, Timing
from secretops.platforms.kubernetes.location import KubernetesStoreLocation as Location
from secretops.platforms.kubernetes.secrets import PREFIX, SecretData, Secrets
from secretops.stores import store_errors
from secretops.stores.document_versions import (
    STATE,
    VALUE,
    Change,
    DocumentVersionStore,
    PlatformRecords,
    StateLabels,
    deliverable,
)
from secretops.stores.lease import hold
from secretops.stores.version_facts import StoreJournal
from secretops.values import Value

_NAMES, _ENTRY = TypeAdapter(Names), TypeAdapter(Entry)
_VERSIONS, _DELIVERED, _JOURNAL = "versions", "delivered", "journal"


class SecretState:
    """One secret in the versions Secret `name` as it was read. Changes are to what was read."""

    def __init__(self, name: str, content: SecretData, secret: str) -> None:
        self._name, self._data, self._secret = name, content.data, secret
        remedy = "restore the annotation from a backup; the values beside it are whole"
        self._labels = StateLabels(f"Secret {name}: annotation", PREFIX, content.annotations, remedy=remedy)

    @functools.cached_property
    def versions(self) -> Versions:
        return Versions(self._labels.read(f"{_VERSIONS}.{self._secret}", STATE) or ())

    @property
    def names(self) -> Names:
        """Where the secret is or was delivered: written before it is true, so that it is always found again."""
        return self._labels.read(f"{_DELIVERED}.{self._secret}", _NAMES) or {}

    @property
    def last_entry(self) -> Entry | None:
        """The newest entry of the journal. Raises StoreError."""
        return self._labels.read(f"{_JOURNAL}.{self._secret}", _ENTRY)

    def value(self, version: str) -> Value:
        """Return the value of `version`. Raises NotFoundError, StoreError."""
        found = self._data.get(f"{self._secret}.{version}")
        if found is None:
            raise store_errors.no_value(self._secret, version)
        try:
            return Value(VALUE.validate_json(found, strict=True))
        except ValueError:
            raise StoreError(
                f"Secret {self._name}: {self._secret}.{version} does not read as a value",
                rule="this Secret is written by secretops alone",
                remedy=f"restore it from a backup, or supply a new value: secretops put {self._secret}",
            ) from None

    def write(self, versions: Versions, new: Mapping[str, Value]) -> None:
        """Set the versions. `new` are the values of new ones; those of versions that are no longer living are removed.

        Changes nothing if the versions are as before.
        """
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

    def write_names(self, names: Names) -> None:
        self._labels.write(f"{_DELIVERED}.{self._secret}", _NAMES, names or None)

    def write_entry(self, entry: Entry) -> None:
        self._labels.write(f"{_JOURNAL}.{self._secret}", _ENTRY, entry)

    def forget(self) -> None:
        """Remove every version of the secret, and all that is recorded of it."""
        self.write(Versions(), {})
        for kind in (_VERSIONS, _DELIVERED, _JOURNAL):
            self._labels.write(f"{kind}.{self._secret}", STATE, None)


class KubernetesVersionStore(DocumentVersionStore[SecretState]):
    """`VersionStore` over the Secrets of one namespace. A version's facts and its value are one write."""

    def __init__(
        self, location: Location, api: Api, *, log_entries: bool = False, timing: Timing | None = None
    ) -> None:
        super().__init__(PlatformRecords())
        self._location, self._api, self._timing = location, api, timing or Timing()
        self._secrets = Secrets(api, self._fence.check)
        self._delivery = Delivery(location, self._secrets)
        self.journal: Journal = StoreJournal(
            self._keep_entry, lambda secret: self._read(secret).last_entry, log_entries=log_entries
        )

    @classmethod
    def open(cls, location: Location) -> KubernetesVersionStore:
        """Return the store at `location`. Connects to nothing yet. In a pod the journal is also its log."""
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
        """Write what `decide` changes, and return it. Raises as `Secrets.change` does."""
        name = self._location.versions
        written = self._secrets.change(
            name, lambda content: decide(SecretState(name, content, secret)), patience=patience
        )
        return SecretState(name, written, secret)

    def _keep_entry(self, entry: Entry) -> None:
        self._write(entry.secret, lambda state: state.write_entry(entry), patience=0)

    def _read(self, secret: str) -> SecretState:
        return SecretState(self._location.versions, self._secrets.read(self._location.versions), secret)

    def _change(self, secret: str, decide: Change) -> SecretState:
        return self._write(secret, lambda state: state.write(decide(state.versions), {}))

    def _keep(self, secret: str, version: Version, value: Value) -> SecretState:
        self._secrets.make_missing({place.name for place in self._location.delivered.values()})
        new = {version.id: value}
        return self._write(secret, lambda state: state.write(state.versions.with_pending(version), new))

    def _value(self, secret: str, state: SecretState, version: str) -> Value:  # noqa: ARG002
        return state.value(version)

    def _content(self, secret: str, state: SecretState, version: Version) -> Content:
        return self._delivery.content(secret, version.id, state.value(version.id))

    def _ours(self, secret: str, state: SecretState, chosen: Version | None = None) -> list[Content]:
        return [self._content(secret, state, version) for version in deliverable(state.versions, chosen)]

    def _check_delivery(self, secret: str, state: SecretState, chosen: Version) -> None:
        content, ours = self._content(secret, state, chosen), self._ours(secret, state, chosen)
        self._delivery.check(secret, content, ours, state.names)

    def _bring(self, secret: str, state: SecretState, current: Version, chosen: Version | None, now: datetime) -> bool:
        content, before = self._content(secret, state, current), state.names
        place = self._location.delivered.get(secret)
        names: Names = {place.name: tuple(sorted(content))} if place else {}
        both = merged(before, names)
        if both != before:
            self._write(secret, lambda found: found.write_names(both))
        self._delivery.bring(secret, content, self._ours(secret, state, chosen), both, now)
        if names != both:
            self._write(secret, lambda found: found.write_names(names))
        return True

    def _drift(self, secret: str, state: SecretState, current: Version) -> str | None:
        return self._delivery.drift(secret, self._content(secret, state, current), self._ours(secret, state))

    def _missing_fields(self, secret: str, state: SecretState, current: Version) -> Iterator[str]:
        value = state.value(current.id)
        yield from (field for field in self._delivery.fields(secret) if field not in value)

    def _forget(self, secret: str) -> None:
        state = self._write(secret, lambda found: found.write(Versions(), {}))
        self._delivery.take_back(secret, state.names)
        self._write(secret, SecretState.forget)

    def _finish_forgetting(self, secret: str, state: SecretState) -> SecretState:
        if state.versions.current or not state.names:  # else it is delivered, and no version of it is kept
            return state
        self._forget(secret)
        return self._read(secret)
