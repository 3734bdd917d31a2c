"""A CA that certifies one client's name, and nothing else: its certificate, and what it signs. No store, no clock.

What it may is in its own certificate, where every TLS library reads it: it signs no other CA, no server, and no client
whose name does not begin with this one. So its key, in the wrong hands, opens what the client's own key opens, and what
a broker gives to a longer name (docs/adr/0013).
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from ipaddress import ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from secretops.certificate_checks import signed_by
from secretops.certificates import Signed, name_of, new_key, pem, private_pem

NOBODY = "nobody.invalid"
"""Of a kind of name that no CA here certifies, the one that it may: a name that is nobody's (RFC 2606)."""

BACKDATED = timedelta(hours=1)
"""By which a certificate begins before it is made: a broker's clock may be behind."""


def new_authority(common_name: str, *, seconds: int, now: datetime) -> tuple[str, str, datetime]:
    """A CA for the client `common_name`: its certificate and its key as PEM, and when it ends.

    Each has a name of its own, so that a broker keeps two apart.
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
    """A client's certificate for `request`, good for `seconds` and no longer than its CA.

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
    """Whether a CA signed the first certificate of a PEM text. Raises ValueError where there is none."""
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
