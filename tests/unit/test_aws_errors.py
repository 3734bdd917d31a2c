"""What AWS and its SDK refuse, in our words: each error as AWS writes it, and nothing of its text but names."""

from __future__ import annotations

import re
import secrets
from typing import Any

import pytest

pytest.importorskip("botocore", reason="botocore is not installed: the extra `aws`")

from botocore import exceptions as sdk

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.stores.secrets_manager.errors import AbsentError, DeniedError, told

CANARY = f"value-{secrets.token_hex(12)}"
ROLE = "arn:aws:sts::123456789012:assumed-role/coreflux-mcp-prod@tick/coreflux-mcp-prod-tick"
DENIED = f"User: {ROLE} is not authorized to perform: secretsmanager:GetSecretValue on resource: it because "


def answered(code: str, message: str = "", status: int = 400) -> sdk.ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": f"{message} {CANARY}"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return sdk.ClientError(response, "GetSecretValue")


CASES: list[tuple[Exception, type[SecretopsError], str]] = [
    (
        answered("AccessDeniedException", DENIED + "no identity-based policy allows the action"),
        DeniedError,
        rf"{re.escape(ROLE)} may not secretsmanager:GetSecretValue on secret it in eu-central-1\nno policy of that",
    ),
    (
        answered("AccessDeniedException", DENIED + "with an explicit deny in a resource-based policy"),
        DeniedError,
        "denies it",
    ),
    (
        answered("AccessDeniedException", "Access to KMS is not allowed"),
        DeniedError,
        "this principal may not secretsmanager:DescribeSecret on secret it",
    ),
    (answered("ExpiredTokenException"), UsageError, r"have expired[\s\S]*aws sso login"),
    (answered("UnrecognizedClientException"), UsageError, "does not know these credentials in eu-central-1"),
    (answered("ThrottlingException"), UnreachableError, r"fewer requests[\s\S]*next tick"),
    (answered("ResourceNotFoundException"), AbsentError, r"there is no secret it in eu-central-1[\s\S]*pulumi up"),
    (answered("InvalidRequestException", "it was marked for deletion"), StoreError, "restore-secret"),
    (answered("InvalidRequestException", "KMSInvalidStateException"), StoreError, r"KMS key[\s\S]*enable it"),
    (answered("DecryptionFailure"), StoreError, r"KMS key[\s\S]*enable it"),
    (answered("LimitExceededException"), StoreError, "20 staging labels"),
    (answered("InternalServiceError", status=500), UnreachableError, "does not serve secretsmanager:DescribeSecret"),
    (
        answered("InvalidParameterException"),
        StoreError,
        "refused secretsmanager:DescribeSecret: InvalidParameterException",
    ),
    (sdk.NoCredentialsError(), UsageError, r"no AWS credentials[\s\S]*AWS_PROFILE"),
    (sdk.UnauthorizedSSOTokenError(), UsageError, "aws sso login"),
    (sdk.EndpointConnectionError(endpoint_url=CANARY), UnreachableError, "interface endpoint"),
    (sdk.ReadTimeoutError(endpoint_url=CANARY), UnreachableError, "does not answer"),
    (sdk.SSLError(endpoint_url=CANARY, error=OSError(CANARY)), StoreError, "does not prove to be AWS"),
    (sdk.InvalidRegionError(region_name=CANARY), UsageError, "is no AWS region"),
]


def test_a_limit_that_is_reached_is_reported_with_the_command_that_makes_room() -> None:
    for operation, message in (
        ("UpdateSecretVersionStage", "limit exceeded"),
        ("PutSecretValue", "The maximum number of versions was reached"),
    ):
        found = told(answered("LimitExceededException", message), f"secretsmanager:{operation}", "it", "eu-central-1")
        assert found.remedy
        assert "update-secret-version-stage --region eu-central-1 --secret-id it" in found.remedy
        assert CANARY not in str(found)


@pytest.mark.parametrize(("error", "kind", "wanted"), CASES, ids=lambda one: type(one).__name__)
def test_what_goes_wrong_is_told_with_a_remedy_and_without_aws_text(
    error: Any, kind: type[SecretopsError], wanted: str
) -> None:
    found = told(error, "secretsmanager:DescribeSecret", "it", "eu-central-1")
    assert type(found) is kind
    assert re.search(wanted, str(found)), str(found)
    assert found.what and found.rule and found.remedy
    assert CANARY not in str(found)
    assert "{" not in str(found)
