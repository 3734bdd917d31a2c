"""The external certificates that a TLS server presents: which are reported, in which commands, and when."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from secretops.certificates import new_key, private_pem
from secretops.check import Level
from secretops.engine.decisions import Reason
from secretops.errors import ExitCode
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.operations import status
from secretops.operations.doctor import checks, doctor
from secretops.operations.external_certificates import NAME, ExternalCertificate, find, findings
from secretops.operations.tick import exit_code
from tests.real.mosquitto import signed
from tests.real.ports import free_port
from tests.real.stack import Stack, make_stack

pytestmark = pytest.mark.real

Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)


@dataclass
class Place:
    stack: Stack
    folder: Path
    authority: Signer
    context: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def address(self) -> str:
        return f"localhost:{self.stack.manifest.broker.port}"

    def serves(
        self, ends: timedelta, *, lived: timedelta = HOUR, name: str = "localhost", by: Signer | None = None
    ) -> None:
        key = new_key()
        certificate = signed(name, key, by or self.authority, ends=ends, lived=lived)
        whole = self.folder / "server.pem"
        whole.write_text(private_pem(key) + certificate.public_bytes(Encoding.PEM).decode())
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(whole)

    def seen(self) -> tuple[ExternalCertificate, ...]:
        return find(self.stack.session())

    def reported(self) -> list[tuple[Reason, str]]:
        return [(one.reason, one.message) for one in findings(self.stack.session())]

    def told_once(self, reason: Reason) -> str:
        ((found, message),) = self.reported()
        assert found is reason, message
        return message


def authority(name: str, ends: timedelta = YEAR) -> Signer:
    key = new_key()
    return signed(name, key, None, ends=ends), key


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr("secretops.operations.external_certificates.ANSWER_SECONDS", 600)
    with socket.create_server(("localhost", 0)) as listening:
        port = listening.getsockname()[1]
        broker = Broker(
            kind=BrokerKind.MOSQUITTO, host="localhost", port=port, protocol=MqttProtocol.V5, tls=True,
            ca_file=str(tmp_path / "ca.crt"),
        )  # fmt: skip
        made = Place(make_stack(tmp_path / "store", broker), tmp_path, authority("test ca"))
        made.ca_file.write_bytes(made.authority[0].public_bytes(Encoding.PEM))
        made.serves(YEAR)

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), made.context.wrap_socket(client, server_side=True) as shown:
                    shown.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield made
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
    thread.join(60)


def test_valid_server_certificate_and_ca_are_listed_without_a_warning(place: Place) -> None:
    server, ca = place.seen()
    assert (server.name, server.source) == ("localhost", f"certificate of {place.address}")
    assert (ca.name, ca.source) == ("test ca", f"issuer of the certificate of {place.address}")
    assert place.reported() == []
    (row,) = [result for name, result in doctor(checks(place.stack.session())) if name == NAME]
    assert row.level is Level.OK


def test_expiring_certificate_is_reported_once_by_each_command(place: Place) -> None:
    place.serves(HOUR, lived=6 * HOUR)
    message = place.told_once(Reason.NEAR_EXPIRY)
    assert f"certificate of {place.address}: localhost expires" in message
    outcomes = place.stack.tick()
    (outcome,) = [one for one in outcomes if one.attention]
    assert exit_code([outcome]) is ExitCode.ATTENTION
    assert (outcome.secret, outcome.attention, outcome.reasons) == (NAME, (message,), (Reason.NEAR_EXPIRY,))
    rows = {one.name: one for one in status.status(place.stack.session())}
    assert rows[NAME].status is status.Status.ATTENTION and rows[NAME].notes == (message,)
    (row,) = [result for name, result in doctor(checks(place.stack.session())) if name == NAME]
    assert row.level is Level.ATTENTION and message in row.value


def test_certificate_of_another_host_time_or_ca_is_reported(place: Place) -> None:
    place.serves(YEAR, name="mqtt.example.com")
    message = place.told_once(Reason.DISTRUSTED)
    assert "Hostname mismatch" in message and str(place.ca_file) in message
    place.serves(24 * HOUR, lived=-HOUR)
    assert place.told_once(Reason.DISTRUSTED)
    place.serves(-HOUR, lived=24 * HOUR)
    assert place.told_once(Reason.EXPIRED)
    place.serves(YEAR, by=authority("somebody else"))
    assert "local issuer" in place.told_once(Reason.DISTRUSTED)


def test_ca_is_checked_when_the_broker_does_not_answer(place: Place) -> None:
    broker = place.stack.manifest.broker.model_copy(update={"port": free_port()})
    place.stack.manifest = place.stack.manifest.model_copy(update={"broker": broker})
    assert [(one.name, one.source) for one in place.seen()] == [("test ca", str(place.ca_file))]
    assert place.reported() == [], "another check reports that it does not answer"
    place.ca_file.write_bytes(authority("old ca", -HOUR / 2)[0].public_bytes(Encoding.PEM))
    assert place.told_once(Reason.EXPIRED)


def test_failed_certificate_check_keeps_a_ticks_result(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [type(one.error) for one in place.stack.tick()]

    def odd(_: object) -> tuple[ExternalCertificate, ...]:
        raise ValueError(place.address)

    monkeypatch.setattr("secretops.operations.external_certificates.find", odd)
    *others, last = place.stack.tick()
    assert [type(one.error) for one in others] == before
    assert last.secret == NAME and "an unexpected ValueError" in str(last.error)
