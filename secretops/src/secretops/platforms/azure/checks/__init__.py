"""An Azure stack's own parts: the vault, who may what, the names, the versions, the lease, the trail, and leftovers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from secretops.check import Check, Level, Repair, Result, attention, ok
from secretops.errors import SecretopsError
from secretops.platform import OpenedStack
from secretops.platforms.azure.checks.key_vault import Vault
from secretops.platforms.azure.lease import LONGEST_LEASE
from secretops.platforms.azure.tags import FORGETTING, Copy, State

STUCK_AFTER = timedelta(hours=2)
"""The tick is hourly: what is left after two of them is stuck."""

ON_RECORD = timedelta(days=7)
"""The tick asks the vault hourly, so that a week without a row has none at all."""

REFUSED_SINCE = timedelta(days=1)

SKEW = timedelta(seconds=60)
"""How far this machine's clock may be from the vault's: versions are named by their time, and logins end."""


def azure_checks(vault: Vault, session: OpenedStack, tick: Repair) -> list[Check]:
    """The store's own checks, in the order in which one rests on the other."""
    return [
        VaultAnswers(vault),
        ClockTogether(vault),
        OwnRights(vault),
        NamesFree(vault, session),
        NothingPending(vault, finish=tick),
        VersionsServe(vault, finish=tick),
        LeaseFree(vault),
        TrailOn(vault),
        ReadersRights(vault),
        NoStrangers(vault),
    ]


@dataclass(frozen=True)
class VaultAnswers:
    """The vault answers from where doctor runs, and knows who asks."""

    vault: Vault
    name: str = "vault"

    def look(self) -> Result:
        try:
            self.vault.reach()
        except SecretopsError as error:
            return Result.of(error, Level.ATTENTION)
        return ok(self.vault.location.vault)


@dataclass(frozen=True)
class ClockTogether:
    """This machine and the vault agree on the time."""

    vault: Vault
    name: str = "clock"

    def look(self) -> Result:
        self.vault.reach()
        said = self.vault.said_at
        if said is None:
            return ok("not seen: the vault's answer has no date")
        ahead = datetime.now(UTC) - said
        if abs(ahead) > SKEW:
            return attention(
                f"this machine is {abs(ahead).total_seconds():.0f} s {'ahead of' if ahead > SKEW else 'behind'} "
                "the vault",
                f"within {SKEW.seconds} s: versions are named by their time, and logins end",
                "let this machine take its time from NTP",
            )
        return ok("as the vault's")


@dataclass(frozen=True)
class OwnRights:
    """Whoever runs this may look at every secret, and at the lease. What they may write shows when they do."""

    vault: Vault
    name: str = "your rights"

    def look(self) -> Result:
        if missing := list(self.vault.forbidden()):
            return attention("; ".join(error.what for error in missing), missing[0].rule, missing[0].remedy)
        return ok(f"may look at {len(self.vault.names)} secrets and the lease")


@dataclass(frozen=True)
class NamesFree:
    """No deleted secret holds a name of the stack, but for those that secretops deleted and brings back itself."""

    vault: Vault
    session: OpenedStack
    name: str = "names"

    def look(self) -> Result:
        held = {name: one for name, one in self.vault.deleted().items() if FORGETTING not in one.tags}
        if held:
            first, found = next(iter(held.items()))
            until = f", and is until {found.until:%Y-%m-%d}" if found.until else ""
            return attention(
                f"{', '.join(held)}: deleted{until}",
                "a deleted secret gives its values to nobody, and nothing can be written under its name",
                f"az keyvault secret recover --vault-name {self.vault.short_name} --name {first}; "
                "who deleted it: secretops audit",
                Repair(f"recover {', '.join(held)} from what is deleted", lambda: self._recover(tuple(held))),
            )
        return ok(f"{len(self.vault.names)}, none held by a deleted secret")

    def _recover(self, names: tuple[str, ...]) -> str:
        with self.session.lease("doctor --repair"):
            for name in names:
                self.vault.api.recover(name)
        return f"{', '.join(names)}: recovered with all versions"


@dataclass(frozen=True)
class NothingPending:
    """No prepared value is left that nobody is proving any more, and no copy of one that is published."""

    vault: Vault
    finish: Repair | None = None
    name: str = "pending"

    def look(self) -> Result:
        stray: list[str] = []
        under_way: list[str] = []
        for secret, state in self.vault.states.items():
            name, pending = self.vault.location.pending[secret], state.versions.pending
            if any(lies_apart for lies_apart, _ in _left_over(state)):
                stray.append(f"{name} still gives what is published, or was given up")
            if pending and datetime.now(UTC) - pending.created > STUCK_AFTER:
                stray.append(f"{name} holds version {pending.id} since {pending.created:%Y-%m-%d %H:%M} UTC")
            elif pending:
                under_way.append(secret)
        if stray:
            return attention(
                "; ".join(stray),
                "a prepared value is proven and published, or forgotten, within two ticks",
                "secretops tick finishes it; the log of the stack's job says why it could not",
                self.finish,
            )
        return ok(f"under way: {', '.join(under_way)}" if under_way else "none is left behind")


