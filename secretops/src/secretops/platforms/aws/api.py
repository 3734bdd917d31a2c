from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from secretops.errors import UsageError
from secretops.platforms.aws import errors
from secretops.platforms.aws.location import AwsStoreLocation

if TYPE_CHECKING:
    from types_boto3_secretsmanager.client import SecretsManagerClient
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
# Attempts of a request that AWS throttles or does not answer, with pauses of up to 1, 2, 4, 8 and 16 s.
ATTEMPTS = 6
# Attempts to move a label. AWS may refuse a move if another request moved the label away and back meanwhile.
MOVES = 3
CONNECT_SECONDS, ANSWER_SECONDS = 5, 20
# Version id -> its staging labels. A version without labels counts as missing: AWS may delete it at any time.
Labels = dict[str, frozenset[str]]


def connect(region: str, service: str = "secretsmanager", attempts: int | None = None) -> Any:
    """Return a boto3 client with boto3's default credentials and endpoint. Raises UsageError."""
    import boto3
    from botocore.config import Config

    # At DEBUG botocore prints requests and answers, before a value in them could be redacted.
    logging.getLogger("botocore").setLevel(logging.INFO)
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts or ATTEMPTS},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        # Use the region's endpoint, for which a VPC has a route and a DNS name:
        # https://docs.aws.amazon.com/sdkref/latest/guide/feature-account-endpoints.html
        account_id_endpoint_mode="disabled",
    )
    try:
        # A separate session, since boto3's default session is not thread-safe.
        return boto3.Session().client(service, region_name=region, config=config)  # type: ignore[call-overload]
    except (BotoCoreError, ValueError) as error:  # ValueError: an invalid endpoint URL
        cause = error if isinstance(error, BotoCoreError) else BotoCoreError()
        raise errors.translate(cause, f"{service}:*", "", region) from None


class SecretsManagerApi:
    """A client for the secrets of one region.

    `guard` runs before each write; `guard(True)` must also renew the lease.
    """

    def __init__(self, region: str, open_client: Callable[[str], SecretsManagerClient] = connect) -> None:
        self.region, self._open = region, open_client
        self.guard: Callable[[bool], None] = lambda _fresh: None
        self._known: dict[str, Labels] | None = None
        # Account of the credentials; empty before the first answer about a secret.
        self.account = ""

    @functools.cached_property
    def client(self) -> SecretsManagerClient:
        return self._open(self.region)

    def describe(self, name: str) -> DescribeSecretResponseTypeDef:
        with self._translated("DescribeSecret", name):
            found = self.client.describe_secret(SecretId=name)
        self.account = found["ARN"].split(":")[4]
        self._cache(found["Name"], labels_of(found))
        return found

    @contextmanager
    def cached_labels(self) -> Iterator[None]:
        """Cache the labels of secrets during the block. After a conflict `move` reads them again."""
        self._known = {}
        try:
            yield
        finally:
            self._known = None

    def labels(self, name: str) -> Labels:
        if self._known and name in self._known:
            return self._known[name]
        return labels_of(self.describe(name))

    def value(self, name: str, version: str) -> str | None:
        """Return a version's text. None if the version is missing, or is the empty version that RotateSecret
        creates."""
        with self._translated("GetSecretValue", name):
            try:
                answer = self.client.get_secret_value(SecretId=name, VersionId=version)
            except ClientError as error:
                if errors.code(error) == "ResourceNotFoundException":
                    self.labels(name)  # raises if the secret is missing
                    return None
                raise
        return answer.get("SecretString", "")

    def put(self, name: str, version: str, text: str, labels: tuple[str, ...]) -> bool:
        """Create a version, and move `labels` to it. Return False if the version exists with another text."""
        self.guard(False)
        with self._translated("PutSecretValue", name):
            before = self._uncache(name)
            try:
                answer = self.client.put_secret_value(
                    SecretId=name, ClientRequestToken=version, SecretString=text, VersionStages=list(labels)
                )
            except ClientError as error:
                if errors.code(error) == "ResourceExistsException":
                    return False
                raise
        if before is not None and CURRENT not in answer["VersionStages"]:
            for label in answer["VersionStages"]:
                before = _with(before, label, version)
            self._cache(name, before)
        return True

    def move(self, name: str, label: str, source: str | None, target: str | None) -> bool:
        """Move `label` from version `source` to `target`; either may be None. Return False if the label is not on
        `source`."""
        ends = {"RemoveFromVersionId": source, "MoveToVersionId": target}
        versions: dict[str, Any] = {end: version for end, version in ends.items() if version}
        with self._translated("UpdateSecretVersionStage", name):
            for left in reversed(range(MOVES)):
                self.guard(False)
                before = self._uncache(name)
                try:
                    self.client.update_secret_version_stage(SecretId=name, VersionStage=label, **versions)
                except ClientError as error:
                    if errors.code(error) not in errors.CONFLICTS:
                        raise
                    found = version_with(labels_of(self.describe(name)), label)
                    if found == target:  # AWS made the move, but its answer was lost
                        return True
                    if found != source:
                        return False
                    if not left:
                        raise
                else:
                    if before is not None:
                        before = _with(before, label, target)
                        # AWS itself moves AWSPREVIOUS to the former AWSCURRENT (API reference of this operation).
                        self._cache(name, _with(before, PREVIOUS, source) if label == CURRENT else before)
                    return True
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _cache(self, name: str, labels: Labels) -> None:
        if self._known is not None:
            self._known[name] = labels

    def _uncache(self, name: str) -> Labels | None:
        return self._known.pop(name, None) if self._known is not None else None

    def _translated(self, operation: str, name: str) -> AbstractContextManager[None]:
        return errors.translated(f"secretsmanager:{operation}", name, self.region)


def labels_of(described: DescribeSecretResponseTypeDef) -> Labels:
    return {version: frozenset(labels) for version, labels in described.get("VersionIdsToStages", {}).items()}


def _with(labels: Labels, label: str, version: str | None) -> Labels:
    moved = {each: has - {label} for each, has in labels.items()}
    if version:
        moved[version] = moved.get(version, frozenset()) | {label}
    return {each: has for each, has in moved.items() if has}


def version_with(labels: Labels, label: str) -> str | None:
    return next((version for version, has in labels.items() if label in has), None)


def check_account(api: SecretsManagerApi, location: AwsStoreLocation) -> None:
    """Raise UsageError unless the credentials belong to the stack's account: another may have secrets of the same
    names."""
    if not api.account:
        api.describe(next(iter(location.secrets.values())))
    check_account_id(api.account, location)


def check_account_id(found: str, location: AwsStoreLocation) -> None:
    if found != location.account:
        raise UsageError(
            f"the AWS credentials belong to account {found}",
            rule=f"the credentials must belong to the stack's account, {location.account}; nothing was read or written",
            remedy="set AWS_PROFILE to a profile of the stack's account, then check: aws sts get-caller-identity",
            code="aws-account-mismatch",
        )
