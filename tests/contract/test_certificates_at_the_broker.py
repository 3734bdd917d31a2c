"""A client certificate that an operator supplies is shown to the broker first: a real mosquitto, which asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from secretops.certificates import private_pem
from secretops.errors import UnreachableError, UsageError
from secretops.operations.put import put
from secretops.values import Value
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.stack import Stack, make_stack
from tests.unit.signing import DAY, made

pytestmark = [pytest.mark.real, pytest.mark.slow]
CERTIFICATE = "client-cert"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    started = start_mosquitto(folder, certifying=True)
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def stack(tmp_path: Path, broker: Mosquitto) -> Stack:
    """A certificate lies in its store alone."""
    shown = {"certificate_file": None, "key_file": None, "certificate_secret": CERTIFICATE}
    return make_stack(tmp_path / "store", broker.broker().model_copy(update=shown))


def test_one_that_the_broker_does_not_take_is_not_kept_and_the_one_before_serves_on(
    stack: Stack, broker: Mosquitto
) -> None:
    good = stack.put(CERTIFICATE, broker.client_certificate())
    assert good.verified
    now = stack.clock()
    stranger = made("mcp-server", begins=now - DAY, ends=now + 30 * DAY)
    theirs = {"client.crt": stranger.pem, "client.key": private_pem(stranger.key)}
    with pytest.raises(UnreachableError, match="does the broker run, and trust who signed it"):
        stack.put(CERTIFICATE, {**broker.client_certificate(), **theirs})

    versions = stack.session().store.versions(CERTIFICATE)
    assert [one.id for one in versions.all] == [good.id]
    stack.put("broker-admin", dict(broker.admin))
    assert [one.error for one in stack.tick() if one.error] == []


def test_where_no_broker_answers_untested_is_the_way_round_and_what_is_wrong_is_told_all_the_same(
    stack: Stack, broker: Mosquitto
) -> None:
    good = broker.client_certificate()
    broker.stop()
    with pytest.raises(UnreachableError) as told:
        stack.put(CERTIFICATE, good)
    assert "secretops put client-cert --untested" in told.value.remedy

    version = put(stack.session(), CERTIFICATE, Value(good), untested=True)
    assert version.verified is None and version.expires
    with pytest.raises(UsageError, match="no certificate"):
        put(stack.session(), CERTIFICATE, Value({**good, "client.crt": "none"}), untested=True)
    current = stack.session().store.versions(CERTIFICATE).current
    assert current and current.id == version.id
