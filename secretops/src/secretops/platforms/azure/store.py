"""A version store in Key Vault."""

from __future__ import annotations

import contextlib
import logging
import secrets
from datetime import UTC, datetime, timedelta

from secretops.engine.journal import Entry
from secretops.engine.state import Version
from secretops.errors import StoreError
from secretops.platforms.azure.api import KeyVaultApi, KeyVaultVersion
from secretops.platforms.azure.errors import DeletedError, ForbiddenError, vault_name
from secretops.platforms.azure.lease import LeaseBlob
from secretops.platforms.azure.location import AzureStoreLocation as Location
from secretops.platforms.azure.tags import (
    FORGETTING,
    FORGOTTEN,
    ID,
    WRITE,
    Copy,
    TagState,
    discarded,
    latest,
    marked_forgetting,
    readers_version,
    version_tags,
    with_entry,
    with_times,
)
from secretops.stores import payload, store_errors
from secretops.stores.lease import Timing
from secretops.stores.vendor_versions import Edit, VendorVersionStore
from secretops.values import Value

_log = logging.getLogger(__name__)
# "25k bytes": https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
LIMIT = payload.Limit(25_000, "Key Vault")


class KeyVaultVersionStore(VendorVersionStore[TagState]):
    def __init__(
        self,
        location: Location,
        api: KeyVaultApi | None = None,
        blob: LeaseBlob | None = None,
        *,
        log_entries: bool = False,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(location, api or KeyVaultApi.of(location), timing or Timing(), log_entries=log_entries)
        self._blob = blob or LeaseBlob.of(location)

    def add(self, secret: str, version: Version, value: Value) -> None:
        _, staging = self._names(secret)
        state = self._state(secret)
        written, tags = payload.serialize(secret, value, LIMIT), _tags(version, state)
        if state.forgetting:
            if self._restore_error(secret, state):
                for name in self._names(secret):
                    self._bring_back(name)
            else:
                self.forget(secret)
            state = self._state(secret)
            tags = _tags(version, state)
        if not any(known.id == version.id for known in state.versions.all):
            self._make(staging, written, tags, self._expiry(secret, version, version.created))
        self._discard_surplus(secret)

    def forget(self, secret: str) -> None:
        """Disable all versions of a secret, then delete it, and purge it if permitted. Logs why it is not purged."""
        name, staging = self._names(secret)
        self.confirm()
        state = self._state(secret)
        if not state.forgetting and (first := state.newest or state.staging):
            self._api.set_tags(first[-1], marked_forgetting(first[-1].tags, datetime.now(UTC)), enabled=False)
        # The readers' version is marked first, and its secret is deleted last, so a run after a crash can finish.
        order = (staging, name) if state.main else (name, staging)
        for each in order:
            self._delete(each)
        for each in order:
            self._purge(each)

    @property
    def _place(self) -> str:
        return str(self._location.vault)

    def _lease_store(self) -> LeaseBlob:
        return self._blob

    def _last_entry(self, secret: str) -> Entry | None:
        return self._state(secret).last(secret)

    def _store_entry(self, entry: Entry) -> None:
        if stored := self._state(entry.secret).carrier:
            self._api.set_tags(stored, with_entry(stored, entry))

    def _is_kept(self, secret: str) -> bool:
        state = self._state(secret)
        if state.versions.all or state.forgetting:
            return True
        with contextlib.suppress(ForbiddenError):  # a role on the secret may not cover its deletion
            missing = [name for name in self._names(secret) if not self._api.versions(name)]
            found = [deleted for name in missing if (deleted := self._api.deleted(name))]
            return any(deleted.purgeable and FORGETTING in deleted.tags for deleted in found)
        return False

    def _state(self, secret: str) -> TagState:
        if secret not in self._location.secrets:
            return TagState((), ())
        return TagState.of(self._api, *self._names(secret))

    def _finish_forgetting(self, secret: str, state: TagState) -> None:
        if wrong := self._restore_error(secret, state):
            raise wrong
        if state.forgetting:
            self.forget(secret)

    def _record_rollback(self, secret: str, state: TagState, now: datetime) -> None:
        current = state.versions.current
        if current and not self._edited(secret, state):
            self._deliver(secret, state, current, now)

    def _mark(self, secret: str, state: TagState, version: str, **times: datetime | None) -> None:  # noqa: ARG002
        for copy in (*state.copies(version), *state.pending_copies(version)):
            tags = with_times(copy.stored, **times)
            self._api.set_tags(copy.stored, tags, enabled=False if times["retired"] else None)

    def _discard(self, secret: str, state: TagState, pending: Version) -> None:  # noqa: ARG002
        for copy in state.pending_copies(pending.id):
            self._forget(copy.stored)

    def _deliver(self, secret: str, state: TagState, version: Version, now: datetime) -> bool:
        """Publish a version. Key Vault has no compare-and-swap, so this logs versions that other authors created
        meanwhile."""
        name, _ = self._names(secret)
        written = payload.serialize(secret, self._value(secret, state, version.id), LIMIT)
        current = state.versions.current
        again = current is not None and current.id == version.id
        published = version.at(published=(version.published if again else None) or now)
        due = self._expiry(secret, published, published.published or now)
        tags = _tags(published, state)
        self._make(name, written, tags, due, fresh=True)
        self._fence.check(False)  # a process that lost the lease must not record a publish time
        late = state.late
        for stored in state.main:
            if stored.enabled and stored.id in late:
                late_id = stored.tags[ID]
                _log.warning("secret %s: version %s was written late; %s is published again", name, late_id, version.id)
                # At once: of two versions of the same second readers may get this one, and `surplus` would keep it.
                self._forget(stored)
        known = {stored.id for stored in state.main}
        for stored in self._api.versions(name):
            if stored.id not in known and stored.tags.get(WRITE) != tags[WRITE] and FORGOTTEN not in stored.tags:
                _log.warning(
                    "secret %s: readers of version %s, which secretops did not write, may now get version %s; to keep "
                    "the former value: secretops put %s",
                    name,
                    stored.id,
                    version.id,
                    secret,
                )
        return True

    def _make(
        self, name: str, written: str, tags: dict[str, str], expires: datetime | None, *, fresh: bool = False
    ) -> None:
        try:
            self._api.set(name, written, tags, expires, fresh=fresh)
        except DeletedError as error:
            try:
                deleted = self._api.deleted(name)
            except ForbiddenError:  # a role on the secret may not cover its deletion
                raise StoreError(
                    error.what,
                    rule="this identity must be able to read deleted secrets, to see whether secretops deleted this "
                    "secret",
                    remedy="run secretops rotate or put as an operator with a role on the whole vault; or: "
                    f"{error.remedy}",
                    code="secret-deleted",
                ) from None
            if deleted and FORGETTING not in deleted.tags:
                raise
            if deleted:
                self._api.recover(name)
                self._bring_back(name)
            self._api.set(name, written, tags, expires, fresh=fresh)

    def _bring_back(self, name: str) -> None:
        for stored in self._api.versions(name):
            if FORGETTING in stored.tags:
                self._api.set_tags(stored, {tag: stored.tags[tag] for tag in stored.tags if tag != FORGETTING})

    def _delete(self, name: str) -> None:
        versions, now = self._api.versions(name), datetime.now(UTC)
        for stored in versions:
            is_newest = stored in latest(versions)
            if stored.enabled or FORGOTTEN not in stored.tags or (is_newest and FORGETTING not in stored.tags):
                tags = discarded(stored, now)
                self._api.set_tags(stored, marked_forgetting(tags, now) if is_newest else tags, enabled=False)
        if versions:
            self._api.delete(name)

    def _purge(self, name: str) -> None:
        try:
            deleted = self._api.deleted(name)
            if deleted is None or FORGETTING not in deleted.tags:
                return
            if deleted.purgeable:
                self._api.purge(name)
                return
            why = "the vault has purge protection" + (f" until {deleted.until:%Y-%m-%d}" if deleted.until else "")
        except ForbiddenError as error:
            purge = f"az keyvault secret purge --vault-name {vault_name(self._location.vault)} --name {name}"
            why = f"{error.what}; run as an operator: {purge}"
        _log.warning("secret %s: deleted, with disabled versions; the vault retains it: %s", name, why)

    def _expiry(self, secret: str, version: Version, since: datetime) -> datetime | None:
        """Return when `version` expires in the vault: when its certificate expires, else `due_days` after `since`."""
        days = self._location.due_days.get(secret)
        return version.expires or (since + timedelta(days=days) if days else None)

    def _tidy(self, secret: str, state: TagState, now: datetime) -> None:  # noqa: ARG002
        self._discard_surplus(secret, state)

    def _discard_surplus(self, secret: str, state: TagState | None = None) -> None:
        for copy in (state or self._state(secret)).surplus:
            if copy.version.retired:  # keep its metadata
                self._api.set_tags(copy.stored, with_times(copy.stored), enabled=False)
            else:
                self._forget(copy.stored)

    def _forget(self, stored: KeyVaultVersion) -> None:
        self._api.set_tags(stored, discarded(stored, datetime.now(UTC)), enabled=False)

    def _value(self, secret: str, state: TagState, version: str, *, but: str = "") -> Value:
        for copy in reversed((*state.copies(version), *state.pending_copies(version))):
            if copy.stored.id != but and (text := self._text(copy)) is not None:
                return payload.parse(secret, version, text)
        raise store_errors.no_value(secret, version)

    def _text(self, copy: Copy) -> str | None:
        found = self._api.value(copy.stored.secret, copy.stored.id) if copy.stored.enabled else None
        return found and found.text

    def _found(self, secret: str, state: TagState) -> KeyVaultVersion | None:
        return readers_version(self._api, self._names(secret)[0], state.newest)

    def _is_delivered(self, secret: str, state: TagState) -> bool:
        found, current = self._found(secret, state), state.versions.current
        copies = state.copies(current.id) if current else ()
        return found is not None and found.enabled and any(copy.stored.id == found.id for copy in copies)

    def _restore_error(self, secret: str, state: TagState) -> StoreError | None:
        if not state.forgetting:
            return None
        for stored in (*state.main, *state.staging):
            if stored.enabled and FORGOTTEN in stored.tags:
                disable = self._enable(stored, "false")
                return StoreError(
                    f"secret {stored.secret}: somebody enabled version {stored.id}, while secretops deletes the secret",
                    rule="secretops does not delete a version that a person enabled",
                    remedy=f"to keep the value, supply it: secretops put {secret}; to delete the secret: {disable}; "
                    "then: secretops tick",
                    code="forgotten-version-enabled",
                )
        return None

    def _removal_error(self, secret: str, state: TagState) -> StoreError | None:
        found, current = self._found(secret, state), state.versions.current
        if found is None or found.enabled or current is None:
            return None
        if not any(copy.stored.id == found.id for copy in state.copies(current.id)):
            return None
        enable = self._enable(found)
        return store_errors.RemovedError(
            f"secret {found.secret}: the current version {found.id} is disabled, so readers get nothing",
            rule="the current version must be enabled; secretops does not enable what a person disabled",
            remedy=f"for a new version: secretops rotate {secret}, or secretops put {secret}; to enable this version: "
            f"{enable}",
            code="current-version-disabled",
        )

    def _edit(self, secret: str, state: TagState) -> Edit | None:
        found, versions = self._found(secret, state), state.versions
        if found is None or not found.enabled or found.id in state.late:
            return None
        copies = [copy for version in versions.all for copy in state.copies(version.id)]
        copy = next((copy for copy in copies if copy.stored.id == found.id), None)
        retired = copy is not None and all(version.id != copy.version.id for version in versions.living)
        if copy and not retired:
            twins = [other for other in copies if other.write == copy.write and other.stored.id != found.id]
            if not twins or self._have_one_value([copy, *twins]):
                return None
        edited = self._api.value(found.secret, found.id)
        if edited is None or edited.text.strip() in ("", "{}"):
            return None
        what = "is retired" if retired else "was not written by secretops"
        return Edit(
            found.id,
            payload.parse_fields(edited.text),
            f"secret {found.secret} in {self._place} was changed by hand: the newest version, {found.id}, {what}",
            self._enable(found, "false"),
        )

    def _have_one_value(self, copies: list[Copy]) -> bool:
        texts = [text for copy in copies if (text := self._text(copy)) is not None]
        return len(texts) > 1 and len(set(texts)) == 1

    def _enable(self, stored: KeyVaultVersion, whether: str = "true") -> str:
        url = f"{self._location.vault.rstrip('/')}/secrets/{stored.secret}/{stored.id}"
        return f"az keyvault secret set-attributes --id {url} --enabled {whether}"

    def _contended(self, secret: str) -> StoreError:
        raise AssertionError(f"{secret}: Key Vault rejects no concurrent write")


def _tags(version: Version, state: TagState) -> dict[str, str]:
    return version_tags(version, state.next_number, secrets.token_hex(8))
