"""Keys, signing requests, certificates and the stack's own CA, without access to a store or a clock.

The CA signs certificates for one client name. Name constraints in the CA's certificate make TLS libraries reject other
certificates that it signs: those of CAs, of servers, and of clients whose name does not start with this name. So an
attacker with the CA's key can log in only with such a name (docs/adr/0013).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
MIN_RSA, MIN_CURVE = 2048, 256

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_BROKEN = (hashes.MD5, hashes.SHA1)

# Reserved host name that nobody can own (RFC 2606). The CA's name constraints permit no other host in e-mail addresses
# and URIs.
NOBODY = "nobody.invalid"

# A certificate is valid from this long before its creation, because a broker's clock may be behind.
BACKDATED = timedelta(hours=1)

_UNUSED_KEY_USAGES = (
    *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True)
class SignedCertificate:
    """A certificate and its chain from an issuer, as PEM. They are public, and are untrusted until `verify_issued`
    accepts them."""

    certificate: str
    # The CA that signed the certificate, then the CA that signed that one, and so on.
    chain: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """A problem of a certificate, and the rule that it breaks. Never contains a key."""

    what: str
    rule: str
    code: str


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new key for ECDSA on P-256, which every TLS library accepts."""
    return ec.generate_private_key(ec.SECP256R1())


def signing_request(key: ec.EllipticCurvePrivateKey, common_name: str) -> str:
    request = x509.CertificateSigningRequestBuilder().subject_name(subject_of(common_name)).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def subject_of(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def extract_certificates(text: str) -> str:
    """Return only the certificates of a PEM text. Raises ValueError if there is none."""
    return pem(*x509.load_pem_x509_certificates(text.encode()))


def pem(*found: x509.Certificate) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in found)


def verify_issued(
    signed: SignedCertificate, key: ec.EllipticCurvePrivateKey, *, common_name: str, now: datetime
) -> tuple[str, datetime]:
    """Verify an issued certificate. Return the PEM text that a client presents, and when the first certificate in it
    expires.

    The text is the client's certificate, and its chain without the root. Raises RefusedError.
    """
    try:
        own = x509.load_pem_x509_certificate(signed.certificate.encode())
        chain = [x509.load_pem_x509_certificate(each.encode()) for each in signed.chain]
    except ValueError:
        raise _refused(
            Problem(
                "the certificate or its chain is not PEM",
                "certificate and chain must be PEM",
                code="issued-certificate-malformed",
            )
        ) from None
    for problem in _issued_problems(own, chain, key, common_name, now):
        raise _refused(problem)
    presented = [own, *(each for each in chain if each.subject != each.issuer)]
    return pem(*presented), min(each.not_valid_after_utc for each in (own, *chain))


