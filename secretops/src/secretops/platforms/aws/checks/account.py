"""An AWS account as doctor asks it: who we are in it, what its secrets say of themselves. No value is ever read."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from secretops.errors import SecretopsError, StoreError
from secretops.platforms.aws import errors
from secretops.platforms.aws.api import ANSWER_SECONDS, CONNECT_SECONDS, Api, Labels, another_account, labels_of
from secretops.platforms.aws.lease import LeaseTable
from secretops.platforms.aws.location import AwsStoreLocation
from secretops.stores.lease import LeaseRecord

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS
)
_SESSION = re.compile(r"(arn:[\w-]+:)sts(::\d+:)assumed-role/([^/]+)/.*")


class ForbiddenError(StoreError):
    """Whoever runs doctor may not look at that."""


@dataclass(frozen=True)
class Identity:
    """Who asks."""

    account: str
    arn: str


class Account:
    """The account and region of a stack. Connects with the first question; raises SecretopsError."""

    def __init__(self, location: AwsStoreLocation) -> None:
        self.location = location
        self._failure: SecretopsError | None = None
        """Why AWS can't be asked who we are: every check rests on that, and none waits for it again."""
        self.said_at: datetime | None = None
        """AWS' own time when it said who we are."""

    def client(self, service: str) -> Any:
        """A client of any service, by boto3's own chain of credentials and endpoints."""
        with self.told(f"{service}:*"):
            return self._session.client(service, region_name=self.location.region, config=_CONFIG)  # type: ignore[call-overload]

    @functools.cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session()

    @functools.cached_property
    def identity(self) -> Identity:
        if self._failure:
            raise self._failure
        try:
            with self.told("sts:GetCallerIdentity"):
                found = self.client("sts").get_caller_identity()
        except SecretopsError as error:
            self._failure = error
            raise
        if date := found["ResponseMetadata"]["HTTPHeaders"].get("date"):
            self.said_at = parsedate_to_datetime(date)
        return Identity(found["Account"], found["Arn"])

    def reach(self) -> None:
        """Raise SecretopsError while AWS does not know us, can't be reached, or takes us to another account."""
        if (found := self.identity.account) != self.location.account:
            raise another_account(found, self.location)

    @property
    def names(self) -> tuple[str, ...]:
        """Of every secret of the stack."""
        return tuple(self.location.secrets.values())

    def lease(self) -> LeaseRecord | None:
        """Return the term of the current holder of the lease, or None while it is free."""
        return self._table.read().record

    @functools.cached_property
    def _table(self) -> LeaseTable:
        return LeaseTable(self.location.lease, lambda _region: self.client("dynamodb"))

    def secret(self, name: str) -> DescribeSecretResponseTypeDef | None:
        """What DescribeSecret says, None when there is none."""
        return self._described[name]

    def labels(self, name: str) -> Labels:
        found = self.secret(name)
        return labels_of(found) if found else {}

    def made(self, name: str, version: str) -> datetime | None:
        """When a version was made that has a label; None when it has none any more."""
        with self.told("secretsmanager:ListSecretVersionIds"):
            found = self.client("secretsmanager").list_secret_version_ids(SecretId=name, MaxResults=100)["Versions"]
        return next((each["CreatedDate"] for each in found if each["VersionId"] == version), None)

    def strangers(self) -> dict[str, datetime | None]:
        """The secrets that are named as the stack's own are, in any generation of it, and that it does not know.

        Each with when AWS deletes it, None for one that stays. Raises StoreError where the names do not show that.
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
        with self.told("secretsmanager:ListSecrets"):
            pages = (
                self.client("secretsmanager")
                .get_paginator("list_secrets")
                .paginate(Filters=[{"Key": "name", "Values": [folder]}], IncludePlannedDeletion=True)
            )
            found = [each for page in pages for each in page["SecretList"]]
        return {
            each["Name"]: each.get("DeletedDate")
            for each in found
            if ours.fullmatch(each["Name"]) and each["Name"] not in self.names
        }

    def role_of(self, function: str) -> str | None:
        """The role that a Lambda function runs as; None when there is no such function."""
        with self.told("lambda:GetFunctionConfiguration"):
            try:
                return str(self.client("lambda").get_function_configuration(FunctionName=function)["Role"])
            except ClientError as error:
                if errors.code(error) == "ResourceNotFoundException":
                    return None
                raise

    @functools.cached_property
    def _described(self) -> dict[str, DescribeSecretResponseTypeDef | None]:
        self.reach()  # one answer for all, when there is none
        return {name: self._describe(name) for name in self.names}

    def _describe(self, name: str) -> DescribeSecretResponseTypeDef | None:
        try:
            return self._api.described(name)
        except errors.AbsentError:
            return None

    @functools.cached_property
    def _api(self) -> Api:
        return Api(self.location.region, lambda _region: self.client("secretsmanager"))

    def principal(self, arn: str) -> str:
        """The user or role that policies are of; of a session, its role, whose path only IAM knows."""
        match = _SESSION.fullmatch(arn)
        if match is None:
            return arn
        for declared in {each for readers in self.location.readers.values() for each in readers}:
            if declared.startswith(f"{match[1]}iam{match[2]}role/") and declared.endswith(f"/{match[3]}"):
                return declared
        with self.told("iam:GetRole"):
            return str(self.client("iam").get_role(RoleName=match[3])["Role"]["Arn"])

    def denied(self, principal: str, name: str, actions: Sequence[str]) -> list[str]:
        """Which of `actions` on secret `name`, or on the lease's table, the policies of `principal` do not allow.

        Its own policies and the account's limits; not the secret's own policy, which the stack writes. An action whose
        answer hangs on what is not known here (from which network) counts as allowed.
        """
        secret: Mapping[str, object] = {} if name == self.location.lease else self.secret(name) or {}
        context = [_entry("aws:SecureTransport", "boolean", "true")]
        if function := secret.get("RotationLambdaARN"):
            context.append(_entry("secretsmanager:resource/AllowRotationLambdaArn", "string", str(function)))
        with self.told("iam:SimulatePrincipalPolicy"):
            pages = (
                self.client("iam")
                .get_paginator("simulate_principal_policy")
                .paginate(
                    PolicySourceArn=principal,
                    ActionNames=list(actions),
                    ResourceArns=[secret.get("ARN", name)],
                    ContextEntries=context,
                )
            )
            results = [each for page in pages for each in page["EvaluationResults"]]
        return [
            each["EvalActionName"]
            for each in results
            if each["EvalDecision"] != "allowed" and not each.get("MissingContextValues")
        ]

    @contextlib.contextmanager
    def told(self, action: str) -> Iterator[None]:
        """Turn what the SDK raises about something else than a secret into our errors, without its text."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise self._told(error, action) from None

    def _told(self, error: ClientError | BotoCoreError, action: str) -> SecretopsError:
        if isinstance(error, ClientError) and errors.code(error) in errors.DENIED:
            return ForbiddenError(
                f"you may not {action}",
                rule="that is asked of AWS itself, by whoever runs doctor",
                remedy=f"ask for {action}, or let somebody run doctor who has it",
            )
        return errors.told(error, action, "(any)", self.location.region)


def _entry(name: str, kind: str, value: str) -> dict[str, Any]:
    return {"ContextKeyName": name, "ContextKeyType": kind, "ContextKeyValues": [value]}
