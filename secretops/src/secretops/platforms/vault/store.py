"""`VersionStore` over a KV engine of version 2.

Readers get the newest document of a path, so the one write that makes it there is both the decision and the delivery:
there is no moment at which a version is current and its readers do not find it. It is made by check-and-set, after the
document that we saw. What follows from it, forgetting what it replaced, is done again by whoever comes after a crash.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from datetime import datetime

from secretops.engine.journal import Journal
from secretops.engine.state import Version, Versions
from secretops.errors import NotFoundError, StoreError
from secretops.platforms.vault import documents
from secretops.platforms.vault.api import NONE, Api
from secretops.platforms.vault.journal import VaultJournal
from secretops.platforms.vault.lease import take
from secretops.platforms.vault.location import VaultStoreLocation as Location
from secretops.platforms.vault.secret_index import Register
from secretops.platforms.vault.version_metadata import Noted, State, noted, says_the_same
from secretops.stores import store_errors
from secretops.stores.lease import Fence, Timing, holding
from secretops.values import Value

PAUSES = (0.05, 0.1, 0.2, 0.4)
"""Seconds after each conflict but the last. Under the lease nobody else writes a value but a person, now and then."""


class VaultVersionStore:
    """Keeps versions as documents. Writes no access records: the server's audit devices have every read."""

    def __init__(self, location: Location, api: Api, *, loud: bool = False, timing: Timing | None = None) -> None:
        self._location, self._api, self._timing = location, api, timing or Timing()
        self._fence = Fence()
        api.guard = self._fence.check
        self._register = Register(api, location.lease)
        self.journal: Journal = VaultJournal(api, self._paths, loud=loud)

    @classmethod
    def open(cls, location: Location, *, role: str, timing: Timing | None = None) -> VaultVersionStore:
        """The store at `location`. Touches nothing yet. A rotator's journal is also its log."""
        return cls(location, Api.of(location), loud=role == "rotator", timing=timing)

    def versions(self, secret: str) -> Versions:
        return self._state(secret).versions

    def read(self, secret: str, version: str, *, purpose: str) -> Value:  # noqa: ARG002 - the audit log has none
        state = self._state(secret)
        if not any(kept.id == version for kept in state.versions.living):
            raise store_errors.no_value(secret, version)
        value = self._value(secret, state, version)
        self._fence.check(False)  # now that it is in hand: the server may have been long in answering
        return value

    def add(self, secret: str, version: Version, value: Value) -> None:
        _, apart = self._known(secret)
        written = documents.written(secret, version.id, value)
        key, note = Noted(version=version, numbers=(1,)).note()
        state = self._state(secret)
        if any(kept.id == version.id for kept in state.versions.all):
            return
        if state.may_yet_come and state.is_found:  # else it could be published while the broker takes it no more
            self._give_again(secret, state, version.created)
            state = self._state(secret)
        self._register.enter(secret, self._known(secret))
        if state.apart is not NONE:
            self._api.drop(apart)
        self._api.note(apart, {key: note})
        if self._api.write(apart, written, 0) is None:
            found = self._api.read(apart)
            if found is None or dict(found.data) != written:  # else it is ours, and its answer was lost
                self._fence.check(True)
                raise self._contended(apart)

    def publish(self, secret: str, version: str, now: datetime) -> None:
        for pause in (*PAUSES, None):
            state = self._state(secret)
            chosen = state.versions.known(secret, version)
            self._refuse_edits(secret, state, chosen)
            if state.rolled_back:  # else its grace would never be counted
                self._tidy(secret, state, now)
                state = self._state(secret)
            current = state.versions.current
            if current and current.id == chosen.id and state.is_found:
                break
            if self._deliver(secret, state, chosen, now):
                break
            self._lost(secret, pause)
        self._tidy(secret, self._state(secret), now)

    def settle(self, secret: str, now: datetime) -> None:
        current = self._restored(secret, now)
        if current is None:
            return
        state = self._state(secret)
        self._tidy(secret, state, now)
        if fields := self._location.fields.get(secret):
            value = self._value(secret, state, current.id)
            if lacking := [field for field in fields if field not in value]:
                raise store_errors.lacking(secret, lacking)

    def astray(self, secret: str) -> str | None:
        state = self._state(secret)
        if state.versions.current is None:
            return None
        if wrong := self._taken_away(secret, state) or self._edited(secret, state):
            return wrong.what
        return None if state.is_found else "not delivered: secretops tick"

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        state = self._state(secret)
        state.versions.known(secret, version)
        path, apart = self._known(secret)
        pending = state.pending if state.pending and state.pending.version.id == version else None
        where, one = (apart, pending) if pending else (path, state.published[version])
        changed = Versions((one.version,)).changed(version, verified=verified, retired=retired).all[0]
        if not self._api.note(where, dict([dataclasses.replace(one, version=changed).note()]), make=False):
            self._fence.check(True)
            raise store_errors.no_value(secret, version)
        if retired:
            self._tidy(secret, self._state(secret))

    def discard(self, secret: str, version: str) -> None:
        pending = self._state(secret).versions.pending
        if pending and pending.id == version:
            self._api.drop(self._known(secret)[1])

    def kept(self) -> tuple[str, ...]:
        """Of a secret that left the stack by what is noted: whoever asks may not be allowed to look any more."""
        looked = (secret for secret in self._location.secrets if self._is_kept(secret))
        return tuple(sorted({*looked, *(self._register.paths().keys() - self._location.secrets.keys())}))

    def forget(self, secret: str) -> None:
        """What is pending goes first: of a purge that was cut short between the two all else is as it was."""
        if (paths := self._paths(secret)) is None:
            return
        self.confirm()
        for path in reversed(paths):
            if self._api.metadata(path):
                self._api.drop(path)
        self._register.strike(secret)

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        held = take(self._api.beside(), self._location.lease, holder, self._timing)
        with holding(held, self._timing), self._fence.behind(held):
            yield

    def confirm(self) -> None:
        self._fence.check(True)

    def _paths(self, secret: str) -> tuple[str, str] | None:
        """Where readers find it, and where what is pending lies. Of one that left the stack as it was noted."""
        if secret in self._location.secrets:
            return self._location.secrets[secret], self._location.pending[secret]
        return self._register.paths().get(secret)

    def _known(self, secret: str) -> tuple[str, str]:
        if paths := self._paths(secret):
            return paths
        raise StoreError(
            f"{secret}: the stack has no secret of that name in {self._location.mount} at {self._api.server.host}",
            rule="the stack's file names the secrets, and `pulumi up` grants their paths one by one",
            remedy="pulumi up, then try again",
        )

    def _state(self, secret: str) -> State:
        """As it is now; a secret that nobody knows has nothing."""
        paths = self._paths(secret)
        return State.of(self._api, *paths) if paths else State(NONE, NONE, {})

    def _is_kept(self, secret: str) -> bool:
        return any(noted(self._api.metadata(path) or NONE) for path in self._known(secret))

    def _deliver(self, secret: str, state: State, version: Version, now: datetime) -> bool:
        """The one write that publishes. False when somebody else wrote meanwhile, or our answer was lost."""
        path, _ = self._known(secret)
        value, current = self._value(secret, state, version.id), state.versions.current
        again = current is not None and current.id == version.id
        one = state.published.get(version.id, Noted(version=version))
        copies = (state.main.current,) if says_the_same(state.theirs, value) else ()
        published = version.at(published=(version.published if again else None) or now)
        plan = dataclasses.replace(one, version=published, planned=state.main.current + 1, copies=copies)
        self._api.note(path, dict([plan.note()]))
        written = documents.written(secret, version.id, value)
        return self._api.write(path, written, state.main.current, surely=True) is not None

    def _restored(self, secret: str, now: datetime) -> Version | None:
        """The current version, which readers find by now; None where there is none."""
        for pause in (*PAUSES, None):
            state = self._state(secret)
            current = state.versions.current
            if current is None:
                break
            self._refuse_edits(secret, state)
            if state.is_found or self._deliver(secret, state, current, now):
                break
            self._lost(secret, pause)
        return current

    def _give_again(self, secret: str, state: State, now: datetime) -> None:
        """The current version as another document, after which nothing is written that was sent before."""
        current = state.versions.current
        if current and not self._deliver(secret, state, current, now):
            self._fence.check(True)  # else it has come, and the engine looks what is current before it goes on
        self._tidy(secret, self._state(secret))

    def _lost(self, secret: str, pause: float | None) -> None:
        """After a write that came too late: say who has followed us, or see what is there now."""
        self._fence.check(True)
        if pause is None:
            raise self._contended(self._known(secret)[0])
        time.sleep(pause)

    def _tidy(self, secret: str, state: State, now: datetime | None = None) -> None:
        """Forget the values of what is not kept any more, and note what is; since `now` where that is not noted yet."""
        path, apart = self._known(secret)
        current = state.versions.current
        if now and current and current.published is None:
            one = state.published[current.id]
            dated = dataclasses.replace(one, version=one.version.at(published=now))
            state = dataclasses.replace(state, published={**state.published, current.id: dated})
        if numbers := state.surplus():
            self._api.destroy(path, numbers)
        if changes := state.changes():
            self._api.note(path, changes, make=False)
        if state.pending is None and state.apart is not NONE:  # it was published; or came late, of who was followed
            self._api.drop(apart)

    def _value(self, secret: str, state: State, version: str) -> Value:
        path, apart = self._known(secret)
        one = state.published.get(version)
        where, number = (path, one.newest) if one and one.numbers else (apart, state.apart.current)
        found = self._api.read(where, number)
        if found is None:
            raise store_errors.no_value(secret, version)
        fields = documents.fields_of(found.data)
        if fields is None or found.data.get(documents.VERSION) != version:
            raise StoreError(
                f"{secret}: version {number} of {self._location.mount}/{where} does not read as version {version}",
                rule="a document of fields and their texts, written by secretops alone",
                remedy=f"supply a new one: secretops put {secret}",
            )
        return Value(fields)

    def _refuse_edits(self, secret: str, state: State, chosen: Version | None = None) -> None:
        """Raise StoreError when readers find what somebody else made, or nothing because somebody wanted it so.

        An edit that says just what `chosen` says is no loss: that is how `secretops put` adopts it.
        """
        current = state.versions.current
        again = chosen is None or (current is not None and current.id == chosen.id)
        if wrong := self._edited(secret, state, chosen) or (self._taken_away(secret, state) if again else None):
            raise wrong

    def _taken_away(self, secret: str, state: State) -> StoreError | None:
        if not state.taken_away:
            return None
        path, number = self._known(secret)[0], state.main.current
        there = f"{self._location.mount}/{path}"
        if state.main.versions[number].destroyed:
            done, back = "destroyed", ""
        else:
            done = "deleted"
            back = f"; to give it back: bao kv undelete -mount={self._location.mount} -versions={number} {path}"
        return StoreError(
            f"{there}: version {number}, the current one, was {done}, and readers find nothing",
            rule="whoever did it took it from its readers; secretops gives it back only when told to",
            remedy=f"secretops rotate {secret}, or put, makes another{back}",
        )

    def _edited(self, secret: str, state: State, chosen: Version | None = None) -> StoreError | None:
        if state.theirs is None or not state.theirs.data:
            return None
        for ours in (state.versions.current, chosen):
            with contextlib.suppress(NotFoundError):
                if ours and says_the_same(state.theirs, self._value(secret, state, ours.id)):
                    return None
        path, number = self._known(secret)[0], state.theirs.number
        return store_errors.edited(
            secret,
            f"{self._location.mount}/{path} was changed by hand: version {number} is none of secretops'",
            f"it from its readers (bao kv delete -mount={self._location.mount} -versions={number} {path})",
        )

    def _contended(self, path: str) -> StoreError:
        return StoreError(
            f"{self._location.mount}/{path} at {self._api.server.host}: somebody else wrote to it "
            f"{len(PAUSES) + 1} times in a row",
            rule="check-and-set: a document is only written after the one that was seen; nothing was overwritten",
            remedy="find out who does (the server's audit log says), then try again; the next tick goes on from here",
        )
