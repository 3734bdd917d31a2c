"""What the server's containers find: the secrets in its service's list. The delivery, not the truth.

All files of a version change with one update of the service, so that no reader sees a torn pair. The service declares
how: start-first, and back when new tasks fail.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from secretops.errors import StoreError
from secretops.platforms.swarm.api import PAUSES, SwarmApi
from secretops.platforms.swarm.inventory import Inventory
from secretops.platforms.swarm.location import SwarmFile, version_file
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.platforms.swarm.rollout import STARTS, Entry, NeverRanError, Rollout, Service, list_of, place, state_of
from secretops.platforms.swarm.values import Values
from secretops.platforms.swarm.version_state import StoredVersion
from secretops.stores import store_errors
from secretops.stores.retry import Retries, contended


class Delivery:
    """Writes the list of the server's service."""

    def __init__(self, api: SwarmApi, location: Location, inventory: Inventory, values: Values) -> None:
        self._api, self._location, self._inventory, self._values = api, location, inventory, values
        self._rollout = Rollout(api, location)

    def files(self, secret: str) -> dict[str, SwarmFile]:
        """Return the file that readers are to find each field in."""
        return self._location.delivered.get(secret, {})

    def check(self, secret: str, chosen: StoredVersion, ours: Sequence[StoredVersion]) -> None:
        """Raise StoreError if `bring` would: what is there was edited, or the version's secrets are gone."""
        wanted = self._wanted(secret, chosen)
        if service := self._rollout.service():
            self._refuse_edited(secret, service, wanted, ours)

    def drift(self, secret: str, current: StoredVersion, ours: Sequence[StoredVersion]) -> str | None:
        """Return how what readers find differs from `current`, or None. Raises StoreError, UnreachableError."""
        if not self.files(secret):
            return None
        name = self._location.service
        service = self._rollout.service()
        if service is None:
            return f"service {name} is not there: pulumi up makes it"
        wanted = self._wanted(secret, current)
        if edited := self._edited(secret, service, wanted, ours):
            return f"service {name}: the secret in file {edited['File']['Name']} was changed by hand"
        if _differ(list_of(service), self._with(secret, service, wanted)):
            return "not delivered: secretops tick"
        if behind := self._rollout.behind(service):
            return f"{behind} of the tasks of service {name} have another list of secrets yet"
        return None

    def bring(
        self, secret: str, current: StoredVersion | None, ours: Sequence[StoredVersion], *, before: Callable[[], None]
    ) -> bool:
        """Make readers find `current`, or nothing of `secret`, and wait until they do. False if there is no service.

        `before` is called right before a write. An update that is under way is first waited for: see `Rollout`. A new
        version is delivered once a task was seen to run with it; a container that the daemon fails to start is tried
        again.

        Raises UpdateFailedError if the tasks have the version before; StoreError if somebody edited what they find;
        UnreachableError if the update takes too long.
        """
        for _ in range(STARTS - 1):
            with contextlib.suppress(NeverRanError):
                return self._bring(secret, current, ours, before=before)
        return self._bring(secret, current, ours, before=before)

    def _bring(
        self, secret: str, current: StoredVersion | None, ours: Sequence[StoredVersion], *, before: Callable[[], None]
    ) -> bool:
        wanted = self._wanted(secret, current) if current else []
        is_new = current is not None and current.version.published is None and bool(wanted)
        rested: object = None
        failed: set[str] | None = None
        retries = Retries(PAUSES)  # after conflicts
        while service := self._rollout.service():
            self._refuse_edited(secret, service, wanted, ours)
            listed = self._with(secret, service, wanted)
            state = state_of(service)
            if not _differ(list_of(service), listed):
                if state != "paused" and not self._rollout.behind(service):
                    if is_new:
                        break
                    return True
                if state == "updating":
                    break
            if service["Version"] != rested:
                after = self._rollout.at_rest()
                rested = after and after["Version"]
                if service["Version"] != rested:
                    continue  # it has changed since: decided again
            before()
            spec, failed_before = service["Spec"], self._rollout.failed(service)
            spec["TaskTemplate"]["ContainerSpec"]["Secrets"] = listed
            if self._api.update("services", service, spec):
                failed = failed_before
                break
            if not retries.pause():
                raise contended(
                    f"service {self._location.service}",
                    "let the other deployment end; the next tick goes on from here",
                    rule="a list is only written over the one that it was decided on; nothing was overwritten",
                    pauses=PAUSES,
                )
        else:
            return False
        self._rollout.wait(wanted, is_new=is_new, failed=failed)
        return True

    def _wanted(self, secret: str, kept: StoredVersion) -> list[Entry]:
        """Return the entries of a version. Raises NotFoundError if a secret of it is gone."""
        files = {field: file for field, file in self.files(secret).items() if field in kept.fields}
        if not self.files(secret):
            return []
        there = {each.name: each.id for each in self._inventory.all(secret)}
        names = self._inventory.names(secret, kept.number, kept.fields)
        marked = dict[str | None, SwarmFile](files.items()) | {None: SwarmFile(name=version_file(secret))}
        if any(names[field] not in there for field in marked):
            raise store_errors.no_value(secret, kept.version.id)
        return [self._entry(names[field], there[names[field]], file) for field, file in marked.items()]

    def _entry(self, name: str, id: str, file: SwarmFile) -> Entry:
        owner = str(self._location.uid)
        shown = {"Name": file.name, "UID": owner, "GID": owner, "Mode": file.mode}
        return {"SecretID": id, "SecretName": name, "File": shown}

    def _with(self, secret: str, service: Service, wanted: list[Entry]) -> list[Entry]:
        """Return the service's list with `wanted` in place of what it has of `secret`."""
        ours = {each.id for each in self._inventory.all(secret)}
        places = {place(entry) for entry in wanted}
        return [
            *(entry for entry in list_of(service) if entry["SecretID"] not in ours and place(entry) not in places),
            *wanted,
        ]

    def _refuse_edited(self, secret: str, service: Service, wanted: list[Entry], ours: Sequence[StoredVersion]) -> None:
        if edited := self._edited(secret, service, wanted, ours):
            name, file = edited["SecretName"], edited["File"]["Name"]
            raise store_errors.edited(
                secret,
                f"service {self._location.service}: the secret in file {file} was changed by hand: it is {name}",
                f"it (docker service update --secret-rm {name} {self._location.service})",
            )

    def _edited(
        self, secret: str, service: Service, wanted: list[Entry], ours: Sequence[StoredVersion]
    ) -> Entry | None:
        """Return an entry of none of `ours` in the place of one, or None. One with the same text is as good."""
        known = {each.id for each in self._inventory.all(secret)}
        fields = {file.name: field for field, file in self.files(secret).items()}
        places = {place(entry) for entry in wanted}
        for entry in list_of(service):
            if place(entry) in places and entry["SecretID"] not in known:
                field = fields.get(place(entry))
                if not any(self._same(secret, entry, field, kept) for kept in ours):
                    return entry
        return None

    def _same(self, secret: str, entry: Entry, field: str | None, kept: StoredVersion) -> bool:
        name = self._inventory.names(secret, kept.number, kept.fields).get(field)
        try:
            text = self._values.text(entry["SecretName"])
            return name is not None and text is not None and text == self._values.text(name)
        except StoreError:  # this process is in no task that can read it
            return False


def _differ(one: list[Entry], other: list[Entry]) -> bool:
    """Return whether they differ by more than their order, which alone would restart every task."""
    return sorted(map(repr, map(_facts, one))) != sorted(map(repr, map(_facts, other)))


def _facts(entry: Entry) -> tuple[str, ...]:
    file = entry.get("File") or {}
    return entry["SecretID"], *(str(file.get(fact)) for fact in ("Name", "UID", "GID", "Mode"))
