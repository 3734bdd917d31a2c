"""`VersionStore` over Key Vault. Readers get the newest version of a secret; another secret holds the pending one."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from secretops.engine.journal import Entry
from secretops.engine.state import Version
from secretops.errors import StoreError
from secretops.platforms.azure.api import KeyVaultApi, KeyVaultVersion
from secretops.platforms.azure.errors import DeletedError, ForbiddenError, vault_name
from secretops.platforms.azure.lease import LeaseBlob, Timing
from secretops.platforms.azure.location import AzureStoreLocation as Location
from secretops.platforms.azure.tags import (
    FORGETTING,
    FORGOTTEN,
    ID,
    WRITE,
    Copy,
    TagState,
    being_forgotten,
    facts,
    forgotten,
    latest,
    noted,
    readers_find,
    with_last,
)
from secretops.stores import payload, store_errors
from secretops.stores.vendor_versions import Edit, VendorVersionStore
from secretops.values import Value

_log = logging.getLogger(__name__)
# "25k bytes": https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
LIMIT = payload.Limit(25_000, "Key Vault")


class KeyVaultVersionStore(VendorVersionStore[TagState]):
    """Keeps versions as Key Vault's own."""

    def __init__(
        self,
        location: Location,
        api: KeyVaultApi | None = None,
        open_lease: Callable[[str], LeaseBlob] | None = None,
        *,
        log_entries: bool = False,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(location, api or KeyVaultApi.of(location), timing or Timing(), log_entries=log_entries)
        self._open_lease = open_lease or (lambda _url: LeaseBlob.of(location))

    def add(self, secret: str, version: Version, value: Value) -> None:
        _, apart = self._names(secret)
        state = self._state(secret)
        written, tags = payload.serialize(secret, value, LIMIT), self._tags(version, state)
        if state.forgetting:
            if self._brought_back(secret, state):
                for name in self._names(secret):
                    self._bring_back(name)
            else:
                self.forget(secret)
            state = self._state(secret)
            tags = self._tags(version, state)
        if not any(kept.id == version.id for kept in state.versions.all):
            self._make(apart, written, tags, self._expiry(secret, version, version.created))
        self._discard_surplus(secret)

    def forget(self, secret: str) -> None:
        """Disable every version, delete the secret, and purge it where the vault permits that. Log what remains.

        What readers find is first marked as being forgotten, so that a crash is no way back, and is deleted last.
        """
        name, apart = self._names(secret)
        self.confirm()
        state = self._state(secret)
        if not state.forgetting and (first := state.newest or state.apart):
            where = name if state.main else apart
            self._api.note(where, first[-1].id, being_forgotten(first[-1].tags, datetime.now(UTC)), enabled=False)
        order = (apart, name) if state.main else (name, apart)
        for each in order:
            self._delete(each)
        for each in order:
            self._purge(each)

    @property
    def _place(self) -> str:
        return str(self._location.vault)

    def _lease_store(self) -> LeaseBlob:
        return self._open_lease(self._location.lease)

    def _last_entry(self, secret: str) -> Entry | None:
        return self._state(secret).last(secret)

    def _keep_entry(self, entry: Entry) -> None:
        if carrier := self._state(entry.secret).carrier:
            apart, kept = carrier
            self._api.note(self._names(entry.secret)[apart], kept.id, with_last(kept, entry))

    def _is_kept(self, secret: str) -> bool:
        """A secret that is being forgotten counts, until it is purged where it can be."""
        state = self._state(secret)
        if state.versions.all or state.forgetting:
            return True
        with contextlib.suppress(ForbiddenError):  # a role on the one secret may not reach what is deleted
            gone = [name for name in self._names(secret) if not self._api.versions(name)]
            found = [deleted for name in gone if (deleted := self._api.deleted(name))]
            return any(deleted.purgeable and FORGETTING in deleted.tags for deleted in found)
        return False

    def _state(self, secret: str) -> TagState:
        if secret not in self._location.secrets:
            return TagState((), ())
        return TagState.of(self._api, *self._names(secret))

    def _tags(self, version: Version, state: TagState) -> dict[str, str]:
        return facts(version, state.next_number, secrets.token_hex(8))

    def _copies(self, secret: str, state: TagState, version: str) -> list[tuple[str, Copy]]:
        """Return where a version of ours is: names of secrets in the vault, and which of their versions."""
        name, apart = self._names(secret)
        published = [(name, copy) for copy in state.copies(version)]
        return published + [(apart, copy) for copy in state.pending_copies(version)]

    def _finish_forgetting(self, secret: str, state: TagState) -> None:
        if wrong := self._brought_back(secret, state):
            raise wrong
        if state.forgetting:
            self.forget(secret)

    def _record_rollback(self, secret: str, state: TagState, now: datetime) -> None:
        current = state.versions.current
        if current and not self._edited(secret, state):
            self._deliver(secret, state, current, now)

    def _mark(self, secret: str, state: TagState, version: str, **times: datetime | None) -> None:
        for where, copy in self._copies(secret, state, version):
            tags = noted(copy.kept, **times)
            self._api.note(where, copy.kept.id, tags, enabled=False if times["retired"] else None)

    def _discard(self, secret: str, state: TagState, pending: Version) -> None:
        for copy in state.pending_copies(pending.id):
            self._forget(self._location.pending[secret], copy.kept)

    def _deliver(self, secret: str, state: TagState, version: Version, now: datetime) -> bool:
        """Log each version that somebody else made meanwhile: Key Vault has no compare-and-swap."""
        name, _ = self._names(secret)
        written = payload.serialize(secret, self._value(secret, state, version.id), LIMIT)
        current = state.versions.current
        again = current is not None and current.id == version.id
        published = version.at(published=(version.published if again else None) or now)
        due = self._expiry(secret, published, published.published or now)
        tags = self._tags(published, state)
        self._make(name, written, tags, due, fresh=True)
        self._fence.check(False)  # a process that lost the lease does not record a publish time
        late = state.late
        for kept in state.main:
            if kept.enabled and kept.id in late:
                ours = kept.tags[ID]
                _log.warning("secret %s: version %s came late; %s is published again", name, ours, version.id)
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
        return True

    def _make(
        self, name: str, written: str, tags: dict[str, str], expires: datetime | None, *, fresh: bool = False
    ) -> None:
        """Make a version. A secret that secretops deleted and that is not purged is recovered first."""
        try:
            self._api.set(name, written, tags, expires, fresh=fresh)
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
            self._api.set(name, written, tags, expires, fresh=fresh)

    def _bring_back(self, name: str) -> None:
        for kept in self._api.versions(name):
            if FORGETTING in kept.tags:
                self._api.note(name, kept.id, {tag: kept.tags[tag] for tag in kept.tags if tag != FORGETTING})

    def _delete(self, name: str) -> None:
        """Disable every version of one secret, and delete it. The newest version is marked as deleted by us."""
        kept = self._api.versions(name)
        for one in kept:
            is_newest = one in latest(kept)
            if one.enabled or FORGOTTEN not in one.tags or (is_newest and FORGETTING not in one.tags):
                now = datetime.now(UTC)
                tags = forgotten(one, now)
                self._api.note(name, one.id, being_forgotten(tags, now) if is_newest else tags, enabled=False)
        if kept:
            self._api.delete(name)

    def _purge(self, name: str) -> None:
        """Purge a secret that we deleted, or log what remains."""
        try:
            deleted = self._api.deleted(name)
            if deleted is None or FORGETTING not in deleted.tags:
                return
            if deleted.purgeable:
                self._api.purge(name)
                return
            why = "the vault is protected from purging" + (f" until {deleted.until:%Y-%m-%d}" if deleted.until else "")
        except ForbiddenError as error:
            purge = f"az keyvault secret purge --vault-name {vault_name(self._location.vault)} --name {name}"
            why = f"{error.what}; an operator with that right runs: {purge}"
        _log.warning("secret %s: deleted, its versions disabled, and kept for the vault's retention: %s", name, why)

    def _expiry(self, secret: str, version: Version, since: datetime) -> datetime | None:
        """Return when the next version is due: the vault warns before a version's expiry date."""
        days = self._location.due_days.get(secret)
        ends = (version.expires, since + timedelta(days=days) if days else None)
        return min(filter(None, ends), default=None)

    def _tidy(self, secret: str, state: TagState, now: datetime) -> None:  # noqa: ARG002
        self._discard_surplus(secret, state)

    def _discard_surplus(self, secret: str, state: TagState | None = None) -> None:
        name, apart = self._names(secret)
        for lies_apart, copy in (state or self._state(secret)).surplus:
            where = apart if lies_apart else name
            if copy.version.retired:  # the fact is kept
                self._api.note(where, copy.kept.id, noted(copy.kept), enabled=False)
            else:
                self._forget(where, copy.kept)

    def _forget(self, name: str, kept: KeyVaultVersion) -> None:
        self._api.note(name, kept.id, forgotten(kept, datetime.now(UTC)), enabled=False)

    def _value(self, secret: str, state: TagState, version: str, *, but: str = "") -> Value:
        for where, copy in reversed(self._copies(secret, state, version)):
            if copy.kept.enabled and copy.kept.id != but and (found := self._api.value(where, copy.kept.id)):
                return payload.parse(secret, version, found.text)
        raise store_errors.no_value(secret, version)

    def _found(self, secret: str, state: TagState) -> KeyVaultVersion | None:
        return readers_find(self._api, self._names(secret)[0], state.newest)

    def _is_found(self, secret: str, state: TagState) -> bool:
        found, current = self._found(secret, state), state.versions.current
        copies = state.copies(current.id) if current else ()
        return found is not None and found.enabled and any(copy.kept.id == found.id for copy in copies)

    def _brought_back(self, secret: str, state: TagState) -> StoreError | None:
        if not state.forgetting:
            return None
        for where, versions in zip(self._names(secret), (state.main, state.apart), strict=True):
            if kept := next((one for one in versions if one.enabled and FORGOTTEN in one.tags), None):
                return StoreError(
                    f"secret {where}: version {kept.id} was forgotten, and somebody enabled it again",
                    rule="what a person brought back stays; secretops neither deletes it nor takes it for its own",
                    remedy=f"to keep it: secretops put {secret}; to forget it after all: "
                    f"{self._enable(where, kept, 'false')}, then secretops tick",
                )
        return None

    def _taken_away(self, secret: str, state: TagState) -> StoreError | None:
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

    def _edit(self, secret: str, state: TagState) -> Edit | None:
        found, versions = self._found(secret, state), state.versions
        if found is None or not found.enabled or found.id in state.late:
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
        what = "retired" if retired else "none of secretops'"
        return Edit(
            found.id,
            payload.parse_fields(theirs.text),
            f"secret {name} in {self._place} was changed by hand: version {found.id} is {what}",
            f"it from its readers ({self._enable(name, found, 'false')})",
        )

    def _says_the_same(self, name: str, copies: list[Copy]) -> bool:
        """Return whether these versions, all of the same tags, have one value: then one request made them."""
        texts = [one.text for copy in copies if copy.kept.enabled and (one := self._api.value(name, copy.kept.id))]
        return len(texts) > 1 and len(set(texts)) == 1

    def _enable(self, name: str, kept: KeyVaultVersion, whether: str = "true") -> str:
        """Return the command that gives a version to readers, or takes it from them."""
        return (
            f"az keyvault secret set-attributes --id {self._location.vault.rstrip('/')}/secrets/{name}/{kept.id} "
            f"--enabled {whether}"
        )

    def _contended(self, secret: str) -> StoreError:
        raise AssertionError(f"{secret}: Key Vault refuses no write for another one")
