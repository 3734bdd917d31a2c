"""Errors of AWS and its SDK are printed in our words. Of AWS's text, only names are repeated."""

import secrets
import ssl
from typing import Any

import pytest

pytest.importorskip("botocore", reason="botocore is not installed: the extra `aws`")

from botocore import exceptions as sdk

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.platforms.aws.errors import AbsentError, DeniedError, translate

CANARY = f"value-{secrets.token_hex(12)}"
ROLE = "arn:aws:sts::123456789012:assumed-role/coreflux-mcp-prod-eu-central-1@tick/coreflux-mcp-prod-tick"
DENIED = f"User: {ROLE} is not authorized to perform: secretsmanager:GetSecretValue on resource: it because "


def answered(code: str, message: str = "", status: int = 400) -> sdk.ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": f"{message} {CANARY}"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return sdk.ClientError(response, "GetSecretValue")


def cut_off(error: Exception) -> Exception:
    error.__cause__ = ssl.SSLEOFError(CANARY)
    return error


CASES: list[tuple[Exception, type[SecretopsError]]] = [
    (answered("AccessDeniedException", DENIED + "no identity-based policy allows the action"), DeniedError),
    (answered("AccessDeniedException", DENIED + "with an explicit deny in a resource-based policy"), DeniedError),
    (answered("AccessDeniedException", "Access to KMS is not allowed"), DeniedError),
    (answered("AccessDenied"), DeniedError),  # as IAM calls it
    (answered("ExpiredTokenException"), UsageError),
    (answered("UnrecognizedClientException"), UsageError),
    (answered("ThrottlingException"), UnreachableError),
    (answered("ResourceNotFoundException"), AbsentError),
    (answered("InvalidRequestException", "it was marked for deletion"), StoreError),
    (answered("InvalidRequestException", "KMSInvalidStateException"), StoreError),
    (answered("DecryptionFailure"), StoreError),
    (answered("LimitExceededException"), StoreError),
    (answered("InternalServiceError", status=500), UnreachableError),
    (answered("InvalidParameterException"), StoreError),
    (sdk.NoCredentialsError(), UsageError),
    (sdk.UnauthorizedSSOTokenError(), UsageError),
    (sdk.EndpointConnectionError(endpoint_url=CANARY), UnreachableError),
    (sdk.ReadTimeoutError(endpoint_url=CANARY), UnreachableError),
    (sdk.SSLError(endpoint_url=CANARY, error=OSError(CANARY)), StoreError),
    (cut_off(sdk.SSLError(endpoint_url=CANARY, error=OSError(CANARY))), UnreachableError),
    (sdk.InvalidRegionError(region_name=CANARY), UsageError),
]


def test_a_limit_that_is_reached_is_reported_with_the_command_that_makes_room() -> None:
    for operation, message in (
        ("UpdateSecretVersionStage", "limit exceeded"),
        ("PutSecretValue", "The maximum number of versions was reached"),
    ):
        found = translate(
            answered("LimitExceededException", message), f"secretsmanager:{operation}", "it", "eu-central-1"
        )
        assert found.remedy
        assert "update-secret-version-stage --region eu-central-1 --secret-id it" in found.remedy
        assert CANARY not in str(found)


@pytest.mark.parametrize(("error", "kind"), CASES)
def test_aws_error_is_reported_with_a_remedy_and_without_its_text(error: Any, kind: type[SecretopsError]) -> None:
    found = translate(error, "secretsmanager:DescribeSecret", "it", "eu-central-1")
    assert type(found) is kind
    assert found.what and found.rule and found.remedy
    assert CANARY not in str(found)
    assert "{" not in str(found)


def test_disabled_key_differs_from_a_deletion_and_a_denial_names_both() -> None:
    def remedy(message: str) -> str:
        error = answered("InvalidRequestException", message)
        return translate(error, "secretsmanager:GetSecretValue", "it", "eu-central-1").remedy or ""

    assert "restore-secret" in remedy("it was marked for deletion")
    assert "restore-secret" not in remedy("KMSInvalidStateException")
    denied = translate(answered("AccessDeniedException", DENIED), "secretsmanager:DescribeSecret", "it", "eu-central-1")
    assert ROLE in denied.what and "secretsmanager:GetSecretValue" in denied.what
    key_denied = translate(
        answered("AccessDeniedException", "Access to KMS is not allowed"), "secretsmanager:GetSecretValue", "it", "here"
    )
    assert "kms:Decrypt" in (key_denied.rule or "") and "secretsmanager:" not in str(key_denied)
