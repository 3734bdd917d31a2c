"""A CA of AWS Private CA. It signs a request, and never receives the private key."""

from __future__ import annotations

import hashlib
import re
from contextlib import AbstractContextManager

from secretops.certificates import SignedCertificate
from secretops.errors import StoreError
from secretops.platforms.aws import errors
from secretops.platforms.aws.api import connect
from secretops.platforms.aws.location import AwsPrivateCaIssuer
from secretops.stores.store_errors import THROTTLED, ErrorTemplate

# Length of an idempotency token; AWS allows 36.
TOKEN_CHARACTERS = 32
_DAY = 86400
# The CA's type of key -> its signing algorithm. Omits those that a broker's TLS library may not know: SM2, ML-DSA.
_SIGNS_WITH = {
    "EC_prime256v1": "SHA256WITHECDSA",
    "EC_secp384r1": "SHA384WITHECDSA",
    "EC_secp521r1": "SHA512WITHECDSA",
    "RSA_2048": "SHA256WITHRSA",
    "RSA_3072": "SHA256WITHRSA",
    "RSA_4096": "SHA256WITHRSA",
}
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class AwsPrivateCa:
    def __init__(self, issuer: AwsPrivateCaIssuer) -> None:
        self._issuer = issuer

    def sign(self, request: str) -> SignedCertificate:
        """Return a certificate. A repeated request returns the same one: its idempotency token is the request's
        digest."""
        ca = {"CertificateAuthorityArn": self._issuer.arn}
        with self._translated("acm-pca:DescribeCertificateAuthority"):
            client = connect(self._issuer.region, "acm-pca")
            about = client.describe_certificate_authority(**ca)["CertificateAuthority"]
        if (key := about["CertificateAuthorityConfiguration"]["KeyAlgorithm"]) not in _SIGNS_WITH:
            raise StoreError(
                f"{self._issuer.arn}: unsupported key algorithm {key}",
                rule=f"the CA's key algorithm must be one of {', '.join(_SIGNS_WITH)}, which every TLS library "
                "supports",
                remedy="set issuer.arn to another CA, then pulumi up",
                code="ca-key-unsupported",
            )
        with self._translated("acm-pca:IssueCertificate"):
            issued = client.issue_certificate(
                **ca,
                Csr=request.encode(),
                SigningAlgorithm=_SIGNS_WITH[key],
                TemplateArn=self._issuer.template,
                Validity={"Type": "DAYS", "Value": self._issuer.seconds // _DAY},
                IdempotencyToken=hashlib.sha256(request.encode()).hexdigest()[:TOKEN_CHARACTERS],
            )
        with self._translated("acm-pca:GetCertificate"):
            signed = {**ca, "CertificateArn": issued["CertificateArn"]}
            client.get_waiter("certificate_issued").wait(**signed)
            found = client.get_certificate(**signed)
        return SignedCertificate(found["Certificate"], tuple(_PEM.findall(found.get("CertificateChain", ""))))

    def _translated(self, action: str) -> AbstractContextManager[None]:
        return errors.translated(action, self._issuer.arn, self._issuer.region, kind="CA", own=_TEMPLATES)


_INACTIVE = ErrorTemplate(
    StoreError,
    "{where} cannot sign now ({code})",
    "the CA must be enabled, with its own certificate imported and valid",
    "check the CA's Status: {show}",
    "ca-inactive",
)
_REJECTED = ErrorTemplate(
    StoreError,
    "{where} rejects the request ({code})",
    "a certificate must expire before its CA does; a short-lived CA signs for at most 7 days",
    "check the CA's NotAfter and UsageMode: {show}; then correct issuer.days in the stack file, and pulumi up",
    "ca-request-rejected",
)
_TEMPLATES = {
    "RequestInProgressException": THROTTLED,
    **dict.fromkeys(("InvalidStateException", "RequestFailedException"), _INACTIVE),
    **dict.fromkeys(("ValidationException", "InvalidArgsException", "MalformedCSRException"), _REJECTED),
}
