"""What AWS and its SDK refuse, as our errors. Of their texts only names are passed on: action, principal, code."""

from __future__ import annotations

import http
import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as sdk
from botocore.exceptions import BotoCoreError, ClientError

from secretops.errors import SecretopsError, StoreError, UsageError
from secretops.stores.store_errors import BROKEN, SILENT, THROTTLED, UNREACHED, UNTRUSTED, ErrorTemplate


class AbsentError(StoreError):
    """There is no secret or table of that name, or nothing in it."""


class DeniedError(StoreError):
    """A policy denies it to this principal."""


# What UpdateSecretVersionStage answers when a label is elsewhere by now: which of them depends on the case.
CONFLICTS = frozenset({"InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"})
THROTTLES = frozenset(
    {
        *("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"),
        "ProvisionedThroughputExceededException",
    }
)
DENIED = frozenset({"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"})
# The arguments of the aws command that shows a secret or a table.
_LOOKS = {
    "secret": ("secretsmanager describe-secret", "--secret-id"),
    "table": ("dynamodb describe-table", "--table-name"),
}
_KMS = ErrorTemplate(
    StoreError,
    "{where}: its KMS key does not serve it ({code})",
    "the key that encrypts the stack's secrets is enabled, and its policy lets their users use it",
    "aws kms describe-key shows its state; enable it, or pulumi up to correct its policy",
)
_EXPIRED = ErrorTemplate(
    UsageError,
    "the AWS credentials have expired",
    "AWS answered {code}; a session's credentials end after hours",
    "log in again (aws sso login, or your role's command) until this works: aws sts get-caller-identity",
)
_STRANGER = ErrorTemplate(
    UsageError,
    "AWS does not know these credentials in {region}",
    "it answered {code}: they are wrong, were deleted, or the account has not enabled this region",
    "check that this works, then try again: aws sts get-caller-identity --region {region}",
)
_BY_CODE = {
    **dict.fromkeys(("DecryptionFailure", "EncryptionFailure", "KMSInvalidStateException"), _KMS),
    **dict.fromkeys(("ExpiredTokenException", "ExpiredToken", "RequestExpired"), _EXPIRED),
    **dict.fromkeys(("UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException"), _STRANGER),
    **dict.fromkeys(THROTTLES, THROTTLED),
    "ResourceNotFoundException": ErrorTemplate(
        AbsentError,
        "there is no {where}, or nothing in it",
        "`pulumi up` makes the store's secrets and its table; nothing was written",
        "pulumi up; if it has run: is this its account and region? aws sts get-caller-identity",
    ),
    "InvalidRequestException": ErrorTemplate(
        StoreError,
        "{where} does not take {action} now: it is scheduled for deletion, or another request is at work on it",
        "AWS answered {code}; nothing was written",
        "{look}; if it has a DeletedDate: aws secretsmanager restore-secret, then pulumi up",
    ),
    "LimitExceededException": ErrorTemplate(
        StoreError,
        "{where} has as many staging labels, or versions, as AWS allows ({code})",
        "20 staging labels, of which secretops needs less than ten; about 100 versions, none of which AWS deletes in "
        "its first 24 hours or while it has a label",
        "remove each label that nobody uses: aws secretsmanager update-secret-version-stage --region {region} "
        "--secret-id {name} --version-stage LABEL --remove-from-version-id VERSION; {look} lists both; where there are "
        "few labels, see in CloudTrail who calls PutSecretValue so often, and wait a day",
    ),
}
# What AWS answers to credentials that are none, whatever the request.
STRANGERS = frozenset(code for code, found in _BY_CODE.items() if found in (_EXPIRED, _STRANGER))
_OTHER = ErrorTemplate(StoreError, "{where}: AWS refused {action}: {code}", "nothing was written", "look at it: {look}")
_UNSENT = ErrorTemplate(
    StoreError, "the AWS SDK refused {action} on {where}: {code}", "nothing was sent", "check that this works: {look}"
)
_BY_CLASS: tuple[tuple[tuple[type[BotoCoreError], ...], ErrorTemplate], ...] = (
    (
        (sdk.NoCredentialsError, sdk.PartialCredentialsError),
        ErrorTemplate(
            UsageError,
            "there are no AWS credentials",
            "they come from the role this runs as, from AWS_PROFILE, or from the environment",
            "log in (aws sso login), or set AWS_PROFILE; then: aws sts get-caller-identity",
        ),
    ),
    (
        (sdk.ProfileNotFound,),
        ErrorTemplate(
            UsageError,
            "AWS_PROFILE names a profile that no AWS configuration file has",
            "credentials come from it",
            "aws configure list-profiles lists them",
        ),
    ),
    (
        (sdk.SSOError, sdk.TokenRetrievalError, sdk.CredentialRetrievalError, sdk.MetadataRetrievalError),
        ErrorTemplate(
            UsageError,
            "the AWS credentials can't be renewed",
            "the SDK reports {code}: the login behind the profile or role has ended",
            "aws sso login, or your role's command; then: aws sts get-caller-identity",
        ),
    ),
    (
        (sdk.NoRegionError, sdk.InvalidRegionError),
        ErrorTemplate(
            UsageError,
            "{region!r} is no AWS region",
            "the stack file names the region of its store",
            "correct it there, then pulumi up",
        ),
    ),
    ((sdk.SSLError,), UNTRUSTED),
    ((sdk.ConnectionError,), UNREACHED),
    ((sdk.HTTPClientError,), SILENT),
)
_TEXTS = {
    "health": "https://health.aws.amazon.com shows whether the region has trouble",
    "trust": "AWS_CA_BUNDLE names the CA of one that may",
    "way": "a VPC needs a NAT, or endpoints for secretsmanager and dynamodb; else check the region and the network",
}
_PRINCIPAL = re.compile(r"\b(arn:aws[\w-]*:(?:sts|iam)::\d*:[\w+=,.@/-]+)")
_ACTION = re.compile(r"\b(?:secretsmanager|dynamodb|kms|iam|sts):[A-Z]\w+")


