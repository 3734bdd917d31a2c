"""The version store of AWS."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from secretops.engine.journal import DONE, Entry
from secretops.engine.ports import VersionStore
from secretops.engine.state import Version, Versions
from secretops.errors import StoreError
from secretops.platforms.aws.api import CURRENT, PENDING, PREVIOUS, SecretsManagerApi, check_account, version_with
from secretops.platforms.aws.errors import AbsentError, DeniedError
from secretops.platforms.aws.labels import (
    FORGETTING,
    NO_VALUE,
    NO_VALUE_LABEL,
    LabelState,
    facts_label,
    last_label,
    stray_label,
)
from secretops.platforms.aws.lease import LeaseTable
from secretops.platforms.aws.location import AwsStoreLocation as Location
from secretops.stores import payload, store_errors
from secretops.stores.lease import Timing, acquire, renewing
from secretops.stores.retry import Retries, contended
from secretops.stores.vendor_versions import Edit, VendorVersionStore
from secretops.values import Value

# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
LIMIT = payload.Limit(65_536, "Secrets Manager")
# AWS repeats a failed rotation within the hour, and the tick runs hourly: a label that is still there later is stuck.
STUCK_AFTER = timedelta(hours=2)


class SecretsManagerVersionStore(VendorVersionStore[LabelState]):
    def __init__(
        self,
        location: Location,
        api: SecretsManagerApi | None = None,
        *,
        table: LeaseTable | None = None,
        log_entries: bool = False,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(
            location, api or SecretsManagerApi(location.region), timing or Timing(), log_entries=log_entries
        )
        self._table = table or LeaseTable(location.lease)
        # Values that were read or added under the lease. A version's value never changes.
        self._values: dict[tuple[str, str], Value] | None = None

    @property
    def api(self) -> SecretsManagerApi:
        api: SecretsManagerApi = self._api
        return api

    def add(self, secret: str, version: Version, value: Value) -> None:
        name, text, facts = self._name(secret), payload.serialize(secret, value, LIMIT), facts_label(version)
        state = self._state(secret)
        if state.forgetting:
            self.forget(secret)
            state = self._state(secret)
        if any(known.id == version.id for known in state.versions.all):
            return
        if state.current in (None, version.id):  # nothing, or the empty version of RotateSecret
            self.api.put(name, NO_VALUE, "{}", (CURRENT, NO_VALUE_LABEL))
            self._point_to_nothing(secret)  # a put of an existing version would move no label
        if not self.api.put(name, version.id, text, (PENDING, facts)):
            raise StoreError(
                f"{secret}: version {version.id} exists with another value and without metadata",
                rule="the value of a version must never change; nothing was overwritten",
                remedy=f"create a version with another id: secretops rotate {secret}",
                code="version-exists",
            )
        if self._values is not None:
            self._values[secret, version.id] = value
        self._write(secret, lambda versions: versions.with_pending(version))

    def forget(self, secret: str) -> None:
        state = self._state(secret)
        if not state.labels or (set(state.labels) == {NO_VALUE} and not state.forgetting):
            return
        name = self._name(secret)
        # The secret itself is a resource of the stack, and stays. An empty version becomes current, and all other
        # labels are removed, so that AWS deletes their versions. The label FORGETTING marks the secret until then.
        if not state.forgetting:
            self.confirm()
            self.api.put(name, NO_VALUE, "{}", (NO_VALUE_LABEL,) if state.current else (CURRENT, NO_VALUE_LABEL))
            self._move(secret, FORGETTING, None, NO_VALUE)
        self._point_to_nothing(secret)
        for label in (PREVIOUS, PENDING):
            if holder := version_with(self.api.labels(name), label):
                self._move(secret, label, holder, None)
        self._write(secret, lambda _: Versions(), last=False)
        self._move(secret, FORGETTING, NO_VALUE, None)

    def confirm(self, secret: str | None = None, previous: str | None = None) -> None:
        # AWS may return labels that are older than a rotation which gave the user of `previous` a new password. That
        # rotation removed this label, so the move fails: AWS compares it with its own state. `_write` moves it back.
        if secret and previous:
            state = self._state(secret)
            if state.current not in (None, previous) and (label := state.facts_label_of(previous)):
                holder = state.versions_by_label[label]
                self._move(secret, label, holder, next(e for e in (state.current, *state.labels) if e != holder))
        super().confirm()

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        try:
            held = acquire(self._table, holder, self._timing)
        except (AbsentError, DeniedError):
            check_account(self.api, self._location)
            raise
        with renewing(held, self._timing), self._fence.behind(held), self.api.cached_labels():
            self._values = {}
            try:
                yield
            finally:
                self._values = None

    @property
    def _place(self) -> str:
        return str(self._location.region)

    def _lease_store(self) -> LeaseTable:
        return self._table

    def _last_entry(self, secret: str) -> Entry | None:
        found = self._state(secret).last(secret)
        return found[1] if found else None

    def _store_entry(self, entry: Entry) -> None:
        """Store the entry of a failed step. A version's metadata shows which steps succeeded."""
        if entry.outcome != DONE and self._find_names(entry.secret):
            name = self._name(entry.secret)
            state = LabelState(self.api.labels(name))
            for label, source, target in state.changes(state.versions, last_label(entry)):
                self.api.move(name, label, source, target)

    def _find_names(self, secret: str) -> tuple[str, str] | None:
        name = self._location.secrets.get(secret)
        return None if name is None else (name, name)

    def _name(self, secret: str) -> str:
        return self._names(secret)[0]

    def _state(self, secret: str) -> LabelState:
        return LabelState(self.api.labels(self._name(secret)) if secret in self._location.secrets else {})

    def _is_kept(self, secret: str) -> bool:
        state = self._state(secret)
        return bool(state.versions.all) or state.forgetting

    def _is_delivered(self, secret: str, state: LabelState) -> bool:  # noqa: ARG002
        return state.versions.current is not None and state.versions.current.id == state.current

    def _finish_forgetting(self, secret: str, state: LabelState) -> None:
        if state.forgetting:
            self.forget(secret)

    def _deliver(self, secret: str, state: LabelState, version: Version, now: datetime) -> bool:  # noqa: ARG002
        return self.api.move(self._name(secret), CURRENT, state.current, version.id)

    def _tidy(self, secret: str, state: LabelState, now: datetime) -> None:  # noqa: ARG002
        def dated(versions: Versions) -> Versions:
            current = versions.current
            return versions.changed(current.id, published=current.published or now) if current else versions

        self._write(secret, dated)

    def _mark(self, secret: str, state: LabelState, version: str, **times: datetime | None) -> None:  # noqa: ARG002
        self._write(secret, lambda versions: versions.changed(version, **times))

    def _discard(self, secret: str, state: LabelState, pending: Version) -> None:  # noqa: ARG002
        self._write(secret, lambda versions: versions.without_pending(pending.id))

    def release_stray_pending(self, secret: str, now: datetime) -> str | None:
        """Remove a failed rotation's AWSPENDING label after STUCK_AFTER. Return a message, or None if nothing was
        removed. Requires the lease."""
        name = self._name(secret)
        state = self._state(secret)
        stray, noted = state.stray_pending, state.stray_since
        for version, (label, _) in noted.items():
            if version != stray:
                self.api.move(name, label, version, None)
        if stray is None:
            return None
        if stray not in noted:
            # The label has the time, since a rotator has no right to read the version's age.
            self.api.move(name, stray_label(now), None, stray)
            return None
        label, since = noted[stray]
        if now - since < STUCK_AFTER or not self.release_pending(name, stray):
            return None
        self.api.move(name, label, stray, None)
        return f"removed AWSPENDING from version {stray}, which has been empty since {since:%Y-%m-%d %H:%M} UTC"

    def release_pending(self, name: str, version: str) -> bool:
        """Remove AWSPENDING from `version`. Return False if it is no longer `LabelState.stray_pending`. Requires the
        lease."""
        return LabelState(self.api.labels(name)).stray_pending == version and self.api.move(
            name, PENDING, version, None
        )

    def _point_to_nothing(self, secret: str) -> None:
        retries = Retries()
        while True:
            current = self._state(secret).current
            if current == NO_VALUE or self.api.move(self._name(secret), CURRENT, current, NO_VALUE):
                return
            self._pause(secret, retries)

    def _move(self, secret: str, label: str, source: str | None, target: str | None) -> None:
        if not self.api.move(self._name(secret), label, source, target):
            self._pause(secret, Retries(()))

    def _write(self, secret: str, change: Callable[[Versions], Versions], *, last: bool = True) -> None:
        name = self._name(secret)
        retries = Retries()
        while True:
            state = LabelState(self.api.labels(name))
            entry = state.last(secret) if last else None
            moves = state.changes(change(state.versions), entry[0] if entry else None)
            if all(self.api.move(name, *move) for move in moves):
                return
            self._pause(secret, retries)

    def _value(self, secret: str, state: LabelState, version: str, *, but: str = "") -> Value:  # noqa: ARG002
        if self._values and (secret, version) in self._values:
            return self._values[secret, version]
        found = self.api.value(self._name(secret), version)
        if found is None:
            raise store_errors.no_value(secret, version)
        value = payload.parse(secret, version, found)
        if self._values is not None:
            self._values[secret, version] = value
        return value

    def _edit(self, secret: str, state: LabelState) -> Edit | None:
        found, name, versions = state.current, self._name(secret), state.versions
        if found is None or found == NO_VALUE or any(version.id == found for version in versions.living):
            return None
        edited = self.api.value(name, found)
        if edited is None or edited.strip() == "{}":
            return None
        what = "is retired" if any(version.id == found for version in versions.all) else "was not written by secretops"
        aws, which = "aws secretsmanager", f"--region {self._place} --secret-id {name}"
        undo = f"{aws} put-secret-value {which} --secret-string '{{}}'"
        if current := versions.current:
            move = f"--version-stage {CURRENT} --remove-from-version-id {found} --move-to-version-id {current.id}"
            undo = f"{aws} update-secret-version-stage {which} {move}"
        return Edit(
            found,
            payload.parse_fields(edited),
            f"secret {name} in {self._place} was changed by hand: {CURRENT} is on version {found}, which {what}",
            undo,
        )

    def _contended(self, secret: str) -> StoreError:
        return contended(
            f"secret {self._name(secret)} in {self._place}",
            "find the other process in CloudTrail and stop it; the next tick finishes a started rotation",
            rule="a label must not move between secretops' read and write; nothing was overwritten",
            change="moved the secret's labels",
        )


def aws_store(store: VersionStore) -> SecretsManagerVersionStore:
    if not isinstance(store, SecretsManagerVersionStore):
        raise TypeError(type(store).__name__)
    return store
