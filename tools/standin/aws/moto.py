"""Creates resources in a local moto, so that rotators can run: secrets, keys, a table, roles.

It never creates secret values. Clients use invalid credentials.
"""

# ruff: noqa: ARG002  all kinds have the same methods

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tools.standin.cloud import Inputs, RefusedError, is_loopback

# Invalid credentials, for moto.
NOBODY = "standin"

# The services' codes for a missing resource.
GONE = frozenset({"ResourceNotFoundException", "NotFoundException", "NoSuchEntity", "NoSuchEntityException"})


class Moto:
    """The resources in a moto at `url`. Raises RefusedError unless moto is on this machine."""

    def __init__(self, url: str) -> None:
        host = urlsplit(url).hostname or ""
        if not is_loopback(host):
            raise RefusedError(
                f"{url}: the stand-in creates secrets only in a moto server on this machine; set STANDIN_MOTO_URL or "
                "AWS_ENDPOINT_URL to a loopback address, or unset both"
            )
        self.url = url
        self.account: str = self._client("sts", "us-east-1").get_caller_identity()["Account"]

    def makes(self, token: str) -> bool:
        return token in _KINDS

    def create(self, token: str, region: str, inputs: Inputs) -> tuple[str, Inputs]:
        made: tuple[str, Inputs] = self._call(_KINDS[token].create, region, inputs)
        return made

    def update(self, token: str, region: str, resource_id: str, inputs: Inputs) -> None:
        self._call(_KINDS[token].update, region, resource_id, inputs)

    def delete(self, token: str, region: str, resource_id: str, outputs: Inputs) -> None:
        self._call(_KINDS[token].delete, region, resource_id, outputs)

    def exists(self, token: str, region: str, resource_id: str) -> bool:
        return bool(self._call(_KINDS[token].exists, region, resource_id))

    def _call(self, method: Any, region: str, *arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        kind = method.__self__
        try:
            return method(self._client(kind.service, region), *arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in GONE and method.__name__ in ("delete", "exists"):
                return False
            raise RefusedError(f"moto refused: {code}: {error.response['Error'].get('Message', '')}") from error
        except BotoCoreError as error:
            raise RefusedError(
                f"{self.url}: moto does not answer ({error}); start moto, or unset STANDIN_MOTO_URL and "
                "AWS_ENDPOINT_URL"
            ) from error

    def _client(self, service: str, region: str) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=30)
        session = boto3.Session(aws_access_key_id=NOBODY, aws_secret_access_key=NOBODY, region_name=region)
        return session.client(service, endpoint_url=self.url, config=config)  # type: ignore[call-overload]


class _Secret:
    service = "secretsmanager"

    def create(self, client: Any, inputs: Inputs) -> tuple[str, Inputs]:
        made = client.create_secret(
            Name=inputs["name"], **_given(inputs, Description="description", KmsKeyId="kmsKeyId"), Tags=_tags(inputs)
        )
        return made["ARN"], {"arn": made["ARN"]}

    def update(self, client: Any, resource_id: str, inputs: Inputs) -> None:
        client.update_secret(SecretId=resource_id, **_given(inputs, Description="description", KmsKeyId="kmsKeyId"))
        client.tag_resource(SecretId=resource_id, Tags=_tags(inputs))

    def delete(self, client: Any, resource_id: str, outputs: Inputs) -> None:
        days = outputs.get("recoveryWindowInDays", 30)
        at_once = {"ForceDeleteWithoutRecovery": True} if days == 0 else {"RecoveryWindowInDays": days}
        client.delete_secret(SecretId=resource_id, **at_once)

    def exists(self, client: Any, resource_id: str) -> bool:
        return "DeletedDate" not in client.describe_secret(SecretId=resource_id)


class _SecretPolicy:
    service = "secretsmanager"

    def create(self, client: Any, inputs: Inputs) -> tuple[str, Inputs]:
        client.put_resource_policy(SecretId=inputs["secretArn"], ResourcePolicy=_document(inputs["policy"]))
        return inputs["secretArn"], {}

    def update(self, client: Any, resource_id: str, inputs: Inputs) -> None:
        client.put_resource_policy(SecretId=resource_id, ResourcePolicy=_document(inputs["policy"]))

    def delete(self, client: Any, resource_id: str, outputs: Inputs) -> None:
        client.delete_resource_policy(SecretId=resource_id)

    def exists(self, client: Any, resource_id: str) -> bool:
        return bool(client.get_resource_policy(SecretId=resource_id).get("ResourcePolicy"))


class _Key:
    service = "kms"

    def create(self, client: Any, inputs: Inputs) -> tuple[str, Inputs]:
        policy = {"Policy": _document(inputs["policy"])} if inputs.get("policy") else {}
        settings = _given(inputs, Description="description", KeyUsage="keyUsage", MultiRegion="multiRegion")
        tags = [{"TagKey": key, "TagValue": text} for key, text in (inputs.get("tags") or {}).items()]
        about = client.create_key(**settings, **policy, Tags=tags)["KeyMetadata"]
        if inputs.get("enableKeyRotation"):
            client.enable_key_rotation(KeyId=about["KeyId"])
        return about["KeyId"], {"keyId": about["KeyId"], "arn": about["Arn"]}

    def update(self, client: Any, resource_id: str, inputs: Inputs) -> None:
        if inputs.get("policy"):
            client.put_key_policy(KeyId=resource_id, PolicyName="default", Policy=_document(inputs["policy"]))
        turn = client.enable_key_rotation if inputs.get("enableKeyRotation") else client.disable_key_rotation
        turn(KeyId=resource_id)

    def delete(self, client: Any, resource_id: str, outputs: Inputs) -> None:
        client.schedule_key_deletion(KeyId=resource_id, PendingWindowInDays=outputs.get("deletionWindowInDays", 30))

    def exists(self, client: Any, resource_id: str) -> bool:
        return bool(client.describe_key(KeyId=resource_id)["KeyMetadata"]["KeyState"] != "PendingDeletion")


class _Table:
    service = "dynamodb"

    def create(self, client: Any, inputs: Inputs) -> tuple[str, Inputs]:
        made = client.create_table(
            TableName=inputs["name"],
            BillingMode=inputs["billingMode"],
            KeySchema=[{"AttributeName": inputs["hashKey"], "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": one["name"], "AttributeType": one["type"]} for one in inputs["attributes"]
            ],
            Tags=_tags(inputs),
        )["TableDescription"]
        return made["TableName"], {"arn": made["TableArn"]}

    def update(self, client: Any, resource_id: str, inputs: Inputs) -> None:
        """Do nothing: no property of the DynamoDB table can change in place."""

    def delete(self, client: Any, resource_id: str, outputs: Inputs) -> None:
        client.delete_table(TableName=resource_id)

    def exists(self, client: Any, resource_id: str) -> bool:
        return bool(client.describe_table(TableName=resource_id))


class _Alias:
    service = "kms"

    def create(self, client: Any, inputs: Inputs) -> tuple[str, Inputs]:
        client.create_alias(AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"].rpartition("/")[2])
        return inputs["name"], {}

    def update(self, client: Any, resource_id: str, inputs: Inputs) -> None:
        client.update_alias(AliasName=resource_id, TargetKeyId=inputs["targetKeyId"].rpartition("/")[2])

    def delete(self, client: Any, resource_id: str, outputs: Inputs) -> None:
        client.delete_alias(AliasName=resource_id)

    def exists(self, client: Any, resource_id: str) -> bool:
        return any(one["AliasName"] == resource_id for one in client.list_aliases()["Aliases"])


class _Role:
    service = "iam"

    def create(self, client: Any, inputs: Inputs) -> tuple[str, Inputs]:
        trust = _document(inputs["assumeRolePolicy"])
        made = client.create_role(
            RoleName=inputs["name"],
            AssumeRolePolicyDocument=trust,
            **_given(inputs, Path="path", Description="description"),
        )["Role"]
        return made["RoleName"], {"arn": made["Arn"], "uniqueId": made["RoleId"]}

    def update(self, client: Any, resource_id: str, inputs: Inputs) -> None:
        client.update_assume_role_policy(RoleName=resource_id, PolicyDocument=_document(inputs["assumeRolePolicy"]))

    def delete(self, client: Any, resource_id: str, outputs: Inputs) -> None:
        client.delete_role(RoleName=resource_id)

    def exists(self, client: Any, resource_id: str) -> bool:
        return bool(client.get_role(RoleName=resource_id))


class _RolePolicy:
    service = "iam"

    def create(self, client: Any, inputs: Inputs) -> tuple[str, Inputs]:
        resource_id = f"{inputs['role']}:{inputs['name']}"
        self.update(client, resource_id, inputs)
        return resource_id, {}

    def update(self, client: Any, resource_id: str, inputs: Inputs) -> None:
        client.put_role_policy(**self._names(resource_id), PolicyDocument=_document(inputs["policy"]))

    def delete(self, client: Any, resource_id: str, outputs: Inputs) -> None:
        client.delete_role_policy(**self._names(resource_id))

    def exists(self, client: Any, resource_id: str) -> bool:
        return bool(client.get_role_policy(**self._names(resource_id)))

    def _names(self, resource_id: str) -> dict[str, str]:
        role, _, name = resource_id.partition(":")
        return {"RoleName": role, "PolicyName": name}


_KINDS: Mapping[str, Any] = {
    "aws:secretsmanager/secret:Secret": _Secret(),
    "aws:secretsmanager/secretPolicy:SecretPolicy": _SecretPolicy(),
    "aws:kms/key:Key": _Key(),
    "aws:kms/alias:Alias": _Alias(),
    "aws:dynamodb/table:Table": _Table(),
    "aws:iam/role:Role": _Role(),
    "aws:iam/rolePolicy:RolePolicy": _RolePolicy(),
}


def _given(inputs: Inputs, **members: str) -> dict[str, Any]:
    return {member: inputs[name] for member, name in members.items() if inputs.get(name) is not None}


def _tags(inputs: Inputs) -> list[dict[str, str]]:
    return [{"Key": key, "Value": text} for key, text in (inputs.get("tags") or {}).items()]


def _document(policy: Any) -> str:
    return policy if isinstance(policy, str) else json.dumps(policy)
