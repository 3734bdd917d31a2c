"""`VersionStore` over a vendor's own versions, of which readers get one: the newest, or the one with a label.

The one request that makes a version that one is both the decision and the delivery, so that no version is ever current
without its readers finding it. What follows from it, such as discarding what it replaced, the next run repeats after a
crash.
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
    """What a vendor's store says of one secret and its versions, without a value of ours."""

    @property
    def versions(self) -> Versions:
        """Ours. A version that somebody else made is none of them."""

    @property
    def rolled_back(self) -> object:
        """Truthy when a person gave readers an older version of ours, and since when is not recorded yet."""


State = TypeVar("State", bound=VendorState)


@dataclass(frozen=True)
class Edit:
    """What readers find and secretops did not write. Holds a value, so it prints none."""

    id: str
    fields: Mapping[str, Any] | None
    what: str
    undo: str
    """What a person removes to undo it."""

    def __repr__(self) -> str:
        return f"Edit({self.id})"


class VendorVersionStore(abc.ABC, Generic[State]):
    """What the stores of AWS, Azure and Vault share. They write no access records: the vendor's log has every read."""

    def __init__(self, location: Any, api: Any, timing: Timing, *, log_entries: bool) -> None:
        """`log_entries`: the journal is also a log, as a rotator's."""
        self._location, self._api, self._timing = location, api, timing
        self._fence = Fence()
        api.guard = self._fence.check
        self.journal: Journal = StoreJournal(self._keep_entry, self._last_entry, log_entries=log_entries)

    def versions(self, secret: str) -> Versions:
        return self._state(secret).versions

    def read(self, secret: str, version: str, *, purpose: str) -> Value:  # noqa: ARG002 - the vendor's log has none
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
            wrong = self._brought_back(secret, state)
            return wrong.what if wrong else None
        if wrong := self._taken_away(secret, state) or self._edited(secret, state):
            return wrong.what
        return None if self._is_found(secret, state) else "not delivered: secretops tick"

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

    def confirm(self) -> None:
        self._fence.check(True)

    def _deliver_until_found(self, secret: str, version: str | None, now: datetime) -> State:
        """Make `version`, by default the current one, the one that readers find. Return the state then.

        Decides again from what is there when somebody else wrote in between.
        """
        retries = Retries()
        while True:
            state = self._state(secret)
            chosen = state.versions.current if version is None else state.versions.get(secret, version)
            if chosen is None:
                return state
            self._refuse_edits(secret, state, None if version is None else chosen)
            if state.rolled_back:  # else its grace period would never begin
                self._record_rollback(secret, state, now)
                state = self._state(secret)
            current = state.versions.current
            if current and current.id == chosen.id and self._is_found(secret, state):
                break
            if self._deliver(secret, state, chosen, now):
                state = self._state(secret)
                break
            self._pause(secret, retries)
        self._tidy(secret, state, now)
        return state

    def _pause(self, secret: str, retries: Retries) -> None:
        """Pause after a refused write. Raises StoreError if the lease is lost, or after the last attempt."""
        self._fence.check(True)
        if not retries.pause():
            raise self._contended(secret)

    def _refuse_edits(self, secret: str, state: State, chosen: Version | None) -> None:
        """Raise StoreError when readers find what a person wrote, or nothing because a person decided so.

        An edit with just the value of `chosen` is no loss: so `secretops put` adopts it.
        """
        current = state.versions.current
        again = chosen is None or (current is not None and current.id == chosen.id)
        if wrong := self._edited(secret, state, chosen) or (self._taken_away(secret, state) if again else None):
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
        """Return what the vendor calls the secret that readers ask for, and the one that holds its pending version."""
        names = self._find_names(secret)
        if names is None:
            raise StoreError(
                f"{secret}: the stack has no secret of that name in {self._place}",
                rule="`pulumi up` makes, or grants, the secrets one by one",
                remedy="pulumi up, then try again",
            )
        return names

    def _find_names(self, secret: str) -> tuple[str, str] | None:
        name = self._location.secrets.get(secret)
        return None if name is None else (name, self._location.pending[secret])

    def _brought_back(self, secret: str, state: State) -> StoreError | None:  # noqa: ARG002
        """Return the error for a version that a person enabled again while its secret is being forgotten."""
        return None

    def _taken_away(self, secret: str, state: State) -> StoreError | None:  # noqa: ARG002
        """Return the error for a current version that a person disabled or deleted."""
        return None

    def _finish_forgetting(self, secret: str, state: State) -> None:
        """Finish a `forget` that a crash cut short."""

    def _record_rollback(self, secret: str, state: State, now: datetime) -> None:
        """Record since when readers find the version that a person gave them again."""
        self._tidy(secret, state, now)

    @property
    @abc.abstractmethod
    def _place(self) -> str:
        """Where the secrets are, for messages."""

    @abc.abstractmethod
    def _lease_store(self) -> LeaseStore: ...

    @abc.abstractmethod
    def _keep_entry(self, entry: Entry) -> None: ...

    @abc.abstractmethod
    def _last_entry(self, secret: str) -> Entry | None: ...

    @abc.abstractmethod
    def _state(self, secret: str) -> State:
        """Return what is there now; nothing of a secret that the stack does not have."""

    @abc.abstractmethod
    def _value(self, secret: str, state: State, version: str, *, but: str = "") -> Value:
        """Return a value, not from the vendor's version `but`. Raises NotFoundError."""

    @abc.abstractmethod
    def _is_found(self, secret: str, state: State) -> bool:
        """Return whether readers find the current version."""

    @abc.abstractmethod
    def _edit(self, secret: str, state: State) -> Edit | None:
        """Return what readers find of somebody else, if it says anything."""

    @abc.abstractmethod
    def _deliver(self, secret: str, state: State, version: Version, now: datetime) -> bool:
        """Send the one request that publishes. False when it was refused: somebody else wrote meanwhile."""

    @abc.abstractmethod
    def _tidy(self, secret: str, state: State, now: datetime) -> None:
        """Record the publish time if it is not set, and discard the values of versions that are not kept."""

    @abc.abstractmethod
    def _mark(self, secret: str, state: State, version: str, **times: datetime | None) -> None:
        """Record `verified` or `retired`, each None where it is not to change."""

    @abc.abstractmethod
    def _discard(self, secret: str, state: State, pending: Version) -> None: ...

    @abc.abstractmethod
    def _is_kept(self, secret: str) -> bool: ...

    @abc.abstractmethod
    def _contended(self, secret: str) -> StoreError: ...
