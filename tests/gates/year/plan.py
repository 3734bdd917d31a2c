"""The events of one year, drawn from a seed: the stack's settings, and every fault with its time."""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

HOUR, DAY = 60, 24 * 60
YEAR = 365 * DAY  # Minutes, like all times here.
SYSTEMS = ("store", "broker", "agent")


class Blow(StrEnum):
    """A fault at a change that a rotation makes."""

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    LOST = "the answer is lost, and it was done"
    UNREACHABLE = "not reached, and not done"
    REFUSED = "refused"
    HANGS = "hangs after it, while the schedule goes on"
    FORGOTTEN = "the broker says yes, and restarts without having saved it"


class Kind(StrEnum):
    """An event outside of a rotation."""

    DOWN = "goes down"
    UP = "is up again"
    REFUSES = "refuses"
    GIVES_IN = "refuses no more"
    SCHEDULE_OFF = "the schedule is off"
    SCHEDULE_ON = "the schedule is on"
    MUTE = "servers may not report"
    HEARD = "servers may report"
    CLOCK = "the rotator's clock jumps by minutes"
    BLOW = "a blow is dealt to the next effects"
    SERVER_DIES = "a server dies"
    SERVER_STARTS = "a server starts"
    SERVER_LOOKS = "a server looks for new versions"
    ROTATE = "an operator rotates"
    ROTATE_NOW = "an operator rotates, and takes a user over, as advised"
    PUT_ADMIN = "an operator puts the broker's first admin"
    PUT_USER = "an operator puts a broker user of their own"
    PUT_TOKEN = "an operator puts the agent's token"
    TRUST = "a person gives the broker the CAs to trust"


# Events that continue after the year, so that each person finishes.
PEOPLE = (Kind.SERVER_LOOKS, Kind.TRUST, Kind.ROTATE_NOW, Kind.PUT_ADMIN, Kind.PUT_TOKEN, Kind.PUT_USER)
# Events that a tick does not see: they change nothing, or only servers' reports.
UNSEEN = (Kind.BLOW, Kind.SERVER_DIES, Kind.SERVER_STARTS, Kind.SERVER_LOOKS)


@dataclass(frozen=True, order=True)
class Event:
    """One event. `what` is its system, secret or server. `number` is an amount, or the number of the affected
    change."""

    minute: int
    kind: Kind
    what: str = ""
    number: int = 0


@dataclass(frozen=True)
class Plan:
    seed: int
    length: int
    grace: int
    cadences: dict[str, int]  # Days.
    certificate_days: int
    authority_days: int
    servers: int
    events: tuple[Event, ...] = field(repr=False, default=())

    @property
    def random(self) -> Random:
        return Random(f"{self.seed} people")  # noqa: S311 - chance, no secret


def drawn(seed: int, *, length: int = YEAR, scale: float = 1.0) -> Plan:
    """Return the year of a seed. `scale` shortens cadences and lifetimes, so that a shorter year has as many events."""
    random = Random(f"{seed} plan")  # noqa: S311 - chance, no secret

    def days(*choices: int) -> int:
        return max(1, round(random.choice(choices) * scale))

    cadences = {
        "mqtt": days(30, 60, 90), "broker-admin": days(45, 90), "agent-key": days(90, 180), "client-cert": days(365),
        "client-ca": days(3650), "agent-admin": days(180),
    }  # fmt: skip
    grace = random.choice((15, HOUR, 4 * HOUR, DAY))
    certificate_days, authority_days = max(2, days(60, 90)), max(8, days(180, 365))
    events = [
        Event(random.randrange(2, 30), Kind.PUT_ADMIN),
        Event(random.randrange(2, 30), Kind.PUT_TOKEN),
        *_windows(random, length, scale),
        *_jumps(random, length, scale),
        *_people(random, length),
    ]
    servers = random.randint(2, 3)
    for server in range(servers):
        events.append(Event(random.randrange(5, 60), Kind.SERVER_STARTS, str(server)))
        for _ in range(random.randint(0, 2)):
            dies = random.randrange(length)
            back = dies + random.choice((1, 30, 5 * HOUR, 3 * DAY))
            events += [Event(dies, Kind.SERVER_DIES, str(server)), Event(back, Kind.SERVER_STARTS, str(server))]
    for _ in range(random.randint(5, 20)):
        blow = Event(random.randrange(length), Kind.BLOW, random.choice(list(Blow)), random.randrange(8))
        events.append(blow)
    return Plan(seed, length, grace, cadences, certificate_days, authority_days, servers, tuple(sorted(events)))


def _windows(random: Random, length: int, scale: float) -> list[Event]:
    found = []
    for _ in range(random.randint(3, 9)):
        begins = random.randrange(length)
        lasts = random.choice((3, 20, HOUR, 5 * HOUR, DAY, round(3 * DAY * scale) + 1))
        match random.randrange(4):
            case 0 | 1:
                system = random.choice(SYSTEMS)
                kinds = random.choice(((Kind.DOWN, Kind.UP), (Kind.REFUSES, Kind.GIVES_IN)))
                found += [Event(begins, kinds[0], system), Event(begins + lasts, kinds[1], system)]
            case 2:
                lasts = random.choice((lasts, round(random.randrange(20 * DAY) * scale) + 1))
                found += [Event(begins, Kind.SCHEDULE_OFF), Event(begins + lasts, Kind.SCHEDULE_ON)]
            case 3:
                found += [Event(begins, Kind.MUTE), Event(begins + lasts, Kind.HEARD)]
    return found


def _jumps(random: Random, length: int, scale: float) -> list[Event]:
    found = []
    for _ in range(random.choice((0, 0, 1, 2, 3))):
        by = random.choice((2, 30, 5 * HOUR, DAY, round(5 * DAY * scale) + 1)) * random.choice((-1, 1))
        at = random.randrange(length)
        found.append(Event(at, Kind.CLOCK, "", by))
        if random.random() < 0.7:
            found.append(Event(at + random.choice((1, 10, HOUR, DAY)), Kind.CLOCK, "", -by))
    return found


def _people(random: Random, length: int) -> list[Event]:
    orders = [Event(random.randrange(length), Kind.PUT_TOKEN)]
    for _ in range(random.randint(0, 3)):
        name = random.choice(("mqtt", "broker-admin", "agent-key", "client-cert", "client-ca"))
        orders.append(Event(random.randrange(length), Kind.ROTATE, name))
    if random.random() < 0.3:
        orders.append(Event(random.randrange(DAY, length), Kind.PUT_USER))
    if random.random() < 0.3:
        orders.append(Event(random.randrange(DAY, length), Kind.PUT_ADMIN))
    return orders
