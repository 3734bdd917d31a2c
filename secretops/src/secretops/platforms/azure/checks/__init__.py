"""Doctor's checks of an Azure stack: vault, rights, names, versions, lease, trail and unknown secrets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

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
from secretops.platform import OpenedStack
from secretops.platforms.azure.checks.key_vault import Vault
from secretops.platforms.azure.lease import LONGEST_LEASE
from secretops.platforms.azure.tags import FORGETTING, Copy, TagState

# The tick is hourly: what is left after two of them is stuck.
STUCK_AFTER = timedelta(hours=2)
# The tick asks the vault hourly, so a week without a row means that there is no log.
ON_RECORD = timedelta(days=7)
REFUSED_SINCE = timedelta(days=1)


def azure_checks(vault: Vault, stack: OpenedStack, tick: Repair) -> list[Check]:
    return table(
        vault,
        {
            "vault": lambda it: reached(it.reach, lambda: it.location.vault),
            "clock": lambda it: clock_skew(it.ahead, "the vault", ", and logins end"),
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
    """Check that the caller may read every secret's metadata, and the lease. Rights to write show when one writes."""
    if missing := list(vault.forbidden()):
        return attention("; ".join(error.what for error in missing), missing[0].rule, missing[0].remedy)
    return ok(f"may look at {len(vault.names)} secrets and the lease")


def names(vault: Vault, stack: OpenedStack) -> Result:
    """Find deleted secrets that hold a name of the stack, except those that secretops deleted and recovers itself."""
    held = {name: one for name, one in vault.deleted().items() if FORGETTING not in one.tags}
    if not held:
        return ok(f"{len(vault.names)}, none held by a deleted secret")

    def recover() -> str:
        with stack.lease("doctor --repair"):
            for name in held:
                vault.api.recover(name)
        return f"{', '.join(held)}: recovered with all versions"

    first, found = next(iter(held.items()))
    until = f", and is until {found.until:%Y-%m-%d}" if found.until else ""
    return attention(
        f"{', '.join(held)}: deleted{until}",
        "a deleted secret gives its values to nobody, and nothing can be written under its name",
        f"az keyvault secret recover --vault-name {vault.short_name} --name {first}; who deleted it: secretops audit",
        Repair(f"recover {', '.join(held)} from what is deleted", recover),
    )


def pending(vault: Vault, finish: Repair | None) -> Result:
    """Find a pending value that nothing works on, and copies of one that is published."""
    stray: list[str] = []
    under_way: list[str] = []
    for secret, state in vault.states.items():
        name, version = vault.location.pending[secret], state.versions.pending
        if any(is_apart for is_apart, _ in _left_over(state)):
            stray.append(f"{name} still gives what is published, or was given up")
        if version and datetime.now(UTC) - version.created > STUCK_AFTER:
            stray.append(f"{name} holds version {version.id} since {version.created:%Y-%m-%d %H:%M} UTC")
        elif version:
            under_way.append(secret)
    return judge(
        stray,
        "a prepared value is proven and published, or forgotten, within two ticks",
        "secretops tick finishes it; the log of the stack's job says why it could not",
        f"under way: {', '.join(under_way)}" if under_way else "none is left behind",
        finish,
    )


def versions(vault: Vault, finish: Repair | None) -> Result:
    """Check that each current version is enabled and valid, and that no retired version can be read.

    `finish` disables what is retired. Who disabled a current version may have had a reason: that has no repair.
    """
    is_left = any(not is_apart for state in vault.states.values() for is_apart, _ in _left_over(state))
    return judge(
        _unreadable_or_left(vault),
        "readers find the newest version while it is enabled, and what is retired is given to nobody",
        "secretops tick disables what is retired; secretops rotate, or put, makes a new one; "
        "az keyvault secret set-attributes --enabled true gives one back",
        "each current one is enabled and not expired",
        finish if is_left else None,
    )


