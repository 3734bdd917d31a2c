"""`VersionStore` over Key Vault.

Readers get the newest version of a secret, so the one request that makes it there, with its value and its tags, is
both the decision and the delivery: there is no moment at which a version is current and its readers do not find it.
What follows from it, forgetting what it replaced, is done again by whoever comes after a crash.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from secretops.engine.journal import Journal
from secretops.engine.state import Version, Versions
from secretops.errors import NotFoundError, StoreError
from secretops.platforms.azure.api import Api, Kept
from secretops.platforms.azure.errors import DeletedError, ForbiddenError, vault_name
from secretops.platforms.azure.journal import KeyVaultJournal
from secretops.platforms.azure.lease import LeaseBlob, Timing, take
from secretops.platforms.azure.location import AzureStoreLocation as Location
from secretops.platforms.azure.tags import (
    FORGETTING,
    FORGOTTEN,
    ID,
    WRITE,
    Copy,
    State,
    brought_back,
    ended,
    facts,
    forgetting,
    forgotten,
    latest,
    noted,
    readers_find,
)
from secretops.stores import payload, store_errors
from secretops.stores.lease import Fence, holding
from secretops.values import Value

_log = logging.getLogger(__name__)

LIMIT = payload.Limit(25_000, "Key Vault")
""""25k bytes": https://learn.microsoft.com/azure/key-vault/secrets/about-secrets"""


