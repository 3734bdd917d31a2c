"""`VersionStore` over Secrets Manager.

Readers ask for AWSCURRENT, so the one call that moves that label is both the decision and the delivery: there is no
moment at which a version is current and its readers do not find it. All else that is written follows from the labels
that are there, and is written again by whoever comes after a crash.

`forget` does not delete the secret, which is a resource of the stack: it puts an empty object in its place and takes
every label away, under a mark, so that a crash in between is no way back. AWS deletes versions without labels by
itself; `pulumi destroy` deletes the secret with all of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from secretops.engine.journal import Journal
from secretops.engine.state import Version, Versions
from secretops.errors import StoreError
from secretops.platforms.aws.account import refuse_another_account
from secretops.platforms.aws.api import CURRENT, PENDING, PREVIOUS, Api, where
from secretops.platforms.aws.errors import AbsentError, DeniedError
from secretops.platforms.aws.journal import SecretsManagerJournal
from secretops.platforms.aws.labels import FORGETTING, NO_VALUE, NO_VALUE_LABEL, State, facts_label
from secretops.platforms.aws.lease import LeaseTable, take
from secretops.platforms.aws.location import AwsStoreLocation as Location
from secretops.stores import payload, store_errors
from secretops.stores.lease import Fence, Timing, holding
from secretops.values import Value

LIMIT = payload.Limit(65_536, "Secrets Manager")
"""https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html"""

PAUSES = (0.05, 0.1, 0.2, 0.4)
"""Seconds after each conflict but the last. Under the lease nobody else moves a label but a person, now and then."""


class SecretsManagerVersionStore:
    """Keeps versions as Secrets Manager's own. Writes no access records: CloudTrail has every read."""

    def __init__(
        self,
        location: Location,
        api: Api,
        *,
        table: LeaseTable | None = None,
        loud: bool = False,
        timing: Timing | None = None,
    ) -> None:
        self._location, self._api, self._timing = location, api, timing or Timing()
        self._table = table or LeaseTable(location.lease)
        self._fence = Fence()
        self._values: dict[tuple[str, str], Value] | None = None
        """Under the lease: what was read already. A version's value never changes."""
        api.guard = self._fence.check
        self.journal: Journal = SecretsManagerJournal(api, location.secrets, loud=loud)

    @classmethod
    def open(cls, location: Location, *, role: str, timing: Timing | None = None) -> SecretsManagerVersionStore:
        """The store at `location`. Touches nothing yet. A rotator's journal is also its log."""
        return cls(location, Api(location.region), loud=role == "rotator", timing=timing)

    @property
    def api(self) -> Api:
        """What this store asks AWS with, fenced while it holds the lease."""
        return self._api

    def versions(self, secret: str) -> Versions:
        return self._state(secret).versions

    def read(self, secret: str, version: str, *, purpose: str) -> Value:  # noqa: ARG002 - CloudTrail has none
        state = self._state(secret)
        if not any(kept.id == version for kept in state.versions.living):
            raise store_errors.no_value(secret, version)
        value = self._value(secret, version)
        self._fence.check(False)  # now that it is in hand: the SDK may have asked for it for minutes
        return value

    def add(self, secret: str, version: Version, value: Value) -> None:
        name, text, facts = self._name(secret), payload.written(secret, value, LIMIT), facts_label(version)
        state = self._state(secret)
        if state.forgetting:
            self.forget(secret)
            state = self._state(secret)
        versions = state.versions
        if any(kept.id == version.id for kept in versions.all):
            return
        if state.current in (None, version.id):  # RotateSecret's empty version may be current: it is no value
            self._deliver_nothing(secret)
        if not self._api.put(name, version.id, text, (PENDING, facts)):
            raise StoreError(
                f"{secret}: version {version.id} is there already, with another value and without its facts",
                rule="a version's value never changes",
                remedy="secretops rotate makes one with another id",
            )
        self._write(secret, lambda versions: versions.with_pending(version))

    def publish(self, secret: str, version: str, now: datetime) -> None:
        self._name(secret)

        def move_on(state: State) -> str:
            versions = state.versions
            chosen = versions.known(secret, version)
            if state.current != chosen.id:
                self._refuse_edits(secret, state, chosen)
                if versions.current and versions.current.published is None:
                    self._shown(secret, now)  # else its grace would never be counted
            return chosen.id

        self._point(secret, move_on)
        self._shown(secret, now)

    def settle(self, secret: str, now: datetime) -> None:
        def restore(state: State) -> str | None:
            """What readers find instead is empty, or says the same."""
            if state.versions.current is None:
                return None
            self._refuse_edits(secret, state)
            return state.versions.current.id

        current = self._point(secret, restore)
        if current is None:
            if self._state(secret).forgetting:
                self.forget(secret)
            return
        self._shown(secret, now)
        if fields := self._location.fields.get(secret):
            value = self._value(secret, current)
            if lacking := [field for field in fields if field not in value]:
                raise store_errors.lacking(secret, lacking)

    def astray(self, secret: str) -> str | None:
        state = self._state(secret)
        current = state.versions.current
        if current is None or state.current == current.id:
            return None
        if edited := self._edited(secret, state):
            return edited.what
        return "not delivered: secretops tick"

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        self._state(secret).versions.known(secret, version)
        self._write(secret, lambda versions: versions.changed(version, verified=verified, retired=retired))

    def discard(self, secret: str, version: str) -> None:
        pending = self._state(secret).versions.pending
        if pending and pending.id == version:
            self._write(secret, lambda versions: versions.without_pending(version))

    def kept(self) -> tuple[str, ...]:
        states = {secret: self._state(secret) for secret in self._location.secrets}
        return tuple(sorted(secret for secret, state in states.items() if state.versions.all or state.forgetting))

    def forget(self, secret: str) -> None:
        state = self._state(secret)
        if not state.labels or (set(state.labels) == {NO_VALUE} and not state.forgetting):
            return
        name = self._name(secret)
        if not state.forgetting:
            self.confirm()
            self._api.put(name, NO_VALUE, "{}", (NO_VALUE_LABEL,) if state.current else (CURRENT, NO_VALUE_LABEL))
            self._move(secret, FORGETTING, None, NO_VALUE)
        self._point(secret, lambda _: NO_VALUE)
        for label in (PREVIOUS, PENDING):
            if holder := where(self._api.labels(name), label):
                self._move(secret, label, holder, None)
        self._write(secret, lambda _: Versions(), last=False)
        self._move(secret, FORGETTING, NO_VALUE, None)

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        try:
            held = take(self._table, holder, self._timing)
        except (AbsentError, DeniedError):
            refuse_another_account(self._api, self._location)
            raise
        with holding(held, self._timing), self._fence.behind(held), self._api.remembering():
            self._values = {}
            try:
                yield
            finally:
                self._values = None

    def confirm(self) -> None:
        self._fence.check(True)

    def _name(self, secret: str) -> str:
        try:
            return self._location.secrets[secret]
        except KeyError:
            raise StoreError(
                f"{secret}: the stack has no secret of that name in {self._location.region}",
                rule="`pulumi up` makes one secret for each of the catalogue",
                remedy="pulumi up, then try again",
            ) from None

    def _state(self, secret: str) -> State:
        """As the labels tell it now; a secret that the stack does not have has none."""
        return State(self._api.labels(self._name(secret)) if secret in self._location.secrets else {})

    def _point(self, secret: str, choose: Callable[[State], str | None]) -> str | None:
        """Put AWSCURRENT on the version that `choose` chooses, and give that; None, where it has none, is left so.

        It chooses anew from what is there then when somebody else moved the label in between.
        """
        for pause in (*PAUSES, 0.0):
            state = self._state(secret)
            chosen = choose(state)
            if chosen in (None, state.current):
                return chosen
            if self._api.move(self._name(secret), CURRENT, state.current, chosen):
                return chosen
            self._fence.check(True)
            time.sleep(pause)
        raise self._contended(secret)

    def _deliver_nothing(self, secret: str) -> None:
        """Make our empty version current, from which the first publication moves AWSCURRENT."""
        self._api.put(self._name(secret), NO_VALUE, "{}", (CURRENT, NO_VALUE_LABEL))
        self._point(secret, lambda _: NO_VALUE)  # a put of a version that exists moves no label

    def _move(self, secret: str, label: str, source: str | None, target: str | None) -> None:
        """Move a label that nobody else has reason to move."""
        if not self._api.move(self._name(secret), label, source, target):
            self._fence.check(True)
            raise self._contended(secret)

    def _write(self, secret: str, change: Callable[[Versions], Versions], *, last: bool = True) -> None:
        """Make the labels say what `change` makes of the versions, and take away what is of none that is kept."""
        name = self._name(secret)
        for pause in (*PAUSES, 0.0):
            state = State(self._api.labels(name))
            entry = state.last(secret) if last else None
            moves = state.changes(change(state.versions), entry[0] if entry else None)
            if all(self._api.move(name, *move) for move in moves):
                return
            self._fence.check(True)
            time.sleep(pause)
        raise self._contended(secret)

    def _shown(self, secret: str, now: datetime) -> None:
        """Readers find the current version: note since when, if that is not yet known."""

        def note(versions: Versions) -> Versions:
            current = versions.current
            return versions.changed(current.id, published=current.published or now) if current else versions

        self._write(secret, note)

    def _value(self, secret: str, version: str) -> Value:
        if self._values and (secret, version) in self._values:
            return self._values[secret, version]
        found = self._api.value(self._name(secret), version)
        if found is None:
            raise store_errors.no_value(secret, version)
        value = payload.read(secret, found.version, found.text)
        if self._values is not None:
            self._values[secret, version] = value
        return value

    def _refuse_edits(self, secret: str, state: State, chosen: Version | None = None) -> None:
        """Raise StoreError when readers find what somebody else made: somebody's work would be lost.

        An edit that says just what `chosen` says is no loss: that is how `secretops put` adopts it.
        """
        if edited := self._edited(secret, state, chosen):
            raise edited

    def _edited(self, secret: str, state: State, chosen: Version | None = None) -> StoreError | None:
        found, name = state.current, self._name(secret)
        versions = state.versions
        if found is None or found == NO_VALUE or any(version.id == found for version in versions.living):
            return None
        theirs = self._api.value(name, found)
        if theirs is None or theirs.text.strip() == "{}":
            return None
        for ours in (versions.current, chosen):
            if ours and dict(self._value(secret, ours.id)) == payload.fields(theirs.text):
                return None
        what = "retired" if any(version.id == found for version in versions.all) else "none of secretops'"
        return store_errors.edited(
            secret,
            f"secret {name} in {self._location.region} was changed by hand: version {found} is {what}",
            self._way_back(name, found, versions.current),
        )

    def _way_back(self, name: str, theirs: str, ours: Version | None) -> str:
        """How a person takes back what they put in."""
        aws, which = "aws secretsmanager", f"--region {self._location.region} --secret-id {name}"
        if ours is None:
            return f"its fields ({aws} put-secret-value {which} --secret-string '{{}}')"
        move = f"--remove-from-version-id {theirs} --move-to-version-id {ours.id}"
        return f"label {CURRENT} from it ({aws} update-secret-version-stage {which} --version-stage {CURRENT} {move})"

    def _contended(self, secret: str) -> StoreError:
        return StoreError(
            f"secret {self._name(secret)} in {self._location.region}: somebody else moved its labels "
            f"{len(PAUSES) + 1} times in a row",
            rule="a label is only moved from where it was seen; nothing was overwritten",
            remedy="find out who does (CloudTrail says), then try again; the next tick goes on from here",
        )
