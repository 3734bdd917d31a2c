"""Translate errors of Azure and its SDK. Errors contain only the codes from the SDK's texts."""

from __future__ import annotations

import http
import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from urllib.parse import urlsplit

import requests
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.stores.store_errors import (
    BROKEN,
    NEXT_TICK,
    SILENT,
    THROTTLED,
    UNREACHED,
    UNTRUSTED,
    ErrorTemplate,
    was_cut,
)

# Codes for a request from a rejected network: two of Key Vault, one of Storage.
FIREWALLED = frozenset({"ForbiddenByFirewall", "ForbiddenByConnection", "AuthorizationFailure"})
UNGRANTED = frozenset({"ForbiddenByRbac", "ForbiddenByPolicy", "AccessDenied", "AuthorizationPermissionMismatch"})
DISABLED, DELETED, BEING_DELETED = "SecretDisabled", "ObjectIsDeletedButRecoverable", "ObjectIsBeingDeleted"


class ForbiddenError(StoreError): ...


class DeletedError(StoreError): ...


_UNGRANTED = ErrorTemplate(
    ForbiddenError,
    "the Azure identity of this process may not {action} {where} ({code})",
    "the identity must have a role on each secret (Key Vault Secrets Officer for the rotator, Key Vault Secrets User "
    "for readers); the rotator also needs Storage Blob Data Contributor on the lease's container",
    "pulumi up assigns these roles to the stack's identities, with effect in minutes; for yourself (az account show) "
    "request the roles from an owner of the vault",
    "azure-access-denied",
)
CHANGING = ErrorTemplate(
    UnreachableError,
    "{where} is being deleted, purged or recovered ({code})",
    "the change must end first, which takes a few seconds; the request changed nothing",
    NEXT_TICK,
    "azure-secret-changing",
)
_FIREWALLED = ErrorTemplate(
    StoreError,
    "{host} rejects requests from this network ({code})",
    "a client must connect from a network in the network rules of {host}, or by its private endpoint",
    "run the command in a permitted network; or add this network to store.network in the stack file, then pulumi up",
    "azure-network-denied",
)
_BY_CODE = {
    **dict.fromkeys(FIREWALLED, _FIREWALLED),
    **dict.fromkeys(UNGRANTED, _UNGRANTED),
    DISABLED: ErrorTemplate(
        StoreError,
        "{where}: the requested version is disabled",
        "a version must be enabled to be read; while the newest one is disabled, readers get nothing",
        "secretops doctor shows the version, and how to enable or replace the version",
        "azure-version-disabled",
    ),
    DELETED: ErrorTemplate(
        DeletedError,
        "{where} is deleted, and the vault reserves its name until a purge",
        "a deleted secret must be recovered or purged; secretops recovers only secrets that it deleted itself",
        "az keyvault secret recover --vault-name {vault} --name {name}; or, which cannot be undone: az keyvault secret "
        "purge --vault-name {vault} --name {name}",
        "secret-deleted",
    ),
    **dict.fromkeys((BEING_DELETED, "ObjectIsBeingRecovered"), CHANGING),
}
_NO_LOGIN = ErrorTemplate(
    UsageError,
    "no Azure login for {host} ({code})",
    "this process must have a managed identity (AZURE_CLIENT_ID names a user-assigned one), or a login by az login",
    "az login --tenant TENANT, with the id of the stack's tenant; then check: az account show",
    "azure-login-missing",
)
_NO_IDENTITY = ErrorTemplate(
    UnreachableError,
    "the managed identity gets no token for {host} ({code})",
    "Azure must issue a token to the identity that AZURE_CLIENT_ID names",
    "the next tick or poll tries again; if the error persists, assign the identity to this container, or correct "
    "AZURE_CLIENT_ID",
    "azure-identity-failing",
)
_BY_STATUS = {
    401: _NO_LOGIN,
    403: _UNGRANTED,
    404: ErrorTemplate(
        StoreError,
        "{where} does not exist",
        "the vault, the lease's container and the secret must exist: `pulumi up` creates the first two, and the first "
        "value of a secret creates the secret",
        "if the vault or the container is missing, check the subscription (az account show), then pulumi up; if the "
        "secret is missing: secretops put SECRET, or wait for the next tick",
        "azure-resource-missing",
    ),
    429: THROTTLED,
}
_OTHER = ErrorTemplate(
    StoreError,
    "Azure failed to {action} {where} ({code})",
    "Azure must accept the request; Azure may have made the change anyway: the next tick checks it",
    "check the login: az account show; then look up the code in the REST API reference of Key Vault or Blob Storage",
    "azure-request-failed",
)
_TEXTS = {
    "service_check": "check the region at https://azure.status.microsoft",
    "ca_setting": "for a proxy that may intercept TLS, set REQUESTS_CA_BUNDLE to the file of the proxy's CA",
    "connection_check": "check that the name resolves here; if it has a private endpoint, run the command in the "
    "network of that endpoint",
}
_CUT = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


