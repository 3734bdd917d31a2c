"""When a decision about a secret falls differently, should nothing happen before: found by asking the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secretops.engine.decisions import OVERDUE_AFTER, due_at, findings, grace_over, renewal_at
from secretops.engine.state import Replica
from secretops.manifest import Secret, SecretKind
from tests.gates.year.plan import YEAR
from tests.gates.year.stack import USERS

if TYPE_CHECKING:
    from tests.gates.year.world import World

AHEAD = 2 * YEAR
"""How far is looked at."""


class Turns:
    """The next minute of each secret, found once for all that a decision looks at.

    Decisions are pure, and of a time that goes on each falls differently once: so the minute is found by a guess that
    they confirm, or by halving.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._found: dict[str, tuple[object, int]] = {}

    def next_of(self, secret: Secret) -> int:
        """The first minute after this one at which anything is found of `secret` that is not found now."""
        world = self._world
        looked_at = self._looked_at(secret)
        before, turn = self._found.get(secret.name, (None, 0))
        if before != looked_at or turn <= world.minute:
            turn = self._turn(secret)
            self._found[secret.name] = looked_at, turn
        return turn

    def _looked_at(self, secret: Secret) -> object:
        """All that `_signature` rests on, but for the time. That a version logged in again is not."""
        world = self._world
        of = (secret.name, "client-cert") if secret.kind is SecretKind.CA else (secret.name,)
        versions = [
            (one.id, one.stage, one.published, one.retired, one.expires)
            for name in of
            for one in world.versions(name).all
        ]
        reports = self.reports() if secret.kind is SecretKind.MQTT_USER else ()
        return versions, reports, world.offset

    def reports(self) -> tuple[Replica, ...]:
        """What servers say, where anybody asks: only while the version before is not retired."""
        previous = self._world.versions("mqtt").previous
        return self._world.reports(USERS) if previous and not previous.retired else ()

    def _turn(self, secret: Secret) -> int:
        same, other = self._world.minute, self._world.minute + AHEAD
        now = self._signature(secret, same)
        for guess in self._guesses(secret):
            if same < guess < other:
                if self._signature(secret, guess) != now:
                    other = guess
                    break
                same = guess
        if same < other - 1 and self._signature(secret, other - 1) == now:
            return other
        while other - same > 1:
            middle = (same + other) // 2
            if self._signature(secret, middle) == now:
                same = middle
            else:
                other = middle
        return other

    def _guesses(self, secret: Secret) -> list[int]:
        """Minutes that are likely. A wrong one costs a question, and changes no answer."""
        facts = self._world.session(self._world.probe.store).facts(secret)
        versions = facts.versions
        due, ends = due_at(facts), versions.current and versions.current.expires
        over = grace_over(versions.previous, facts) if versions.previous else None
        likely = [over, due, due and due + OVERDUE_AFTER, ends, versions.pending and renewal_at(versions.pending)]
        return sorted(self._world.minute_at(moment) for moment in likely if moment)

    def _signature(self, secret: Secret, minute: int) -> object:
        """What the decisions come to at a minute: with what servers report, and without, as when the broker is down."""
        world = self._world
        now = world.at(minute)
        session = world.session(world.probe.store, lambda: now)
        facts = session.facts(secret)
        found = [one.reason for one in findings(facts, now)]
        if facts.versions.previous and not facts.versions.previous.retired:
            found += [one.reason for one in findings(session.facts_for_retiring(secret), now)]
        pending = facts.versions.pending
        return found, bool(pending and (due := renewal_at(pending)) and due <= now)
