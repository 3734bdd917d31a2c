"""Doctor's checks of an Azure stack. Only `TagState.of` reads values, and no check prints them."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineResponse

from secretops.check import (
    Check,
    Repair,
    Result,
    attention,
    clock_skew,
    judge,
    ok,
    poll,
    reached,
    table,
    undeclared_secrets,
)
from secretops.errors import SecretopsError
from secretops.formats import counted
from secretops.platform import OpenedStack
from secretops.platforms.azure.api import DeletedSecret, KeyVaultApi
from secretops.platforms.azure.errors import ForbiddenError, vault_name
from secretops.platforms.azure.lease import LONGEST_LEASE, LeaseBlob
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.log_workspace import Workspace
from secretops.platforms.azure.tags import FORGETTING, Copy, TagState
from secretops.platforms.azure.trail import LogAnalytics
from secretops.stores.lease import Timing
from secretops.trails import Access

# The tick is hourly: an operation that two ticks did not finish is stuck.
STUCK_AFTER = timedelta(hours=2)
# The tick sends requests hourly, so a week without a row means that there is no log.
RECORD_WINDOW = timedelta(days=7)
DENIAL_WINDOW = timedelta(days=1)


class Vault:
    def __init__(self, location: AzureStoreLocation, *, timing: Timing | None = None) -> None:
        self.location, self.timing = location, timing or Timing()
        self.api, self.lease = KeyVaultApi.of(location), LeaseBlob.of(location)
        self.short_name = vault_name(location.vault)
        self.names = (*location.secrets.values(), *location.pending.values())
        self._first = next(iter(location.secrets.values()), "none")

    @functools.cached_property
    def _failure(self) -> SecretopsError | None:
        try:
            self.api.versions(self._first)
        except ForbiddenError:
            return None
        except SecretopsError as error:
            return error
        return None

    def reach(self) -> None:
        if self._failure:
            raise self._failure

    @functools.cached_property
    def ahead(self) -> timedelta | None:
        """Return this machine's clock minus the vault's, or None if the vault's response has no date."""

        def read_date(response: PipelineResponse[Any, Any]) -> None:
            if date := response.http_response.headers.get("Date"):
                dates.append(parsedate_to_datetime(date))

        self.reach()
        dates: list[datetime] = []
        with contextlib.suppress(HttpResponseError):
            list(self.api.client.list_properties_of_secret_versions(self._first, raw_response_hook=read_date))
        return datetime.now(UTC) - dates[-1] if dates else None

    @functools.cached_property
    def states(self) -> dict[str, TagState]:
        self.reach()
        pending = self.location.pending
        return {secret: TagState.of(self.api, name, pending[secret]) for secret, name in self.location.secrets.items()}

    def forbidden(self) -> Iterator[SecretopsError]:
        """Yield an error for each denied read: of a secret's metadata, or of the lease."""
        self.reach()
        reads: list[Callable[[], object]] = [functools.partial(self.api.versions, name) for name in self.names]
        for read in [*reads, self.lease.status]:
            try:
                read()
            except ForbiddenError as error:
                yield error

    def deleted(self) -> dict[str, DeletedSecret]:
        self.reach()
        return {name: found for name in self.names if (found := self.api.deleted(name))}

    def undeclared(self) -> list[str]:
        self.reach()
        others = sorted({*self.api.names()} - {*self.names})
        return [name for name in others if any(stored.enabled for stored in self.api.versions(name))]

    def accesses(self, since: timedelta) -> Iterator[Access]:
        trail = LogAnalytics(self.location)
        for line in Workspace(self.location).lines(datetime.now(UTC) - since):
            yield from trail.read(line)

    def newest_record(self, since: timedelta) -> datetime | None:
        return Workspace(self.location).newest(datetime.now(UTC) - since)


def azure_checks(vault: Vault, stack: OpenedStack, tick: Repair) -> list[Check]:
    return table(
        vault,
        {
            "vault": lambda it: reached(it.reach, lambda: it.location.vault),
            "clock": lambda it: clock_skew(it.ahead, "the vault", ", and logins expire"),
            "your rights": own_rights,
            "names": partial(names, stack=stack),
            "pending": partial(pending, finish=tick),
            "versions": partial(versions, finish=tick),
            "lease": lease,
            "audit": audit,
            "readers' rights": readers_rights,
            "unknown secrets": unknown_secrets,
        },
    )


def own_rights(vault: Vault) -> Result:
    """Check that the caller may read metadata and the lease. A check of rights to write would have to write."""
    if missing := list(vault.forbidden()):
        return attention("; ".join(error.what for error in missing), missing[0].rule, missing[0].remedy)
    return ok(f"may read {len(vault.names)} secrets and the lease")


def names(vault: Vault, stack: OpenedStack) -> Result:
    """Find deleted secrets that reserve a name of the stack, except those that secretops deleted."""
    deleted = {name: one for name, one in vault.deleted().items() if FORGETTING not in one.tags}
    if not deleted:
        return ok(f"{len(vault.names)} names, none of a deleted secret")

    def recover() -> str:
        with stack.lease("doctor --repair"):
            for name in deleted:
                vault.api.recover(name)
        return f"{', '.join(deleted)}: recovered with all versions"

    first, found = next(iter(deleted.items()))
    until = f" until {found.until:%Y-%m-%d}" if found.until else ""
    return attention(
        f"{', '.join(deleted)}: deleted, but the name is in use{until}",
        "a secret of the stack must not be deleted: nobody can read or write a deleted secret",
        f"az keyvault secret recover --vault-name {vault.short_name} --name {first}; secretops audit shows who deleted "
        "the secret",
        Repair(f"recover {', '.join(deleted)}", recover),
    )