def _unreadable_or_left(vault: Vault) -> Iterator[str]:
    for secret, state in vault.states.items():
        name, current = vault.location.secrets[secret], state.versions.current
        if current and (copies := state.copies(current.id)):
            newest = copies[-1].kept
            if not newest.enabled:
                yield f"{name}: the current version {newest.id} is disabled"
            if newest.expires and newest.expires < datetime.now(UTC):
                yield f"{name}: the current version expired {newest.expires:%Y-%m-%d %H:%M} UTC"
        if left := [copy.kept.id for is_apart, copy in _left_over(state) if not is_apart]:
            yield f"{name}: {', '.join(left)} can still be read"


def _left_over(state: TagState) -> Iterator[tuple[bool, Copy]]:
    """What should be forgotten by now: a rotation writes its last version first, and forgets then."""
    written = max((kept.created for kept in (*state.main, *state.apart)), default=None)
    if written and datetime.now(UTC) - written > STUCK_AFTER:
        yield from state.surplus


def lease(vault: Vault) -> Result:
    """Check that the lease is free, or renewed. One of a killed holder ends within a minute, a person's may not."""
    blob, pause = vault.lease, vault.timing.poll
    seen = blob.look()
    for _ in poll(LONGEST_LEASE + pause, pause) if seen.leased and not seen.for_ever else ():
        found = blob.look()
        if found.leased and found != seen:
            return ok(f"held by {found.holder or 'somebody'}, who renews it")
        seen = found
        if not seen.leased or seen.for_ever:
            break
    if not seen.leased:
        return ok("free")
    return attention(
        f"{blob.name}: {seen.holder or 'somebody'} holds it and does not renew it",
        "whoever rotates takes it for seconds; while it is held nothing is rotated",
        f"az storage blob lease break --blob-url {blob.url} --auth-mode login, when nobody is rotating",
    )


def audit(vault: Vault) -> Result:
    """Check that reads are on record: the workspace has rows of this vault."""
    workspace, rule = vault.location.workspace, "every read of a value is on record in Log Analytics"
    if not workspace:
        remedy = "pulumi up makes one, or uses the stack file's store.workspace"
        return attention("the stack names no workspace", rule, remedy)
    newest = vault.newest_record(ON_RECORD)
    if newest is None:
        return attention(
            f"workspace {workspace} has no row of this vault in {ON_RECORD.days} days",
            f"{rule}, up to 15 minutes later",
            "pulumi up makes the vault's diagnostic setting; az monitor diagnostic-settings list shows it",
        )
    return ok(f"the newest row is of {newest:%Y-%m-%d %H:%M} UTC")


def readers_rights(vault: Vault) -> Result:
    """Check that no declared reader was denied access within a day."""
    if not vault.location.workspace:
        return ok("not known without a workspace: whoever is refused says so in its own log")
    refused = Counter(
        (access.reader, access.operation, access.secret)
        for access in vault.accesses(REFUSED_SINCE)
        if access.declared and not access.allowed
    )
    if not refused:
        return ok("no declared reader was refused within a day")
    denials = (f"{who} was refused {what} of {secret} {times} times" for (who, what, secret), times in refused.items())
    return attention(
        f"{'; '.join(denials)} within a day",
        "who is declared to read a secret has a role on it; a disabled version is refused to all",
        "pulumi up assigns the role; the checks named vault and versions say what else it may be",
    )


def unknown_secrets(vault: Vault) -> Result:
    """Find secrets with a value that the stack does not know: they left it, or somebody made them.

    The vault is the stack's alone. Whose a version is does not count: one that is made by hand hides ours below it.
    """
    if not (staying := vault.strangers()):
        return ok("none")
    what = "with a value in the stack's own vault, and none of its secrets"
    delete = f"az keyvault secret delete --vault-name {vault.short_name} --name {staying[0]}"
    return undeclared_secrets(staying, what, f"{delete}, which recover takes back for the vault's retention")
