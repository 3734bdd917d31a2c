"""Doctor's requests to an AWS account. They read the caller's identity, metadata and policies, but no secret value."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore import xform_name

from secretops.errors import SecretopsError, StoreError
from secretops.platforms.aws import errors
from secretops.platforms.aws.api import Labels, SecretsManagerApi, check_account_id, connect, labels_of
from secretops.platforms.aws.lease import LeaseTable
from secretops.platforms.aws.location import AwsStoreLocation

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

# Attempts of a request. Few, because an operator waits for the answer.
ATTEMPTS = 3
_SESSION = re.compile(r"(arn:[\w-]+:)sts(::\d+:)assumed-role/([^/]+)/.*")


class Account:
    def __init__(self, location: AwsStoreLocation) -> None:
        self.location = location
        self.names = tuple(location.secrets.values())
        self.lease = LeaseTable(location.lease, lambda _region: self.client("dynamodb"))
        self._api = SecretsManagerApi(location.region, lambda _region: self.client("secretsmanager"))

    def client(self, service: str) -> Any:
        return connect(self.location.region, service, ATTEMPTS)

    def call(self, action: str, **request: Any) -> Any:
        service, _, operation = action.partition(":")
        with self.translated(action):
            return getattr(self.client(service), xform_name(operation))(**request)

    def list_all(self, action: str, key: str, **request: Any) -> list[Any]:
        service, _, operation = action.partition(":")
        with self.translated(action):
            pages = self.client(service).get_paginator(xform_name(operation)).paginate(**request)
            return [each for page in pages for each in page[key]]

    def translated(self, action: str) -> AbstractContextManager[None]:
        return errors.translated(action, "", self.location.region)

    @functools.cached_property
    def _identity(self) -> dict[str, Any] | SecretopsError:
        try:
            found: dict[str, Any] = self.call("sts:GetCallerIdentity")
        except SecretopsError as error:
            return error
        date = found["ResponseMetadata"]["HTTPHeaders"].get("date")
        return {**found, "ahead": datetime.now(UTC) - parsedate_to_datetime(date) if date else None}

    @property
    def identity(self) -> dict[str, Any]:
        if isinstance(self._identity, SecretopsError):
            raise self._identity
        return self._identity

    @property
    def ahead(self) -> timedelta | None:
        """Return this machine's clock minus AWS' clock, or None if AWS' response has no date."""
        self.reach()
        found: timedelta | None = self.identity["ahead"]
        return found

    def reach(self) -> None:
        check_account_id(self.identity["Account"], self.location)

    @functools.cached_property
    def secrets(self) -> dict[str, DescribeSecretResponseTypeDef | None]:
        self.reach()
        found: dict[str, DescribeSecretResponseTypeDef | None] = dict.fromkeys(self.names)
        for name in self.names:
            with contextlib.suppress(errors.AbsentError):
                found[name] = self._api.describe(name)
        return found

    def labels(self, name: str) -> Labels:
        found = self.secrets[name]
        return labels_of(found) if found else {}

    def undeclared(self) -> dict[str, datetime | None]:
        """Return secrets with the stack's prefix that are not in the stack: name -> deletion date, or None."""
        first = next(iter(self.names), "")
        folder = re.sub(r"\+\d+$", "", first.rpartition("/")[0])
        if not folder:
            raise StoreError(
                f"secret {first}: the name has no prefix that ends with a slash",
                rule="doctor finds undeclared secrets by the common prefix of the stack's secrets, such as prod/",
                remedy="look for undeclared secrets yourself: aws secretsmanager list-secrets "
                f"--region {self.location.region}",
                code="secret-prefix-missing",
            )
        self.reach()
        pattern = re.compile(rf"{re.escape(folder)}(\+\d+)?/.+")
        filters = [{"Key": "name", "Values": [folder]}]
        found = self.list_all("secretsmanager:ListSecrets", "SecretList", Filters=filters, IncludePlannedDeletion=True)
        return {
            each["Name"]: each.get("DeletedDate")
            for each in found
            if pattern.fullmatch(each["Name"]) and each["Name"] not in self.names
        }

    def principal(self, arn: str) -> str:
        """Return the ARN of the user or role behind `arn`. A session's ARN lacks the path of its role, so this looks up
        the role."""
        match = _SESSION.fullmatch(arn)
        if match is None:
            return arn
        for declared in {each for readers in self.location.readers.values() for each in readers}:
            if declared.startswith(f"{match[1]}iam{match[2]}role/") and declared.endswith(f"/{match[3]}"):
                return declared
        return str(self.call("iam:GetRole", RoleName=match[3])["Role"]["Arn"])

    def denied(self, principal: str, name: str, actions: Sequence[str]) -> list[str]:
        """Return which `actions` the principal's policies deny on `name`, a secret or the lease's table.

        Ignores the secret's own policy, and actions whose result depends on properties of a real request.
        """
        secret: Mapping[str, object] = {} if name == self.location.lease else self.secrets[name] or {}
        context = [("aws:SecureTransport", "boolean", "true")]
        if function := secret.get("RotationLambdaARN"):
            context.append(("secretsmanager:resource/AllowRotationLambdaArn", "string", str(function)))
        keys = ("ContextKeyName", "ContextKeyType", "ContextKeyValues")
        results = self.list_all(
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