def _issued_problems(
    own: x509.Certificate,
    chain: Sequence[x509.Certificate],
    key: ec.EllipticCurvePrivateKey,
    common_name: str,
    now: datetime,
) -> Iterator[Problem]:
    if not all(is_readable(each) for each in (own, *chain)):
        yield Problem("the certificate or its chain cannot be parsed", _READABLE, code="certificate-unreadable")
    if _public(own) != _public(key):
        yield Problem(
            "the certificate is for another key",
            "the certificate must have the public key of the signing request",
            code="certificate-key-mismatch",
        )
    names = [each.value for each in own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [common_name]:
        yield Problem(
            "the certificate is for another name",
            f"the certificate's only common name must be {common_name}",
            code="certificate-name-mismatch",
        )
    yield from (*check_client(own, alone=True), *check_validity(own, "it", now), *check_strength(own, "it"))
    if not chain:
        yield Problem(
            "the certificate has no chain",
            "a client must present the chain up to a trusted root",
            code="certificate-chain-missing",
        )
    yield from check_chain(own, chain, now)


def _refused(problem: Problem) -> RefusedError:
    return RefusedError(
        f"the issuer returned an invalid certificate: {problem.what}",
        rule=f"{problem.rule}; nothing was published",
        remedy="correct the issuer's settings, such as its role in Vault, or its CA chain; the next tick requests "
        "a certificate again",
        code=problem.code,
    )


def new_ca(common_name: str, *, seconds: int, now: datetime) -> tuple[str, str, datetime]:
    """Create a CA for the client `common_name`. Return its certificate and key as PEM, and when it expires.

    Each CA has a unique name, so that a broker can distinguish them.
    """
    key, ends = new_key(), (now + timedelta(seconds=seconds)).replace(microsecond=0)
    name = subject_of(f"{common_name} CA {secrets.token_hex(4)}")
    made = _sign(key, name, name, key.public_key(), now=now, ends=ends, constraints=_constraints(common_name))
    return pem(made), private_pem(key), ends


def sign(request: str, authority: str, key: str, *, seconds: int, now: datetime) -> SignedCertificate:
    """Return a client certificate for `request`, valid for `seconds`, but at most until its CA expires.

    Uses only the name and the public key of the request. Raises ValueError for an invalid request or CA.
    """
    wanted, above = x509.load_pem_x509_csr(request.encode()), x509.load_pem_x509_certificate(authority.encode())
    signer, public = load_pem_private_key(key.encode(), None), wanted.public_key()
    if not (
        isinstance(signer, ec.EllipticCurvePrivateKey)
        and isinstance(public, ec.EllipticCurvePublicKey)
        and wanted.is_signature_valid
    ):
        raise ValueError("both keys must be on an elliptic curve, and the request must be signed with its own key")
    ends = min((now + timedelta(seconds=seconds)).replace(microsecond=0), above.not_valid_after_utc)
    made = _sign(signer, above.subject, wanted.subject, public, now=now, ends=ends)
    return SignedCertificate(pem(made), (authority,))


def has_signed(authority: str, certificate: str) -> bool:
    """Return whether a CA signed the first certificate of a PEM text. Raises ValueError if the text has no
    certificate."""
    own = x509.load_pem_x509_certificates(certificate.encode())[0]
    above = x509.load_pem_x509_certificate(authority.encode())
    return _issued_by(own, above) and is_ca(above)


def _constraints(common_name: str) -> x509.NameConstraints:
    # Permits one name of each kind that a broker may compare. The DNS name is permitted because OpenSSL also reads a
    # common name with a dot as a host name. Constraints cannot exclude all e-mail addresses or all URIs, so they permit
    # only those of a host that nobody can own.
    return x509.NameConstraints(
        permitted_subtrees=[
            x509.DirectoryName(subject_of(common_name)),
            x509.DNSName(common_name),
            x509.RFC822Name(f"nobody@{NOBODY}"),
            x509.UniformResourceIdentifier(NOBODY),
        ],
        excluded_subtrees=[x509.IPAddress(ip_network(every)) for every in ("0.0.0.0/0", "::/0")],
    )


def _sign(
    signer: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    name: x509.Name,
    public: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
    ends: datetime,
    constraints: x509.NameConstraints | None = None,
) -> x509.Certificate:
    signs = constraints is not None
    usage = x509.KeyUsage(digital_signature=not signs, key_cert_sign=signs, **dict.fromkeys(_UNUSED_KEY_USAGES, False))
    builder = (
        x509.CertificateBuilder(issuer, name, public)
        .serial_number(x509.random_serial_number())  # 159 bits
        .not_valid_before(now - BACKDATED)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=signs, path_length=0 if signs else None), critical=True)
        .add_extension(usage, critical=True)
    )
    if constraints:
        builder = builder.add_extension(constraints, critical=True)
    return builder.sign(signer, hashes.SHA256())


_READABLE = "the names and extensions of a certificate must follow RFC 5280"


def check_supplied(fields: Mapping[str, str], now: datetime) -> Iterator[Problem]:
    """Yield all problems of an operator-supplied client certificate, each with its field."""
    found = load_certificates(fields["client.crt"])
    if not found:
        rule = "client.crt must be PEM: the client's own certificate, then its chain"
        yield Problem("client.crt contains no certificate", rule, code="certificate-malformed")
    elif not all(is_readable(each) for each in found):
        yield Problem(
            "client.crt contains a certificate that cannot be parsed", _READABLE, code="certificate-unreadable"
        )
    else:
        own, *chain = found
        checks = check_client(own), check_validity(own, "it", now), check_strength(own, "it")
        for problem in (*(each for check in checks for each in check), *check_chain(own, chain, now)):
            yield replace(problem, what=f"client.crt: {problem.what}")
    yield from _check_key(fields["client.key"], found[0] if found else None)
    if "ca.crt" in fields:
        authorities, rule = (
            load_certificates(fields["ca.crt"]),
            "ca.crt must be PEM: the CA that signs the broker's certificate, valid now",
        )
        if not authorities:
            yield Problem("ca.crt contains no certificate", rule, code="ca-malformed")
        elif all(each.not_valid_after_utc <= now for each in authorities):
            yield Problem("ca.crt contains only expired certificates", rule, code="ca-expired")
        elif not any(each.not_valid_before_utc <= now < each.not_valid_after_utc for each in authorities):
            yield Problem("ca.crt contains no certificate that is valid now", rule, code="ca-not-valid")