@dataclass(frozen=True)
class VersionsServe:
    """The current version of each secret is enabled and not past its expiry, and no retired one can be read."""

    vault: Vault
    finish: Repair | None = None
    """What forgets what is retired. Who disabled a version may have had a reason, and is asked."""
    name: str = "versions"

    def look(self) -> Result:
        if wrong := list(self._wrong()):
            left = any(not apart for state in self.vault.states.values() for apart, _ in _left_over(state))
            return attention(
                "; ".join(wrong),
                "readers find the newest version while it is enabled, and what is retired is given to nobody",
                "secretops tick disables what is retired; secretops rotate, or put, makes a new one; "
                "az keyvault secret set-attributes --enabled true gives one back",
                self.finish if left else None,
            )
        return ok("each current one is enabled and not expired")

    def _wrong(self) -> Iterator[str]:
        for secret, state in self.vault.states.items():
            name, current = self.vault.location.secrets[secret], state.versions.current
            copies = state.copies(current.id) if current else ()
            if copies and not copies[-1].kept.enabled:
                yield f"{name}: the current version {copies[-1].kept.id} is disabled"
            if copies and (expires := copies[-1].kept.expires) and expires < datetime.now(UTC):
                yield f"{name}: the current version expired {expires:%Y-%m-%d %H:%M} UTC"
            left = [copy.kept.id for lies_apart, copy in _left_over(state) if not lies_apart]
            if left:
                yield f"{name}: {', '.join(left)} can still be read"


def _left_over(state: State) -> Iterator[tuple[bool, Copy]]:
    """What should have been forgotten by now: a rotation writes its last version first, and forgets then."""
    written = max((kept.created for kept in (*state.main, *state.apart)), default=None)
    if written and datetime.now(UTC) - written > STUCK_AFTER:
        yield from state.surplus


@dataclass(frozen=True)
class LeaseFree:
    """Nobody holds the lease, or somebody who lives: a dead holder keeps it for a minute at most, a person for ever."""

    vault: Vault
    name: str = "lease"

    def look(self) -> Result:
        blob, began = self.vault.lease, time.monotonic()
        seen = blob.look()
        while seen.leased and not seen.for_ever:
            time.sleep(self.vault.timing.look)
            found = blob.look()
            if found.leased and found != seen:
                return ok(f"held by {found.holder or 'somebody'}, who renews it")
            if time.monotonic() - began > LONGEST_LEASE + self.vault.timing.look:
                break
            seen = found
        if not seen.leased:
            return ok("free")
        return attention(
            f"{blob.name}: {seen.holder or 'somebody'} holds it and does not renew it",
            "whoever rotates takes it for seconds; while it is held nothing is rotated",
            f"az storage blob lease break --blob-url {blob.url} --auth-mode login, when nobody is rotating",
        )


@dataclass(frozen=True)
class TrailOn:
    """Reads are on record: the workspace has rows of this vault."""

    vault: Vault
    name: str = "audit"

    def look(self) -> Result:
        workspace, rule = self.vault.location.workspace, "every read of a value is on record in Log Analytics"
        if not workspace:
            return attention(
                "the stack names no workspace", rule, "pulumi up makes one, or uses the stack file's store.workspace"
            )
        newest = self.vault.newest_record(ON_RECORD)
        if newest is None:
            return attention(
                f"workspace {workspace} has no row of this vault in {ON_RECORD.days} days",
                f"{rule}, up to 15 minutes later",
                "pulumi up makes the vault's diagnostic setting; az monitor diagnostic-settings list shows it",
            )
        return ok(f"the newest row is of {newest:%Y-%m-%d %H:%M} UTC")


@dataclass(frozen=True)
class ReadersRights:
    """No declared reader was refused what it is declared to read: its role is assigned."""

    vault: Vault
    name: str = "readers' rights"

    def look(self) -> Result:
        if not self.vault.location.workspace:
            return ok("not known without a workspace: whoever is refused says so in its own log")
        refused = Counter(
            (access.reader, access.operation, access.secret)
            for access in self.vault.accesses(REFUSED_SINCE)
            if access.declared and not access.allowed
        )
        if refused:
            told = (
                f"{who} was refused {what} of {secret} {times} times" for (who, what, secret), times in refused.items()
            )
            return attention(
                f"{'; '.join(told)} within a day",
                "who is declared to read a secret has a role on it; a disabled version is refused to all",
                "pulumi up assigns the role; the checks named vault and versions say what else it may be",
            )
        return ok("no declared reader was refused within a day")


@dataclass(frozen=True)
class NoStrangers:
    """No secret has a value in the vault that the stack does not know: it left the stack, or somebody put it there.

    The vault is the stack's alone. Whose a version is does not count: one that is made by hand hides ours below it.
    """

    vault: Vault
    name: str = "unknown secrets"

    def look(self) -> Result:
        if staying := self.vault.strangers():
            return attention(
                f"{', '.join(staying)}: with a value in the stack's own vault, and none of its secrets",
                "what the stack does not know nobody rotates, and whoever may read it still finds its value",
                f"az keyvault secret delete --vault-name {self.vault.short_name} --name {staying[0]}, "
                "which recover takes back for the vault's retention; or put it back into the stack's file",
            )
        return ok("none")
