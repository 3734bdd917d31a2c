"""Secrets Manager, asked one thing at a time: labels, a value, a new version, the move of one label."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from secretops.platforms.aws import errors

if TYPE_CHECKING:
    from types_boto3_secretsmanager.client import SecretsManagerClient
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"

ATTEMPTS = 6
"""How often a request is sent that AWS throttles or does not answer, with pauses of up to 1, 2, 4, 8 and 16 s."""

MOVES = 3
"""How often a label is moved that AWS says is elsewhere, and that is where it should be when we look: it was away for a
moment. After that something else is wrong."""

CONNECT_SECONDS, ANSWER_SECONDS = 5, 20

Labels = dict[str, frozenset[str]]
"""Version id -> its staging labels. A version that has none is not in it: AWS may delete it at any time."""


def connect(region: str, service: str = "secretsmanager") -> Any:
    """A client of `service` in `region`, by boto3's own chain of credentials and endpoints. Raises UsageError.

    In a session of its own: the one that boto3 keeps for all is not made for threads, and remembers credentials.
    The endpoint is the region's own, not the account's: a VPC's route and DNS are made for that one.
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
        raise errors.told(cause, f"{service}:*", "", region) from None


@dataclass(frozen=True, repr=False)
class Found:
    """One version's text and labels. Holds a value, so it prints none."""

    version: str
    text: str
    labels: frozenset[str]


class Api:
    """Secrets of one region by their names. Connects with the first question.

    `guard` is asked before each write, and raises when we may not write any more; it is told whether somebody else
    has just written.
    """

    def __init__(self, region: str, open_client: Callable[[str], SecretsManagerClient] = connect) -> None:
        self.region, self._open = region, open_client
        self.guard: Callable[[bool], None] = lambda _conflict: None
        self._known: dict[str, Labels] | None = None
        self.account = ""
        """The account that answers; empty before the first answer about a secret."""

    @functools.cached_property
    def client(self) -> SecretsManagerClient:
        """The connection, made with the first question. Raises UsageError."""
        return self._open(self.region)

    def described(self, name: str) -> DescribeSecretResponseTypeDef:
        """What AWS says of secret `name`, which may be its ARN; never a value. Raises AbsentError, DeniedError, …"""
        with self._told("DescribeSecret", name):
            found = self.client.describe_secret(SecretId=name)
        self.account = found["ARN"].split(":")[4]
        self._remember(found["Name"], labels_of(found))
        return found

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Within the block read the labels of each secret once, and keep them up to date with our own writes.

        Under the lease nobody else writes but a person, and AWS with AWSPENDING. A label is moved from where it is
        thought to be, or not at all: a refused move reads all of them again.
        """
        self._known = {}
        try:
            yield
        finally:
            self._known = None

    def labels(self, name: str) -> Labels:
        """The labels of every version of secret `name`, without reading a value."""
        if self._known and name in self._known:
            return self._known[name]
        return labels_of(self.described(name))

    def value(self, name: str, version: str) -> Found | None:
        """The text of one version; None where there is none: no such version, or RotateSecret's empty one."""
        return self._value(name, VersionId=version)

    def current(self, name: str) -> Found | None:
        """The text of the version that readers find."""
        return self._value(name, VersionStage=CURRENT)

    def put(self, name: str, version: str, text: str, labels: tuple[str, ...]) -> bool:
        """Make a version with these labels, which leave others for it. The same text again is a no-op.

        False when the version is there with another text.
        """
        self.guard(False)
        with self._told("PutSecretValue", name):
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
        """Take `label` from version `source` and put it on `target`, either of which may be None.

        The compare-and-swap: False, and nothing is changed, when the label is not where `source` says by now.
        """
        ends = {"RemoveFromVersionId": source, "MoveToVersionId": target}
        given = {end: version for end, version in ends.items() if version}
        with self._told("UpdateSecretVersionStage", name):
            for left in reversed(range(MOVES)):
                self.guard(False)
                before = self._forget(name)
                try:
                    self.client.update_secret_version_stage(SecretId=name, VersionStage=label, **given)
                except ClientError as error:
                    if errors.code(error) not in errors.CONFLICTS:
                        raise
                    if self._differs(name, label, source):
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

    def _differs(self, name: str, label: str, source: str | None) -> bool:
        """Whether the label is not where `source` says: else something else is wrong, and it is told."""
        return where(labels_of(self.described(name)), label) != source

    def _remember(self, name: str, labels: Labels) -> None:
        if self._known is not None:
            self._known[name] = labels

    def _forget(self, name: str) -> Labels | None:
        """The labels that are remembered, which a write is about to change; its answer may be lost."""
        return self._known.pop(name, None) if self._known is not None else None

    def _value(self, name: str, **which: str) -> Found | None:
        with self._told("GetSecretValue", name):
            try:
                answer = self.client.get_secret_value(SecretId=name, **which)
            except ClientError as error:
                if errors.code(error) == "ResourceNotFoundException":
                    self.labels(name)  # raises when there is no such secret
                    return None
                raise
        return Found(answer["VersionId"], answer.get("SecretString", ""), frozenset(answer.get("VersionStages", ())))

    @contextmanager
    def _told(self, operation: str, name: str) -> Iterator[None]:
        """Turn what the SDK raises into our errors, without its text and without its traceback."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise errors.told(error, f"secretsmanager:{operation}", name, self.region) from None


def labels_of(described: DescribeSecretResponseTypeDef) -> Labels:
    """The labels of every version, as DescribeSecret has them."""
    return {version: frozenset(labels) for version, labels in described.get("VersionIdsToStages", {}).items()}


def _with(labels: Labels, label: str, version: str | None) -> Labels:
    """`labels` with `label` on `version` alone, or nowhere. A version without a label is in it no more."""
    moved = {one: has - {label} for one, has in labels.items()}
    if version:
        moved[version] = moved.get(version, frozenset()) | {label}
    return {one: has for one, has in moved.items() if has}


def where(labels: Labels, label: str) -> str | None:
    """The version that has `label`; at most one does."""
    return next((version for version, has in labels.items() if label in has), None)