def check_client(own: x509.Certificate, *, alone: bool = False) -> Iterator[Problem]:
    """Yield problems of `own`, a readable certificate. It must permit client authentication; with `alone`, nothing
    else."""
    if is_ca(own):
        yield Problem(
            "the certificate is a CA certificate", "a client certificate must not be a CA", code="certificate-is-ca"
        )
    elif (usage := _extension(own, x509.KeyUsage)) and not usage.digital_signature:
        yield Problem(
            "the certificate does not permit signatures",
            "the certificate's key usage must include digitalSignature",
            code="certificate-key-usage",
        )
    usages = list(_extension(own, x509.ExtendedKeyUsage) or [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    if alone and usages != [ExtendedKeyUsageOID.CLIENT_AUTH]:
        rule = "the extended key usage must be only clientAuth, so that the certificate cannot impersonate a server"
        yield Problem(
            "the certificate permits more than client authentication", rule, code="certificate-not-client-only"
        )
    elif not alone and not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {*usages}:
        rule = "the certificate's extended key usage must include clientAuth, which brokers require"
        yield Problem("the certificate does not permit client authentication", rule, code="certificate-not-client")


def check_validity(certificate: x509.Certificate, which: str, now: datetime) -> Iterator[Problem]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if ends <= now:
        yield Problem(
            f"the certificate has expired: {which} was valid until {ends:%Y-%m-%d %H:%M} UTC",
            "a certificate must be valid now",
            code="certificate-expired",
        )
    if begins > now:
        yield Problem(
            f"the certificate is not valid yet: {which} is valid from {begins:%Y-%m-%d %H:%M} UTC",
            "a certificate must be valid now, by the clock of this machine",
            code="certificate-not-yet-valid",
        )


def check_strength(certificate: x509.Certificate, which: str) -> Iterator[Problem]:
    rule = (
        f"a key must be RSA of at least {MIN_RSA} bits, elliptic-curve of at least {MIN_CURVE} bits, Ed25519 or Ed448"
    )
    weak = ""
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        yield Problem(
            f"the certificate is not supported: {which} has an unknown type of key",
            rule,
            code="certificate-key-unsupported",
        )
    else:
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA:
            weak = f"an RSA key of {key.key_size} bits"
        elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < MIN_CURVE:
            curve = key.curve.name
            weak = f"a key on the elliptic curve {curve}"
        elif isinstance(key, dsa.DSAPublicKey):
            weak = "a DSA key"
        if weak:
            yield Problem(f"the certificate is weak: {which} has {weak}", rule, code="certificate-key-weak")
    if certificate.subject == certificate.issuer:  # a self-signed certificate's signature proves nothing
        return
    try:
        hashed = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        yield Problem(
            f"the certificate is not supported: {which} has an unknown type of signature",
            "a signature must use a known algorithm, such as SHA-256",
            code="certificate-signature-unsupported",
        )
    else:
        if isinstance(hashed, _BROKEN):
            yield Problem(
                f"the certificate is weak: {which} has a signature with {hashed.name.upper()}",
                "a signature must not use MD5 or SHA-1",
                code="certificate-signature-weak",
            )


def check_chain(own: x509.Certificate, chain: Sequence[x509.Certificate], now: datetime) -> Iterator[Problem]:
    """Yield problems of a chain. Each certificate must be signed by the next one, a valid CA. Skips a repeated
    certificate."""
    for below, above in zip((own, *chain), chain, strict=False):
        if below == above:
            continue
        if not _issued_by(below, above):
            yield Problem(
                "the certificate is not signed by the next certificate of its chain",
                "each certificate must be signed by the next one, a CA",
                code="certificate-chain-broken",
            )
        elif not is_ca(above):
            yield Problem(
                "the certificate is signed by a certificate that is not a CA",
                "a certificate that signs others must have CA:TRUE in its basic constraints",
                code="certificate-issuer-not-ca",
            )
        yield from check_validity(above, "a CA of its chain", now)
        yield from check_strength(above, "a CA of its chain")


def load_certificates(text: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM text, or none if one is malformed."""
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except (ValueError, x509.InvalidVersion):
        return []


def is_readable(certificate: x509.Certificate) -> bool:
    """Return whether a certificate's names and extensions can be parsed. The library parses them only on access."""
    try:
        return bool((certificate.subject, certificate.issuer, certificate.extensions))
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False


def is_ca(certificate: x509.Certificate) -> bool:
    found = _extension(certificate, x509.BasicConstraints) if is_readable(certificate) else None
    return found is not None and found.ca


def _issued_by(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _check_key(text: str, own: x509.Certificate | None) -> Iterator[Problem]:
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:
        rule = "the key must not have a passphrase: servers start unattended"
        yield Problem("client.key is encrypted", rule, code="private-key-encrypted")
    except (ValueError, UnsupportedAlgorithm):
        yield Problem(
            "client.key is not a private key", "the key must be unencrypted PEM", code="private-key-malformed"
        )
    else:
        if own and _public(key) != _public(own):
            yield Problem(
                "client.key belongs to another certificate",
                "client.key must be the key that client.crt certifies",
                code="private-key-mismatch",
            )


def _public(holder: x509.Certificate | PrivateKeyTypes) -> bytes:
    try:
        return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (UnsupportedAlgorithm, ValueError):  # `check_strength` reports it
        return b""
