"""One simulated year: the product's tick and commands, called at each minute at which they could have an effect.

A tick's result depends only on store, broker, agent and clock. If a tick changed nothing, the next one changes nothing
either, until an event, another decision, the end of a lease, or the start or end of a certificate. Those minutes are
computed, and the ticks between are skipped. `every_minute` skips none, and test_simulated_year.py shows that both have
the same history.
"""

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NoReturn, TypeVar

from secretops.engine.decisions import OVERDUE_AFTER, due_at, grace_end, renewal_at
from secretops.engine.ports import VersionStore
from secretops.engine.state import Replica, Versions
from secretops.errors import LeaseHeldError, RefusedError, SecretopsError, StoreError, UnreachableError
from secretops.manifest import Secret
from secretops.operations.session import Session
from secretops.operations.tick import Outcome, tick
from tests.gates.year import people
from tests.gates.year.judge import Judge, Violation
from tests.gates.year.plan import DAY, HOUR, PEOPLE, UNSEEN, YEAR, Blow, Event, Kind, Plan
from tests.gates.year.process import EPOCH, Blows, Desk, Journal, Killed, Process, minutes_at, summary
from tests.gates.year.stack import SERVERS_FIELDS, USERS, manifest_of
from tests.gates.year.store import Kept, StandInStore
from tests.gates.year.systems import Account, Broker

LEASE_MINUTES = 2  # How long a lease lasts after its holder's last sign of life.
T = TypeVar("T")


