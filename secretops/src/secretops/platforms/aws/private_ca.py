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
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, SSLError, WaiterError
from botocore.exceptions import ConnectionError as AwsConnectionError

from secretops.certificates import Signed
from secretops.errors import SecretopsError, StoreError, UnreachableError
from secretops.platforms.aws import errors
from secretops.platforms.aws.api import ANSWER_SECONDS, ATTEMPTS, CONNECT_SECONDS
from secretops.platforms.aws.location import AwsPrivateCaIssuer

TOKEN_CHARACTERS = 32
"""Of an idempotency token, which may have 36."""

_DAY = 86400
_SIGNS_WITH = {
    "EC_prime256v1": "SHA256WITHECDSA",
    "EC_secp384r1": "SHA384WITHECDSA",
    "EC_secp521r1": "SHA512WITHECDSA",
    "RSA_2048": "SHA256WITHRSA",
    "RSA_3072": "SHA256WITHRSA",
    "RSA_4096": "SHA256WITHRSA",
}
"""The CA's kind of key -> how it signs. Not those that a broker's TLS library may not know: SM2, ML-DSA."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class AwsPrivateCa:
    """Asks as whoever runs secretops: the function of the tick, or an operator."""

    def __init__(self, issuer: AwsPrivateCaIssuer) -> None:
        self._issuer = issuer

    def sign(self, request: str) -> Signed:
        """One certificate a request, however often it is sent: by the request AWS knows it for the same."""
        ca = {"CertificateAuthorityArn": self._issuer.arn}
        with self._told("acm-pca:DescribeCertificateAuthority"):
            client = _connect(self._issuer.region)
            about = client.describe_certificate_authority(**ca)["CertificateAuthority"]
        algorithm = self._algorithm(about["CertificateAuthorityConfiguration"]["KeyAlgorithm"])
        with self._told("acm-pca:IssueCertificate"):
            made = client.issue_certificate(
                **ca,
                Csr=request.encode(),
                SigningAlgorithm=algorithm,
                TemplateArn=self._issuer.template,
                Validity={"Type": "DAYS", "Value": self._issuer.seconds // _DAY},
                IdempotencyToken=hashlib.sha256(request.encode()).hexdigest()[:TOKEN_CHARACTERS],
            )
        with self._told("acm-pca:GetCertificate"):
            signed = {**ca, "CertificateArn": made["CertificateArn"]}
            client.get_waiter("certificate_issued").wait(**signed)
            found = client.get_certificate(**signed)
        return Signed(found["Certificate"], tuple(_PEM.findall(found.get("CertificateChain", ""))))

    def _algorithm(self, key: str) -> str:
        if algorithm := _SIGNS_WITH.get(key):
            return algorithm
        raise StoreError(
            f"{self._issuer.arn}: its key is {key}",
            rule=f"a CA whose certificates every TLS library can check: {', '.join(_SIGNS_WITH)}",
            remedy="name another CA in issuer.arn, then pulumi up",
        )

    @contextmanager
    def _told(self, action: str) -> Iterator[None]:
        """Turn what the SDK raises into our errors, without its text and without its traceback."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise _meaning(error, action, self._issuer.arn, self._issuer.region) from None


def _connect(region: str) -> Any:
    """A client by boto3's own chain, in a session of its own. `Any`: the types of this service are not installed."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
    )
    session: Any = boto3.Session()
    return session.client("acm-pca", region_name=region, config=config)


_LOOK = "aws acm-pca describe-certificate-authority --region {region} --certificate-authority-arn {arn}"
_INACTIVE = (
    "{arn} does not sign now ({code})",
    "it is active: its own certificate is imported, has not ended, and nobody has disabled it",
    f"see its Status: {_LOOK}",
)
_ASKED = (
    "{arn} does not sign what was asked ({code})",
    "a certificate ends before the CA's own, and after 7 days at most where the CA is one for short-lived ones",
    f"see NotAfter and UsageMode: {_LOOK}; then correct issuer.days and pulumi up",
)
_BY_CODE: dict[str, tuple[str, str, str]] = {
    "ResourceNotFoundException": (
        "there is no CA {arn}",
        "issuer.arn names one that is there, in that account and region",
        "aws acm-pca list-certificate-authorities --region {region}",
    ),
    "InvalidStateException": _INACTIVE,
    "RequestFailedException": _INACTIVE,
    **dict.fromkeys(("ValidationException", "InvalidArgsException", "MalformedCSRException"), _ASKED),
}
_DENIED = (
    "whoever runs this may not {action} on {arn}",
    "to have one signed is granted for certificates of clients alone",
    "pulumi up grants it to the tick; for yourself ask for {action}; whoever shares a CA permits it",
)
_UNREACHABLE = (
    "AWS Private CA can't be reached in {region} ({code})",
    "it was asked again, more and more slowly; the certificate in use is good for a third of its life",
    "in a VPC it takes an interface endpoint for acm-pca, or a NAT; the next tick asks again",
)
_OTHER = ("{arn}: AWS refused {action}: {code}", "nothing was published", f"look at it: {_LOOK}")


def _meaning(error: ClientError | BotoCoreError, action: str, arn: str, region: str) -> SecretopsError:
    """What `error` means, of which AWS' own name alone is passed on."""
    if isinstance(error, WaiterError) and "Error" in error.last_response:
        error = ClientError(error.last_response, action)
    code = errors.code(error)
    kind: type[SecretopsError] = StoreError
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        broken = status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
        if code in errors.DENIED:
            texts = _DENIED
        elif code in errors.THROTTLED or broken or code == "RequestInProgressException":
            kind, texts = UnreachableError, _UNREACHABLE
        elif code in errors.STRANGERS:
            return errors.told(error, action, arn, region)
        else:
            texts = _BY_CODE.get(code, _OTHER)
    elif isinstance(error, (WaiterError, AwsConnectionError, HTTPClientError)) and not isinstance(error, SSLError):
        kind, texts = UnreachableError, _UNREACHABLE
    else:
        return errors.told(error, action, arn, region)
    names = {"arn": arn, "action": action, "code": code, "region": region}
    what, rule, remedy = (text.format(**names) for text in texts)
    return kind(what, rule=rule, remedy=remedy)
