"""Keys, requests and certificates of clients, and the stack's own CA. No store, no clock.

The CA certifies one client's name. What it may do is in its own certificate, where every TLS library reads it: it signs
no other CA, no server, and no client with a name that does not begin with this one. So its key, in the wrong hands,
opens what the client's own key opens, and what a broker gives to a longer name (docs/adr/0013).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from secretops.certificate_checks import Flaw, is_readable, of_chain, of_client, of_strength, of_time, signed_by
from secretops.errors import RefusedError

# The one name that a CA may certify of the kinds of names that it does not certify: nobody's (RFC 2606).
NOBODY = "nobody.invalid"

# A certificate begins this long before it is made: a broker's clock may be behind.
BACKDATED = timedelta(hours=1)


@dataclass(frozen=True)
class Signed:
    """The answer of an issuer, as PEM. Public, and not checked yet: `checked` does that."""

    certificate: str
    # The CA that signed it, then the CA above.
    chain: tuple[str, ...]


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a key for ECDSA on P-256, which every TLS library accepts."""
    return ec.generate_private_key(ec.SECP256R1())


def request_of(key: ec.EllipticCurvePrivateKey, common_name: str) -> str:
    """Return a signing request: the name, the public key, and the proof that we have its other half."""
    asked = x509.CertificateSigningRequestBuilder().subject_name(name_of(common_name)).sign(key, hashes.SHA256())
    return asked.public_bytes(Encoding.PEM).decode()


def name_of(common_name: str) -> x509.Name:
    """Return a subject with only a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the key as a client's TLS library reads it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def certificates_in(text: str) -> str:
    """Return only the certificates of a PEM text. Raises ValueError if there is none."""
    return pem(*x509.load_pem_x509_certificates(text.encode()))


def pem(*found: x509.Certificate) -> str:
    """Return certificates as one PEM text."""
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def checked(
    signed: Signed, key: ec.EllipticCurvePrivateKey, *, common_name: str, now: datetime
) -> tuple[str, datetime]:
    """Return what a client shows (its certificate and the chain below the root) and when the first of them ends.

    Raises RefusedError that says what is wrong.
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


def new_authority(common_name: str, *, seconds: int, now: datetime) -> tuple[str, str, datetime]:
    """Make a CA for the client `common_name`. Return its certificate and key as PEM, and when it ends.

    Each has a name of its own, by which a broker distinguishes two.
    """
    key, ends = new_key(), (now + timedelta(seconds=seconds)).replace(microsecond=0)
    name = name_of(f"{common_name} CA {secrets.token_hex(4)}")
    made = (
        _certificate(name, name, key.public_key(), signer=key, now=now, ends=ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(_constraints(common_name), critical=True)
        .sign(key, hashes.SHA256())
    )
    return pem(made), private_pem(key), ends


def sign(request: str, authority: str, key: str, *, seconds: int, now: datetime) -> Signed:
    """Return a client's certificate for `request`, good for `seconds` and no longer than its CA.

    Only the name and the public key of the request count. Raises ValueError for a request or a CA that is none.
    """
    asked, above = x509.load_pem_x509_csr(request.encode()), x509.load_pem_x509_certificate(authority.encode())
    signer, public = load_pem_private_key(key.encode(), None), asked.public_key()
    if not (
        isinstance(signer, ec.EllipticCurvePrivateKey)
        and isinstance(public, ec.EllipticCurvePublicKey)
        and asked.is_signature_valid
    ):
        raise ValueError("both keys are on an elliptic curve, and whoever asks has the one of the request")
    ends = min((now + timedelta(seconds=seconds)).replace(microsecond=0), above.not_valid_after_utc)
    made = (
        _certificate(asked.subject, above.subject, public, signer=signer, now=now, ends=ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .sign(signer, hashes.SHA256())
    )
    return Signed(pem(made), (authority,))


def has_signed(authority: str, certificate: str) -> bool:
    """Return whether a CA signed the first certificate of a PEM text. Raises ValueError if there is none."""
    own = x509.load_pem_x509_certificates(certificate.encode())[0]
    return signed_by(own, x509.load_pem_x509_certificate(authority.encode()))


def _constraints(common_name: str) -> x509.NameConstraints:
    """One name, in each kind of name that a broker may read. OpenSSL reads a common name with a dot in it as a host's,
    too; of e-mail and URI it can be told no way to exclude them all, but to permit one."""
    return x509.NameConstraints(
        permitted_subtrees=[
            x509.DirectoryName(name_of(common_name)),
            x509.DNSName(common_name),
            x509.RFC822Name(f"nobody@{NOBODY}"),
            x509.UniformResourceIdentifier(NOBODY),
        ],
        excluded_subtrees=[x509.IPAddress(ip_network(every)) for every in ("0.0.0.0/0", "::/0")],
    )


def _certificate(
    name: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    *,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())  # 159 bits
        .not_valid_before(now - BACKDATED)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
