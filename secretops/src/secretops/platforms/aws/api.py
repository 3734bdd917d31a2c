"""A client of Secrets Manager: labels, a value, a new version, the move of one label."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from secretops.errors import UsageError
from secretops.platforms.aws import errors
from secretops.platforms.aws.location import AwsStoreLocation

if TYPE_CHECKING:
    from types_boto3_secretsmanager.client import SecretsManagerClient
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
# How often a request is sent that AWS throttles or does not answer, with pauses of up to 1, 2, 4, 8 and 16 s.
ATTEMPTS = 6
# How often a move is sent that AWS refuses although the label is where it should be: it was away for a moment.
MOVES = 3
CONNECT_SECONDS, ANSWER_SECONDS = 5, 20
# Version id -> its staging labels. A version without any is missing: AWS may delete it at any time.
Labels = dict[str, frozenset[str]]


def connect(region: str, service: str = "secretsmanager") -> Any:
    """Return a client of `service`, by boto3's chain of credentials and endpoints. Raises UsageError.

    It has its own session: boto3's default one is not safe for threads, and remembers credentials. The endpoint is the
    region's, not the account's: a VPC has a route and a DNS name for that one.
    https://docs.aws.amazon.com/sdkref/latest/guide/feature-account-endpoints.html
    """
    import boto3
    from botocore.config import Config

    # At DEBUG it prints what is sent and answered, before anything could know a value in it for one.
    logging.getLogger("botocore").setLevel(logging.INFO)
    config = Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        account_id_endpoint_mode="disabled",
    )
    try:
        return boto3.Session().client(service, region_name=region, config=config)  # type: ignore[call-overload]
    except (BotoCoreError, ValueError) as error:  # a ValueError: an endpoint that is no URL
        cause = error if isinstance(error, BotoCoreError) else BotoCoreError()
        raise errors.translate(cause, f"{service}:*", "", region) from None


@dataclass(frozen=True, repr=False)
class Found:
    """One version's text and labels. Never printed: it holds a value."""

    version: str
    text: str
    labels: frozenset[str]


