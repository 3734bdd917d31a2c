"""A CA of AWS Private CA, which signs a request of ours and never has our key.

It takes any name and any template that a right allows, and signs by the one for clients alone. What it signs is ready a
moment later, and is asked for until it is.
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
# The CA's kind of key -> how it signs. Not those that a broker's TLS library may not know: SM2, ML-DSA.
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
    """Asks as whoever runs secretops: the function of the tick, or an operator."""

    def __init__(self, issuer: AwsPrivateCaIssuer) -> None:
        self._issuer = issuer

    def sign(self, request: str) -> SignedCertificate:
        """One certificate a request, however often it is sent: by the request AWS knows it for the same."""
        ca = {"CertificateAuthorityArn": self._issuer.arn}
        with self._told("acm-pca:DescribeCertificateAuthority"):
            client = connect(self._issuer.region, "acm-pca")
            about = client.describe_certificate_authority(**ca)["CertificateAuthority"]
        if (key := about["CertificateAuthorityConfiguration"]["KeyAlgorithm"]) not in _SIGNS_WITH:
            raise StoreError(
                f"{self._issuer.arn}: its key is {key}",
                rule=f"a CA whose certificates every TLS library can check: {', '.join(_SIGNS_WITH)}",
                remedy="name another CA in issuer.arn, then pulumi up",
            )
        with self._told("acm-pca:IssueCertificate"):
            made = client.issue_certificate(
                **ca,
                Csr=request.encode(),
                SigningAlgorithm=_SIGNS_WITH[key],
                TemplateArn=self._issuer.template,
                Validity={"Type": "DAYS", "Value": self._issuer.seconds // _DAY},
                IdempotencyToken=hashlib.sha256(request.encode()).hexdigest()[:TOKEN_CHARACTERS],
            )
        with self._told("acm-pca:GetCertificate"):
            signed = {**ca, "CertificateArn": made["CertificateArn"]}
            client.get_waiter("certificate_issued").wait(**signed)
            found = client.get_certificate(**signed)
        return SignedCertificate(found["Certificate"], tuple(_PEM.findall(found.get("CertificateChain", ""))))

    @contextmanager
    def _told(self, action: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise _meaning(error, action, self._issuer.arn, self._issuer.region) from None


_LOOK = "aws acm-pca describe-certificate-authority --region {region} --certificate-authority-arn {arn}"
_INACTIVE = ErrorTemplate(
    StoreError,
    "{arn} does not sign now ({code})",
    "a CA signs while it is active: its own certificate is imported and valid, and nobody has disabled it",
    f"see its Status: {_LOOK}",
)
_REFUSED = ErrorTemplate(
    StoreError,
    "{arn} does not sign the request ({code})",
    "a certificate ends before the CA's own, and after 7 days at most where the CA is one for short-lived ones",
    f"see NotAfter and UsageMode: {_LOOK}; then correct issuer.days and pulumi up",
)
_BY_CODE = {
    "ResourceNotFoundException": ErrorTemplate(
        StoreError,
        "there is no CA {arn}",
        "issuer.arn names a CA that exists in its account and region",
        "aws acm-pca list-certificate-authorities --region {region}",
    ),
    **dict.fromkeys(("InvalidStateException", "RequestFailedException"), _INACTIVE),
    **dict.fromkeys(("ValidationException", "InvalidArgsException", "MalformedCSRException"), _REFUSED),
    **dict.fromkeys(
        errors.DENIED,
        ErrorTemplate(
            StoreError,
            "this principal may not {action} on {arn}",
            "the right to have one signed is granted for certificates of clients alone",
            "pulumi up grants it to the tick; for yourself ask for {action}; the owner of a shared CA permits it",
        ),
    ),
    **dict.fromkeys(
        (*errors.THROTTLES, "RequestInProgressException"),
        _UNREACHABLE := ErrorTemplate(
            UnreachableError,
            "AWS Private CA can't be reached in {region} ({code})",
            "the request was repeated; the certificate in use is good for a third of its life",
            "a VPC needs an interface endpoint for acm-pca, or a NAT; the next tick tries again",
        ),
    ),
}
_OTHER = ErrorTemplate(
    StoreError, "{arn}: AWS refused {action}: {code}", "nothing was published", f"look at it: {_LOOK}"
)


def _meaning(error: ClientError | BotoCoreError, action: str, arn: str, region: str) -> SecretopsError:
    """Translate an error; AWS' own name of it alone is passed on."""
    if isinstance(error, WaiterError) and "Error" in error.last_response:
        error = ClientError(error.last_response, action)
    code = errors.code(error)
    if isinstance(error, ClientError) and code not in errors.STRANGERS:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        template = _BY_CODE.get(code, _UNREACHABLE if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else _OTHER)
    elif isinstance(error, (WaiterError, AwsConnectionError, HTTPClientError)) and not isinstance(error, SSLError):
        template = _UNREACHABLE
    else:
        return errors.translate(error, action, arn, region)
    return template.filled(arn=arn, action=action, code=code, region=region)
