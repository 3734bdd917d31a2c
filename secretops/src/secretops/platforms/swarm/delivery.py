"""Deliver a version: put its Swarm secrets into the list of the server's service.

One update of the service changes all files of a version, so that no reader sees a mix of two versions. The service
declares how: start-first, and a rollback when new tasks fail.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from secretops.errors import StoreError
from secretops.platforms.swarm.api import PAUSES, SwarmApi
from secretops.platforms.swarm.inventory import Inventory
from secretops.platforms.swarm.location import SwarmFile, version_file
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.platforms.swarm.rollout import (
    STARTS,
    Entry,
    NeverRanError,
    Rollout,
    Service,
    file_of,
    secrets_of,
    state_of,
)
from secretops.platforms.swarm.values import Values
from secretops.platforms.swarm.version_state import StoredVersion
from secretops.stores import store_errors
from secretops.stores.retry import Retries, contended


class Delivery:
    """Writes the secrets of the server's service."""

    def __init__(self, api: SwarmApi, location: Location, inventory: Inventory, values: Values) -> None:
        self._api, self._location, self._inventory, self._values = api, location, inventory, values
        self._rollout = Rollout(api, location)

    def files(self, secret: str) -> dict[str, SwarmFile]:
        """Return the file of each delivered field."""
        return self._location.delivered.get(secret, {})

    def check(self, secret: str, chosen: StoredVersion, ours: Sequence[StoredVersion]) -> None:
        """Raise StoreError if the delivered value was edited, or the Swarm secrets of `chosen` are gone."""
        wanted = self._wanted(secret, chosen)
        if service := self._rollout.service():
            self._refuse_edited(secret, service, wanted, ours)

    def drift(self, secret: str, current: StoredVersion, ours: Sequence[StoredVersion]) -> str | None:
        """Return how the delivered value differs from `current`, or None. Raises StoreError, UnreachableError."""
        if not self.files(secret):
            return None
        name = self._location.service
        service = self._rollout.service()
        if service is None:
            return f"there is no service {name}: pulumi up"
        wanted = self._wanted(secret, current)
        if edited := self._edited(secret, service, wanted, ours):
            return f"service {name}: the secret in file {file_of(edited)} was changed by hand"
        if _differ(secrets_of(service), self._with(secret, service, wanted)):
            return "not delivered: secretops tick"
        if outdated := self._rollout.outdated_tasks(service):
            return f"{outdated} tasks of service {name} still have another list of secrets"
        return None

    def deliver(
        self, secret: str, current: StoredVersion | None, ours: Sequence[StoredVersion], *, before: Callable[[], None]
    ) -> bool:
        """Deliver `current`, or remove `secret` for None, and wait for the tasks. False if there is no service.

        `before` is called right before a write. Waits for an update that is under way first. A new version counts as
        delivered once a task runs steadily with it; a container that does not start is tried again.

        Raises UpdateFailedError if the tasks have the previous version; StoreError if the delivered value was edited;
        UnreachableError if the update takes too long.
        """
        for _ in range(STARTS - 1):
            with contextlib.suppress(NeverRanError):
                return self._deliver(secret, current, ours, before=before)
        return self._deliver(secret, current, ours, before=before)

    def _deliver(
        self, secret: str, current: StoredVersion | None, ours: Sequence[StoredVersion], *, before: Callable[[], None]
    ) -> bool:
        wanted = self._wanted(secret, current) if current else []
        is_new = current is not None and current.version.published is None and bool(wanted)
        idle: object = None
        failed: set[str] | None = None
        retries = Retries(PAUSES)  # after conflicts
        while service := self._rollout.service():
            self._refuse_edited(secret, service, wanted, ours)
            listed = self._with(secret, service, wanted)
            state = state_of(service)
            if not _differ(secrets_of(service), listed):
                if state != "paused" and not self._rollout.outdated_tasks(service):
                    if is_new:
                        break
                    return True
                if state == "updating":
                    break
            if service["Version"] != idle:
                after = self._rollout.wait_until_idle()
                idle = after and after["Version"]
                if service["Version"] != idle:
                    continue  # it has changed since
            before()
            spec, failed_before = service["Spec"], self._rollout.failed(service)
            spec["TaskTemplate"]["ContainerSpec"]["Secrets"] = listed
            if self._api.update("services", service, spec):
                failed = failed_before
                break
            if not retries.pause():
                remedy = "wait for the other deployment to end; the next tick delivers"
                raise contended(f"service {self._location.service}", remedy, pauses=PAUSES)
        else:
            return False
        self._rollout.wait(wanted, is_new=is_new, failed=failed)
        return True

    def _wanted(self, secret: str, kept: StoredVersion) -> list[Entry]:
        """Return the entries of a version. Raises NotFoundError if one of its Swarm secrets is gone."""
        files = {field: file for field, file in self.files(secret).items() if field in kept.fields}
        if not self.files(secret):
            return []
        existing = {each.name: each.id for each in self._inventory.all(secret)}
        names = self._inventory.names(secret, kept.number, kept.fields)
        marked = dict[str | None, SwarmFile](files.items()) | {None: SwarmFile(name=version_file(secret))}
        if any(names[field] not in existing for field in marked):
            raise store_errors.no_value(secret, kept.version.id)
        return [self._entry(names[field], existing[names[field]], file) for field, file in marked.items()]

    def _entry(self, name: str, id: str, file: SwarmFile) -> Entry:
        owner = str(self._location.uid)
        mounted = {"Name": file.name, "UID": owner, "GID": owner, "Mode": file.mode}
        return {"SecretID": id, "SecretName": name, "File": mounted}

    def _with(self, secret: str, service: Service, wanted: list[Entry]) -> list[Entry]:
        """Return the service's list with `wanted` in place of its entries of `secret`."""
        ours = {each.id for each in self._inventory.all(secret)}
        names = {file_of(entry) for entry in wanted}
        others = [each for each in secrets_of(service) if each["SecretID"] not in ours and file_of(each) not in names]
        return [*others, *wanted]

    def _refuse_edited(self, secret: str, service: Service, wanted: list[Entry], ours: Sequence[StoredVersion]) -> None:
        if edited := self._edited(secret, service, wanted, ours):
            name = edited["SecretName"]
            raise store_errors.edited(
                secret,
                f"service {self._location.service}: file {file_of(edited)} was changed by hand: it has secret {name}",
                f"it (docker service update --secret-rm {name} {self._location.service})",
            )

    def _edited(
        self, secret: str, service: Service, wanted: list[Entry], ours: Sequence[StoredVersion]
    ) -> Entry | None:
        """Return an entry of another secret in a file of ours, unless it has the text of a version in `ours`."""
        known = {each.id for each in self._inventory.all(secret)}
        fields = {file.name: field for field, file in self.files(secret).items()}
        names = {file_of(entry) for entry in wanted}
        for entry in secrets_of(service):
            if file_of(entry) in names and entry["SecretID"] not in known:
                field = fields.get(file_of(entry))
                if not any(self._same(secret, entry, field, kept) for kept in ours):
                    return entry
        return None

    def _same(self, secret: str, entry: Entry, field: str | None, kept: StoredVersion) -> bool:
        name = self._inventory.names(secret, kept.number, kept.fields).get(field)
        try:
            text = self._values.text(entry["SecretName"])
            return name is not None and text is not None and text == self._values.text(name)
        except StoreError:  # this process can't read it
            return False


def _differ(one: list[Entry], other: list[Entry]) -> bool:
    """Return True unless they have the same entries. Another order alone would restart every task."""
    return sorted(map(repr, map(_facts, one))) != sorted(map(repr, map(_facts, other)))


def _facts(entry: Entry) -> tuple[str, ...]:
    file = entry.get("File") or {}
    return entry["SecretID"], *(str(file.get(fact)) for fact in ("Name", "UID", "GID", "Mode"))
