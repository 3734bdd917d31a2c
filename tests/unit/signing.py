"""Certificates from a test CA, valid or broken."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from secretops.certificates import new_key

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAME = "coreflux-mcp-test"
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class Holder:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()


def made(
    name: str = NAME,
    *,
    by: Holder | None = None,
    key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey | None = None,
    ca: bool = False,
    usages: Iterable[x509.ObjectIdentifier] | None = (CLIENT,),
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + 30 * DAY,
) -> Holder:
    """Return a certificate signed by `by`, or self-signed. With a public `key` the holder has no private key."""
    own = new_key() if key is None or isinstance(key, ec.EllipticCurvePublicKey) else key
    public = key if isinstance(key, ec.EllipticCurvePublicKey) else own.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if usages and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
    return Holder(builder.sign(by.key if by else own, hashes.SHA256()), own)
