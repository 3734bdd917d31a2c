"""An AWS account as doctor asks it: the caller, the secrets' metadata, and policies. Reads no value."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from secretops.errors import SecretopsError, StoreError
from secretops.platforms.aws import errors
from secretops.platforms.aws.api import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    Labels,
    SecretsManagerApi,
    check_account_id,
    labels_of,
)
from secretops.platforms.aws.lease import LeaseTable
from secretops.platforms.aws.location import AwsStoreLocation

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS
)
_SESSION = re.compile(r"(arn:[\w-]+:)sts(::\d+:)assumed-role/([^/]+)/.*")


class ForbiddenError(StoreError):
    """The caller may not ask that."""


class Account:
    """The account and region of a stack. Connects with the first question; raises SecretopsError."""

    def __init__(self, location: AwsStoreLocation) -> None:
        self.location = location
        self.names = tuple(location.secrets.values())
        self.lease = LeaseTable(location.lease, lambda _region: self.client("dynamodb"))
        self._api = SecretsManagerApi(location.region, lambda _region: self.client("secretsmanager"))

    def client(self, service: str) -> Any:
        """Open a client of any service, by boto3's own chain of credentials and endpoints."""
        with self.asking(f"{service}:*"):
            return self._session.client(service, region_name=self.location.region, config=_CONFIG)  # type: ignore[call-overload]

    @functools.cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session()

    def ask(self, action: str, **request: Any) -> Any:
        """Call an operation, as IAM names it: `kms:DescribeKey`."""
        service, _, operation = action.partition(":")
        with self.asking(action):
            return getattr(self.client(service), xform_name(operation))(**request)

    def all(self, action: str, key: str, **request: Any) -> list[Any]:
        """Return what is below `key` in all pages of an operation, as IAM names it."""
        service, _, operation = action.partition(":")
        with self.asking(action):
            pages = self.client(service).get_paginator(xform_name(operation)).paginate(**request)
            return [each for page in pages for each in page[key]]

    @contextlib.contextmanager
    def asking(self, action: str) -> Iterator[None]:
        """Translate the SDK's errors, without their text."""
        with errors.translated(action, "(any)", self.location.region):
            try:
                yield
            except ClientError as error:
                if errors.code(error) not in errors.DENIED:
                    raise
                raise ForbiddenError(
                    f"you may not {action}",
                    rule="that is asked of AWS itself, by whoever runs doctor",
                    remedy=f"ask for {action}, or let somebody run doctor who has it",
                ) from None

    @functools.cached_property
    def _identity(self) -> dict[str, Any] | SecretopsError:
        """The caller, or the error, which no check waits for again."""
        try:
            found: dict[str, Any] = self.ask("sts:GetCallerIdentity")
        except SecretopsError as error:
            return error
        date = found["ResponseMetadata"]["HTTPHeaders"].get("date")
        return {**found, "ahead": datetime.now(UTC) - parsedate_to_datetime(date) if date else None}

    @property
    def identity(self) -> dict[str, Any]:
        """Who asks: `Account` and `Arn`."""
        if isinstance(self._identity, SecretopsError):
            raise self._identity
        return self._identity

    @property
    def ahead(self) -> timedelta | None:
        """How far this machine's clock is ahead of AWS'; None if its answer had no date."""
        self.reach()
        found: timedelta | None = self.identity["ahead"]
        return found

    def reach(self) -> None:
        """Raise SecretopsError if AWS can't be reached, does not know the caller, or takes it to another account."""
        check_account_id(self.identity["Account"], self.location)

    @functools.cached_property
    def secrets(self) -> dict[str, DescribeSecretResponseTypeDef | None]:
        """DescribeSecret's answers by name, None for no such secret."""
        self.reach()  # one answer for all, when there is none
        found: dict[str, DescribeSecretResponseTypeDef | None] = dict.fromkeys(self.names)
        for name in self.names:
            with contextlib.suppress(errors.AbsentError):
                found[name] = self._api.described(name)
        return found

    def labels(self, name: str) -> Labels:
        found = self.secrets[name]
        return labels_of(found) if found else {}

    def strangers(self) -> dict[str, datetime | None]:
        """Secrets with a name of any generation of the stack that it does not know -> when AWS deletes them, or None.

        Raises StoreError where the names do not show that.
        """
        first = next(iter(self.names), "")
        folder = re.sub(r"\+\d+$", "", first.rpartition("/")[0])
        if not folder:
            raise StoreError(
                f"the name {first} does not show which others would be the stack's",
                rule="the program names all of a stack's secrets alike up to the last slash",
                remedy="look yourself: aws secretsmanager list-secrets",
            )
        self.reach()
        ours = re.compile(rf"{re.escape(folder)}(\+\d+)?/.+")
        filters = [{"Key": "name", "Values": [folder]}]
        found = self.all("secretsmanager:ListSecrets", "SecretList", Filters=filters, IncludePlannedDeletion=True)
        return {
            each["Name"]: each.get("DeletedDate")
            for each in found
            if ours.fullmatch(each["Name"]) and each["Name"] not in self.names
        }

    def principal(self, arn: str) -> str:
        """Return the user or role that has the policies. For a session its role, whose path only IAM knows."""
        match = _SESSION.fullmatch(arn)
        if match is None:
            return arn
        for declared in {each for readers in self.location.readers.values() for each in readers}:
            if declared.startswith(f"{match[1]}iam{match[2]}role/") and declared.endswith(f"/{match[3]}"):
                return declared
        return str(self.ask("iam:GetRole", RoleName=match[3])["Role"]["Arn"])

    def denied(self, principal: str, name: str, actions: Sequence[str]) -> list[str]:
        """Return which of `actions` on a secret, or on the lease's table, the policies of `principal` do not allow.

        Its own policies and the account's limits; not the secret's own policy, which the stack writes. An action whose
        answer depends on the network, which is not known here, counts as allowed.
        """
        secret: Mapping[str, object] = {} if name == self.location.lease else self.secrets[name] or {}
        context = [("aws:SecureTransport", "boolean", "true")]
        if function := secret.get("RotationLambdaARN"):
            context.append(("secretsmanager:resource/AllowRotationLambdaArn", "string", str(function)))
        keys = ("ContextKeyName", "ContextKeyType", "ContextKeyValues")
        results = self.all(
            "iam:SimulatePrincipalPolicy",
            "EvaluationResults",
            PolicySourceArn=principal,
            ActionNames=list(actions),
            ResourceArns=[secret.get("ARN", name)],
            ContextEntries=[dict(zip(keys, (key, kind, [value]), strict=True)) for key, kind, value in context],
        )
        return [
            each["EvalActionName"]
            for each in results
            if each["EvalDecision"] != "allowed" and not each.get("MissingContextValues")
        ]
