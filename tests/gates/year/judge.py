"""The invariants of every moment of the year, checked after each effect, event and tick.

    it opens       the current version and the delivered one open what they are for
    no cut         so does a living server's version, unless it had the whole grace period and a warning was reported
    nothing stale  an overdue or expired version is reported: by the last tick, or by `secretops status` now;
                   and a tick that makes the next one so late reports that it was
    one at a time  only the lease holder changes anything
    once           the broker's password is not set over and over while the store does not change
    no orphan      in the end no version, user, key or trust is unreferenced, and no old one opens anything
    no value       neither the journal nor any report has one

The exit code reports a command that was killed or failed. `status` or the platform's alarms report that no tick runs.
Ages are by the rotator's clock; true ages may differ by that clock's jumps.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from secretops.certificates import has_signed
from secretops.engine.decisions import Reason
from secretops.engine.state import Version
from secretops.manifest import SecretKind
from secretops.operations.status import Status, status
from secretops.operations.tick import Outcome
from secretops.values import PUBLIC_FIELDS
from tests.gates.year.plan import Kind
from tests.gates.year.stack import ADMINS, USERS
from tests.gates.year.store import Delivered
from tests.gates.year.systems import AGENT, NOBODYS

if TYPE_CHECKING:
    from tests.gates.year.people import Server
    from tests.gates.year.world import World

# Between a rotation's idea of now and its effects; as long as an unseen lease lasts.
SLACK = timedelta(minutes=2)
# Maximum delay of a report: the promise's number; the product's own would judge itself.
PATIENCE = timedelta(days=1)
# When a renewal is due; half of the rest of a short certificate's life is then its patience.
OF_A_LIFE = 2 / 3
LAST_HEARD = timedelta(hours=2)  # How long a tick's report is valid if no tick runs.
# How often passwords are set at the broker without progress in the store: once, plus what a fault undid.
MOST_APPLIED = 20
SHOWN = 25  # Lines of the history in a violation's message.


class Violation(BaseException):
    """An invariant is broken. No handler of the product catches it."""

    def __init__(self, world: World, what: str) -> None:
        reported = "\n".join(
            f"  {world.true_time_at(minute):%m-%d %H:%M} {text}" for minute, text in world.history[-SHOWN:]
        )
        seed = world.plan.seed
        super().__init__(
            f"seed {seed}, {world.true_time():%m-%d %H:%M}: {what}\n{reported}\n"
            f"-> python -m tests.gates.year {seed} plays it again"
        )


class Judge:
    """Checks a world, and raises Violation."""

    def __init__(self, world: World) -> None:
        self._world = world
        # secret -> its current version, if delivered, and since when by the true time and by the rotator's clock.
        self._since: dict[str, tuple[str, bool, int, datetime]] = {}
        # Delivered version -> when its successor was delivered, by the rotator's clock.
        self._replaced: dict[tuple[str, str], datetime] = {}
        self._delivered: dict[str, str] = {}
        self._excused: set[tuple[str, str, str]] = set()  # Server, secret and version that were discarded late.
        self._owed = False  # Whether a server that had reported lost its access, so that the tick must report it.
        self._wobble = timedelta()
        self._applied = 0
        self._values: set[str] = set()
        self._given: set[tuple[str, str]] = set()  # User and password that were current once.
        self._told: list[str] = []

    def look(self, what: str) -> None:
        """Check the invariants after the change `what`."""
        done = what.partition(" ")[0]
        if done in ("add", "publish", "deliver", "delivered"):
            self._remember()
            self._applied = 0
        self._applied += done == "apply"
        if self._applied > MOST_APPLIED:
            self._fail("the broker gets a password again and again")
        if what == Kind.CLOCK:
            self._wobble = timedelta(minutes=sum(abs(jump) for jump in self._world.jumps))
        self._opens()
        self._no_cut()

    def look_at_who_acts(self, what: str) -> None:
        world = self._world
        holder = world.kept.holder
        if world.acting and (holder is None or holder.token != world.acting.store.token):
            self._fail(f"{world.acting.name} does `{what}` without the lease")

    def late(self) -> set[str]:
        """Return the secrets whose next version is overdue by a day, except a CA that waits for a person."""
        now = self._world.clock()
        overdue = {name for name, (_, _, _, stamp) in self._since.items() if now - stamp > self._limit(name)}
        return {name for name in overdue if name != "client-ca" or not self._world.versions(name).pending}

    def check_reports(self, outcomes: list[Outcome] | None, late: set[str]) -> None:
        """Check a tick's reports. `late` are the secrets that were late before. None: it was killed, or the lease was
        taken."""
        owed, self._owed = self._owed, False
        if outcomes is None:
            return
        self._told += [
            f"{outcome.error} {outcome.attention} {outcome.done}"
            for outcome in outcomes
            if outcome.error or outcome.done
        ]
        for outcome in outcomes:
            if outcome.secret in late and not outcome.error and not outcome.attention:
                self._fail(f"{outcome.secret} was rotated late, and this is not reported")
        mqtt = next(outcome for outcome in outcomes if outcome.secret == "mqtt")
        if owed and not mqtt.error and Reason.REPLICA_BEHIND not in mqtt.reasons:
            self._fail("a server that reports lost its version, and this is not reported")

    def look_at_time(self) -> None:
        world = self._world
        now = world.clock()
        self._opens()
        for name, (_, _, minute, stamp) in self._since.items():
            limit = self._limit(name)
            late = now - stamp > limit or timedelta(minutes=world.minute - minute) > limit + self._wobble
            current = world.versions(name).current
            ended = current and current.expires and now >= current.expires
            # Its exit code reports that; no other tick can until its lease has expired.
            killed = timedelta(minutes=world.minute - world.killed_at) <= SLACK
            if (late or ended) and not killed and not self._is_told(name):
                self._fail(f"{name} is past its cadence and its patience, or its end, and this is not reported")

    def look_at_the_end(self) -> None:
        for what in self._orphans():
            self._fail(what)
        text = "\n".join([*map(str, self._world.journal.entries), *self._told])
        if any(value in text for value in self._values):
            self._fail("the journal or a report has a value")

    def _limit(self, name: str) -> timedelta:
        secret = self._world.secret(name)
        limit = timedelta(days=secret.cadence_days) + PATIENCE
        current = self._world.versions(name).current
        if secret.is_issued and current and current.expires:
            life = current.expires - current.created
            limit = min(limit, life * OF_A_LIFE + min(PATIENCE, life * (1 - OF_A_LIFE) / 2))
        return limit + SLACK

    def _fail(self, what: str) -> None:
        raise Violation(self._world, what)

    def _remember(self) -> None:
        world = self._world
        now = world.clock()
        for name, versions in world.kept.versions.items():
            for fields in world.kept.values.get(name, {}).values():
                self._values |= {text for field, text in fields.items() if field not in PUBLIC_FIELDS}
            current = versions.current
            if current is None:
                continue
            state = current.id, current.published is not None
            if self._since.get(name, ("", False))[:2] != state:
                self._since[name] = (*state, world.minute, now)
            if world.secret(name).kind.alternates:
                fields = world.kept.values[name][current.id]
                self._given.add((fields["username"], fields["password"]))
        for name, delivered in world.kept.delivered.items():
            before = self._delivered.get(name)
            if before and before != delivered.version:
                self._replaced[name, before] = now
            self._delivered[name] = delivered.version

    def _opens(self) -> None:
        world = self._world
        for name in ("broker-admin", "mqtt"):
            current = world.versions(name).current
            if current:
                fields = world.kept.values[name][current.id]
                if not world.broker.logs_in(fields["username"], fields["password"]):
                    self._fail(f"{name}: what is current does not log in")
        for name, delivered in world.kept.delivered.items():
            if not self._works(name, delivered) and not (name == "client-cert" and self._certificates_are_told()):
                self._fail(f"{name}: what readers find opens nothing")

    def _works(self, name: str, delivered: Delivered) -> bool:
        world, fields = self._world, delivered.fields
        match name:
            case "mqtt":
                return world.broker.logs_in(fields["username"], fields["password"])
            case "client-cert":
                return world.broker.takes(fields["client.crt"], world.true_time())
            case _:
                return fields["api-key"] in {value for _, value in world.account.keys.values()}

    def _no_cut(self) -> None:
        for server in self._world.people.servers:
            for name, held in server.held.items():
                which = server.name, name, held.version
                if which in self._excused or self._works(name, held):
                    continue
                if not self._had_its_time(name, held) and not (name == "client-cert" and self._certificates_are_told()):
                    self._fail(f"server {server.name} lost access to {name} {held.version} within the grace")
                self._excused.add(which)
                self._owed |= self._reported(server, name)

    def _had_its_time(self, name: str, held: Delivered) -> bool:
        since = self._replaced.get((name, held.version))
        grace = timedelta(minutes=self._world.plan.grace)
        return since is not None and self._world.clock() + SLACK >= since + grace

    def _reported(self, server: Server, name: str) -> bool:
        acting = self._world.acting
        return bool(name == "mqtt" and acting and acting.name == "tick" and not self._world.muted and server.alive)

    def _certificates_are_told(self) -> bool:
        return self._is_told("client-cert") or self._is_told("client-ca")

    def _is_told(self, name: str) -> bool:
        world = self._world
        outcome = world.reported.get(name)
        heard = world.ticked is not None and world.clock() - world.ticked <= LAST_HEARD
        if heard and outcome and (outcome.error or outcome.attention):
            return True
        acting, world.acting = world.acting, None
        standing = next(one.status for one in status(world.probe) if one.name == name)
        world.acting = acting
        return standing is Status.ATTENTION

    def _orphans(self) -> Iterator[str]:
        world = self._world
        now, grace = world.clock(), timedelta(minutes=world.plan.grace)
        kept = world.kept
        if kept.holder is not None:
            yield f"the lease is still {kept.holder.reported}'s"
        for secret in world.manifest.secrets:
            versions = world.versions(secret.name)
            current, previous = versions.current, versions.previous
            awaits_a_person = secret.kind is SecretKind.CA and world.people.will_trust
            if (versions.pending and not awaits_a_person) or current is None:
                yield f"{secret.name}: pending is {versions.pending}, current {current}"
                continue
            if secret.name in kept.delivered and kept.delivered[secret.name].version != current.id:
                yield f"{secret.name}: readers do not find what is current"
            in_grace = current.published is None or now < current.published + grace
            if previous and not previous.retired and secret.is_made and not in_grace and not self._relied_on(previous):
                yield f"{secret.name}: {previous.id} is not retired"
            if set(kept.values[secret.name]) != {one.id for one in versions.living}:
                yield f"{secret.name}: a value is kept of no version that lives"
        yield from self._orphans_outside()

    def _orphans_outside(self) -> Iterator[str]:
        world = self._world
        if stray := set(world.broker.users) - {*USERS, *ADMINS, *world.people.theirs}:
            yield f"the broker has users {stray}"
        good = {
            (fields["username"], fields["password"])
            for name in ("mqtt", "broker-admin")
            for fields in world.kept.values[name].values()
        }
        for user, password in world.broker.users.items():
            if user not in world.people.theirs and (user, password) in self._given - good and password != NOBODYS:
                yield f"a replaced password of {user} still logs in"
        named = {one.user for one in world.versions("agent-key").living}
        if stray := {f"{AGENT}/{id}" for id in world.account.keys} - named:
            yield f"the agent has keys {stray}, which nothing names"
        authorities = {fields["ca.crt"] for fields in world.kept.values["client-ca"].values()}
        if set(world.broker.trusted) != authorities and not world.people.will_trust:
            yield "the broker trusts another CA than the stack has"

    def _relied_on(self, previous: Version) -> bool:
        values = self._world.kept.values
        above = values["client-ca"].get(previous.id)
        return above is not None and any(
            has_signed(above["ca.crt"], one["client.crt"]) for one in values["client-cert"].values()
        )
