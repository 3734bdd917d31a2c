"""What a CA of the stack's own is held to, where its key is, and what a broker is given: at a mosquitto that lets
nobody in without a certificate, and reads the CA's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from secretops.certificates import name_of, new_key, private_pem
from secretops.values import Value
from tests.real.mosquitto import Mosquitto
from tests.real.own_ca import (
    AUTHORITY,
    CERTIFICATE,
    NAME,
    Certified,
    begun,
    make_certified,
    trusting_broker,
)
from tests.unit.signing import CLIENT, DAY, Holder, made

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with trusting_broker(tmp_path / "broker") as started:
        yield started


@pytest.fixture
def stack(tmp_path: Path, broker: Mosquitto) -> Certified:
    """Of which nothing has a value yet."""
    return make_certified(tmp_path, broker)


@pytest.fixture
def running(stack: Certified) -> Certified:
    """With a CA that the broker trusts, a certificate, an admin and the server's user."""
    return begun(stack)


def test_a_ca_that_nobody_meant_is_let_go_of_while_the_one_before_signs(running: Certified) -> None:
    first = running.current(AUTHORITY)
    assert running.stack.run("rotate", AUTHORITY).returncode == 3
    pending = running.versions(AUTHORITY).pending
    done = running.stack.run("rotate", AUTHORITY, "--discard")
    assert done.returncode == 0 and pending and pending.id in done.stdout
    assert [one.id for one in running.versions(AUTHORITY).living] == [first]
    assert running.errors() == {}
    for name in (AUTHORITY, CERTIFICATE):
        refused = running.stack.run("rotate", name, "--discard")
        assert refused.returncode == 2 and f"{name}: there is nothing to let go of" in refused.stderr


def test_whoever_has_the_cas_key_plays_no_other_client_no_server_and_no_ca(running: Certified) -> None:
    """By the CA's own certificate, which OpenSSL reads: mosquitto is told nothing, and trusts the CA."""
    authority = running.read(AUTHORITY)
    above = x509.load_pem_x509_certificate(authority["ca.crt"].encode())
    signer = load_pem_private_key(authority["ca.key"].encode(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    times: dict[str, Any] = {"begins": above.not_valid_before_utc, "ends": above.not_valid_before_utc + 2 * DAY}

    def shown(holder: Holder, *chain: Holder) -> Value:
        return Value(
            {"client.crt": "".join(one.pem for one in (holder, *chain)), "client.key": private_pem(holder.key)}
        )

    def named(*names: tuple[x509.ObjectIdentifier, str], others: Sequence[x509.GeneralName] = ()) -> Value:
        key, name = new_key(), x509.Name([x509.NameAttribute(kind, text) for kind, text in names])
        builder = x509.CertificateBuilder(above.subject, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(times["begins"]).not_valid_after(times["ends"])
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        return shown(Holder(builder.sign(signer, hashes.SHA256()), key))

    ca = Holder(above, signer)
    key = new_key()
    longer = x509.Name([*name_of(NAME), x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "below")])
    builder = x509.CertificateBuilder(above.subject, longer, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(times["begins"]).not_valid_after(times["ends"])
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    below = Holder(builder.sign(signer, hashes.SHA256()), key)
    assert running.takes(shown(made(NAME, by=ca, **times)))
    assert not running.takes(shown(made("somebody-else", by=ca, **times)))
    assert not running.takes(shown(made(NAME, by=below, **times), below))
    assert not running.takes(shown(made(NAME, by=made(NAME, ca=True, **times), **times))), "another CA's"
    ours = (NameOID.COMMON_NAME, NAME)
    assert running.takes(named(ours)) and running.takes(named(ours, others=[x509.DNSName(NAME)]))
    assert not running.takes(named(ours, (NameOID.EMAIL_ADDRESS, "admin@example.com")))
    for other in (
        x509.DNSName("admin"),
        x509.RFC822Name("admin@example.com"),
        x509.UniformResourceIdentifier("spiffe://admin"),
        x509.IPAddress(ip_address("192.0.2.1")),
        x509.DirectoryName(name_of("admin")),
    ):
        assert not running.takes(named(ours, others=[other])), other
        assert not running.takes(named(others=[other])), f"with no subject at all, {other}"
    assert not above.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign, (
        "a list would lock the client out"
    )
    usage = above.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [CLIENT], "it signs no server's: OpenSSL wants the CA's usages, too"


def test_the_command_prints_what_the_broker_has_to_trust_and_lays_it_into_a_folder(
    stack: Certified, tmp_path: Path
) -> None:
    waiting = stack.stack.run("trust")
    assert waiting.returncode == 5 and "secretops rotate client-ca" in waiting.stderr
    first = stack.stack.run("rotate", AUTHORITY)
    assert first.returncode == 5 and "`secretops trust`" in first.stderr
    printed = stack.stack.run("trust")
    pending = stack.versions(AUTHORITY).pending
    assert pending and printed.stdout == stack.read(AUTHORITY, pending.id)["ca.crt"]
    laid = stack.stack.run("trust", "--to", str(tmp_path / "cas"))
    assert laid.returncode == 0 and f"openssl rehash {tmp_path / 'cas'}" in laid.stderr
    assert laid.stdout.strip() in {str(one) for one in (tmp_path / "cas").glob(f"client-ca-{NAME}-*")}
    assert "PRIVATE" not in printed.stdout + "".join(one.read_text() for one in (tmp_path / "cas").iterdir())
    key = stack.read(AUTHORITY, pending.id)["ca.key"].splitlines()[2].encode()  # the first line is any such key's
    found = [path for path in stack.stack.root.rglob("*") if path.is_file() and key in path.read_bytes()]
    assert found and {path.relative_to(stack.stack.root).parts[0] for path in found} == {"versions"}