def codes(error: AzureError) -> list[str]:
    """Return Azure's error codes, the innermost first, then the HTTP status. Without a response, return the exception's
    name."""
    if not isinstance(error, HttpResponseError):
        return [type(error).__name__]
    found: list[str] = []
    try:
        inner = json.loads(error.response.text())["error"] if error.response else {}
        while isinstance(inner, dict):
            if code := inner.get("code"):
                found.insert(0, str(code))
            inner = inner.get("innererror")
    except (ValueError, KeyError, TypeError, AttributeError):  # Storage answers in XML, with its code in a header
        pass
    stored = getattr(error, "error_code", None)
    return [*([str(getattr(stored, "value", stored))] if stored else []), *found, str(error.status_code)]


def translate(
    error: AzureError, action: str, url: str, name: str, own: Mapping[str, ErrorTemplate] = MappingProxyType({})
) -> SecretopsError:
    """Return the SecretopsError for a failed `action` on secret or blob `name`. `own`: the caller's templates by
    Azure's error code."""
    if isinstance(error, HttpResponseError) and error.response is None and isinstance(error.__context__, AzureError):
        error = error.__context__  # the query client wraps a failed login in an answer without a response
    host = urlsplit(url).netloc
    found = codes(error)
    names = {"where": f"{name} in {host}", "host": host, "vault": vault_name(url), "name": name, "action": action}
    return _template(error, found, own).filled(code=found[0], **names, **_TEXTS)


def no_login() -> ErrorTemplate:
    return _NO_IDENTITY if "IDENTITY_ENDPOINT" in os.environ else _NO_LOGIN


def vault_name(url: str) -> str:
    return urlsplit(url).netloc.partition(".")[0]


@contextmanager
def translated(
    action: str, url: str, name: str, own: Mapping[str, ErrorTemplate] = MappingProxyType({})
) -> Iterator[None]:
    """Raise errors of Azure in the block as SecretopsError, without the SDK's texts and tracebacks."""
    try:
        yield
    except AzureError as error:
        raise translate(error, action, url, name, own) from None
    except ValueError as error:  # an invalid URL, or an authentication challenge of another service
        raise translate(AzureError(type(error).__name__), action, url, name) from None


def _template(error: AzureError, found: list[str], own: Mapping[str, ErrorTemplate]) -> ErrorTemplate:
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if isinstance(error, ClientAuthenticationError) and status not in (401, 403):
        return no_login()
    if status is not None:
        templates = {**_BY_CODE, **own}
        by_code = next((templates[code] for code in found if code in templates), None)
        broken = status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
        return by_code or _BY_STATUS.get(status) or (BROKEN if broken else _OTHER)
    if isinstance(error.inner_exception, requests.exceptions.SSLError):
        return UNREACHED if was_cut(error.inner_exception) else UNTRUSTED
    cut = any(isinstance(each, _CUT) for each in _causes(error.inner_exception))
    if cut or isinstance(error, ServiceResponseError):
        return SILENT
    return UNREACHED if isinstance(error, ServiceRequestError) and error.inner_exception else _OTHER


def _causes(error: object) -> Iterator[object]:
    yield error
    for each in error.args if isinstance(error, Exception) else ():
        yield from _causes(each)
