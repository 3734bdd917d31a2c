"""An AWS stack's own parts: the credentials, the secrets, their labels, their rotation, who may what, and the trail."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from secretops.check import Check, Level, Repair, Result, attention, ok
from secretops.errors import SecretopsError
from secretops.platform import OpenedStack
from secretops.platforms.aws.api import CURRENT, PENDING, where
from secretops.platforms.aws.checks.account import Account
from secretops.platforms.aws.checks.cloudtrail import TrailOn
from secretops.platforms.aws.checks.iam import OwnRights, ReadersRights, RotatorsRights
from secretops.platforms.aws.checks.region import AlarmsTold, ClockTogether, KeysServe
from secretops.platforms.aws.errors import AbsentError
from secretops.platforms.aws.labels import State
from secretops.platforms.aws.rotation_setup import STUCK_AFTER, api_of, free
from secretops.stores.lease import Timing

LATE = timedelta(days=1)
"""AWS rotates within the window of hours that the stack gives it."""


def aws_checks(account: Account, session: OpenedStack, tick: Repair) -> list[Check]:
    """The store's own checks, in the order in which one rests on the other."""
    rotated = {
        secret.name: account.location.secrets.get(secret.name, "")
        for secret in session.manifest.secrets
        if secret.kind.alternates
    }
    return [
        Credentials(account),
        ClockTogether(account),
        SecretsThere(account),
        NoStrangers(account),
        KeysServe(account),
        LeaseMoves(account, follow=tick),
        NothingPending(account, session, tick, rotated.values()),
        RotationOn(account, rotated),
        OwnRights(account),
        ReadersRights(account),
        RotatorsRights(account, tuple(name for name in rotated.values() if name)),
        TrailOn(account),
        AlarmsTold(account),
    ]


@dataclass(frozen=True)
class Credentials:
    """AWS knows who we are, in the stack's region."""

    account: Account
    name: str = "credentials"

    def look(self) -> Result:
        try:
            self.account.reach()
        except SecretopsError as error:
            return Result.of(error, Level.ATTENTION)
        return ok(f"{self.account.identity.arn} in {self.account.location.region}")


@dataclass(frozen=True)
class SecretsThere:
    """Every secret of the stack is there, and is going to stay."""

    account: Account
    name: str = "secrets"

    def look(self) -> Result:
        region = self.account.location.region
        found = {name: self.account.secret(name) for name in self.account.names}
        if missing := [name for name, secret in found.items() if secret is None]:
            return attention(
                f"no secret {', '.join(missing)} in {region}, account {self.account.identity.account}",
                "`pulumi up` makes them",
                "pulumi up",
            )
        if leaving := {name: date for name, secret in found.items() if secret and (date := secret.get("DeletedDate"))}:
            return attention(
                "; ".join(f"{name}: scheduled for deletion on {_told(date)}" for name, date in leaving.items()),
                "until then AWS keeps the values and gives them to nobody, and lets nobody make another of that name",
                f"aws secretsmanager restore-secret --region {region} --secret-id {next(iter(leaving))}, then pulumi "
                "up (CloudTrail says who deleted it); or begin anew under other names: count store.generation up",
                Repair(f"restore-secret: take back {', '.join(leaving)}", lambda: self._restore(tuple(leaving))),
            )
        return ok(f"{len(found)} in {region}")

    def _restore(self, names: tuple[str, ...]) -> str:
        with self.account.told("secretsmanager:RestoreSecret"):
            for name in names:
                self.account.client("secretsmanager").restore_secret(SecretId=name)
        return f"{', '.join(names)}: taken back"


@dataclass(frozen=True)
class NoStrangers:
    """No secret is named as the stack's own that the stack does not know: whoever may read it still finds its value."""

    account: Account
    name: str = "unknown secrets"

    def look(self) -> Result:
        found = self.account.strangers()
        going = "; ".join(
            f"{name} goes on {_told(date)}, which holds its name until then" for name, date in found.items() if date
        )
        if staying := [name for name, date in found.items() if date is None]:
            return attention(
                f"{', '.join(staying)}: named as the stack's own, and none of them",
                "what the stack does not know nobody rotates, and whoever may read it still finds its value",
                f"aws secretsmanager delete-secret --region {self.account.location.region} --secret-id {staying[0]}, "
                "which restore-secret takes back for 30 days; or put it back into the stack's file",
            )
        return ok(going or "none")


