"""An issuer's certificate is checked before use. Each defect has its own message."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from secretops.certificates import (
    SignedCertificate,
    check_supplied,
    extract_certificates,
    new_key,
    private_pem,
    signing_request,
    verify_issued,
)
from secretops.engine.decisions import Reason
from secretops.errors import RefusedError, UnreachableError, UsageError
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.operations import external_certificates
from secretops.operations.external_certificates import ExternalCertificate
from secretops.values import new_password
from tests.real.stack import Stack, make_stack
from tests.unit.signing import CLIENT, DAY, NAME, NOW, SERVER, Holder, made
from tests.unit.test_cli import run

KEY = new_key()
ROOT = made("root", ca=True, ends=NOW + 3000 * DAY)
INTERMEDIATE = made("clients", by=ROOT, ca=True, ends=NOW + 1000 * DAY)
CHAIN = (INTERMEDIATE.pem, ROOT.pem)
STRANGER = made("clients", ca=True, ends=NOW + 1000 * DAY)
ENDED = made("clients", by=ROOT, ca=True, ends=NOW - DAY)
NO_CA = made("clients", by=ROOT)


def look(own: Holder | str, chain: tuple[str, ...] = CHAIN) -> tuple[str, datetime]:
    text = own if isinstance(own, str) else own.pem
    return verify_issued(SignedCertificate(text, chain), KEY, common_name=NAME, now=NOW)


def test_a_good_one_is_shown_with_its_chain_below_the_root() -> None:
    own = made(by=INTERMEDIATE, key=KEY)
    leaf, ends = look(own)
    assert leaf == own.pem + INTERMEDIATE.pem
    assert ends == NOW + 30 * DAY
    assert look(own, (INTERMEDIATE.pem,)) == look(own, (*CHAIN, ROOT.pem)) == (leaf, ends)


def test_it_ends_when_the_first_of_its_chain_does() -> None:
    soon = made("clients", by=ROOT, ca=True, ends=NOW + DAY)
    assert look(made(by=soon, key=KEY), (soon.pem, ROOT.pem))[1] == NOW + DAY


WRONG_ISSUED: list[tuple[str, Holder | str, tuple[str, ...]]] = [
    ("issued-certificate-malformed", "no PEM", CHAIN),
    ("certificate-key-mismatch", made(by=INTERMEDIATE), CHAIN),
    ("certificate-name-mismatch", made("somebody", by=INTERMEDIATE, key=KEY), CHAIN),
    ("certificate-is-ca", made(by=INTERMEDIATE, key=KEY, ca=True), CHAIN),
    ("certificate-not-client-only", made(by=INTERMEDIATE, key=KEY, usages=(CLIENT, SERVER)), CHAIN),
    ("certificate-expired", made(by=INTERMEDIATE, key=KEY, ends=NOW), CHAIN),
    ("certificate-not-yet-valid", made(by=INTERMEDIATE, key=KEY, begins=NOW + DAY), CHAIN),
    ("certificate-expired", made(by=ENDED, key=KEY), (ENDED.pem, ROOT.pem)),
    ("certificate-chain-missing", made(by=INTERMEDIATE, key=KEY), ()),
    ("certificate-chain-broken", made(by=INTERMEDIATE, key=KEY), (STRANGER.pem,)),
    ("certificate-chain-broken", made(by=INTERMEDIATE, key=KEY), (ROOT.pem,)),
    ("certificate-issuer-not-ca", made(by=NO_CA, key=KEY), (NO_CA.pem,)),
]


@pytest.mark.parametrize(("code", "own", "chain"), WRONG_ISSUED, ids=[each[0] for each in WRONG_ISSUED])
def test_a_wrong_one_is_refused_with_what_is_wrong_and_without_the_key(
    code: str, own: Holder | str, chain: tuple[str, ...]
) -> None:
    with pytest.raises(RefusedError) as refused:
        look(own, chain)
    assert refused.value.code == code
    assert "PRIVATE KEY" not in str(refused.value)


def test_a_request_has_the_name_and_proves_the_key_and_does_not_hold_it() -> None:
    key = new_key()
    text = signing_request(key, NAME)
    request = x509.load_pem_x509_csr(text.encode())
    assert request.is_signature_valid
    assert [one.value for one in request.subject] == [NAME]
    assert "PRIVATE" not in text and "PRIVATE KEY" in private_pem(key)


def test_of_a_file_only_its_certificates_are_taken() -> None:
    assert extract_certificates(f"{ROOT.pem}\n{private_pem(ROOT.key)}# a note\n") == ROOT.pem
    with pytest.raises(ValueError, match=r".*"):
        extract_certificates(private_pem(ROOT.key))


GOOD = made(by=INTERMEDIATE)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def fields(own: Holder | str, *chain: Holder, key: str | None = None, ca: str = ROOT.pem) -> dict[str, str]:
    text = own if isinstance(own, str) else own.pem
    other = "" if isinstance(own, str) else private_pem(own.key)
    return {"ca.crt": ca, "client.crt": text + "".join(one.pem for one in chain), "client.key": key or other}


def of_key(key: Key) -> dict[str, str]:
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
    key = new_key()
    builder = x509.CertificateBuilder(GOOD.certificate.subject, INTERMEDIATE.certificate.subject, key.public_key(), 5)
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY).add_extension(extension, critical=False)
    return Holder(builder.sign(INTERMEDIATE.key, hashes.SHA256()), key)


# Invalid alternative names, and one of an unsupported kind.
ODD = [
    x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, bytes.fromhex(der))
    for der in ("3003020105", "3004a3023000")
]

WRONG = [
    ("certificate-malformed", fields("no PEM", key=private_pem(GOOD.key))),
    ("certificate-expired", fields(made(by=INTERMEDIATE, ends=NOW))),
    ("certificate-not-yet-valid", fields(made(by=INTERMEDIATE, begins=NOW + DAY))),
    ("certificate-not-client", fields(made(by=INTERMEDIATE, usages=(SERVER,)))),
    ("certificate-is-ca", fields(INTERMEDIATE, ROOT)),
    ("certificate-chain-broken", fields(made(by=INTERMEDIATE), STRANGER)),
    ("certificate-issuer-not-ca", fields(made(by=GOOD), GOOD, INTERMEDIATE)),
    *(("certificate-unreadable", fields(with_extension(odd))) for odd in ODD),
    ("certificate-expired", fields(made(by=ENDED), ENDED)),
    ("certificate-key-weak", of_key(rsa.generate_private_key(65537, 1024))),  # noqa: S505 - refused
    ("certificate-key-weak", of_key(ec.generate_private_key(ec.SECP224R1()))),
    ("private-key-malformed", fields(GOOD, key="no PEM")),
    ("private-key-encrypted", fields(GOOD, key=encrypted())),
    ("private-key-mismatch", fields(GOOD, key=private_pem(new_key()))),
    ("ca-malformed", fields(GOOD, ca="no PEM")),
    ("ca-expired", fields(GOOD, ca=ENDED.pem)),
    ("ca-not-valid", fields(GOOD, ca=ENDED.pem + made(begins=NOW + DAY).pem)),
]


@pytest.mark.parametrize(("code", "supplied"), WRONG, ids=[code for code, _ in WRONG])
def test_wrong_supplied_certificate_is_reported_with_its_flaw_only(code: str, supplied: dict[str, str]) -> None:
    (problem,) = check_supplied(supplied, NOW)
    assert problem.code == code


@pytest.mark.parametrize(
    "good",
    [
        *(fields(GOOD), fields(GOOD, INTERMEDIATE, ROOT), fields(made(by=INTERMEDIATE, usages=(CLIENT, SERVER)))),
        *(fields(made()), fields(GOOD, ca=ENDED.pem + ROOT.pem)),
        {name: text for name, text in fields(GOOD).items() if name != "ca.crt"},
        of_key(rsa.generate_private_key(65537, 2048)),
    ],
    ids=["alone", "with the root", "of a server too", "of its own", "of two CAs", "of the system's CAs", "RSA 2048"],
)
def test_a_good_one_has_no_flaw(good: dict[str, str]) -> None:
    assert list(check_supplied(good, NOW)) == []


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=1, protocol=MqttProtocol.V5, tls=True)
    return make_stack(tmp_path / "store", broker)


def test_all_flaws_are_reported_and_nothing_is_stored_or_quoted(stack: Stack) -> None:
    key = private_pem(new_key())
    value = fields(made(ends=NOW, usages=(SERVER,)), STRANGER, key=key, ca="no PEM")
    with pytest.raises(UsageError) as refused:
        stack.put("client-cert", value)
    assert re.findall(r"\[([a-z-]+)\]", refused.value.what) == [
        *("certificate-not-client", "certificate-expired", "certificate-chain-broken"),
        *("private-key-mismatch", "ca-malformed"),
    ]
    assert "PRIVATE" not in str(refused.value) and key.splitlines()[1] not in str(refused.value)
    with pytest.raises(UsageError, match=r"\[private-key-malformed\]"):
        stack.put("client-cert", fields(GOOD, key="no PEM"))
    assert stack.session().store.versions("client-cert").all == ()


def test_put_untested_publishes_a_certificate_without_a_login(stack: Stack) -> None:
    broker = stack.manifest.broker.model_copy(update={"certificate_secret": "client-cert"})
    stack.manifest = stack.manifest.model_copy(update={"broker": broker})
    stack.file.write_text(stack.manifest.model_dump_json())
    now = stack.clock()
    ca = made("root", ca=True, begins=now - DAY, ends=now + 90 * DAY)
    files = []
    for name, text in fields(made(begins=now - DAY, ends=now + 9 * DAY), ca=ca.pem).items():
        path = stack.root / f"given-{name}"
        path.write_text(text)
        files += ["--file", f"{name}={path}"]
    assert run(stack, "put", "client-cert", *files).returncode == UnreachableError.exit_code
    assert stack.session().store.versions("client-cert").all == ()
    done = run(stack, "put", "client-cert", "--untested", *files)
    current = stack.session().store.versions("client-cert").current
    assert done.returncode == 0 and current and current.published and not current.verified
    for day in (9, 6):  # its end, and the next renewal
        assert f"{now + day * DAY:%Y-%m-%d}" in done.stderr.decode()


SECOND = timedelta(seconds=1)


def certificate(days: float) -> ExternalCertificate:
    return ExternalCertificate(name="it", source="here", begins=NOW, ends=NOW + days * DAY, remedy="renew it")


@pytest.mark.parametrize(("days", "left"), [
    pytest.param(3650, 30, id="a CA of ten years, in its last month"),
    pytest.param(398, 30, id="a server's of a year, in its last month"),
    pytest.param(90, 15, id="an ACME client's, which renews when thirty days are left"),
    pytest.param(30, 5, id="cert-manager's, which renews when ten are left"),
    pytest.param(1, 1 / 6, id="a day's, which a small CA renews when eight hours are left"),
])  # fmt: skip
def test_certificate_is_reported_in_its_last_sixth_or_month(days: float, left: float) -> None:
    one, at = certificate(days), NOW + (days - left) * DAY
    assert one.finding(at - SECOND) is None
    found = one.finding(at + SECOND)
    assert found and found.reason is Reason.NEAR_EXPIRY and found.needs_a_person


def test_finding_differs_for_expiring_expired_and_not_yet_valid() -> None:
    one = certificate(30)
    findings = {at: one.finding(at) for at in (one.ends - SECOND, one.ends, one.begins - SECOND)}
    assert [found.reason for found in findings.values() if found] == [
        Reason.NEAR_EXPIRY,
        Reason.EXPIRED,
        Reason.DISTRUSTED,
    ]


@pytest.mark.parametrize("odd", range(len(ODD)))
def test_unreadable_certificate_is_reported_and_ends_nothing(odd: int) -> None:
    seen = external_certificates._external(with_extension(ODD[odd]).certificate, "here", "renew it")
    found = seen.finding(seen.begins)
    assert found and found.reason is Reason.DISTRUSTED
    assert found.message == f"here: without a name is not trusted: {external_certificates.UNREADABLE}: renew it"
