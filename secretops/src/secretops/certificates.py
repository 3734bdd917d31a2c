"""A client's key and request, and whether what came back is the certificate that was asked for. No store, no clock."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from secretops.errors import RefusedError
from secretops.issuers.protocol import Signed


def new_key() -> ec.EllipticCurvePrivateKey:
    """ECDSA on P-256, which every TLS library takes."""
    return ec.generate_private_key(ec.SECP256R1())


def request_of(key: ec.EllipticCurvePrivateKey, common_name: str) -> str:
    """What an issuer is asked with: the name, the public key, and the proof that we have its other half."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return asked.public_bytes(Encoding.PEM).decode()


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """The key as a client's TLS library reads it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def certificates_in(text: str) -> str:
    """The certificates of a PEM text, and nothing that lies beside them. Raises ValueError where there is none."""
    return _pem(x509.load_pem_x509_certificates(text.encode()))


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
        raise _refused("is no certificate", "PEM, and who signed it beside it") from None
    _of_ours(own, key, common_name)
    _in_time(own, "it", now)
    if not chain:
        raise _refused("comes without who signed it", "a broker is shown the chain up to the root that it trusts")
    for below, above in zip((own, *chain), chain, strict=False):
        if below == above:  # a root, told twice
            continue
        if not _signed_by(below, above):
            raise _refused("is not signed by the chain that came with it", "each is signed by the next, which is a CA")
        _in_time(above, "a CA of its chain", now)
    shown = [own, *(one for one in chain if one.subject != one.issuer)]
    return _pem(shown), min(one.not_valid_after_utc for one in (own, *chain))


def _of_ours(own: x509.Certificate, key: ec.EllipticCurvePrivateKey, common_name: str) -> None:
    if _public(own.public_key()) != _public(key.public_key()):
        raise _refused("is for another key", "it certifies the key that the request was signed with")
    names = [one.value for one in own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [common_name]:
        raise _refused("is for another name", f"its common name is {common_name}, and no other")
    if _is_ca(own):
        raise _refused("is a CA's", "a client signs nothing")
    try:
        usages = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    if list(usages) != [ExtendedKeyUsageOID.CLIENT_AUTH]:
        raise _refused("is not for clients alone", "extended key usage: clientAuth, by which no server can be played")


def _in_time(one: x509.Certificate, which: str, now: datetime) -> None:
    begins, ends = one.not_valid_before_utc, one.not_valid_after_utc
    if ends <= now:
        raise _refused(f"has ended: {which} was good until {ends:%Y-%m-%d %H:%M} UTC", "it is good now")
    if begins > now:
        raise _refused(
            f"is not good yet: {which} is from {begins:%Y-%m-%d %H:%M} UTC on", "the clocks of both sides agree"
        )


def _signed_by(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return _is_ca(above)


def _is_ca(one: x509.Certificate) -> bool:
    try:
        return one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _public(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):  # ours is
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pem(found: list[x509.Certificate]) -> str:
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def _refused(what: str, rule: str) -> RefusedError:
    return RefusedError(
        f"the certificate that was issued {what}",
        rule=f"{rule}; nothing was published",
        remedy="see the issuer's role and its chain; the next tick asks again",
    )