@dataclass(frozen=True)
class LeaseMoves:
    """Whoever holds the lease lives. One that was killed is followed by the next, who watches it just so."""

    account: Account
    timing: Timing = field(default_factory=Timing)
    follow: Repair | None = None
    """What follows a holder that was killed."""
    name: str = "lease"

    def look(self) -> Result:
        self.account.reach()
        try:
            holder = self.account.lease()
        except AbsentError as error:
            return Result.of(error, Level.ATTENTION)
        if holder is None:
            return ok("free")
        since = f" since {_told(holder.since)}" if holder.since else ""
        end = time.monotonic() + self.timing.duration
        while time.monotonic() < end:
            time.sleep(self.timing.look)
            if (now := self.account.lease()) is None or now != holder:
                return ok(f"held by {holder.holder}{since}")
        return attention(
            f"held by {holder.holder}{since}, who did not renew it for {self.timing.duration:.0f} s",
            f"who lives renews it every {self.timing.renew:.0f} s: this one was killed, or has no network, and may "
            "have left a rotation half-done",
            "secretops tick follows it, and finishes what was begun; if it comes again, the log of the function that "
            "was killed says why (its time, its memory)",
            self.follow,
        )


@dataclass(frozen=True)
class NothingPending:
    """No AWSPENDING is left on a version that nobody is proving any more: AWS would rotate no more."""

    account: Account
    session: OpenedStack
    tick: Repair
    rotated: Collection[str]
    """The full names of the secrets whose values secretops alone makes: of others it may be a value somebody staged."""
    name: str = "pending"

    def look(self) -> Result:
        wrong, remedies, under_way, strays, repair = [], [], [], dict[str, str](), None
        for name in self.account.names:
            labels = self.account.labels(name)
            pending = where(labels, PENDING)
            if pending is None or CURRENT in labels[pending]:
                continue
            ours = State(labels).versions.pending
            made = ours.created if ours else self.account.made(name, pending)
            if made is None:  # it ended while doctor looked
                continue
            if _now() - made < STUCK_AFTER:
                under_way.append(name)
            elif ours:
                wrong.append(f"{name}: AWSPENDING is left on version {pending} since {_told(made)}")
                remedies.append("secretops tick finishes it; its log says why it could not")
                repair = self.tick
            else:
                wrong.append(
                    f"{name}: AWSPENDING is on version {pending} since {_told(made)}, empty or not of secretops"
                )
                remedies.append(self._take_away(name, pending))
                if name in self.rotated:
                    strays[name] = pending
        if strays:
            repair = Repair(f"take AWSPENDING off {', '.join(strays)}", lambda: self._free(strays))
        if wrong:
            return attention(
                "; ".join(wrong),
                "AWS makes an empty one, which the stack's function fills; while it is there, and not AWSCURRENT too, "
                "AWS refuses the next rotation, as of one that has not ended",
                "; ".join(dict.fromkeys(remedies)),
                repair,
            )
        return ok(f"under way: {', '.join(under_way)}" if under_way else "none is left behind")

    def _free(self, strays: Mapping[str, str]) -> str:
        """Under the lease, when no step is at work."""
        with self.session.lease("doctor --repair"):
            freed = [name for name, version in strays.items() if free(api_of(self.session.store), name, version)]
        return f"AWSPENDING taken off {', '.join(freed) or 'none: it had moved on'}"

    def _take_away(self, name: str, version: str) -> str:
        region = self.account.location.region
        away = (
            f"aws secretsmanager update-secret-version-stage --region {region} --secret-id {name} "
            f"--version-stage AWSPENDING --remove-from-version-id {version}"
        )
        if name not in self.rotated:
            return f"CloudTrail says who staged it; if nobody wants its value, which then is gone: {away}"
        return (
            f"the function's log says why it put nothing in; take it away: {away}; then: aws secretsmanager "
            f"rotate-secret --region {region} --secret-id {name}"
        )


@dataclass(frozen=True)
class RotationOn:
    """AWS rotates what secretops makes values for, and did so when it was due."""

    account: Account
    rotated: Mapping[str, str]
    """secret -> its full name, "" where the stack has none."""
    name: str = "rotation"

    def look(self) -> Result:
        wrong, said = [], []
        for secret, name in self.rotated.items():
            found = self.account.secret(name) if name else None
            if found is None:
                wrong.append(f"{secret} is not there")
            elif not found.get("RotationEnabled"):
                wrong.append(f"{secret} is not rotated")
            elif (due := found.get("NextRotationDate")) and _now() - due > LATE:
                wrong.append(f"{secret} was due {_told(due)}")
            else:
                last = found.get("LastRotatedDate")
                said.append(f"{secret} last {_told(last)}" if last else f"{secret} not yet")
        if wrong:
            return attention(
                "; ".join(wrong),
                "AWS calls the stack's function on schedule, and it succeeds",
                "pulumi up turns it on; why it failed is in the function's log group, and secretops status",
            )
        return ok("; ".join(said) or "no secret of the stack is rotated")


def _now() -> datetime:
    return datetime.now(UTC)


def _told(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
