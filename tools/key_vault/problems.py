"""Azure's errors: each has a status, a code, a message, and often an inner code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Refusal(Exception):  # noqa: N818 - it is an answer
    """A rejected request, with the service's answer."""

    status: int
    code: str
    message: str
    inner: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.inner:
            error["innererror"] = {"code": self.inner}
        return {"error": error}


def bad_parameter(message: str) -> Refusal:
    return Refusal(400, "BadParameter", message)


def unauthorized(message: str, challenge: str) -> Refusal:
    return Refusal(401, "Unauthorized", message, headers={"WWW-Authenticate": challenge})


def forbidden_by_rbac(*, oid: str, appid: str, issuer: str, action: str, resource: str, vault: str) -> Refusal:
    message = (
        "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role "
        "definitions were changed recently, please observe propagation time.\r\n"
        f"Caller: appid={appid};oid={oid};iss={issuer}\r\nAction: '{action}'\r\nResource: '{resource}'\r\n"
        "Assignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\n"
        f"Vault: {vault};location=westeurope\r\n"
    )
    return Refusal(403, "Forbidden", message, "ForbiddenByRbac")


def secret_disabled() -> Refusal:
    return Refusal(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")


def purge_protected(vault: str) -> Refusal:
    message = (
        'Operation "purge" is not allowed because purge protection is enabled for this vault. Key Vault service will '
        f"automatically purge it after the retention period has passed.\r\nVault: {vault};location=westeurope"
    )
    return Refusal(403, "Forbidden", message)


def secret_not_found(name: str) -> Refusal:
    message = (
        f"A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret you may "
        "be able to recover it using the correct recovery command."
    )
    return Refusal(404, "SecretNotFound", message)


def deleted_secret_not_found(name: str) -> Refusal:
    return Refusal(404, "SecretNotFound", f"Deleted Secret not found: {name}")


def held_by_a_deleted_one(name: str) -> Refusal:
    message = (
        f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, "
        "the secret can only be recovered or purged."
    )
    return Refusal(409, "Conflict", message, "ObjectIsDeletedButRecoverable")


def throttled(retry_after: int | None) -> Refusal:
    message = "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached"
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Refusal(429, "Throttled", message, headers=headers)


def unavailable(status: int = 503) -> Refusal:
    return Refusal(status, "InternalServerError", "An unexpected error occurred while processing the request.")
