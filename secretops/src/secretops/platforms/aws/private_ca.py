"""A CA of AWS Private CA, which signs a request and never has the key.

The CA signs any name and template that a right allows; secretops uses the one for client certificates.
"""

from __future__ import annotations

import hashlib
import http
import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, SSLError, WaiterError
from botocore.exceptions import ConnectionError as AwsConnectionError

from secretops.certificates import SignedCertificate
from secretops.errors import SecretopsError, StoreError, UnreachableError
from secretops.platforms.aws import errors
from secretops.platforms.aws.api import connect
from secretops.platforms.aws.location import AwsPrivateCaIssuer
from secretops.stores.store_errors import ErrorTemplate

# Of an idempotency token, which may have 36.
TOKEN_CHARACTERS = 32
_DAY = 86400
# The CA's kind of key -> its signing algorithm. Without those that a broker's TLS library may not know: SM2, ML-DSA.
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
    """Signs with the rights of the process: the function of the tick, or an operator."""

    def __init__(self, issuer: AwsPrivateCaIssuer) -> None:
        self._issuer = issuer

    def sign(self, request: str) -> SignedCertificate:
        """Return the certificate for `request`. Idempotent: AWS issues one per request, whose digest is the token."""
        ca = {"CertificateAuthorityArn": self._issuer.arn}
        with self._translated("acm-pca:DescribeCertificateAuthority"):
            client = connect(self._issuer.region, "acm-pca")
            about = client.describe_certificate_authority(**ca)["CertificateAuthority"]
        if (key := about["CertificateAuthorityConfiguration"]["KeyAlgorithm"]) not in _SIGNS_WITH:
            raise StoreError(
                f"{self._issuer.arn}: unsupported key algorithm {key}",
                rule=f"it must be one of {', '.join(_SIGNS_WITH)}, which every TLS library supports",
                remedy="set issuer.arn to another CA, then pulumi up",
                code="ca-key-unsupported",
            )
        with self._translated("acm-pca:IssueCertificate"):
            made = client.issue_certificate(
                **ca,
                Csr=request.encode(),
                SigningAlgorithm=_SIGNS_WITH[key],
                TemplateArn=self._issuer.template,
                Validity={"Type": "DAYS", "Value": self._issuer.seconds // _DAY},
                IdempotencyToken=hashlib.sha256(request.encode()).hexdigest()[:TOKEN_CHARACTERS],
            )
        with self._translated("acm-pca:GetCertificate"):
            signed = {**ca, "CertificateArn": made["CertificateArn"]}
            client.get_waiter("certificate_issued").wait(**signed)
            found = client.get_certificate(**signed)
        return SignedCertificate(found["Certificate"], tuple(_PEM.findall(found.get("CertificateChain", ""))))

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise _translate(error, action, self._issuer.arn, self._issuer.region) from None


_SHOW = "aws acm-pca describe-certificate-authority --region {region} --certificate-authority-arn {arn}"
_INACTIVE = ErrorTemplate(
    StoreError,
    "{arn} cannot sign now ({code})",
    "the CA must be enabled, with its own certificate imported and valid",
    f"check its Status: {_SHOW}",
    "ca-inactive",
)
_REFUSED = ErrorTemplate(
    StoreError,
    "{arn} rejects the request ({code})",
    "a certificate must end before the CA's own; a short-lived CA signs for 7 days at most",
    f"check NotAfter and UsageMode: {_SHOW}; then correct issuer.days and pulumi up",
    "ca-request-rejected",
)
_UNREACHABLE = ErrorTemplate(
    UnreachableError,
    "AWS Private CA cannot be reached in {region} ({code})",
    "the request was repeated; the certificate in use is valid for another third of its life",
    "a VPC needs an interface endpoint for acm-pca, or a NAT; the next tick tries again",
    "ca-unreachable",
)
_DENIED = ErrorTemplate(
    StoreError,
    "this principal may not {action} on {arn}",
    "the right covers client certificates only",
    "pulumi up grants it to the tick; for yourself request {action}; the owner of a shared CA grants it",
    "ca-access-denied",
)
_BY_CODE = {
    "ResourceNotFoundException": ErrorTemplate(
        StoreError,
        "{arn} does not exist",
        "issuer.arn must be a CA in its account and region",
        "aws acm-pca list-certificate-authorities --region {region}",
        "ca-missing",
    ),
    **dict.fromkeys(("InvalidStateException", "RequestFailedException"), _INACTIVE),
    **dict.fromkeys(("ValidationException", "InvalidArgsException", "MalformedCSRException"), _REFUSED),
    **dict.fromkeys(errors.DENIED, _DENIED),
    **dict.fromkeys((*errors.THROTTLES, "RequestInProgressException"), _UNREACHABLE),
}
_OTHER = ErrorTemplate(
    StoreError, "{arn}: {action} failed: {code}", "nothing was published", f"check: {_SHOW}", "ca-request-failed"
)


def _translate(error: ClientError | BotoCoreError, action: str, arn: str, region: str) -> SecretopsError:
    """Return the error for `action` on the CA, with only the error code of AWS."""
    if isinstance(error, WaiterError) and "Error" in error.last_response:
        error = ClientError(error.last_response, action)
    code = errors.code(error)
    if isinstance(error, ClientError) and code not in errors.INVALID_CREDENTIALS:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        template = _BY_CODE.get(code, _UNREACHABLE if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else _OTHER)
    elif isinstance(error, (WaiterError, AwsConnectionError, HTTPClientError)) and not isinstance(error, SSLError):
        template = _UNREACHABLE
    else:
        return errors.translate(error, action, arn, region)
    return template.filled(arn=arn, action=action, code=code, region=region)
