"""Translate errors of AWS and its SDK. An error quotes only action, principal and code from the SDK's text."""

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
from secretops.stores.store_errors import BROKEN, SILENT, THROTTLED, UNREACHED, UNTRUSTED, ErrorTemplate, was_cut


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
    "{where}: AWS cannot use the KMS key of the secret ({code})",
    "the KMS key must be enabled, and the key's policy must allow each principal that uses the secret",
    "{show} shows the key's id as KmsKeyId; then: aws kms describe-key --region {region} --key-id ID; if KeyState is "
    "Disabled: aws kms enable-key --region {region} --key-id ID; else pulumi up, which restores the policy of a key of "
    "the stack",
    "aws-key-unusable",
)
_KMS_DENIED = ErrorTemplate(
    DeniedError,
    "this principal may not use the KMS key of {where}",
    "a policy of the principal and the key's policy must allow kms:Decrypt, and for writes also kms:GenerateDataKey",
    "pulumi up grants both rights to the rotator and to declared readers, and restores the policy of a key of the "
    "stack; for yourself, or for your own key (store.kms_key), request the rights from the owner of the account",
    "aws-key-access-denied",
)
_CREDENTIALS = ErrorTemplate(
    UsageError,
    "no valid AWS credentials ({code})",
    "AWS must accept the credentials of this process: of its role, of AWS_PROFILE or of AWS_ACCESS_KEY_ID; "
    "credentials of a session expire after hours",
    "log in (aws sso login, or your role's command), or set AWS_PROFILE; check also this machine's clock; then: aws "
    "sts get-caller-identity --region {region}",
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
        "the stack's secrets, the lease's table and the CA in issuer.arn must exist; nothing was written",
        "if a CA is missing, correct issuer.arn in the stack file; then pulumi up, which creates the secrets and the "
        "table; if pulumi up has already run, check the account: aws sts get-caller-identity",
        "aws-resource-missing",
    ),
    "InvalidRequestException": ErrorTemplate(
        StoreError,
        "{where} does not accept {action} now ({code})",
        "the secret must not be scheduled for deletion, and no other request may change it at the same time; nothing "
        "was written",
        "{show}; if it shows a DeletedDate: aws secretsmanager restore-secret --region {region} --secret-id {name}; "
        "else run the command again",
        "aws-secret-locked",
    ),
    "LimitExceededException": ErrorTemplate(
        StoreError,
        "{where} has reached a limit of AWS for staging labels or versions ({code})",
        "a secret may have 20 staging labels (secretops uses fewer than ten) and about 100 versions; AWS deletes "
        "no version that has a label or is younger than 24 hours",
        "list the labels: {show}; remove each unused label: aws secretsmanager update-secret-version-stage --region "
        "{region} --secret-id {name} --version-stage LABEL --remove-from-version-id VERSION; if there are few labels, "
        "find the callers of PutSecretValue in CloudTrail, and wait a day",
        "aws-limit-exceeded",
    ),
}
_OTHER = ErrorTemplate(
    StoreError,
    "{where}: {action} failed ({code})",
    "AWS must accept the request; the next tick tries again",
    "look up the code in the API reference of {action}; to show the resource: {show}",
    "aws-request-failed",
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
    "service_check": "check the region at https://health.aws.amazon.com",
    "ca_setting": "for a proxy that may intercept TLS, set AWS_CA_BUNDLE to the file of the proxy's CA",
    "connection_check": "check the region and the network; a VPC requires a NAT gateway, or endpoints for "
    "secretsmanager, dynamodb and acm-pca",
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
    """Return the SecretopsError for a failed IAM `action` on `name`, a secret, table or CA. `name` is empty for other
    resources.

    `own`: the caller's templates by AWS' error code.
    """
    if isinstance(error, WaiterError) and "Error" in error.last_response:
        error = ClientError(error.last_response, action)
    found, where = code(error), f"{kind} {name} in {region}" if name else f"AWS in {region}"
    if isinstance(error, ClientError):
        message = str(error.response.get("Error", {}).get("Message", ""))
        if found in DENIED and "Access to KMS" in message:
            return _KMS_DENIED.filled(where=where)
        if found in DENIED:
            return _denied(message, action, where)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        other = BROKEN if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else _OTHER
        template = own.get(found) or _BY_CODE.get(found, other)
        if found == "InvalidRequestException" and "KMS" in message:
            template = _KMS
    else:
        template = next((each for classes, each in _BY_CLASS.items() if isinstance(error, classes)), _OTHER)
        template = UNREACHED if was_cut(error) else template
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
    if action.startswith("kms:"):
        where = f"the KMS key of {where}"
    if "explicit deny" in message:
        rule = (
            f"no policy may deny {action}: neither the secret's own policy, which names its readers, nor a policy of "
            "the "
            "account or organization"
        )
    else:
        subject = "the secret or table" if "resource-based policy" in message else "the principal"
        rule = f"a policy of {subject} must allow {action}"
    return DeniedError(
        f"{principal[1] if principal else 'this principal'} may not {action} on {where}",
        rule=rule,
        remedy="pulumi up grants this right to the rotator and to declared readers; for yourself request the "
        "right from the owner of the account",
        code="aws-access-denied",
    )