class SecretsManagerApi:
    """Secrets of one region by their names. Connects with the first request.

    `guard` runs before each write, with whether somebody else has just written; it raises when the lease is lost.
    """

    def __init__(self, region: str, open_client: Callable[[str], SecretsManagerClient] = connect) -> None:
        self.region, self._open = region, open_client
        self.guard: Callable[[bool], None] = lambda _conflict: None
        self._known: dict[str, Labels] | None = None
        # The account that answers; empty before the first answer about a secret.
        self.account = ""

    @functools.cached_property
    def client(self) -> SecretsManagerClient:
        """The connection. Raises UsageError."""
        return self._open(self.region)

    def described(self, name: str) -> DescribeSecretResponseTypeDef:
        """Return DescribeSecret's answer about a name or ARN. Raises AbsentError, DeniedError, …"""
        with self._translated("DescribeSecret", name):
            found = self.client.describe_secret(SecretId=name)
        self.account = found["ARN"].split(":")[4]
        self._remember(found["Name"], labels_of(found))
        return found

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Within the block read the labels of each secret once, and again after a refused move.

        Under the lease nobody else writes but a person, and AWS with AWSPENDING.
        """
        self._known = {}
        try:
            yield
        finally:
            self._known = None

    def labels(self, name: str) -> Labels:
        """Return the labels of every version, without reading a value."""
        if self._known and name in self._known:
            return self._known[name]
        return labels_of(self.described(name))

    def value(self, name: str, version: str) -> Found | None:
        """Return the text of one version; None if it is missing, or RotateSecret's empty one."""
        return self._value(name, VersionId=version)

    def current(self, name: str) -> Found | None:
        """Return the text of the version that readers find."""
        return self._value(name, VersionStage=CURRENT)

    def put(self, name: str, version: str, text: str, labels: tuple[str, ...]) -> bool:
        """Make a version and move these labels to it. False when the version exists with another text."""
        self.guard(False)
        with self._translated("PutSecretValue", name):
            before = self._forget(name)
            try:
                made = self.client.put_secret_value(
                    SecretId=name, ClientRequestToken=version, SecretString=text, VersionStages=list(labels)
                )
            except ClientError as error:
                if errors.code(error) == "ResourceExistsException":
                    return False
                raise
        if before is not None and CURRENT not in made["VersionStages"]:
            for label in made["VersionStages"]:
                before = _with(before, label, version)
            self._remember(name, before)
        return True

    def move(self, name: str, label: str, source: str | None, target: str | None) -> bool:
        """Move `label` from version `source` to `target`, either of which may be None.

        The compare-and-swap: False, and nothing is changed, when the label is not on `source` any more.
        """
        ends = {"RemoveFromVersionId": source, "MoveToVersionId": target}
        given = {end: version for end, version in ends.items() if version}
        with self._translated("UpdateSecretVersionStage", name):
            for left in reversed(range(MOVES)):
                self.guard(False)
                before = self._forget(name)
                try:
                    self.client.update_secret_version_stage(SecretId=name, VersionStage=label, **given)
                except ClientError as error:
                    if errors.code(error) not in errors.CONFLICTS:
                        raise
                    if version_with(labels_of(self.described(name)), label) != source:
                        return False
                    if not left:
                        raise
                else:
                    if before is not None:
                        before = _with(before, label, target)
                        # AWS moves AWSPREVIOUS by itself to where AWSCURRENT was (API reference, this operation).
                        self._remember(name, _with(before, PREVIOUS, source) if label == CURRENT else before)
                    return True
        raise AssertionError("unreachable: the last try returns or raises")

    def _remember(self, name: str, labels: Labels) -> None:
        if self._known is not None:
            self._known[name] = labels

    def _forget(self, name: str) -> Labels | None:
        """Forget and return the labels that a write is about to change: its answer may be lost."""
        return self._known.pop(name, None) if self._known is not None else None

    def _value(self, name: str, **which: str) -> Found | None:
        with self._translated("GetSecretValue", name):
            try:
                answer = self.client.get_secret_value(SecretId=name, **which)
            except ClientError as error:
                if errors.code(error) == "ResourceNotFoundException":
                    self.labels(name)  # raises when there is no such secret
                    return None
                raise
        return Found(answer["VersionId"], answer.get("SecretString", ""), frozenset(answer.get("VersionStages", ())))

    def _translated(self, operation: str, name: str) -> AbstractContextManager[None]:
        return errors.translated(f"secretsmanager:{operation}", name, self.region)


def labels_of(described: DescribeSecretResponseTypeDef) -> Labels:
    """Return the labels of every version in DescribeSecret's answer."""
    return {version: frozenset(labels) for version, labels in described.get("VersionIdsToStages", {}).items()}


def _with(labels: Labels, label: str, version: str | None) -> Labels:
    """Return `labels` with `label` on `version` alone, or nowhere."""
    moved = {one: has - {label} for one, has in labels.items()}
    if version:
        moved[version] = moved.get(version, frozenset()) | {label}
    return {one: has for one, has in moved.items() if has}


def version_with(labels: Labels, label: str) -> str | None:
    """Return the version that has `label`; at most one does."""
    return next((version for version, has in labels.items() if label in has), None)


def check_account(api: SecretsManagerApi, location: AwsStoreLocation) -> None:
    """Raise UsageError where the credentials are of another account, which may have secrets of the same names."""
    if not api.account:
        api.described(next(iter(location.secrets.values())))
    check_account_id(api.account, location)


def check_account_id(found: str, location: AwsStoreLocation) -> None:
    """Raise UsageError where the credentials are of account `found`, which is not the stack's."""
    if found != location.account:
        raise UsageError(
            f"the AWS credentials are of account {found}",
            rule=f"the stack's secrets are in account {location.account}; nothing was read or written in another",
            remedy="set AWS_PROFILE to a profile of that account; aws sts get-caller-identity shows your credentials",
        )
