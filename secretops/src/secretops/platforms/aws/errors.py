"""Translate errors of AWS and its SDK. Errors contain only names from the SDK's texts: action, principal, code."""

from __future__ import annotations

import http
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from botocore import exceptions as sdk
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from secretops.errors import SecretopsError, StoreError, UsageError
from secretops.stores.store_errors import BROKEN, SILENT, THROTTLED, UNREACHED, UNTRUSTED, ErrorTemplate


class AbsentError(StoreError): ...


class DeniedError(StoreError): ...


# UpdateSecretVersionStage fails with any of these if the label was moved meanwhile.
CONFLICTS = frozenset({"InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"})
THROTTLES = frozenset(
    {
        *("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"),
        "ProvisionedThroughputExceededException",
    }
)
DENIED = frozenset({"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"})
# Kind of object -> the command that shows it; "" -> the command that shows the caller.
_SHOW = {
    "secret": "aws secretsmanager describe-secret --region {region} --secret-id {name}",  # nosec B105 - a command
    "table": "aws dynamodb describe-table --region {region} --table-name {name}",
    "CA": "aws acm-pca describe-certificate-authority --region {region} --certificate-authority-arn {name}",
    "": "aws sts get-caller-identity --region {region}",
}
_KMS = ErrorTemplate(
    StoreError,
    "{where}: its KMS key cannot be used ({code})",
    "the key must be enabled, and its policy must allow the users of the stack's secrets",
    "check its state with aws kms describe-key; enable it, or run pulumi up to restore its policy",
    "aws-key-unusable",
)
_CREDENTIALS = ErrorTemplate(
    UsageError,
    "no valid AWS credentials ({code})",
    "valid credentials are required: of the process' role, AWS_PROFILE, or variables; a session ends after hours",
    "log in (aws sso login, or your role's command), or set AWS_PROFILE; then check: aws sts get-caller-identity "
    "--region {region}",
    "aws-credentials-invalid",
)
_BY_CODE = {
    **dict.fromkeys(("DecryptionFailure", "EncryptionFailure", "KMSInvalidStateException"), _KMS),
    **dict.fromkeys(
        (
            *("ExpiredTokenException", "ExpiredToken", "RequestExpired", "UnrecognizedClientException"),
            *("InvalidClientTokenId", "InvalidSignatureException"),
        ),
        _CREDENTIALS,
    ),
    **dict.fromkeys(THROTTLES, THROTTLED),
    "ResourceNotFoundException": ErrorTemplate(
        AbsentError,
        "{where} does not exist, or is empty",
        "the store's secrets, its table and the CA must exist; `pulumi up` creates all but the CA; nothing was written",
        "pulumi up; after that, check the account and region: aws sts get-caller-identity",
        "aws-resource-missing",
    ),
    "InvalidRequestException": ErrorTemplate(
        StoreError,
        "{where} does not accept {action} now: it is scheduled for deletion, or another request is changing it",
        "AWS answered {code}; nothing was written",
        "{show}; if it has a DeletedDate: aws secretsmanager restore-secret, then pulumi up",
        "aws-secret-locked",
    ),
    "LimitExceededException": ErrorTemplate(
        StoreError,
        "{where} has reached a limit of AWS for staging labels or versions ({code})",
        "a secret may have 20 staging labels (secretops uses fewer than ten) and about 100 versions; AWS deletes "
        "no version that has a label or is younger than 24 hours",
        "list them: {show}; remove each unused label: aws secretsmanager update-secret-version-stage --region {region} "
        "--secret-id {name} --version-stage LABEL --remove-from-version-id VERSION; if there are few labels, find the "
        "callers of PutSecretValue in CloudTrail, and wait a day",
        "aws-limit-exceeded",
    ),
}
_OTHER = ErrorTemplate(
    StoreError, "{where}: {action} failed: {code}", "nothing was written", "check: {show}", "aws-request-failed"
)
_BY_CLASS = {
    (
        *(sdk.NoCredentialsError, sdk.PartialCredentialsError, sdk.ProfileNotFound, sdk.SSOError),
        *(sdk.TokenRetrievalError, sdk.CredentialRetrievalError, sdk.MetadataRetrievalError),
    ): _CREDENTIALS,
    (sdk.NoRegionError, sdk.InvalidRegionError): ErrorTemplate(
        UsageError,
        "{region!r} is not an AWS region",
        "store.region in the stack file must be the code of an AWS region",
        "correct store.region, then pulumi up",
        "aws-region-invalid",
    ),
    (sdk.SSLError,): UNTRUSTED,
    (sdk.ConnectionError,): UNREACHED,
    (sdk.HTTPClientError, sdk.WaiterError): SILENT,
}
_TEXTS = {
    "health": "check the region at https://health.aws.amazon.com",
    "trust": "AWS_CA_BUNDLE names the CA of a permitted proxy",
    "way": "check the region and the network; a VPC needs a NAT, or endpoints for secretsmanager, dynamodb, acm-pca",
}
_PRINCIPAL = re.compile(r"\b(arn:aws[\w-]*:(?:sts|iam)::\d*:[\w+=,.@/-]+)")
_ACTION = re.compile(r"\b(?:secretsmanager|dynamodb|kms|iam|sts):[A-Z]\w+")


def code(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__


def translate(
    error: ClientError | BotoCoreError,
    action: str,
    name: str,
    region: str,
    *,
    kind: str = "secret",
    own: Mapping[str, ErrorTemplate] = MappingProxyType({}),
) -> SecretopsError:
    """Return the error for `action`, an IAM action, on the secret, table or CA `name`. `name` is empty for an action on
    none of these.

    `own`: templates by AWS' error code.
    """
    if isinstance(error, WaiterError) and "Error" in error.last_response:
        error = ClientError(error.last_response, action)
    found, where = code(error), f"{kind} {name} in {region}" if name else f"AWS in {region}"
    if isinstance(error, ClientError):
        message = str(error.response.get("Error", {}).get("Message", ""))
        if found in DENIED:
            return _denied(message, action, where)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        other = BROKEN if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else _OTHER
        template = own.get(found) or _BY_CODE.get(found, other)
        if found == "InvalidRequestException" and "KMS" in message:
            template = _KMS
    else:
        template = next((each for classes, each in _BY_CLASS.items() if isinstance(error, classes)), _OTHER)
    names = {"where": where, "code": found, "action": action, "name": name, "region": region}
    names["show"] = _SHOW[kind if name else ""].format(**names)
    return template.filled(host=f"AWS in {region}", **names, **_TEXTS)


@contextmanager
def translated(action: str, name: str, region: str, **options: Any) -> Iterator[None]:
    """Raise errors of AWS in the block as SecretopsError, without the SDK's texts and tracebacks."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise translate(error, action, name, region, **options) from None


def _denied(message: str, action: str, where: str) -> DeniedError:
    principal, denied = _PRINCIPAL.search(message), _ACTION.search(message)
    action = denied[0] if denied else action
    if "explicit deny" in message:
        rule = "a policy denies it: the secret's own, which names its readers, or one of the account or organization"
    else:
        subject = "that secret or table" if "resource-based policy" in message else "that principal"
        rule = f"a policy of {subject} must allow it, and none does"
    return DeniedError(
        f"{principal[1] if principal else 'this principal'} may not {action} on {where}",
        rule=rule,
        remedy=f"pulumi up grants it to the rotator and to declared readers; for yourself request {action} on it",
        code="aws-access-denied",
    )
