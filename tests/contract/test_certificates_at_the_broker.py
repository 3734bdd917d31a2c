"""What a real mosquitto makes of certificates: one that an operator puts is shown to it first, and its own files it
reads anew when it is told to, but for that of its CAs."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from secretops.certificates import private_pem
from secretops.errors import UnreachableError, UsageError
from secretops.operations.put import put
from secretops.values import Value
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.own_ca import takes
from tests.real.stack import DEADLINE, MqttSession, Stack, make_stack
from tests.unit.signing import DAY, made

pytestmark = pytest.mark.real
CERTIFICATE = "client-cert"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Whose list of revoked certificates is empty."""
    folder = tmp_path / "broker"
    folder.mkdir()
    crl = folder / "clients.crl"
    started = start_mosquitto(folder, certifying=True)
    started.stop()
    started.crl_file = crl
    revoke(started)
    assert started.start()
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def stack(tmp_path: Path, broker: Mosquitto) -> Stack:
    """A certificate lies in its store alone."""
    shown = {"certificate_file": None, "key_file": None, "certificate_secret": CERTIFICATE}
    return make_stack(tmp_path / "store", broker.broker().model_copy(update=shown))


def revoke(broker: Mosquitto, *certificates: str, ends_in: timedelta = timedelta(days=1)) -> None:
    """Whoever runs the CA writes a new list. The broker reads it when it is told."""
    ca, key = broker.authority
    now = datetime.now(UTC)
    begins = now - 2 * DAY
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.subject).last_update(begins)
    builder = builder.next_update(now + ends_in)
    for text in certificates:
        serial = x509.load_pem_x509_certificate(text.encode()).serial_number
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY).build()
        builder = builder.add_revoked_certificate(one)
    assert broker.crl_file
    broker.crl_file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


def shown_by(broker: Mosquitto) -> int:
    """The serial number of what it shows now."""
    context = ssl.create_default_context(cafile=str(broker.ca_file))
    with (
        socket.create_connection(("localhost", broker.port), DEADLINE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
    assert shown
    return x509.load_der_x509_certificate(shown).serial_number


def becomes(what: bool, broker: Mosquitto, folder: Path, shown: dict[str, str]) -> None:
    """Return when the broker takes a certificate, or takes it no more."""
    end = time.monotonic() + DEADLINE
    while takes(broker, folder, shown) is not what:
        assert time.monotonic() < end


def test_one_that_the_broker_takes_is_published_as_proven(stack: Stack, broker: Mosquitto) -> None:
    version = stack.put(CERTIFICATE, broker.client_certificate())

    assert version.verified
    stack.put("broker-admin", dict(broker.admin))
    assert [one.error for one in stack.tick() if one.error] == []


def test_one_that_the_broker_does_not_take_is_not_kept_and_the_one_before_serves_on(
    stack: Stack, broker: Mosquitto
) -> None:
    good = stack.put(CERTIFICATE, broker.client_certificate())
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


def test_a_new_certificate_of_the_brokers_own_is_read_on_sighup_and_no_session_ends(broker: Mosquitto) -> None:
    before = shown_by(broker)
    with MqttSession(broker.broker(), broker.admin) as session:
        broker.lay_next_certificate()
        assert shown_by(broker) == before
        broker.reload()
        end = time.monotonic() + DEADLINE
        while shown_by(broker) == before:
            assert time.monotonic() < end
        assert session.publishes("$CONTROL/dynamic-security/v1")
    with MqttSession(broker.broker(), broker.admin) as session:
        assert session.outcome == "Success"


def test_a_list_of_the_revoked_is_read_on_sighup_and_one_that_has_ended_locks_everybody_out(
    broker: Mosquitto, tmp_path: Path
) -> None:
    folder = tmp_path / "clients"
    folder.mkdir()
    one, other = broker.client_certificate("one"), broker.client_certificate("other")
    becomes(True, broker, folder, one)
    revoke(broker, one["client.crt"])
    broker.reload()
    becomes(False, broker, folder, one)
    becomes(True, broker, folder, other)
    revoke(broker, ends_in=-DAY)
    broker.reload()
    becomes(False, broker, folder, other)


def test_a_file_of_cas_is_read_at_its_start_alone(broker: Mosquitto, tmp_path: Path) -> None:
    """A folder of them it looks into whenever a client comes: test_private_ca.py rests on that."""
    now = datetime.now(UTC)
    ca = made("another", ca=True, begins=now - DAY, ends=now + 30 * DAY)
    client = made("mcp-server", by=ca, begins=now - DAY, ends=now + 30 * DAY)
    shown = {"client.crt": client.pem, "client.key": private_pem(client.key)}
    broker.stop()
    broker.crl_file = None
    assert broker.start()
    broker.ca_file.write_text(broker.ca_file.read_text() + ca.pem)
    broker.reload()
    assert not takes(broker, tmp_path, shown)
    broker.stop()
    assert broker.start()
    assert takes(broker, tmp_path, shown)
