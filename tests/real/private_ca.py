"""A stand-in for AWS Private CA: moto's, with rules of AWS that moto lacks.

moto's signatures are real, but it ignores validity and token. The rules are from AWS' API reference of IssueCertificate
and GetCertificate and its User Guide (Template definitions). Only a test with a real account could prove them. This
proves nothing about permissions.

    a client's template adds digitalSignature, clientAuth, and no CA              moto adds no extension
    a certificate is valid from an hour ago, for as long as requested             moto: for 365 days
    none outlives its CA, and a disabled CA signs nothing                         moto checks neither
    the algorithm is of the CA's kind of key                                      moto's keys are all RSA
    the same token within five minutes is the same certificate                    moto signs again
    a signed one is ready a moment later, with its chain up to the root           moto: at once, with the CA alone
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from secretops.platforms.aws.location import AwsPrivateCaIssuer
from tests.real.aws_stack import AwsStack, make_aws_stack
from tests.real.mosquitto import Mosquitto
from tests.real.moto import ACCOUNT, REGION, Aws

if TYPE_CHECKING:
    from moto.acmpca.models import CertificateAuthority

CERTIFICATE = "client-cert"
NAME = "coreflux-mcp-test"
DAYS = 30
CLIENTS_ALONE = "arn:aws:acm-pca:::template/EndEntityClientAuthCertificate/V1"


@dataclass
class StrictPrivateCa:
    """A CA under its own root."""

    arn: str
    root: str  # PEM: what a broker trusts.
    requested: list[dict[str, Any]] = field(default_factory=list)  # Each IssueCertificate.
    late: int = 0  # How often GetCertificate reports that the next ones are not ready.
    fails_with: str = ""  # The errors of each IssueCertificate, if any.
    _made: dict[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> CertificateAuthority:
        """Return moto's own object. Its server runs in this process (tests/real/moto)."""
        from moto.acmpca.models import acmpca_backends

        return acmpca_backends[ACCOUNT][REGION].certificate_authorities[self.arn]

    def disable(self) -> None:
        self.kept.status = "DISABLED"

    def issue(self, requested: dict[str, Any]) -> str:
        self.requested.append(requested)
        if self.fails_with:
            raise _refused(self.fails_with)
        ca = self.kept
        if ca.status != "ACTIVE":
            raise _refused("InvalidStateException")
        if (token := requested.get("IdempotencyToken")) and token in self._made:
            return self._made[token]
        request = x509.load_pem_x509_csr(base64.b64decode(requested["Csr"]))
        if not request.is_signature_valid:
            raise _refused("MalformedCSRException")
        if not requested["SigningAlgorithm"].endswith("ECDSA"):
            raise _refused("ValidationException")
        assert requested["TemplateArn"] == CLIENTS_ALONE, "the one that this stand-in knows"
        assert requested["Validity"]["Type"] == "DAYS"
        ends = datetime.now(UTC) + timedelta(days=requested["Validity"]["Value"])
        own = ca.certificate
        assert own
        if ends > own.not_valid_after_utc:
            raise _refused("ValidationException")
        arn = f"{self.arn}/certificate/{uuid.uuid4().hex}"
        made = _signed(request.subject, request.public_key(), own.subject, ca.key, ends)
        ca.issued_certificates[arn] = made.public_bytes(Encoding.PEM)
        if token:
            self._made[token] = arn
        return arn

    def get(self, arn: str) -> dict[str, str]:
        if arn not in self.kept.issued_certificates:
            raise _refused("ResourceNotFoundException")
        if self.late:
            self.late -= 1
            raise _refused("RequestInProgressException")
        chain = self.kept.certificate_bytes.decode() + self.root
        return {"Certificate": self.kept.issued_certificates[arn].decode().strip(), "CertificateChain": chain.strip()}


def issuer_of(ca: StrictPrivateCa, *, days: int = DAYS) -> AwsPrivateCaIssuer:
    return AwsPrivateCaIssuer(arn=ca.arn, common_name=NAME, seconds=days * 86400)


def make_signed_stack(broker: Mosquitto, aws: Aws, ca: StrictPrivateCa) -> AwsStack:
    """Return a stack whose client certificate the CA signs, with a broker that requires one. No secret has a value
    yet."""
    broker.ca_file.write_text(broker.ca_file.read_text() + ca.root)  # as the operator of the broker does
    broker.stop()
    assert broker.start()
    shown = {"certificate_file": None, "key_file": None, "certificate_secret": CERTIFICATE}
    stack = make_aws_stack(broker.broker().model_copy(update=shown), aws)
    secrets = tuple(
        one.model_copy(update={"issuer": issuer_of(ca)}) if one.name == CERTIFICATE else one
        for one in stack.manifest.secrets
    )
    stack.manifest = stack.manifest.model_copy(update={"secrets": secrets})
    return stack


@contextmanager
def strict_private_ca(moto: Aws, *, days: int = 3650) -> Iterator[StrictPrivateCa]:
    """Yield a CA whose certificate is valid for `days`."""
    from moto.acmpca.responses import ACMPCAResponse

    made = _make(moto, days)

    def issue(response: ACMPCAResponse) -> str:
        requested = json.loads(response.body)
        if requested["CertificateAuthorityArn"] != made.arn:
            raise _refused("ResourceNotFoundException")
        return json.dumps({"CertificateArn": made.issue(requested)})

    def get(response: ACMPCAResponse) -> str:
        return json.dumps(made.get(json.loads(response.body)["CertificateArn"]))

    with (
        mock.patch.object(ACMPCAResponse, "issue_certificate", issue),
        mock.patch.object(ACMPCAResponse, "get_certificate", get),
    ):
        yield made


def _make(moto: Aws, days: int) -> StrictPrivateCa:
    client = moto.client("acm-pca")
    # Separate from its name: a scanner takes the curve's for a key.
    curve = "EC_prime256v1"
    about = {"KeyAlgorithm": curve, "SigningAlgorithm": "SHA256WITHECDSA", "Subject": {"CommonName": "test clients"}}
    arn = client.create_certificate_authority(
        CertificateAuthorityConfiguration=about, CertificateAuthorityType="SUBORDINATE"
    )["CertificateAuthorityArn"]
    root_key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])
    ends = datetime.now(UTC) + timedelta(days=days)
    root = _signed(named, root_key.public_key(), named, root_key, ends + timedelta(days=1), depth=1)
    made = StrictPrivateCa(arn, root.public_bytes(Encoding.PEM).decode())
    own = ec.generate_private_key(ec.SECP256R1())
    made.kept.private_bytes = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made.kept.password = None  # type: ignore[assignment]
    certificate = _signed(made.kept.issuer, own.public_key(), named, root_key, ends, depth=0)
    client.import_certificate_authority_certificate(
        CertificateAuthorityArn=arn,
        Certificate=certificate.public_bytes(Encoding.PEM),
        CertificateChain=root.public_bytes(Encoding.PEM),
    )
    return made


def _signed(
    subject: x509.Name, public: Any, issuer: x509.Name, key: Any, ends: datetime, *, depth: int | None = None
) -> x509.Certificate:
    """Return a client's certificate, or that of a CA with `depth` more CAs below it."""
    is_ca = depth is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=depth), critical=is_ca)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_usage(signs=is_ca), critical=True)
    )
    if not is_ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return builder.sign(key, hashes.SHA256())


def _usage(*, signs: bool) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    off = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=signs, crl_sign=signs, **off)


def _refused(code: str) -> Exception:
    from moto.core.exceptions import JsonRESTError

    return JsonRESTError(code, "as AWS says it, which nobody is shown")
