"""What an operator puts as a client certificate is looked at first: each thing that is wrong has its words, and all are
told at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from secretops.certificates import new_key, private_pem
from secretops.errors import UnreachableError, UsageError
from secretops.flaws import of_supplied
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.values import new_password
from tests.real.stack import Stack, make_stack
from tests.unit.signing import CLIENT, DAY, NOW, SERVER, Holder, made
from tests.unit.test_cli import run

ROOT = made("root", ca=True, ends=NOW + 3000 * DAY)
INTERMEDIATE = made("clients", by=ROOT, ca=True, ends=NOW + 1000 * DAY)
STRANGER = made("clients", ca=True, ends=NOW + 1000 * DAY)
ENDED = made("clients", by=ROOT, ca=True, ends=NOW - DAY)
GOOD = made(by=INTERMEDIATE)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def fields(own: Holder | str, *chain: Holder, key: str | None = None, ca: str = ROOT.pem) -> dict[str, str]:
    """A value of client-cert."""
    text = own if isinstance(own, str) else own.pem
    other = "" if isinstance(own, str) else private_pem(own.key)
    return {"ca.crt": ca, "client.crt": text + "".join(one.pem for one in chain), "client.key": key or other}


def of_key(key: Key) -> dict[str, str]:
    """A certificate for a key of another kind."""
    certificate = (
        x509.CertificateBuilder()
        .subject_name(GOOD.certificate.subject)
        .issuer_name(INTERMEDIATE.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 30 * DAY)
        .sign(INTERMEDIATE.key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return fields(certificate.public_bytes(Encoding.PEM).decode(), key=private)


def encrypted() -> str:
    form = BestAvailableEncryption(new_password().encode())
    return GOOD.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, form).decode()


def with_extension(extension: x509.ExtensionType) -> Holder:
    """One with an extension more, which may be nonsense."""
    key = new_key()
    builder = x509.CertificateBuilder(GOOD.certificate.subject, INTERMEDIATE.certificate.subject, key.public_key(), 5)
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY).add_extension(extension, critical=False)
    return Holder(builder.sign(INTERMEDIATE.key, hashes.SHA256()), key)


ODD = [
    x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, bytes.fromhex(der))
    for der in ("3003020105", "3004a3023000")
]
"""Alternative names that are no names, and one of a kind that nobody reads."""

WRONG = {
    "client.crt holds no certificate": fields("no PEM", key=private_pem(GOOD.key)),
    "client.crt has ended: it": fields(made(by=INTERMEDIATE, ends=NOW)),
    "client.crt is not good yet": fields(made(by=INTERMEDIATE, begins=NOW + DAY)),
    "client.crt is not for clients": fields(made(by=INTERMEDIATE, usages=(SERVER,))),
    "client.crt is a CA's": fields(INTERMEDIATE, ROOT),
    "client.crt is not signed by the chain that came with it": fields(made(by=INTERMEDIATE), STRANGER),
    "client.crt is signed by what is no CA": fields(made(by=GOOD), GOOD, INTERMEDIATE),
    **{
        "client.crt holds a certificate that can't be read" + " " * at: fields(with_extension(odd))
        for at, odd in enumerate(ODD)
    },
    "client.crt has ended: a CA of its chain": fields(made(by=ENDED), ENDED),
    "client.crt is weak: it has an RSA key of 1024 bits": of_key(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - refused
    "client.crt is weak: it has a key on secp224r1": of_key(ec.generate_private_key(ec.SECP224R1())),
    "client.key is no private key": fields(GOOD, key="no PEM"),
    "client.key is encrypted": fields(GOOD, key=encrypted()),
    "client.key is another certificate's": fields(GOOD, key=private_pem(new_key())),
    "ca.crt holds no certificate": fields(GOOD, ca="no PEM"),
    "ca.crt has ended: no certificate in it is good any more": fields(GOOD, ca=ENDED.pem),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_one_is_told_with_what_is_wrong_and_nothing_else(words: str) -> None:
    (flaw,) = of_supplied(WRONG[words], NOW)
    assert flaw.what.startswith(words.strip())


@pytest.mark.parametrize(
    "good",
    [
        fields(GOOD),
        fields(GOOD, INTERMEDIATE, ROOT),
        fields(made(by=INTERMEDIATE, usages=(CLIENT, SERVER))),
        fields(made()),
        fields(GOOD, ca=ENDED.pem + ROOT.pem),
        {name: text for name, text in fields(GOOD).items() if name != "ca.crt"},
        of_key(rsa.generate_private_key(65537, 2048)),
    ],
    ids=["alone", "with the root", "of a server too", "of its own", "of two CAs", "of the system's CAs", "RSA 2048"],
)
def test_a_good_one_has_no_flaw(good: dict[str, str]) -> None:
    assert list(of_supplied(good, NOW)) == []


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """Whose broker asks for no certificate: nobody is connected to."""
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=1, protocol=MqttProtocol.V5, tls=True)
    return make_stack(tmp_path / "store", broker)


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_kept_or_quoted(stack: Stack) -> None:
    key = private_pem(new_key())
    value = fields(made(ends=NOW, usages=(SERVER,)), STRANGER, key=key, ca="no PEM")
    with pytest.raises(UsageError) as refused:
        stack.put("client-cert", value)

    assert refused.value.what.startswith("client-cert: client.crt is not for clients; client.crt has ended: ")
    for part in ("not signed by the chain", "client.key is another certificate's", "ca.crt holds no certificate"):
        assert part in refused.value.what
    assert "nothing was published" in refused.value.remedy
    assert "PRIVATE" not in str(refused.value) and key.splitlines()[1] not in str(refused.value)
    assert stack.session().store.versions("client-cert").all == ()


def test_put_untested_publishes_a_certificate_without_a_login(stack: Stack) -> None:
    broker = stack.manifest.broker.model_copy(update={"certificate_secret": "client-cert"})
    stack.manifest = stack.manifest.model_copy(update={"broker": broker})
    stack.file.write_text(stack.manifest.model_dump_json())
    now = stack.clock()
    ca = made("root", ca=True, begins=now - DAY, ends=now + 90 * DAY)
    given = []
    for name, text in fields(made(begins=now - DAY, ends=now + 9 * DAY), ca=ca.pem).items():
        path = stack.root / f"given-{name}"
        path.write_text(text)
        given += ["--file", f"{name}={path}"]

    assert run(stack, "put", "client-cert", *given).returncode == UnreachableError.exit_code
    assert stack.session().store.versions("client-cert").all == ()
    done = run(stack, "put", "client-cert", "--untested", *given)

    current = stack.session().store.versions("client-cert").current
    assert done.returncode == 0 and current and current.published and not current.verified
    for day in (9, 6):  # when it ends, and when the next one is due
        assert f"{now + day * DAY:%Y-%m-%d}" in done.stderr.decode()
