"""Keys, requests and certificates of clients, the checks of them, and the stack's own CA. No store, no clock.

The CA certifies one client's name. What it may do is in its own certificate, where every TLS library reads it: it signs
no other CA, no server, and no client with a name that does not begin with this one. So its key, in the wrong hands,
opens what the client's own key opens, and what a broker gives to a longer name (docs/adr/0013).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from secretops.errors import RefusedError

# Bits (NIST SP 800-131A).
LEAST_RSA, LEAST_CURVE = 2048, 256

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_BROKEN = (hashes.MD5, hashes.SHA1)

# The one name that a CA may certify of the kinds of names that it does not certify: nobody's (RFC 2606).
NOBODY = "nobody.invalid"

# A certificate begins this long before it is made: a broker's clock may be behind.
BACKDATED = timedelta(hours=1)


@dataclass(frozen=True)
class SignedCertificate:
    """The answer of an issuer, as PEM. Public, and not verify_issued yet: `verify_issued` does that."""

    certificate: str
    # The CA that signed it, then the CA above.
    chain: tuple[str, ...]


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a key for ECDSA on P-256, which every TLS library accepts."""
    return ec.generate_private_key(ec.SECP256R1())


def signing_request(key: ec.EllipticCurvePrivateKey, common_name: str) -> str:
    """Return a signing request: the name, the public key, and the proof that we have its other half."""
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject_of(common_name)).sign(key, hashes.SHA256())
    return asked.public_bytes(Encoding.PEM).decode()


def subject_of(common_name: str) -> x509.Name:
    """Return a subject with only a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the key as a client's TLS library reads it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def extract_certificates(text: str) -> str:
    """Return only the certificates of a PEM text. Raises ValueError if there is none."""
    return pem(*x509.load_pem_x509_certificates(text.encode()))


def pem(*found: x509.Certificate) -> str:
    """Return certificates as one PEM text."""
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def verify_issued(
    signed: SignedCertificate, key: ec.EllipticCurvePrivateKey, *, common_name: str, now: datetime
) -> tuple[str, datetime]:
    """Return what a client shows (its certificate and the chain below the root) and when the first of them ends.

    Raises RefusedError that says what is wrong.
    """
    try:
        own = x509.load_pem_x509_certificate(signed.certificate.encode())
        chain = [x509.load_pem_x509_certificate(one.encode()) for one in signed.chain]
    except ValueError:
        raise _refused(Problem("is no certificate", "PEM, and who signed it beside it")) from None
    if not all(is_readable(one) for one in (own, *chain)):
        raise _refused(Problem("can't be read, or its chain can't", "names and extensions are as in RFC 5280"))
    for flaw in (
        *_of_ours(own, key, common_name),
        *check_client(own, alone=True),
        *check_validity(own, "it", now),
        *check_strength(own, "it"),
    ):
        raise _refused(flaw)
    if not chain:
        raise _refused(
            Problem("comes without who signed it", "a broker is shown the chain up to the root that it trusts")
        )
    for flaw in check_chain(own, chain, now):
        raise _refused(flaw)
    shown = [own, *(one for one in chain if one.subject != one.issuer)]
    return pem(*shown), min(one.not_valid_after_utc for one in (own, *chain))


def _of_ours(own: x509.Certificate, key: ec.EllipticCurvePrivateKey, common_name: str) -> Iterator[Problem]:
    if _public(own) != _public(key):
        yield Problem("is for another key", "it certifies the key that the request was signed with")
    names = [one.value for one in own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [common_name]:
        yield Problem("is for another name", f"its common name is {common_name}, and no other")


def _refused(flaw: Problem) -> RefusedError:
    return RefusedError(
        f"the certificate that was issued {flaw.what}",
        rule=f"{flaw.rule}; nothing was published",
        remedy="see the issuer's role and its chain; the next tick asks again",
    )


def new_ca(common_name: str, *, seconds: int, now: datetime) -> tuple[str, str, datetime]:
    """Make a CA for the client `common_name`. Return its certificate and key as PEM, and when it ends.

    Each has a name of its own, by which a broker distinguishes two.
    """
    key, ends = new_key(), (now + timedelta(seconds=seconds)).replace(microsecond=0)
    name = subject_of(f"{common_name} CA {secrets.token_hex(4)}")
    made = (
        _certificate(name, name, key.public_key(), signer=key, now=now, ends=ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(_constraints(common_name), critical=True)
        .sign(key, hashes.SHA256())
    )
    return pem(made), private_pem(key), ends


def sign(request: str, authority: str, key: str, *, seconds: int, now: datetime) -> SignedCertificate:
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
    return SignedCertificate(pem(made), (authority,))


def has_signed(authority: str, certificate: str) -> bool:
    """Return whether a CA signed the first certificate of a PEM text. Raises ValueError if there is none."""
    own = x509.load_pem_x509_certificates(certificate.encode())[0]
    return signed_by(own, x509.load_pem_x509_certificate(authority.encode()))


def _constraints(common_name: str) -> x509.NameConstraints:
    """One name, in each kind of name that a broker may read. OpenSSL reads a common name with a dot in it as a host's,
    too; of e-mail and URI it can be told no way to exclude them all, but to permit one."""
    return x509.NameConstraints(
        permitted_subtrees=[
            x509.DirectoryName(subject_of(common_name)),
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
    unused = (
        *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(digital_signature=not signs, key_cert_sign=signs, **dict.fromkeys(unused, False))


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in words that follow the certificate's name, and the rule it breaks. Never a key."""

    what: str
    rule: str