def pending(vault: Vault, finish: Repair | None) -> Result:
    """Find pending versions older than STUCK_AFTER, and versions of `NAME-pending` that are still enabled
    after their publication or discard."""
    stray: list[str] = []
    under_way: list[str] = []
    for secret, state in vault.states.items():
        name, version = vault.location.pending[secret], state.versions.pending
        if any(copy.stored in state.staging for copy in _left_over(state)):
            stray.append(f"{name} has an enabled copy of a published or discarded version")
        if version and datetime.now(UTC) - version.created > STUCK_AFTER:
            stray.append(f"{name} has had pending version {version.id} since {version.created:%Y-%m-%d %H:%M} UTC")
        elif version:
            under_way.append(secret)
    return judge(
        stray,
        "secretops must publish or discard a pending version within two ticks, and then disable the copy",
        "secretops tick finishes the rotation; the log of the stack's job shows why earlier ticks failed",
        f"under way: {', '.join(under_way)}" if under_way else "none is left",
        finish,
    )


def versions(vault: Vault, finish: Repair | None) -> Result:
    """Check that current versions are enabled and have not expired, and that retired versions are disabled.

    A disabled current version is not repaired: a person may have disabled it for a reason.
    """
    is_left = any(copy.stored in state.main for state in vault.states.values() for copy in _left_over(state))
    enable = (
        f"az keyvault secret set-attributes --vault-name {vault.short_name} --name NAME --version ID --enabled true"
    )
    return judge(
        _unreadable_or_left(vault),
        "the current version must be enabled and not expired; retired versions must be disabled",
        f"secretops tick disables retired versions; for a new version: secretops rotate SECRET, or put; to enable a "
        f"version: {enable}",
        "each current version is enabled and not expired",
        finish if is_left else None,
    )


def _unreadable_or_left(vault: Vault) -> Iterator[str]:
    for secret, state in vault.states.items():
        name, current = vault.location.secrets[secret], state.versions.current
        if current and (copies := state.copies(current.id)):
            newest = copies[-1].stored
            if not newest.enabled:
                yield f"{name}: the current version {newest.id} is disabled"
            if newest.expires and newest.expires < datetime.now(UTC):
                yield f"{name}: the current version expired {newest.expires:%Y-%m-%d %H:%M} UTC"
        if left := [copy.stored.id for copy in _left_over(state) if copy.stored in state.main]:
            yield f"{name}: retired version {', '.join(left)} is still enabled"


def _left_over(state: TagState) -> Iterator[Copy]:
    # A rotation disables these copies only after its last write.
    written = max((stored.created for stored in (*state.main, *state.staging)), default=None)
    if written and datetime.now(UTC) - written > STUCK_AFTER:
        yield from state.surplus


def lease(vault: Vault) -> Result:
    """Check that the lease is free, or its holder renews it. The lease of a killed process ends within a minute."""
    blob, pause = vault.lease, vault.timing.poll
    seen = blob.status()
    for _ in poll(LONGEST_LEASE + pause, pause) if seen.is_leased and not seen.is_infinite else ():
        found = blob.status()
        if found.is_leased and found != seen:
            return ok(f"held by {found.holder}, who renews the lease")
        seen = found
        if not seen.is_leased or seen.is_infinite:
            break
    if not seen.is_leased:
        return ok("free")
    return attention(
        f"{blob.name}: held by {seen.holder}, who does not renew the lease",
        "a lease must be renewed or released within seconds: no other process can rotate meanwhile",
        f"if nobody is rotating: az storage blob lease break --blob-url {blob.url} --auth-mode login",
    )


def audit(vault: Vault) -> Result:
    workspace, rule = vault.location.workspace, "Log Analytics must record every read of a value"
    if not workspace:
        remedy = "pulumi up, which creates a workspace unless store.workspace in the stack file names one"
        return attention("the stack has no Log Analytics workspace", rule, remedy)
    newest = vault.newest_record(RECORD_WINDOW)
    if newest is None:
        return attention(
            f"workspace {workspace} has no row of this vault in {RECORD_WINDOW.days} days",
            f"{rule}, within 15 minutes",
            "pulumi up, which creates the vault's diagnostic setting; check: az monitor diagnostic-settings list "
            "--resource VAULT_ID",
        )
    return ok(f"the newest row is of {newest:%Y-%m-%d %H:%M} UTC")


def readers_rights(vault: Vault) -> Result:
    """Check that no declared reader was denied access within the last day."""
    if not vault.location.workspace:
        return ok("unknown: only a Log Analytics workspace has the denials, and the stack has none")
    denied = Counter(
        (access.reader, access.operation, access.secret)
        for access in vault.accesses(DENIAL_WINDOW)
        if access.declared and not access.allowed
    )
    if not denied:
        return ok("no declared reader was denied within a day")
    denials = (
        f"{who} was denied {what} of {secret} {counted(times, 'time', 'times')}"
        for (who, what, secret), times in denied.items()
    )
    return attention(
        f"{'; '.join(denials)} within a day",
        "a declared reader must have a role on the secret, a permitted network, and an enabled version to read",
        "pulumi up assigns the role; if the denials continue, see the checks `vault` and `versions`",
    )


def unknown_secrets(vault: Vault) -> Result:
    if not (found := vault.undeclared()):
        return ok("none")
    delete = f"az keyvault secret delete --vault-name {vault.short_name} --name {found[0]}"
    return undeclared_secrets(
        found,
        "in the stack's vault with a value, but not declared in the stack",
        f"{delete} (az keyvault secret recover undoes this)",
    )