def code(error: ClientError | BotoCoreError) -> str:
    """Return AWS' own name of what went wrong, or the SDK's."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__


def translate(
    error: ClientError | BotoCoreError, action: str, name: str, region: str, *, kind: str = "secret"
) -> SecretopsError:
    """Translate an error of `action` (an IAM action) on the secret or table `name` in `region`."""
    found, where = code(error), f"{kind} {name} in {region}"
    if isinstance(error, ClientError):
        message = str(error.response.get("Error", {}).get("Message", ""))
        if found in DENIED:
            return _denied(message, action, where)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        template = _BY_CODE.get(found, BROKEN if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else _OTHER)
        if found == "InvalidRequestException" and "KMS" in message:
            template = _KMS
    else:
        template = next((each for classes, each in _BY_CLASS if isinstance(error, classes)), _UNSENT)
    command, option = _LOOKS[kind]
    look = f"aws {command} --region {region} {option} {name}"
    names = {"where": where, "code": found, "action": action, "name": name, "region": region, "look": look}
    return template.filled(host=f"AWS in {region}", **names, **_TEXTS)


@contextmanager
def translated(action: str, name: str, region: str, *, kind: str = "secret") -> Iterator[None]:
    """Raise the SDK's errors as ours, as `translate` does, without their texts and tracebacks."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise translate(error, action, name, region, kind=kind) from None


def _denied(message: str, action: str, where: str) -> DeniedError:
    who, did = _PRINCIPAL.search(message), _ACTION.search(message)
    action = did[0] if did else action
    if "explicit deny" in message:
        rule = "a policy denies it: the secret's own, which names its readers, or one of the account or organization"
    elif "resource-based policy" in message:
        rule = "no policy of that secret or table allows it"
    else:
        rule = "no policy of that principal allows it"
    return DeniedError(
        f"{who[1] if who else 'this principal'} may not {action} on {where}",
        rule=rule,
        remedy=f"pulumi up grants it to the rotator and to declared readers; for yourself ask for {action} on it",
    )
