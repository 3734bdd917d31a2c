"""A client's key and request, and whether what came back is the certificate that was asked for. No store, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from secretops.certificate_checks import Flaw, is_readable, of_chain, of_client, of_strength, of_time
from secretops.errors import RefusedError


@dataclass(frozen=True)
class Signed:
    """What an issuer gave, as PEM. Public, and not looked at yet: `secretops.certificates.checked` does that."""

    certificate: str
    chain: tuple[str, ...]
    """Who signed it, then who signed that one."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """ECDSA on P-256, which every TLS library takes."""
    return ec.generate_private_key(ec.SECP256R1())


def request_of(key: ec.EllipticCurvePrivateKey, common_name: str) -> str:
    """What an issuer is asked with: the name, the public key, and the proof that we have its other half."""
    asked = x509.CertificateSigningRequestBuilder().subject_name(name_of(common_name)).sign(key, hashes.SHA256())
    return asked.public_bytes(Encoding.PEM).decode()


def name_of(common_name: str) -> x509.Name:
    """A subject that is a common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """The key as a client's TLS library reads it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def certificates_in(text: str) -> str:
    """The certificates of a PEM text, and nothing that lies beside them. Raises ValueError where there is none."""
    return pem(*x509.load_pem_x509_certificates(text.encode()))


def pem(*found: x509.Certificate) -> str:
    """Certificates as text, one below the other."""
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def checked(
    signed: Signed, key: ec.EllipticCurvePrivateKey, *, common_name: str, now: datetime
) -> tuple[str, datetime]:
    """What a client shows, its certificate and the chain below the root, and when the first of them ends.

    Raises RefusedError with what is wrong with it.
    """
    try:
        own = x509.load_pem_x509_certificate(signed.certificate.encode())
        chain = [x509.load_pem_x509_certificate(one.encode()) for one in signed.chain]
    except ValueError:
        raise _refused(Flaw("is no certificate", "PEM, and who signed it beside it")) from None
    if not all(is_readable(one) for one in (own, *chain)):
        raise _refused(Flaw("can't be read, or its chain can't", "names and extensions are as in RFC 5280"))
    for flaw in (
        *_of_ours(own, key, common_name),
        *of_client(own, alone=True),
        *of_time(own, "it", now),
        *of_strength(own, "it"),
    ):
        raise _refused(flaw)
    if not chain:
        rule = "a broker is shown the chain up to the root that it trusts"
        raise _refused(Flaw("comes without who signed it", rule))
    for flaw in of_chain(own, chain, now):
        raise _refused(flaw)
    shown = [own, *(one for one in chain if one.subject != one.issuer)]
    return pem(*shown), min(one.not_valid_after_utc for one in (own, *chain))


def _of_ours(own: x509.Certificate, key: ec.EllipticCurvePrivateKey, common_name: str) -> Iterator[Flaw]:
    if _public(own.public_key()) != _public(key.public_key()):
        yield Flaw("is for another key", "it certifies the key that the request was signed with")
    names = [one.value for one in own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [common_name]:
        yield Flaw("is for another name", f"its common name is {common_name}, and no other")


def _public(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):  # ours is
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _refused(flaw: Flaw) -> RefusedError:
    return RefusedError(
        f"the certificate that was issued {flaw.what}",
        rule=f"{flaw.rule}; nothing was published",
        remedy="see the issuer's role and its chain; the next tick asks again",
    )
