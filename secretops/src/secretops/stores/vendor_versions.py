"""The base of stores that use a vendor's versions. Readers get the newest version, or the one with a label.

One request publishes and delivers, so a current version is always delivered. If a crash interrupts later work, such as
deleting the replaced value, the next run repeats it.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from secretops.engine.journal import Entry, Journal
from secretops.engine.state import Version, Versions
from secretops.errors import NotFoundError, StoreError
from secretops.stores import store_errors
from secretops.stores.lease import Fence, LeaseStore, Timing, hold
from secretops.stores.retry import Retries
from secretops.stores.version_facts import StoreJournal
from secretops.values import Value


class VendorState(Protocol):
    """A vendor's records of one secret, without values."""

    @property
    def versions(self) -> Versions: ...

    @property
    def rolled_back(self) -> object:
        """Return a true value if a person rolled the secret back, and `_record_rollback` did not record it yet."""


State = TypeVar("State", bound=VendorState)


@dataclass(frozen=True)
class Edit:
    """A delivered version that secretops did not write. `undo`: what a person must remove to undo the edit."""

    id: str
    fields: Mapping[str, Any] | None
    what: str
    undo: str

    def __repr__(self) -> str:
        return f"Edit({self.id})"


class VendorVersionStore(abc.ABC, Generic[State]):
    """The base of the stores of AWS, Azure and Vault, whose own logs record every access."""

    def __init__(self, location: Any, api: Any, timing: Timing, *, log_entries: bool) -> None:
        self._location, self._api, self._timing = location, api, timing
        self._fence = Fence()
        api.guard = self._fence.check
        self.journal: Journal = StoreJournal(self._store_entry, self._last_entry, log_entries=log_entries)

    def versions(self, secret: str) -> Versions:
        return self._state(secret).versions

    def read(self, secret: str, version: str, *, purpose: str) -> Value:  # noqa: ARG002 - not in the vendor's log
        state = self._state(secret)
        if not any(kept.id == version for kept in state.versions.living):
            raise store_errors.no_value(secret, version)
        value = self._value(secret, state, version)
        self._fence.check(False)  # the answer may have taken longer than the lease lasts
        return value

    def publish(self, secret: str, version: str, now: datetime) -> None:
        self._names(secret)
        self._deliver_until_found(secret, version, now)

    def recover(self, secret: str, now: datetime) -> None:
        state = self._deliver_until_found(secret, None, now)
        current = state.versions.current
        if current is None:
            self._finish_forgetting(secret, state)
        elif fields := self._location.fields.get(secret):
            value = self._value(secret, state, current.id)
            if lacking := [field for field in fields if field not in value]:
                raise store_errors.lacking(secret, lacking)

    def delivery_drift(self, secret: str) -> str | None:
        state = self._state(secret)
        if state.versions.current is None:
            wrong = self._restore_error(secret, state)
        else:
            wrong = self._removal_error(secret, state) or self._edited(secret, state)
        if wrong:
            return wrong.note
        is_fine = state.versions.current is None or self._is_delivered(secret, state)
        return None if is_fine else store_errors.NOT_DELIVERED

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        state = self._state(secret)
        state.versions.get(secret, version)
        self._mark(secret, state, version, verified=verified, retired=retired)

    def discard(self, secret: str, version: str) -> None:
        state = self._state(secret)
        pending = state.versions.pending
        if pending and pending.id == version:
            self._discard(secret, state, pending)

    def secret_names(self) -> tuple[str, ...]:
        return tuple(sorted(secret for secret in self._location.secrets if self._is_kept(secret)))

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        with hold(self._lease_store(), holder, self._timing) as held, self._fence.behind(held):
            yield

    def confirm(self, secret: str | None = None, previous: str | None = None) -> None:  # noqa: ARG002
        self._fence.check(True)

    def _deliver_until_found(self, secret: str, version: str | None, now: datetime) -> State:
        """Deliver `version`, by default the current one, and repeat this after concurrent writes. Return the resulting
        state."""
        retries = Retries()
        while True:
            state = self._state(secret)
            chosen = state.versions.current if version is None else state.versions.get(secret, version)
            if chosen is None:
                return state
            self._refuse_edits(secret, state, None if version is None else chosen)
            if state.rolled_back:  # without its time the grace period would not begin
                self._record_rollback(secret, state, now)
                state = self._state(secret)
            current = state.versions.current
            if current and current.id == chosen.id and self._is_delivered(secret, state):
                break
            if self._deliver(secret, state, chosen, now):
                state = self._state(secret)
                break
            self._pause(secret, retries)
        self._tidy(secret, state, now)
        return state

    def _pause(self, secret: str, retries: Retries) -> None:
        self._fence.check(True)
        if not retries.pause():
            raise self._contended(secret)

    def _refuse_edits(self, secret: str, state: State, chosen: Version | None) -> None:
        """Raise StoreError if a person removed or edited the delivered value, unless it is now the value of
        `chosen`."""
        current = state.versions.current
        again = chosen is None or (current is not None and current.id == chosen.id)
        if wrong := self._edited(secret, state, chosen) or (self._removal_error(secret, state) if again else None):
            raise wrong

    def _edited(self, secret: str, state: State, chosen: Version | None = None) -> StoreError | None:
        edit = self._edit(secret, state)
        if edit is None:
            return None
        for ours in (state.versions.current, chosen):
            with contextlib.suppress(NotFoundError):
                if ours and dict(self._value(secret, state, ours.id, but=edit.id)) == edit.fields:
                    return None
        return store_errors.edited(secret, edit.what, edit.undo)

    def _names(self, secret: str) -> tuple[str, str]:
        names = self._find_names(secret)
        if names is None:
            raise StoreError(
                f"{secret}: the stack has no secret of that name in {self._place}",
                rule="the secret must be deployed: `pulumi up` creates each secret, or grants access to it",
                remedy="pulumi up, then try again",
                code="secret-not-deployed",
            )
        return names

    def _find_names(self, secret: str) -> tuple[str, str] | None:
        name = self._location.secrets.get(secret)
        return None if name is None else (name, self._location.pending[secret])

    def _restore_error(self, secret: str, state: State) -> StoreError | None:  # noqa: ARG002
        """Return an error if a person restored a version of a secret that is being deleted."""
        return None

    def _removal_error(self, secret: str, state: State) -> StoreError | None:  # noqa: ARG002
        return None

    def _finish_forgetting(self, secret: str, state: State) -> None: ...

    def _record_rollback(self, secret: str, state: State, now: datetime) -> None:
        self._tidy(secret, state, now)

    @property
    @abc.abstractmethod
    def _place(self) -> str:
        """Return the account, vault or mount, for messages."""

    @abc.abstractmethod
    def _lease_store(self) -> LeaseStore: ...

    @abc.abstractmethod
    def _store_entry(self, entry: Entry) -> None: ...

    @abc.abstractmethod
    def _last_entry(self, secret: str) -> Entry | None: ...

    @abc.abstractmethod
    def _state(self, secret: str) -> State: ...

    @abc.abstractmethod
    def _value(self, secret: str, state: State, version: str, *, but: str = "") -> Value:
        """Return the value of `version`. Does not read the vendor's version `but`. Raises NotFoundError."""

    @abc.abstractmethod
    def _is_delivered(self, secret: str, state: State) -> bool: ...

    @abc.abstractmethod
    def _edit(self, secret: str, state: State) -> Edit | None:
        """Return a delivered version whose value secretops did not write, or None."""

    @abc.abstractmethod
    def _deliver(self, secret: str, state: State, version: Version, now: datetime) -> bool:
        """Send the request that publishes `version`. Return False on a conflict."""

    @abc.abstractmethod
    def _tidy(self, secret: str, state: State, now: datetime) -> None:
        """Record a missing publish time, and delete values that no version needs."""

    @abc.abstractmethod
    def _mark(self, secret: str, state: State, version: str, **times: datetime | None) -> None:
        """Record `times` of `version`, except those that are None."""

    @abc.abstractmethod
    def _discard(self, secret: str, state: State, pending: Version) -> None: ...

    @abc.abstractmethod
    def _is_kept(self, secret: str) -> bool: ...

    @abc.abstractmethod
    def _contended(self, secret: str) -> StoreError: ...