class World:
    """A stack, everything that it depends on, and its faults. An oracle only reads; a person changes things by hand."""

    def __init__(self, plan: Plan, *, every_minute: bool = False) -> None:
        self.plan, self.every_minute = plan, every_minute
        self.chance = plan.random
        self.manifest = manifest_of(plan)
        self.minute = self.offset = self.changes = self.ticks = 0
        self.jumps: list[int] = []
        self.kept = Kept()
        self.broker, self.account, self.journal = Broker(), Account(), Journal()
        self.down: set[str] = set()
        self.refusing: set[str] = set()
        self.muted, self.scheduled = False, True
        self.history: list[tuple[int, str]] = []
        self.reported: dict[str, Outcome] = {}
        self.ticked: datetime | None = None  # by the rotator's clock
        self.killed_at = -1
        self.acting: Process | None = None
        self._seen: dict[str, int] = {}
        self._blows = Blows()
        self._forgets = self._hangs = False
        self._until: set[int] = set()
        # Inputs of the last tick, if it changed nothing; and the minute until which the next would not either.
        self._quiet: object = None
        self._quiet_until = 0
        self._drawn = self._queued = 0
        self._events: list[tuple[int, int, Event]] = []
        for event in plan.events:
            self.expect(event)
        self.people = people.People(self)
        self.judge = Judge(self)
        self.probe = self.session(StandInStore(Desk(self), SERVERS_FIELDS, self._lives))

    # Time

    def clock(self) -> datetime:
        return self.at(self.minute)

    def at(self, minute: int) -> datetime:
        """Return the rotator's clock at a minute, unless it jumps before."""
        return EPOCH + timedelta(minutes=minute + self.offset)

    def true_time(self) -> datetime:
        return self.true_time_at(self.minute)

    def true_time_at(self, minute: int) -> datetime:
        return EPOCH + timedelta(minutes=minute)

    def minute_at(self, moment: datetime) -> int:
        """Return the first minute at which the rotator's clock is at or past `moment`, unless it jumps before."""
        return minutes_at(moment) - self.offset

    def until(self, moment: datetime) -> None:
        self._until.add(minutes_at(moment))

    def expect(self, event: Event) -> None:
        heapq.heappush(self._events, (event.minute, self._queued, event))
        self._queued += 1

    def run(self) -> None:
        """Simulate the year, and some days without events after it. Raises Violation."""
        self.run_until(self.plan.length)
        self._blows.armed.clear()
        left, self._events = self._events, []
        for _, _, event in sorted(left):
            if event.kind in PEOPLE:
                self.expect(event)
        for kind in (Kind.SCHEDULE_ON, Kind.HEARD):
            self.expect(Event(self.minute, kind))
        self.expect(Event(self.minute, Kind.CLOCK, "", -self.offset))
        for server in range(self.plan.servers):
            self.expect(Event(self.minute, Kind.SERVER_STARTS, str(server)))
        self.down.clear()
        self.refusing.clear()
        wrong = sum(abs(jump) for jump in self.jumps)  # what the broker's clock does not accept yet becomes valid
        self.run_until(self.minute + wrong + self.plan.grace + 2 * DAY)
        self.judge.look_at_the_end()

    def run_until(self, end: int) -> None:
        while self.minute < end:
            while self._events and self._events[0][0] <= self.minute:
                self.happen(heapq.heappop(self._events)[2])
            seen = self._seen_by_a_tick()
            if self.every_minute or seen != self._quiet or self.minute >= self._quiet_until:
                self._until.clear()
                if self.scheduled:
                    self.tick()
                self._quiet = seen if self._seen_by_a_tick() == seen else None
                self._quiet_until = self._next() if self._quiet else self.minute + 1
            self.judge.look_at_time()
            following = self.minute + 1
            if not self.every_minute:
                happens = self._events[0][0] if self._events else end
                following = max(following, min(happens, self._quiet_until))
            self.minute = min(end, following)

    def _next(self) -> int:
        """Return the first minute at which a tick could act differently, if nothing happens before.

        A missed minute is found by test_simulated_year_is_the_same_when_idle_minutes_are_played.
        """
        minutes = [*self._until, self.minute + YEAR]
        for secret in self.manifest.secrets:
            facts = self.session(self.probe.store).facts(secret)
            current, previous, pending = facts.versions.current, facts.versions.previous, facts.versions.pending
            due, ends = due_at(facts), current and current.expires
            moments = (
                *(due, due and due + OVERDUE_AFTER, due and ends and due + max(timedelta(), (ends - due) / 2), ends),
                *(previous and grace_end(previous, facts), pending and renewal_at(pending)),
            )
            minutes += [self.minute_at(moment) for moment in moments if moment]
        return min(minute for minute in minutes if minute > self.minute)

    def _seen_by_a_tick(self) -> object:
        previous = self.versions("mqtt").previous
        return self.changes, self.reports(USERS) if previous and not previous.retired else ()

    # What befalls

    def happen(self, event: Event) -> None:
        self._note(f"{event.kind}: {event.what} {event.number or ''}".rstrip(": "))
        self.changes += event.kind not in UNSEEN
        match event.kind:
            case Kind.DOWN:
                self.down.add(event.what)
            case Kind.UP:
                self.down.discard(event.what)
            case Kind.REFUSES:
                self.refusing.add(event.what)
            case Kind.GIVES_IN:
                self.refusing.discard(event.what)
            case Kind.SCHEDULE_OFF | Kind.SCHEDULE_ON:
                self.scheduled = event.kind is Kind.SCHEDULE_ON
            case Kind.MUTE | Kind.HEARD:
                self.muted = event.kind is Kind.MUTE
            case Kind.CLOCK:
                self.offset += event.number
                self.jumps.append(event.number)
            case Kind.BLOW:
                self._blows.armed.append((Blow(event.what), event.number))
            case _:
                self.people.act(event)
        if event.kind is not Kind.SERVER_LOOKS:
            self.people.stir()
        self.judge.look(event.kind)

    def reach(self, system: str) -> None:
        if self.acting and system in self.down:
            raise UnreachableError(f"the {system} does not answer", code="test")

    def look(self, system: str) -> None:
        self._alive()
        self.reach(system)
        if self.acting and system in self.refusing and system != "store":
            raise RefusedError(f"the {system} refuses", code="test")

    def effect(self, system: str, what: str, act: Callable[[], None]) -> None:
        if self.acting is None:
            act()
            return
        self.look(system)
        if system in self.refusing:
            raise StoreError(f"the {system} refuses", code="test")
        blow = self._blows.deal()
        if blow:
            self.changes += 1
            self._note(f"{self.acting.name}: {blow}")
        match blow:
            case Blow.KILLED_BEFORE:
                self._kill()
            case Blow.UNREACHABLE:
                raise UnreachableError(f"the {system} does not answer", code="test")
            case Blow.REFUSED:
                raise (
                    StoreError("refused", code="test") if system == "store" else RefusedError("refused", code="test")
                )
            case _:
                self._forgets = blow is Blow.FORGOTTEN
        self.judge.look_at_who_acts(what)
        act()
        self.changes += 1
        self._note(f"{self.acting.name}: {what}")
        self.people.notice(what)
        self.judge.look(what)
        match blow:
            case Blow.KILLED_AFTER:
                self._kill()
            case Blow.LOST:
                raise UnreachableError(f"the {system} did not answer", code="test")
            case Blow.HANGS:
                self._hang()

    def forgets(self) -> bool:
        return self._forgets

    def _kill(self) -> NoReturn:
        assert self.acting
        self.acting.dead, self.killed_at = True, self.minute
        raise Killed

    def _alive(self) -> None:
        if self.acting and self.acting.dead:
            raise Killed

    def _hang(self) -> None:
        if self._hangs:
            return
        self._hangs = True
        acting, self.acting = self.acting, None
        self.run_until(min(self.plan.length, self.minute + self.chance.choice((1, 30, 5 * HOUR))))
        self.acting, self._hangs = acting, False

    # Who acts

    def tick(self) -> None:
        self.ticks += 1
        late = self.judge.late()
        outcomes = self.command("tick", tick)
        self.ticked = self.ticked if outcomes is None else self.clock()
        for outcome in outcomes or ():
            if outcome.error and "unexpected" in outcome.error.what:
                raise Violation(self, f"{outcome.secret}: {outcome.error}") from outcome.error
            before = self.reported.get(outcome.secret)
            self.reported[outcome.secret] = outcome
            self.people.hear(outcome.secret, outcome.error)
            if before is None or summary(before) != summary(outcome):
                self._note(f"reported {outcome.secret}: {summary(outcome)}")
        self.judge.check_reports(outcomes, late)

    def command(self, name: str, act: Callable[[Session], T]) -> T | None:
        """Run a command in a new process. Return None if it was killed, failed, or found the lease taken."""
        self._drawn = 0
        store = StandInStore(Desk(self), SERVERS_FIELDS, self._lives)
        before, self.acting = self.acting, Process(f"{name} meanwhile" if self._hangs else name, store)
        try:
            return act(self.session(store))
        except (Killed, LeaseHeldError):
            return None
        except SecretopsError as error:
            if name != "tick":
                self._note(f"{name} failed: {type(error).__name__}")
            return None
        finally:
            self.acting = before

    def session(self, store: VersionStore, clock: Callable[[], datetime] | None = None) -> Session:
        return Session(manifest=self.manifest, store=store, journal=self.journal, clock=clock or self.clock)

    def secret(self, name: str) -> Secret:
        return self.manifest.secret(name)

    def versions(self, name: str) -> Versions:
        return self.kept.versions.get(name, Versions())

    def reports(self, users: tuple[str, ...]) -> tuple[Replica, ...]:
        return () if self.muted else tuple(one for one in self.broker.reports.values() if one.user in users)

    def drawing(self) -> str:
        """Return the seed of the next random draw. It never repeats if the draw has an effect."""
        self._drawn += 1
        return f"{self.plan.seed} {self.changes} {self._drawn}"

    def seen(self, token: str) -> None:
        self._seen[token] = self.minute

    def _lives(self, token: str) -> bool:
        ends = self._seen.get(token, self.minute) + LEASE_MINUTES
        if self.minute < ends:
            self._until.add(ends)
        return self.minute < ends

    def _note(self, text: str) -> None:
        self.history.append((self.minute, text))
