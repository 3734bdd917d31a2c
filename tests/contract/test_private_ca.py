"""A client certificate that the stack's own CA signs, and that CA's change, at a mosquitto that lets nobody in without
one. The broker is real, and trusts what an operator gave it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from secretops.engine.decisions import renewal_at
from secretops.errors import AttentionError
from secretops.operations.status import Standing, status
from tests.gates.doomed import start
from tests.real.certified import Connecting, Given
from tests.real.mosquitto import Mosquitto
from tests.real.own_ca import (
    AUTHORITY,
    CERTIFICATE,
    Certified,
    begun,
    make_certified,
    trusting_broker,
)

pytestmark = [pytest.mark.real, pytest.mark.slow]
RENEWALS = 3


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with trusting_broker(tmp_path / "broker") as started:
        yield started


@pytest.fixture
def stack(tmp_path: Path, broker: Mosquitto) -> Certified:
    """Of which nothing has a value yet. How each store keeps versions is for the store suite."""
    return make_certified(tmp_path, broker)


@pytest.fixture
def running(stack: Certified) -> Certified:
    """With a CA that the broker trusts, a certificate, an admin and the server's user."""
    return begun(stack)


def due(stack: Certified) -> None:
    """Let it be the moment at which the certificate is due."""
    current = stack.versions().current
    at = renewal_at(current) if current else None
    assert at
    stack.stack.clock.skip((at - stack.stack.clock()).total_seconds() + 1)


def change_authority(stack: Certified) -> None:
    """A CA change as the page has it, but for the certificate's renewal."""
    with pytest.raises(AttentionError, match="until then the one before does"):
        stack.stack.rotate(AUTHORITY)
    stack.trust()
    assert stack.errors() == {}


def given(stack: Certified) -> Given:
    """What a server finds when it connects."""
    return stack.read(CERTIFICATE), stack.read("mqtt")


def test_ticks_make_the_first_ones_once_the_broker_trusts_the_ca(stack: Certified) -> None:
    said = stack.errors()
    assert "the broker takes no certificate of" in said[AUTHORITY] and "`secretops trust`" in said[AUTHORITY]
    assert "there is no CA yet" in said[CERTIFICATE]
    pending = stack.versions(AUTHORITY).pending
    assert pending and stack.versions().all == ()
    assert pending.id in stack.errors()[AUTHORITY], "the same one is shown again"
    stack.trust()
    stack.stack.tick()
    assert stack.current(AUTHORITY) == pending.id, "the one that the broker was given"
    stack.stack.put("broker-admin", dict(stack.broker.admin))
    assert stack.errors() == {}
    assert stack.log_in() == "Success"


def test_renewals_and_a_ca_change_fail_no_connect(running: Certified) -> None:
    old = running.current(AUTHORITY)
    with Connecting(running.stack.manifest.broker, running.folder, lambda: given(running)) as clients:
        clients.caught_up()
        seen = {running.current()}
        for turn in range(RENEWALS):
            if turn == RENEWALS - 2:
                change_authority(running)
                clients.caught_up()
            due(running)
            assert running.errors() == {}
            seen.add(running.current())
            clients.caught_up()
        running.stack.skip_grace()
        clients.caught_up()
        assert running.errors() == {}
        assert running.errors() == {}
        assert len(running.trusted()) == 2
        running.trust()
        clients.caught_up()
    assert clients.failures == []
    assert len(seen) == RENEWALS + 1
    new = running.current(AUTHORITY)
    assert new != old
    assert [one.id for one in running.versions(AUTHORITY).living] == [new], "the old CA's key is forgotten"
    assert len(running.trusted()) == 1


def test_until_the_broker_trusts_the_next_ca_the_one_before_signs(running: Certified) -> None:
    old, first = running.current(AUTHORITY), running.current()
    with pytest.raises(AttentionError) as told:
        running.stack.rotate(AUTHORITY)
    pending = running.versions(AUTHORITY).pending
    assert pending and pending.id in told.value.what and told.value.exit_code == 3
    due(running)
    assert {*running.errors()} == {AUTHORITY}
    assert running.current() != first and running.current(AUTHORITY) == old
    assert running.log_in() == "Success"
    (row,) = [one for one in status(running.stack.session()) if one.name == AUTHORITY]
    assert row.standing is Standing.ATTENTION


def test_a_ca_is_kept_for_as_long_as_a_living_certificate_is_signed_by_it(running: Certified) -> None:
    old = running.current(AUTHORITY)
    change_authority(running)
    for _ in range(2):
        assert running.errors() == {}
        assert old in {one.id for one in running.versions(AUTHORITY).living}
    with pytest.raises(AttentionError, match="has signed a certificate that is in use"):
        running.stack.rotate(AUTHORITY)
    running.stack.rotate(CERTIFICATE)
    assert running.errors() == {}
    assert old in {one.id for one in running.versions(AUTHORITY).living}, "the certificate before is in its grace"
    running.stack.skip_grace()
    for _ in range(2):  # the certificate before goes, then who signed it
        assert running.errors() == {}
    assert old not in {one.id for one in running.versions(AUTHORITY).living}
    assert running.log_in() == "Success"


class Killed:
    """A command that is let run the first time, and killed at each of its effects in turn the next ones."""

    def __init__(self, stack: Certified, command: str, name: str, *, at: str = "store.") -> None:
        self._stack, self._command, self._name, self._at = stack, command, name, at
        self.left: list[int] | None = None
        self.count = 0

    def __call__(self) -> None:
        if self.left is None:
            recorded = start(self._stack.stack, self._command, self._name)
            recorded.end()
            self.left = [at for at, moment in enumerate(recorded.moments) if f" {self._at}" in moment[:20]]
        elif self.left:
            doomed = start(self._stack.stack, self._command, self._name, kill_at=self.left.pop())
            assert doomed.end() == -signal.SIGKILL, doomed.moments
            self.count += 1


def test_a_change_killed_before_or_after_any_effect_is_ended_by_ticks(running: Certified) -> None:
    """A CA made, then proven and published, a certificate renewed by it, and the CA before retired: each is killed."""
    making, publishing = Killed(running, "rotate", AUTHORITY), Killed(running, "rotate", AUTHORITY)
    renewing, retiring = Killed(running, "rotate", CERTIFICATE), Killed(running, "tick", "", at="store.mark")
    phases = (making, publishing, renewing, retiring)
    with Connecting(running.stack.manifest.broker, running.folder, lambda: given(running), count=2) as clients:
        while any(phase.left != [] for phase in phases):
            old, before = running.current(AUTHORITY), running.current()
            making()
            if running.versions(AUTHORITY).pending is None:
                with pytest.raises(AttentionError):
                    running.stack.rotate(AUTHORITY)
            pending = running.versions(AUTHORITY).pending
            assert pending and running.current(AUTHORITY) == old
            running.trust()
            publishing()
            assert running.errors() == {}
            assert running.current(AUTHORITY) == pending.id, "what the broker was given is what signs"
            renewing()
            left = running.versions().pending
            assert running.errors() == {}
            if left:
                assert running.current() == left.id, "what was made is finished, and nothing else is made"
            if running.current() == before:
                running.stack.rotate(CERTIFICATE)
            clients.caught_up()
            running.stack.skip_grace()
            retiring()
            for _ in range(2):
                assert running.errors() == {}
            assert [one.id for one in running.versions(AUTHORITY).living] == [pending.id]
            assert len(running.versions().living) == 1
            clients.caught_up()
    assert clients.failures == []
    counts = [phase.count for phase in phases]
    assert counts[0] >= 2 and counts[1] >= 4 and counts[2] >= 6 and counts[3] >= 4
