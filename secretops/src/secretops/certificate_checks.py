"""What may be wrong with a certificate, whoever made it. Each check gives what it finds; nothing here raises for one.

A flaw is told in words that follow the certificate's name, and never quotes a key. No store, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

LEAST_RSA, LEAST_CURVE = 2048, 256
"""Bits (NIST SP 800-131A)."""

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_BROKEN = (hashes.MD5, hashes.SHA1)


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong, and the rule it breaks."""

    what: str
    rule: str


def of_supplied(fields: Mapping[str, str], now: datetime) -> Iterator[Flaw]:
    """Everything that is wrong with a client certificate that an operator supplies, each told with its field."""
    found = certificates(fields["client.crt"])
    if not found:
        yield Flaw("client.crt holds no certificate", "PEM, the client's own certificate first, then its chain")
    elif not all(is_readable(one) for one in found):
        yield Flaw("client.crt holds a certificate that can't be read", "its names and extensions are as in RFC 5280")
    else:
        own, *chain = found
        for flaw in (*of_client(own), *of_time(own, "it", now), *of_strength(own, "it"), *of_chain(own, chain, now)):
            yield Flaw(f"client.crt {flaw.what}", flaw.rule)
    yield from _of_key(fields["client.key"], found[0] if found else None)
    if "ca.crt" not in fields:
        return
    authorities = certificates(fields["ca.crt"])
    if not authorities:
        yield Flaw("ca.crt holds no certificate", "PEM of who signs the broker's certificate")
    elif all(one.not_valid_after_utc <= now for one in authorities):
        yield Flaw("ca.crt has ended: no certificate in it is good any more", "it is what the broker is known by")


def of_client(own: x509.Certificate, *, alone: bool = False) -> Iterator[Flaw]:
    """Whether a client may show it, which can be read. `alone`: and nobody but a client."""
    if is_ca(own):
        yield Flaw("is a CA's", "a client signs nothing")
    elif (usage := _extension(own, x509.KeyUsage)) and not usage.digital_signature:
        yield Flaw("is not for signatures", "key usage: digitalSignature, by which a client proves that it has the key")
    usages = list(_extension(own, x509.ExtendedKeyUsage) or [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    if alone and usages != [ExtendedKeyUsageOID.CLIENT_AUTH]:
        yield Flaw("is not for clients alone", "extended key usage: clientAuth, by which no server can be played")
    elif not alone and not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {*usages}:
        yield Flaw("is not for clients", "extended key usage: clientAuth, without which no broker takes it")


def of_time(one: x509.Certificate, which: str, now: datetime) -> Iterator[Flaw]:
    """Whether `which` is good now."""
    begins, ends = one.not_valid_before_utc, one.not_valid_after_utc
    if ends <= now:
        yield Flaw(f"has ended: {which} was good until {ends:%Y-%m-%d %H:%M} UTC", "it is good now")
    if begins > now:
        yield Flaw(f"is not good yet: {which} is from {begins:%Y-%m-%d %H:%M} UTC on", "the clocks of both sides agree")


def of_strength(one: x509.Certificate, which: str) -> Iterator[Flaw]:
    """Whether somebody else could make the key of `which`, or another certificate that has its signature."""
    rule = f"RSA of {LEAST_RSA} bits or more, or an elliptic curve of {LEAST_CURVE} or more"
    try:
        key = one.public_key()
    except (UnsupportedAlgorithm, ValueError):
        yield Flaw(f"has a key that nobody knows: that of {which}", rule)
    else:
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_RSA:
            yield Flaw(f"is weak: {which} has an RSA key of {key.key_size} bits", rule)
        elif isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < LEAST_CURVE:
            yield Flaw(f"is weak: {which} has a key on {key.curve.name}", rule)
        elif isinstance(key, dsa.DSAPublicKey):
            yield Flaw(f"is weak: {which} has a DSA key", rule)
    if one.subject == one.issuer:  # nobody believes it for its signature
        return
    try:
        hashed = one.signature_hash_algorithm
    except UnsupportedAlgorithm:
        yield Flaw(f"is signed in a way that nobody knows: {which}", "SHA-256 or better")
    else:
        if isinstance(hashed, _BROKEN):
            yield Flaw(f"is weak: {which} is signed by way of {hashed.name.upper()}", "SHA-256 or better")


def of_chain(own: x509.Certificate, chain: Sequence[x509.Certificate], now: datetime) -> Iterator[Flaw]:
    """Whether each is signed by the next, which is a CA that is good now. A root may be told twice."""
    for below, above in zip((own, *chain), chain, strict=False):
        if below == above:
            continue
        if not _issued_by(below, above):
            yield Flaw("is not signed by the chain that came with it", "each is signed by the next one, which is a CA")
        elif not is_ca(above):
            yield Flaw("is signed by what is no CA", "basic constraints: CA:TRUE, without which no broker takes it")
        yield from of_time(above, "a CA of its chain", now)
        yield from of_strength(above, "a CA of its chain")


def certificates(text: str) -> list[x509.Certificate]:
    """Those of a PEM text; none where it has none, or one that can't be read."""
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except (ValueError, x509.InvalidVersion):
        return []


def is_readable(one: x509.Certificate) -> bool:
    """Whether its names and extensions are what they have to be. They are looked at only when they are asked for."""
    try:
        return bool((one.subject, one.issuer, one.extensions))
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False


def signed_by(below: x509.Certificate, above: x509.Certificate) -> bool:
    """Whether a CA signed it, by name and by signature."""
    return _issued_by(below, above) and is_ca(above)


def is_ca(one: x509.Certificate) -> bool:
    """Whether it says that it may sign others."""
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


def _of_key(text: str, own: x509.Certificate | None) -> Iterator[Flaw]:
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:
        yield Flaw("client.key is encrypted", "it has no passphrase: nobody is there to type one when a server starts")
    except (ValueError, UnsupportedAlgorithm):
        yield Flaw("client.key is no private key", "PEM of the certificate's own key, unencrypted")
    else:
        encoded = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        if own and key.public_key().public_bytes(*encoded) != _public(own, *encoded):
            yield Flaw("client.key is another certificate's", "it is the key that client.crt certifies")


def _public(own: x509.Certificate, encoding: Encoding, form: PublicFormat) -> bytes:
    try:
        return own.public_key().public_bytes(encoding, form)
    except (UnsupportedAlgorithm, ValueError):  # which is a flaw of its own
        return b""
