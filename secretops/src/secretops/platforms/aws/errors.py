"""What AWS and its SDK refuse, in our words. Of their texts only names are passed on: action, principal, code."""

from __future__ import annotations

import http
import re

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as AwsConnectionError,
)

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError


class AbsentError(StoreError):
    """There is no secret or table of that name, or nothing in it."""


class DeniedError(StoreError):
    """Whoever asks may not."""


Told = tuple[type[SecretopsError], str, str, str]
"""Class, value, rule and remedy, which may name the {where}, {code}, {action}, {name} and {region}."""

CONFLICTS = frozenset({"InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"})
"""What UpdateSecretVersionStage answers when a label is elsewhere by now: which of them depends on the case."""

THROTTLED = frozenset(
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
_LOOK = "{look}"
_WAY = (
    "in a VPC it takes a NAT, or an endpoint for secretsmanager and one for dynamodb; elsewhere check the region and "
    "the network"
)

_KMS: Told = (
    StoreError,
    "{where}: its KMS key does not serve it ({code})",
    "the key that encrypts the stack's secrets is enabled, and its policy lets their users use it",
    "aws kms describe-key says how it stands; enable it, or pulumi up to put its policy right",
)
_EXPIRED: Told = (
    UsageError,
    "the AWS credentials have expired",
    "AWS answered {code}; a session's credentials end after hours",
    "log in again (aws sso login, or your role's command) until this works: aws sts get-caller-identity",
)
_STRANGER: Told = (
    UsageError,
    "AWS does not know these credentials in {region}",
    "it answered {code}: they are wrong, were deleted, or the account has not this region enabled",
    "see that this works, then try again: aws sts get-caller-identity --region {region}",
)
_THROTTLED: Told = (
    UnreachableError,
    "{where}: AWS asks for fewer requests ({code})",
    "it was asked again, more and more slowly; nothing is half-written",
    "nothing to do: the next tick goes on from here",
)
_BY_CODE: dict[str, Told] = {
    **dict.fromkeys(("DecryptionFailure", "EncryptionFailure", "KMSInvalidStateException"), _KMS),
    **dict.fromkeys(("ExpiredTokenException", "ExpiredToken", "RequestExpired"), _EXPIRED),
    **dict.fromkeys(("UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException"), _STRANGER),
    **dict.fromkeys(THROTTLED, _THROTTLED),
    "ResourceNotFoundException": (
        AbsentError,
        "there is no {where}, or nothing in it",
        "`pulumi up` makes the store's secrets and its table; nothing was written",
        "pulumi up; if it has run: is this its account and region? aws sts get-caller-identity",
    ),
    "InvalidRequestException": (
        StoreError,
        "{where} does not take {action} now: it is scheduled for deletion, or something else has hold of it",
        "AWS answered {code}; nothing was written",
        f"{_LOOK}; if it has a DeletedDate: aws secretsmanager restore-secret, then pulumi up",
    ),
}
STRANGERS = frozenset(code for code, told in _BY_CODE.items() if told in (_EXPIRED, _STRANGER))
"""What AWS answers to credentials that are none, whatever they ask for."""

_TAKE_AWAY = (
    "aws secretsmanager update-secret-version-stage --region {region} --secret-id {name} --version-stage LABEL "
    f"--remove-from-version-id VERSION; {_LOOK} lists both"
)
_MOST_LABELS: Told = (
    StoreError,
    "{where} has 20 staging labels, which is as many as AWS allows on all its versions ({code})",
    "secretops keeps less than ten; others are somebody's",
    f"take away each that nobody uses: {_TAKE_AWAY}",
)
_MOST_VERSIONS: Told = (
    StoreError,
    "{where} has about 100 versions, which is as many as AWS allows ({code})",
    "AWS deletes the oldest without a label, but none in its first 24 hours, and none that has a label",
    f"see in CloudTrail who calls PutSecretValue so often, and wait a day; of an old one with a label: {_TAKE_AWAY}",
)
_MOST_OF_EITHER: Told = (
    StoreError,
    "{where} has as many staging labels, or versions, as AWS allows ({code})",
    "20 staging labels on all its versions; about 100 versions, of which none goes in its first 24 hours",
    f"take away each label that nobody uses: {_TAKE_AWAY}; where there are few, wait a day",
)
_BROKEN: Told = (
    UnreachableError,
    "{where}: AWS does not serve {action} ({code})",
    "it was asked again, more and more slowly; nothing is half-written",
    "https://health.aws.amazon.com says whether the region has trouble; the next tick goes on from here",
)
_OTHER: Told = (StoreError, "{where}: AWS refused {action}: {code}", "nothing was written", f"look at it: {_LOOK}")

_BY_CLASS: tuple[tuple[tuple[type[BotoCoreError], ...], Told], ...] = (
    (
        (NoCredentialsError, PartialCredentialsError),
        (
            UsageError,
            "there are no AWS credentials",
            "they come from the role this runs as, from AWS_PROFILE, or from the environment",
            "log in (aws sso login), or set AWS_PROFILE; then: aws sts get-caller-identity",
        ),
    ),
    (
        (ProfileNotFound,),
        (
            UsageError,
            "AWS_PROFILE names a profile that no AWS configuration file has",
            "credentials come from it",
            "aws configure list-profiles says which there are",
        ),
    ),
    (
        (SSOError, TokenRetrievalError, CredentialRetrievalError, MetadataRetrievalError),
        (
            UsageError,
            "the AWS credentials can't be renewed",
            "the SDK says {code}: the login behind the profile or role has ended",
            "aws sso login, or your role's command; then: aws sts get-caller-identity",
        ),
    ),
    (
        (NoRegionError, InvalidRegionError),
        (
            UsageError,
            "{region!r} is no AWS region",
            "the stack's file says in which region its store is",
            "correct it there, then pulumi up",
        ),
    ),
    (
        (SSLError,),
        (
            StoreError,
            "what answers for AWS in {region} does not prove to be AWS",
            "its certificate is not to be trusted; values are sent to no stranger",
            "does a proxy break TLS open? AWS_CA_BUNDLE names the CA of one that may",
        ),
    ),
    (
        (AwsConnectionError,),
        (
            UnreachableError,
            "AWS can't be reached in {region}",
            "no connection came about: no such region, no network, or no way out of the subnet",
            _WAY,
        ),
    ),
    (
        (HTTPClientError,),
        (
            UnreachableError,
            "AWS does not answer in {region} ({code})",
            "it was asked again, more and more slowly; nothing is half-written",
            _WAY,
        ),
    ),
)
_UNSENT: Told = (
    StoreError,
    "the AWS SDK refused {action} on {where}: {code}",
    "nothing was sent",
    "see that this works: " + _LOOK,
)

_PRINCIPAL = re.compile(r"\b(arn:aws[\w-]*:(?:sts|iam)::\d*:[\w+=,.@/-]+)")
_LABEL = re.compile(r"\b(?:label|stag(?:e|ing))", re.IGNORECASE)
_ACTION = re.compile(r"\b(?:secretsmanager|dynamodb|kms|iam|sts):[A-Z]\w+")


def code(error: ClientError | BotoCoreError) -> str:
    """AWS' own name of what went wrong, or the SDK's."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__


def told(
    error: ClientError | BotoCoreError, action: str, name: str, region: str, *, kind: str = "secret"
) -> SecretopsError:
    """What `error` means: `action` (an IAM action) was requested on the secret or table `name` in `region`."""
    found, where = code(error), f"{kind} {name} in {region}"
    if not isinstance(error, ClientError):
        raised, *texts = next((told for classes, told in _BY_CLASS if isinstance(error, classes)), _UNSENT)
    else:
        message = str(error.response.get("Error", {}).get("Message", ""))
        if found in DENIED:
            return _denied(message, action, where)
        broken = (
            error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= http.HTTPStatus.INTERNAL_SERVER_ERROR
        )
        raised, *texts = _BY_CODE.get(found, _BROKEN if broken else _OTHER)
        if found == "LimitExceededException":
            raised, *texts = _limit(action, message)
        if found == "InvalidRequestException" and "KMS" in message:
            raised, *texts = _KMS
    command, option = _LOOKS[kind]
    look = f"aws {command} --region {region} {option} {name}"
    names = {"where": where, "code": found, "action": action, "name": name, "region": region, "look": look}
    what, rule, remedy = (text.format(**names) for text in texts)
    return raised(what, rule=rule, remedy=remedy)


def _limit(action: str, message: str) -> Told:
    """Which one: a move of a label makes no version, and of PutSecretValue only AWS' text tells."""
    if action.endswith(":UpdateSecretVersionStage") or _LABEL.search(message):
        return _MOST_LABELS
    return _MOST_VERSIONS if "version" in message else _MOST_OF_EITHER


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