class KeyVaultVersionStore:
    """Keeps versions as Key Vault's own. Writes no access records: the vault's audit log has every read."""

    def __init__(
        self,
        location: Location,
        api: Api,
        open_lease: Callable[[str], LeaseBlob] = LeaseBlob,
        *,
        loud: bool = False,
        timing: Timing | None = None,
    ) -> None:
        self._location, self._api, self._open_lease = location, api, open_lease
        self._timing = timing or Timing()
        self._fence = Fence()
        api.guard = self._fence.check
        self.journal: Journal = KeyVaultJournal(api, location.secrets, location.pending, loud=loud)

    @classmethod
    def open(cls, location: Location, *, role: str) -> KeyVaultVersionStore:
        """The store at `location`. Touches nothing yet. A rotator's journal is also its log."""
        return cls(location, Api.of(location), lambda _lease: LeaseBlob.of(location), loud=role == "rotator")

    def versions(self, secret: str) -> Versions:
        return self._state(secret).versions

    def read(self, secret: str, version: str, *, purpose: str) -> Value:  # noqa: ARG002 - the vault's log has none
        state = self._state(secret)
        if not any(kept.id == version for kept in state.versions.living):
            raise store_errors.no_value(secret, version)
        value = self._value(secret, state, version)
        self._fence.check(False)  # now that it is in hand: the SDK may have asked for it for minutes
        return value

    def add(self, secret: str, version: Version, value: Value) -> None:
        _, apart = self._names(secret)
        state = self._state(secret)
        written, tags = payload.written(secret, value, LIMIT), self._tags(version, state)
        if state.forgetting:
            if self._recovered(secret, state):
                for name in self._names(secret):
                    self._bring_back(name)
            else:
                self.forget(secret)
            state = self._state(secret)
            tags = self._tags(version, state)
        if not any(kept.id == version.id for kept in state.versions.all):
            self._make(apart, written, tags, self._expiry(secret, version, version.created))
        self._tidy(secret)

    def publish(self, secret: str, version: str, now: datetime) -> None:
        state = self._state(secret)
        chosen = state.versions.known(secret, version)
        self._refuse_edits(secret, state, chosen)
        current = state.versions.current
        if current and state.rolled_back and not self._edited(secret, state):  # else its grace would never be counted
            self._deliver(secret, state, current, now)
            state = self._state(secret)
            current = state.versions.current
        if current is None or current.id != chosen.id or not self._is_found(secret, state):
            self._deliver(secret, state, chosen, now)
        self._tidy(secret)

    def settle(self, secret: str, now: datetime) -> None:
        state = self._state(secret)
        current = state.versions.current
        if current is None:
            if wrong := self._recovered(secret, state):
                raise wrong
            if state.forgetting:
                self.forget(secret)
            return
        self._refuse_edits(secret, state)
        if state.rolled_back or not self._is_found(secret, state):
            self._deliver(secret, state, current, now)
        self._tidy(secret)
        if fields := self._location.fields.get(secret):
            value = self._value(secret, state, current.id)
            if lacking := [field for field in fields if field not in value]:
                raise store_errors.lacking(secret, lacking)

    def astray(self, secret: str) -> str | None:
        state = self._state(secret)
        current = state.versions.current
        if current is None:
            wrong = self._recovered(secret, state)
            return wrong.what if wrong else None
        if wrong := self._disabled(secret, state) or self._edited(secret, state):
            return wrong.what
        return None if self._is_found(secret, state) else "not delivered: secretops tick"

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        state = self._state(secret)
        state.versions.known(secret, version)
        for where, copy in self._copies(secret, state, version):
            tags = noted(copy.kept, verified=verified, retired=retired)
            self._api.note(where, copy.kept.id, tags, enabled=False if retired else None)

    def discard(self, secret: str, version: str) -> None:
        state = self._state(secret)
        pending = state.versions.pending
        if pending and pending.id == version:
            for copy in state.pending_copies(version):
                self._forget(self._location.pending[secret], copy.kept)

    def kept(self) -> tuple[str, ...]:
        return tuple(sorted(secret for secret in self._location.secrets if self._is_kept(secret)))

    def forget(self, secret: str) -> None:
        """Disable every version, delete the secret, and purge it where the vault lets us. Says what remains.

        What readers find says first that all are being forgotten, so that a crash in between is no way back; and it is
        deleted last. Only then is looked at what is deleted, which whoever runs this may not be allowed to see.
        """
        name, apart = self._names(secret)
        self.confirm()
        state = self._state(secret)
        if not state.forgetting and (first := state.newest or state.apart):
            where = name if state.main else apart
            self._api.note(where, first[-1].id, forgetting(first[-1], datetime.now(UTC)), enabled=False)
        order = (apart, name) if state.main else (name, apart)
        for each in order:
            self._delete(each)
        for each in order:
            self._purge(each)

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        held = take(self._open_lease(self._location.lease), holder, self._timing)
        with holding(held, self._timing), self._fence.behind(held):
            yield

    def confirm(self) -> None:
        self._fence.check(True)

    def _is_kept(self, secret: str) -> bool:
        """Also while it is being forgotten, to the end: what is deleted and could be purged is still there."""
        state = self._state(secret)
        if state.versions.all or state.forgetting:
            return True
        with contextlib.suppress(ForbiddenError):  # a role on the one secret may not reach what is deleted
            gone = [name for name in self._names(secret) if not self._api.versions(name)]
            found = [deleted for name in gone if (deleted := self._api.deleted(name))]
            return any(deleted.purgeable and FORGETTING in deleted.tags for deleted in found)
        return False

    def _names(self, secret: str) -> tuple[str, str]:
        """Of the secret that readers ask for, and of the one that holds what is pending."""
        try:
            return self._location.secrets[secret], self._location.pending[secret]
        except KeyError:
            raise StoreError(
                f"{secret}: the stack has no secret of that name in {self._location.vault}",
                rule="the stack's file names the secrets, and `pulumi up` grants them one by one",
                remedy="pulumi up, then try again",
            ) from None

    def _state(self, secret: str) -> State:
        """As the tags tell it now; a secret that the stack does not have has none."""
        if secret not in self._location.secrets:
            return State((), ())
        return State.of(self._api, *self._names(secret))

    def _tags(self, version: Version, state: State) -> dict[str, str]:
        """Those of the next write."""
        return facts(version, state.next_number, secrets.token_hex(8))

    def _copies(self, secret: str, state: State, version: str) -> list[tuple[str, Copy]]:
        """Where a version of ours lies: the names of secrets in the vault, and which of their versions."""
        name, apart = self._names(secret)
        published = [(name, copy) for copy in state.copies(version)]
        return published + [(apart, copy) for copy in state.pending_copies(version)]

    def _deliver(self, secret: str, state: State, version: Version, now: datetime) -> None:
        """The one request that publishes. Says what it took from readers that somebody else gave them meanwhile."""
        name, _ = self._names(secret)
        written = payload.written(secret, self._value(secret, state, version.id), LIMIT)
        current = state.versions.current
        again = current is not None and current.id == version.id
        published = version.at(published=(version.published if again else None) or now)
        due = self._expiry(secret, published, published.published or now)
        tags = self._tags(published, state)
        self._make(name, written, tags, due, surely=True)
        self._fence.check(False)  # who was followed meanwhile does not say that it is published
        late = state.late
        for kept in state.main:
            if kept.enabled and kept.id in late:
                ours = kept.tags[ID]
                _log.warning(
                    "secret %s: version %s came after it was replaced; %s is given again", name, ours, version.id
                )
                self._forget(name, kept)  # at once: in one second with others it can't be told from them any more
        known = {kept.id for kept in state.main}
        for kept in self._api.versions(name):
            if kept.id not in known and kept.tags.get(WRITE) != tags[WRITE] and FORGOTTEN not in kept.tags:
                _log.warning(
                    "secret %s: somebody made version %s while %s was published, which may have taken it from readers; "
                    "to keep what it says: secretops put %s",
                    name,
                    kept.id,
                    version.id,
                    secret,
                )

    def _make(
        self, name: str, written: str, tags: dict[str, str], expires: datetime | None, *, surely: bool = False
    ) -> None:
        """Make a version. Where we deleted the secret ourselves, and it is not purged, it is brought back before."""
        try:
            self._api.set(name, written, tags, expires, surely=surely)
        except DeletedError as held:
            try:
                deleted = self._api.deleted(name)
            except ForbiddenError:  # a role on the one secret may not reach what is deleted
                raise StoreError(
                    held.what,
                    rule="secretops brings back what it deleted itself, and this principal may not see if that is so",
                    remedy=f"secretops rotate, or put, by an operator, who has a role on the vault; or: {held.remedy}",
                ) from None
            if deleted and FORGETTING not in deleted.tags:
                raise
            if deleted:
                self._api.recover(name)
                self._bring_back(name)
            self._api.set(name, written, tags, expires, surely=surely)

    def _bring_back(self, name: str) -> None:
        """Say of what is there of one secret that it is not being forgotten any more."""
        for kept in self._api.versions(name):
            if FORGETTING in kept.tags:
                self._api.note(name, kept.id, brought_back(kept))

    def _delete(self, name: str) -> None:
        """Disable every version of one secret, and delete it. Its newest version says that it was us."""
        kept = self._api.versions(name)
        for one in kept:
            is_newest = one in latest(kept)
            if one.enabled or FORGOTTEN not in one.tags or (is_newest and FORGETTING not in one.tags):
                tags = (ended if is_newest else forgotten)(one, datetime.now(UTC))
                self._api.note(name, one.id, tags, enabled=False)
        if kept:
            self._api.delete(name)

    def _purge(self, name: str) -> None:
        """Purge a secret that we deleted, or say what remains."""
        try:
            deleted = self._api.deleted(name)
            if deleted and FORGETTING in deleted.tags:
                if deleted.purgeable:
                    self._api.purge(name)
                else:
                    until = f"{deleted.until:%Y-%m-%d}" if deleted.until else "its retention is over"
                    _log.warning(
                        "secret %s: deleted, its versions disabled; the vault is protected from purging, and keeps "
                        "them until %s",
                        name,
                        until,
                    )
        except ForbiddenError as error:
            _log.warning(
                "secret %s: deleted, its versions disabled; the vault keeps them until its retention is over, or "
                "somebody who may purges it (az keyvault secret purge --vault-name %s --name %s): %s",
                name,
                vault_name(self._location.vault),
                name,
                error.what,
            )

    def _expiry(self, secret: str, version: Version, since: datetime) -> datetime | None:
        """When the next one is due, by what the vault warns of a version: its end, or the stack's cadence."""
        days = self._location.due_days.get(secret)
        ends = (version.expires, since + timedelta(days=days) if days else None)
        return min(filter(None, ends), default=None)

    def _tidy(self, secret: str) -> None:
        """Forget the values of what is not kept any more."""
        name, apart = self._names(secret)
        for lies_apart, copy in self._state(secret).surplus:
            where = apart if lies_apart else name
            if copy.version.retired:  # the fact is kept
                self._api.note(where, copy.kept.id, noted(copy.kept), enabled=False)
            else:
                self._forget(where, copy.kept)

    def _forget(self, name: str, kept: Kept) -> None:
        self._api.note(name, kept.id, forgotten(kept, datetime.now(UTC)), enabled=False)

    def _value(self, secret: str, state: State, version: str, *, but: str = "") -> Value:
        for where, copy in reversed(self._copies(secret, state, version)):
            if copy.kept.enabled and copy.kept.id != but and (found := self._api.value(where, copy.kept.id)):
                return payload.read(secret, version, found.text)
        raise store_errors.no_value(secret, version)

    def _found(self, secret: str, state: State) -> Kept | None:
        """Which of Key Vault's versions readers ask for. Only a second that made several takes a read to tell."""
        return readers_find(self._api, self._names(secret)[0], state.newest)

    def _is_found(self, secret: str, state: State) -> bool:
        """Whether readers find the current version."""
        found, current = self._found(secret, state), state.versions.current
        copies = state.copies(current.id) if current else ()
        return found is not None and found.enabled and any(copy.kept.id == found.id for copy in copies)

    def _refuse_edits(self, secret: str, state: State, chosen: Version | None = None) -> None:
        """Raise StoreError when readers find what somebody else made, or nothing because somebody wanted it so.

        An edit that says just what `chosen` says is no loss: that is how `secretops put` adopts it.
        """
        current = state.versions.current
        again = chosen is None or (current is not None and current.id == chosen.id)
        if wrong := self._edited(secret, state, chosen) or (self._disabled(secret, state) if again else None):
            raise wrong

    def _recovered(self, secret: str, state: State) -> StoreError | None:
        """What somebody enabled again of a secret that is being forgotten: we disable a version as we forget it."""
        if not state.forgetting:
            return None
        name, apart = self._names(secret)
        for where, versions in ((name, state.main), (apart, state.apart)):
            for kept in versions:
                if kept.enabled and FORGOTTEN in kept.tags:
                    return StoreError(
                        f"secret {where}: version {kept.id} was forgotten, and somebody enabled it again",
                        rule="what a person brought back stays; secretops neither deletes it nor takes it for its own",
                        remedy=f"to keep it: secretops put {secret}; to forget it after all: "
                        f"{self._enable(where, kept, 'false')}, then secretops tick",
                    )
        return None

    def _disabled(self, secret: str, state: State) -> StoreError | None:
        found, current = self._found(secret, state), state.versions.current
        if found is None or found.enabled or current is None:
            return None
        if not any(copy.kept.id == found.id for copy in state.copies(current.id)):
            return None
        name = self._names(secret)[0]
        return StoreError(
            f"secret {name}: version {found.id}, the current one, is disabled, and readers find nothing",
            rule="whoever disabled it took it from its readers; secretops gives it back only when told to",
            remedy=f"secretops rotate {secret}, or put, makes another; to give it back: {self._enable(name, found)}",
        )

    def _edited(self, secret: str, state: State, chosen: Version | None = None) -> StoreError | None:
        found, versions = self._found(secret, state), state.versions
        if found is None or not found.enabled:
            return None
        if found.id in state.late:
            return None
        name = self._names(secret)[0]
        copies = [copy for version in versions.all for copy in state.copies(version.id)]
        copy = next((copy for copy in copies if copy.kept.id == found.id), None)
        retired = copy is not None and all(version.id != copy.version.id for version in versions.living)
        if copy and not retired:
            twins = [other for other in copies if other.write == copy.write and other.kept.id != found.id]
            if not twins or self._says_the_same(name, [copy, *twins]):
                return None
        theirs = self._api.value(name, found.id)
        if theirs is None or theirs.text.strip() in ("", "{}"):
            return None
        for ours in (versions.current, chosen):
            with contextlib.suppress(NotFoundError):  # whoever made theirs may have disabled ours
                if ours and dict(self._value(secret, state, ours.id, but=found.id)) == payload.fields(theirs.text):
                    return None
        what = "retired" if retired else "none of secretops'"
        return store_errors.edited(
            secret,
            f"secret {name} in {self._location.vault} was changed by hand: version {found.id} is {what}",
            f"it from its readers ({self._enable(name, found, 'false')})",
        )

    def _says_the_same(self, name: str, copies: list[Copy]) -> bool:
        """Whether versions of the same tags have the same value, as those that one request made twice have.

        One that is disabled can't be compared: where no other is left, it is not known, and they have not.
        """
        texts = [one.text for copy in copies if copy.kept.enabled and (one := self._api.value(name, copy.kept.id))]
        return len(texts) > 1 and len(set(texts)) == 1

    def _enable(self, name: str, kept: Kept, whether: str = "true") -> str:
        """How a person gives a version to readers, or takes it from them."""
        return (
            f"az keyvault secret set-attributes --id {self._location.vault.rstrip('/')}/secrets/{name}/{kept.id} "
            f"--enabled {whether}"
        )