def check_supplied(fields: Mapping[str, str], now: datetime) -> Iterator[Problem]:
    """Yield all that is wrong with an operator-supplied client certificate, each with its field."""
    found = certificates(fields["client.crt"])
    if not found:
        yield Problem("client.crt holds no certificate", "PEM, the client's own certificate first, then its chain")
    elif not all(is_readable(one) for one in found):
        yield Problem(
            "client.crt holds a certificate that can't be read", "its names and extensions are as in RFC 5280"
        )
    else:
        own, *chain = found
        for flaw in (
            *check_client(own),
            *check_validity(own, "it", now),
            *check_strength(own, "it"),
            *check_chain(own, chain, now),
        ):
            yield Problem(f"client.crt {flaw.what}", flaw.rule)
    yield from _of_key(fields["client.key"], found[0] if found else None)
    if "ca.crt" not in fields:
        return
    authorities = certificates(fields["ca.crt"])
    if not authorities:
        yield Problem("ca.crt holds no certificate", "PEM of who signs the broker's certificate")
    elif all(one.not_valid_after_utc <= now for one in authorities):
        yield Problem("ca.crt has ended: no certificate in it is good any more", "it is what the broker is known by")


def check_client(own: x509.Certificate, *, alone: bool = False) -> Iterator[Problem]:
    """Check that a client may use the readable certificate `own`; with `alone`: nobody but a client."""
    if is_ca(own):
        yield Problem("is a CA's", "a client signs nothing")
    elif (usage := _extension(own, x509.KeyUsage)) and not usage.digital_signature:
        yield Problem(
            "is not for signatures", "key usage: digitalSignature, by which a client proves that it has the key"
        )
    usages = list(_extension(own, x509.ExtendedKeyUsage) or [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    if alone and usages != [ExtendedKeyUsageOID.CLIENT_AUTH]:
        yield Problem("is not for clients alone", "extended key usage: clientAuth, by which no server can be played")
    elif not alone and not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {*usages}:
        yield Problem("is not for clients", "extended key usage: clientAuth, without which no broker takes it")


def check_validity(one: x509.Certificate, which: str, now: datetime) -> Iterator[Problem]:
    """Check that `which` is valid now."""
    begins, ends = one.not_valid_before_utc, one.not_valid_after_utc
    if ends <= now:
        yield Problem(f"has ended: {which} was good until {ends:%Y-%m-%d %H:%M} UTC", "it is good now")
    if begins > now:
        yield Problem(
            f"is not good yet: {which} is from {begins:%Y-%m-%d %H:%M} UTC on", "the clocks of both sides agree"
        )


def check_strength(one: x509.Certificate, which: str) -> Iterator[Problem]:
    """Check the strength of the key and of the signature of `which`."""
    rule = f"RSA of {LEAST_RSA} bits or more, or an elliptic curve of {LEAST_CURVE} or more"
    try:
        key = one.public_key()
    except (UnsupportedAlgorithm, ValueError):
        yield Problem(f"has a key that nobody knows: that of {which}", rule)
    else:
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_RSA:
            yield Problem(f"is weak: {which} has an RSA key of {key.key_size} bits", rule)
        elif isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < LEAST_CURVE:
            yield Problem(f"is weak: {which} has a key on {key.curve.name}", rule)
        elif isinstance(key, dsa.DSAPublicKey):
            yield Problem(f"is weak: {which} has a DSA key", rule)
    if one.subject == one.issuer:  # nobody believes it for its signature
        return
    try:
        hashed = one.signature_hash_algorithm
    except UnsupportedAlgorithm:
        yield Problem(f"is signed in a way that nobody knows: {which}", "SHA-256 or better")
    else:
        if isinstance(hashed, _BROKEN):
            yield Problem(f"is weak: {which} is signed by way of {hashed.name.upper()}", "SHA-256 or better")


def check_chain(own: x509.Certificate, chain: Sequence[x509.Certificate], now: datetime) -> Iterator[Problem]:
    """Check that each is signed by the next, which is a valid CA. A root may be there twice."""
    for below, above in zip((own, *chain), chain, strict=False):
        if below == above:
            continue
        if not _issued_by(below, above):
            yield Problem(
                "is not signed by the chain that came with it", "each is signed by the next one, which is a CA"
            )
        elif not is_ca(above):
            yield Problem("is signed by what is no CA", "basic constraints: CA:TRUE, without which no broker takes it")
        yield from check_validity(above, "a CA of its chain", now)
        yield from check_strength(above, "a CA of its chain")


def certificates(text: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM text; none if one can't be read."""
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except (ValueError, x509.InvalidVersion):
        return []


def is_readable(one: x509.Certificate) -> bool:
    """Return whether its names and extensions can be read: the library parses them late."""
    try:
        return bool((one.subject, one.issuer, one.extensions))
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False


def signed_by(below: x509.Certificate, above: x509.Certificate) -> bool:
    """Return whether the CA `above` signed it, by name and by signature."""
    return _issued_by(below, above) and is_ca(above)


def is_ca(one: x509.Certificate) -> bool:
    """Return whether it is a CA's."""
    found = _extension(one, x509.BasicConstraints) if is_readable(one) else None
    return found is not None and found.ca


def _issued_by(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _extension(one: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return one.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _of_key(text: str, own: x509.Certificate | None) -> Iterator[Problem]:
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:
        yield Problem(
            "client.key is encrypted", "it has no passphrase: nobody is there to type one when a server starts"
        )
    except (ValueError, UnsupportedAlgorithm):
        yield Problem("client.key is no private key", "PEM of the certificate's own key, unencrypted")
    else:
        if own and _public(key) != _public(own):
            yield Problem("client.key is another certificate's", "it is the key that client.crt certifies")


def _public(holder: x509.Certificate | PrivateKeyTypes) -> bytes:
    try:
        return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (UnsupportedAlgorithm, ValueError):  # its strength is a flaw of its own
        return b""
