"""A client certificate of the stack's private CA, and a change of that CA, at a real mosquitto that requires client
certificates and trusts the operator's CA file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from secretops.certificates import new_key, private_pem, subject_of
from secretops.engine.decisions import renewal_at
from secretops.errors import AttentionError
from secretops.values import Value
from tests.real.certified import Connecting, Given
from tests.real.mosquitto import Mosquitto
from tests.real.own_ca import AUTHORITY, CERTIFICATE, NAME, Certified, begun, make_certified, trusting_broker
from tests.unit.signing import CLIENT, DAY, Holder, made

pytestmark = [pytest.mark.real, pytest.mark.slow]
RENEWALS = 3


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with trusting_broker(tmp_path / "broker") as started:
        yield started


@pytest.fixture
def stack(tmp_path: Path, broker: Mosquitto) -> Certified:
    return make_certified(tmp_path, broker)


@pytest.fixture
def running(stack: Certified) -> Certified:
    return begun(stack)


def due(stack: Certified) -> None:
    """Move the clock to the renewal of the certificate."""
    current = stack.versions().current
    at = renewal_at(current) if current else None
    assert at
    stack.stack.clock.skip((at - stack.stack.clock()).total_seconds() + 1)


def change_authority(stack: Certified) -> None:
    with pytest.raises(AttentionError, match=r"\[ca-not-trusted\]"):
        stack.stack.rotate(AUTHORITY)
    stack.trust()
    assert stack.errors() == {}


def supplied(stack: Certified) -> Given:
    return stack.read(CERTIFICATE), stack.read("mqtt")


def test_renewals_and_a_ca_change_fail_no_connect(running: Certified) -> None:
    old = running.current(AUTHORITY)
    with Connecting(running.stack.manifest.broker, running.folder, lambda: supplied(running)) as clients:
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


def test_unwanted_ca_is_discarded_while_the_previous_one_signs(running: Certified) -> None:
    first = running.current(AUTHORITY)
    assert running.stack.run("rotate", AUTHORITY).returncode == 3
    pending = running.versions(AUTHORITY).pending
    done = running.stack.run("rotate", AUTHORITY, "--discard")
    assert done.returncode == 0 and pending and pending.id in done.stdout
    assert [one.id for one in running.versions(AUTHORITY).living] == [first]
    assert running.errors() == {}
    for name in (AUTHORITY, CERTIFICATE):
        refused = running.stack.run("rotate", name, "--discard")
        assert refused.returncode == 2 and "[discard-nothing]" in refused.stderr


def test_stolen_ca_key_impersonates_no_other_client_server_or_ca(running: Certified) -> None:
    """OpenSSL enforces this from the CA certificate. mosquitto has no setting for it."""
    authority = running.read(AUTHORITY)
    above = x509.load_pem_x509_certificate(authority["ca.crt"].encode())
    signer = load_pem_private_key(authority["ca.key"].encode(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    times: dict[str, Any] = {"begins": above.not_valid_before_utc, "ends": above.not_valid_before_utc + 2 * DAY}

    def shown(holder: Holder, *chain: Holder) -> Value:
        pem = "".join(one.pem for one in (holder, *chain))
        return Value({"client.crt": pem, "client.key": private_pem(holder.key)})

    def named(*names: tuple[x509.ObjectIdentifier, str], extension: x509.ExtensionType | None = None) -> Holder:
        key, name = new_key(), x509.Name([x509.NameAttribute(kind, text) for kind, text in names])
        builder = x509.CertificateBuilder(above.subject, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(times["begins"]).not_valid_after(times["ends"])
        if extension:
            builder = builder.add_extension(extension, critical=False)
        return Holder(builder.sign(signer, hashes.SHA256()), key)

    ca = Holder(above, signer)
    ours = (NameOID.COMMON_NAME, NAME)
    is_ca = x509.BasicConstraints(ca=True, path_length=None)
    below = named(ours, (NameOID.ORGANIZATIONAL_UNIT_NAME, "below"), extension=is_ca)
    assert running.takes(shown(made(NAME, by=ca, **times)))
    assert not running.takes(shown(made("somebody-else", by=ca, **times)))
    assert not running.takes(shown(made(NAME, by=below, **times), below))
    assert not running.takes(shown(made(NAME, by=made(NAME, ca=True, **times), **times))), "another CA's"
    assert running.takes(shown(named(ours, extension=x509.SubjectAlternativeName([x509.DNSName(NAME)]))))
    assert not running.takes(shown(named(ours, (NameOID.EMAIL_ADDRESS, "admin@example.com"))))
    for other in (x509.DNSName("admin"), x509.RFC822Name("admin@example.com"), x509.DirectoryName(subject_of("admin"))):
        for subject in ((ours,), ()):
            name = named(*subject, extension=x509.SubjectAlternativeName([other]))
            assert not running.takes(shown(name)), (subject, other)
    assert not above.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign, (
        "a list would lock the client out"
    )
    usage = above.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [CLIENT], "it signs no server's: OpenSSL wants the CA's usages, too"
