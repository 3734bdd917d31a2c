"""`VersionStore` over Secrets Manager. Readers ask for AWSCURRENT, which one call moves.

`forget` does not delete the secret, which is a resource of the stack: it makes an empty version current and takes every
label away, under a mark that outlives a crash. AWS deletes versions without labels by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime

from secretops.engine.journal import DONE, Entry
from secretops.engine.state import Version, Versions
from secretops.errors import StoreError
from secretops.platforms.aws.api import CURRENT, PENDING, PREVIOUS, SecretsManagerApi, check_account, version_with
from secretops.platforms.aws.errors import AbsentError, DeniedError
from secretops.platforms.aws.labels import FORGETTING, NO_VALUE, NO_VALUE_LABEL, LabelState, facts_label, last_label
from secretops.platforms.aws.lease import LeaseTable
from secretops.platforms.aws.location import AwsStoreLocation as Location
from secretops.stores import payload, store_errors
from secretops.stores.lease import Timing, acquire, renewing
from secretops.stores.retry import Retries, contended
from secretops.stores.vendor_versions import Edit, VendorVersionStore
from secretops.values import Value

# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
LIMIT = payload.Limit(65_536, "Secrets Manager")


class SecretsManagerVersionStore(VendorVersionStore[LabelState]):
    """Keeps versions as Secrets Manager's own."""

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
        # Under the lease: the values that were read. A version's value never changes.
        self._values: dict[tuple[str, str], Value] | None = None

    @property
    def api(self) -> SecretsManagerApi:
        """What this store calls AWS with, fenced while it holds the lease."""
        api: SecretsManagerApi = self._api
        return api

    def add(self, secret: str, version: Version, value: Value) -> None:
        name, text, facts = self._name(secret), payload.serialize(secret, value, LIMIT), facts_label(version)
        state = self._state(secret)
        if state.forgetting:
            self.forget(secret)
            state = self._state(secret)
        if any(kept.id == version.id for kept in state.versions.all):
            return
        if state.current in (None, version.id):  # RotateSecret's empty version may be current: it is no value
            self.api.put(name, NO_VALUE, "{}", (CURRENT, NO_VALUE_LABEL))
            self._point_to_nothing(secret)  # a put of a version that exists moves no label
        if not self.api.put(name, version.id, text, (PENDING, facts)):
            raise StoreError(
                f"{secret}: version {version.id} exists already, with another value and without its facts",
                rule="a version's value never changes",
                remedy="secretops rotate makes one with another id",
            )
        self._write(secret, lambda versions: versions.with_pending(version))

    def forget(self, secret: str) -> None:
        state = self._state(secret)
        if not state.labels or (set(state.labels) == {NO_VALUE} and not state.forgetting):
            return
        name = self._name(secret)
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

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        try:
            held = acquire(self._table, holder, self._timing)
        except (AbsentError, DeniedError):
            check_account(self.api, self._location)
            raise
        with renewing(held, self._timing), self._fence.behind(held), self.api.remembering():
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

    def _keep_entry(self, entry: Entry) -> None:
        """Keep a failure only: the version's facts tell what succeeded."""
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

    def _is_found(self, secret: str, state: LabelState) -> bool:  # noqa: ARG002
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

    def _point_to_nothing(self, secret: str) -> None:
        retries = Retries()
        while True:
            current = self._state(secret).current
            if current == NO_VALUE or self.api.move(self._name(secret), CURRENT, current, NO_VALUE):
                return
            self._pause(secret, retries)

    def _move(self, secret: str, label: str, source: str | None, target: str | None) -> None:
        """Move a label that nobody else has reason to move."""
        if not self.api.move(self._name(secret), label, source, target):
            self._pause(secret, Retries(()))

    def _write(self, secret: str, change: Callable[[Versions], Versions], *, last: bool = True) -> None:
        """Make the labels say what `change` returns, and remove those of versions that are not kept."""
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
        value = payload.parse(secret, found.version, found.text)
        if self._values is not None:
            self._values[secret, version] = value
        return value

    def _edit(self, secret: str, state: LabelState) -> Edit | None:
        found, name, versions = state.current, self._name(secret), state.versions
        if found is None or found == NO_VALUE or any(version.id == found for version in versions.living):
            return None
        theirs = self.api.value(name, found)
        if theirs is None or theirs.text.strip() == "{}":
            return None
        what = "retired" if any(version.id == found for version in versions.all) else "none of secretops'"
        return Edit(
            found,
            payload.parse_fields(theirs.text),
            f"secret {name} in {self._place} was changed by hand: version {found} is {what}",
            self._way_back(name, found, versions.current),
        )

    def _way_back(self, name: str, theirs: str, ours: Version | None) -> str:
        aws, which = "aws secretsmanager", f"--region {self._place} --secret-id {name}"
        if ours is None:
            return f"its fields ({aws} put-secret-value {which} --secret-string '{{}}')"
        move = f"--remove-from-version-id {theirs} --move-to-version-id {ours.id}"
        return f"label {CURRENT} from it ({aws} update-secret-version-stage {which} --version-stage {CURRENT} {move})"

    def _contended(self, secret: str) -> StoreError:
        return contended(
            f"secret {self._name(secret)} in {self._place}",
            "find out who does (CloudTrail says), then try again; the next tick goes on from here",
            rule="a label is only moved from where it was seen; nothing was overwritten",
            change="moved its labels",
        )
