"""The certificates that others renew, as a real mosquitto shows them: what is told of them, where, and when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from secretops.engine.decisions import Reason
from secretops.errors import ExitCode
from secretops.manifest import Delivered
from secretops.operations import status
from secretops.operations.doctor import checks, doctor
from secretops.operations.doctor.check import Level
from secretops.operations.tick import exit_code
from secretops.operations.watched import NAME, Watched, findings, watched
from tests.real.cluster import Cluster
from tests.real.cluster_stack import make_cluster_stack
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.ports import free_port
from tests.real.stack import Stack, make_stack

pytestmark = pytest.mark.real

Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)


@dataclass
class Place:
    """A stack and its broker, whose certificate a test replaces as its operator would."""

    stack: Stack
    broker: Mosquitto
    made: list[Path] = field(default_factory=list)

    def shows(self, *chain: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        """From now on, without a restart."""
        files = {
            "server.crt": b"".join(one.public_bytes(Encoding.PEM) for one in chain),
            "server.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        }
        for name, content in files.items():
            (self.broker.folder / name).write_bytes(content)
        self.broker.reload()

    def serves(
        self, ends: timedelta, *, lived: timedelta = HOUR, name: str = "localhost", by: Signer | None = None
    ) -> None:
        """One of that name, which ends after that time."""
        key = ec.generate_private_key(ec.SECP256R1())
        self.shows(signed(name, key, by or self.authority, ends, lived=lived), key=key)

    @property
    def authority(self) -> Signer:
        """The CA that the stack trusts."""
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key((self.broker.folder / "ca.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificates(self.broker.ca_file.read_bytes())[0], key

    @property
    def address(self) -> str:
        return f"localhost:{self.broker.port}"

    def seen(self) -> tuple[Watched, ...]:
        return watched(self.stack.session())

    def told(self) -> list[tuple[Reason, str]]:
        return [(one.reason, one.message) for one in findings(self.stack.session())]

    def told_once(self, reason: Reason) -> str:
        ((found, message),) = self.told()
        assert found is reason, message
        return message


def signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    by: Signer | None,
    ends: timedelta,
    *,
    lived: timedelta = HOUR,
    ca: bool = False,
) -> x509.Certificate:
    """A server's certificate, or a CA's; by itself where nobody signs it."""
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    issuer, signer = (by[0].subject, by[1]) if by else (subject, key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - lived)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def authority(name: str, ends: timedelta = YEAR, by: Signer | None = None) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    return signed(name, key, by, ends, ca=True), key


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    made = start_mosquitto(folder)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def place(tmp_path: Path, broker: Mosquitto) -> Place:
    """All is well."""
    stack = make_stack(tmp_path / "store", broker.broker())
    stack.put("broker-admin", dict(broker.admin))
    stack.put("agent-key", {"api-key": "of-this-test-alone"})
    assert exit_code(stack.tick()) is ExitCode.DONE
    return Place(stack, broker)


def test_what_the_broker_shows_and_who_signs_it_is_in_sight_and_nothing_is_told_of_what_lasts(place: Place) -> None:
    server, ca = place.seen()
    assert (server.name, server.source) == ("localhost", f"what {place.address} shows")
    assert (ca.name, ca.source) == ("test ca", f"who signs what {place.address} shows")
    assert place.told() == []
    (row,) = [result for name, result in doctor(checks(place.stack.session())) if name == NAME]
    assert row.level is Level.OK and "2 in sight" in row.value


def test_one_that_ends_soon_is_told_once_by_tick_status_and_doctor(place: Place) -> None:
    place.serves(HOUR, lived=6 * HOUR)
    message = place.told_once(Reason.NEAR_EXPIRY)
    assert f"what {place.address} shows: localhost expires" in message and "renewed at the broker" in message
    outcomes = place.stack.tick()
    assert exit_code(outcomes) is ExitCode.ATTENTION
    (outcome,) = [one for one in outcomes if one.attention]
    assert (outcome.secret, outcome.attention, outcome.reasons) == (NAME, (message,), (Reason.NEAR_EXPIRY,))
    rows = {one.name: one for one in status.status(place.stack.session())}
    assert rows[NAME].standing is status.Standing.ATTENTION and rows[NAME].notes == (message,)
    (row,) = [result for name, result in doctor(checks(place.stack.session())) if name == NAME]
    assert row.level is Level.ATTENTION and message in row.value
    said = place.stack.run("tick", "--json")
    assert said.returncode == ExitCode.ATTENTION
    assert [one["attention"] for one in json.loads(said.stdout) if one["secret"] == NAME] == [[message]]


def test_one_that_has_ended_is_told_though_nobody_can_log_in_any_more(place: Place) -> None:
    place.serves(-HOUR, lived=24 * HOUR)
    assert f"what {place.address} shows: localhost expired" in place.told_once(Reason.EXPIRED)


def test_one_that_is_not_good_yet_is_told_by_its_time(place: Place) -> None:
    place.serves(24 * HOUR, lived=-HOUR)
    assert "is good from" in place.told_once(Reason.DISTRUSTED)


def test_one_for_another_host_is_told(place: Place) -> None:
    place.serves(YEAR, name="mqtt.example.com")
    message = place.told_once(Reason.DISTRUSTED)
    assert "mqtt.example.com is not trusted: Hostname mismatch" in message and str(place.broker.ca_file) in message


def test_one_of_a_foreign_ca_is_told(place: Place) -> None:
    place.serves(YEAR, by=authority("somebody else"))
    assert "localhost is not trusted: unable to get local issuer certificate" in place.told_once(Reason.DISTRUSTED)


def test_of_a_chain_the_first_to_end_is_told(place: Place) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    between, its_key = authority("between", HOUR / 10, by=place.authority)
    place.shows(signed("localhost", key, (between, its_key), YEAR), between, key=key)
    assert [one.name for one in place.seen()] == ["localhost", "between", "test ca"]
    assert f"who signs what {place.address} shows: between expires" in place.told_once(Reason.NEAR_EXPIRY)


def test_a_ca_that_ends_soon_is_told_by_the_broker_that_rests_on_it(place: Place) -> None:
    old = authority("old ca", HOUR / 10)
    place.serves(YEAR, by=old)
    place.broker.ca_file.write_bytes(old[0].public_bytes(Encoding.PEM))
    assert "old ca expires" in place.told_once(Reason.NEAR_EXPIRY)


def test_of_two_cas_the_one_that_nothing_rests_on_may_end(place: Place) -> None:
    with place.broker.ca_file.open("ab") as bundle:
        bundle.write(authority("old ca", -HOUR / 2)[0].public_bytes(Encoding.PEM))
    assert place.told() == []
    place.broker.stop()
    assert place.told() == [], "where nobody says on which, the one that lasts longest is taken"


def test_a_broker_that_does_not_answer_is_told_by_its_own_check_alone(place: Place) -> None:
    place.broker.stop()
    assert [(one.name, one.source) for one in place.seen()] == [("test ca", str(place.broker.ca_file))]
    told = {name: result.level for name, result in doctor(checks(place.stack.session()))}
    assert (told[NAME], told["broker"]) == (Level.OK, Level.ATTENTION)


def test_a_ca_that_has_ended_is_told_where_nobody_answers(place: Place) -> None:
    place.broker.stop()
    place.broker.ca_file.write_bytes(authority("old ca", -HOUR / 2)[0].public_bytes(Encoding.PEM))
    assert f"{place.broker.ca_file}: old ca expired" in place.told_once(Reason.EXPIRED)


def test_what_readers_are_given_to_trust_is_looked_at_too(place: Place, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "ca.crt").write_bytes(authority("another")[0].public_bytes(Encoding.PEM))
    shown = {"certificate_file": str(given / "client.crt"), "key_file": str(given / "client.key")}
    broker = place.stack.manifest.broker.model_copy(update=shown)
    place.stack.manifest = place.stack.manifest.model_copy(update={"broker": broker})
    message = place.told_once(Reason.DISTRUSTED)
    assert f"by {given / 'ca.crt'}" in message


def test_a_broker_that_asks_for_a_certificate_is_looked_at_without_one(
    tmp_path: Path, certifying_mosquitto: Mosquitto
) -> None:
    broker = certifying_mosquitto.broker().model_copy(update={"certificate_file": None, "key_file": None})
    made = Place(make_stack(tmp_path / "store", broker), certifying_mosquitto)
    assert [one.name for one in made.seen()] == ["localhost", "test ca"]


def test_without_tls_there_is_nothing_to_look_at(tmp_path: Path, place: Place) -> None:
    broker = place.stack.manifest.broker.model_copy(update={"tls": False, "port": free_port()})
    assert watched(make_stack(tmp_path / "plain", broker).session()) == ()


def test_a_certificate_that_cert_manager_did_not_renew_is_told(
    request: pytest.FixtureRequest, tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lightkube")
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import Secret

    cluster: Cluster = request.getfixturevalue("cluster")
    stack = make_cluster_stack(tmp_path, broker.broker(), cluster)
    issued = Delivered(name="coreflux-mcp-certificate", keys={"client.crt": "tls.crt", "client.key": "tls.key"})
    store = stack.manifest.store.model_copy(update={"issued": issued})
    stack.manifest = stack.manifest.model_copy(update={"store": store})
    monkeypatch.setenv("KUBECONFIG", str(stack.kubeconfig))
    key = ec.generate_private_key(ec.SECP256R1())
    by = authority("issuer")
    certificate = signed("mcp-server", key, by, HOUR, lived=6 * HOUR)
    texts = {
        "tls.crt": certificate.public_bytes(Encoding.PEM).decode(),
        "tls.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    }
    metadata = ObjectMeta(name=issued.name, namespace=stack.namespace)
    cluster.client().create(Secret(metadata=metadata, stringData=texts))
    (found,) = findings(stack.session())
    assert found.reason is Reason.NEAR_EXPIRY
    assert "Secret coreflux-mcp-certificate: mcp-server expires" in found.message
    assert "describe certificates" in found.message
    cluster.client().replace(Secret(metadata=metadata, stringData={**texts, "tls.crt": "no PEM"}))
    (found,) = findings(stack.session())
    assert found.reason is Reason.DISTRUSTED and "is not trusted: no certificate in it" in found.message


def test_what_cannot_be_looked_at_takes_nothing_from_what_a_tick_did(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(place.stack.tick())

    def odd(_: object) -> tuple[Watched, ...]:
        raise ValueError(place.address)

    monkeypatch.setattr("secretops.operations.watched.watched", odd)
    *others, last = place.stack.tick()
    assert len(others) == before and not any(one.error for one in others)
    assert last.secret == NAME and "an unexpected ValueError" in str(last.error)
