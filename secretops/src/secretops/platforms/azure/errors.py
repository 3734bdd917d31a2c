"""What Azure and its SDK refuse, as our errors. Of their texts only codes are passed on."""

from __future__ import annotations

import http
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
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
from secretops.stores.store_errors import BROKEN, NEXT_TICK, SILENT, THROTTLED, UNREACHED, UNTRUSTED, ErrorTemplate

# Refused for where the request comes from: Key Vault's two codes, and Storage's.
FIREWALLED = frozenset({"ForbiddenByFirewall", "ForbiddenByConnection", "AuthorizationFailure"})
UNGRANTED = frozenset({"ForbiddenByRbac", "ForbiddenByPolicy", "AccessDenied", "AuthorizationPermissionMismatch"})
DISABLED, DELETED, BEING_DELETED = "SecretDisabled", "ObjectIsDeletedButRecoverable", "ObjectIsBeingDeleted"


class ForbiddenError(StoreError):
    """No role permits it."""


class FirewalledError(StoreError):
    """A firewall refuses requests from here."""


class DeletedError(StoreError):
    """A deleted secret has the name."""


_UNGRANTED = ErrorTemplate(
    ForbiddenError,
    "this principal may not {action} {where} ({code})",
    "a role is assigned at the scope of one secret: Key Vault Secrets Officer to its rotator, Key Vault Secrets User "
    "to its readers; and at the lease's container Storage Blob Data Contributor to the rotator",
    "pulumi up assigns them to the stack's identities, which takes minutes to work; for yourself ask an owner",
)
_BUSY = ErrorTemplate(
    UnreachableError,
    "{where} is being deleted, purged or recovered ({code})",
    "that takes Azure a few seconds, unless somebody undoes it meanwhile; nothing is half-written",
    NEXT_TICK,
)
_BY_CODE = {
    **dict.fromkeys(
        FIREWALLED,
        ErrorTemplate(
            FirewalledError,
            "{host} refuses requests from here ({code})",
            "its network rules name the networks, or the private endpoint, that it answers",
            "run it from there, or add this network to the stack file; then pulumi up",
        ),
    ),
    **dict.fromkeys(UNGRANTED, _UNGRANTED),
    DISABLED: ErrorTemplate(
        StoreError,
        "{where}: the requested version is disabled",
        "nobody gets a disabled version; when it is the newest one, readers find nothing",
        "secretops doctor names it, and how to repair it",
    ),
    DELETED: ErrorTemplate(
        DeletedError,
        "{where} is deleted, and its name is taken until it is purged",
        "the vault keeps a deleted secret for its retention; secretops brings back only what it deleted itself",
        "az keyvault secret recover --vault-name {vault} --name {name}; or, for good, purge in its place",
    ),
    **dict.fromkeys((BEING_DELETED, "ObjectIsBeingRecovered"), _BUSY),
    "ContainerNotFound": ErrorTemplate(
        StoreError,
        "{where}: there is no such container",
        "`pulumi up` makes the container of the lease; nothing was begun",
        "pulumi up; if it has run: is this its subscription? az account show",
    ),
}
_BY_STATUS = {
    401: ErrorTemplate(
        UsageError,
        "{host} does not accept this login ({code})",
        "the token is of another tenant, or has expired",
        "az login --tenant with the subscription's; then: az account show",
    ),
    403: _UNGRANTED,
    404: ErrorTemplate(
        StoreError,
        "there is no {where}",
        "`pulumi up` makes the vault and the container, the first value makes a secret",
        "pulumi up; if it has run: secretops put, or the next tick",
    ),
    429: THROTTLED,
}
_OTHER = ErrorTemplate(
    StoreError,
    "{where}: Azure refused to {action} it ({code})",
    "the change may have been made all the same: the next tick checks",
    "look at it: az keyvault secret list-versions --vault-name {vault} --name {name}",
)
_NO_LOGIN = ErrorTemplate(
    UsageError,
    "there is no Azure login that works here",
    "it comes from the identity this runs as (AZURE_CLIENT_ID names a user-assigned one), or from az login",
    "az login; then: az account show",
)
_UNSENT = ErrorTemplate(
    StoreError,
    "the Azure SDK refused to {action} {where} ({code})",
    "the change may have been made, if the request was sent: the next tick checks",
    "check that the stack's outputs name this vault and this blob, and that az account show works",
)
_TEXTS = {
    "health": "https://azure.status.microsoft shows whether the region has trouble",
    "trust": "REQUESTS_CA_BUNDLE names the CA of one that may",
    "way": "does its name resolve here? With a private endpoint run it from the vault's network",
}
_CUT = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


def codes(error: AzureError) -> list[str]:
    """Return Azure's own codes, the innermost first; else the status, else the SDK's class."""
    if not isinstance(error, HttpResponseError):
        return [type(error).__name__]
    found: list[str] = []
    try:
        inner = json.loads(error.response.text())["error"] if error.response else {}
        while isinstance(inner, dict):
            if code := inner.get("code"):
                found.insert(0, str(code))
            inner = inner.get("innererror")
    except (ValueError, KeyError, TypeError, AttributeError):  # Storage's are XML: the header has its code
        pass
    stored = getattr(error, "error_code", None)
    return [*([str(getattr(stored, "value", stored))] if stored else []), *found, str(error.status_code)]


def translate(error: AzureError, action: str, url: str, name: str) -> SecretopsError:
    """Translate an error of `action` on the secret, or the blob, `name` at `url`."""
    if isinstance(error, HttpResponseError) and error.response is None and isinstance(error.__context__, AzureError):
        error = error.__context__  # the client of the query API turns a login that failed into an answer
    host = urlsplit(url).netloc
    found = codes(error)
    names = {"where": f"{name} in {host}", "host": host, "vault": vault_name(url), "name": name, "action": action}
    return _meaning(error, found).filled(code=found[0], **names, **_TEXTS)


def no_login(tenant: str) -> UsageError:
    """Return the error for a stack whose tenant no login here gives a token of."""
    what, remedy = f"{_NO_LOGIN.what}: none of the stack's tenant {tenant}", f"az login --tenant {tenant}"
    return UsageError(what, rule=_NO_LOGIN.rule, remedy=f"{remedy}; then: az account show")


def vault_name(url: str) -> str:
    """Return the vault's name for `az --vault-name`."""
    return urlsplit(url).netloc.partition(".")[0]


def undone(url: str, name: str) -> SecretopsError:
    """Return the error for a deletion or recovery that Azure does not finish."""
    return _BUSY.filled(where=f"{name} in {urlsplit(url).netloc}", code="still")


@contextmanager
def translated(action: str, url: str, name: str) -> Iterator[None]:
    """Translate the SDK's errors, without their texts and tracebacks."""
    try:
        yield
    except AzureError as error:
        raise translate(error, action, url, name) from None
    except ValueError as error:  # a URL that is none, a challenge of somebody else's
        raise translate(AzureError(type(error).__name__), action, url, name) from None


def _meaning(error: AzureError, found: list[str]) -> ErrorTemplate:
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if isinstance(error, ClientAuthenticationError) and status not in (401, 403):
        return _NO_LOGIN
    if status is not None:
        by_code = next((_BY_CODE[code] for code in found if code in _BY_CODE), None)
        broken = status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
        return by_code or _BY_STATUS.get(status) or (BROKEN if broken else _OTHER)
    if isinstance(error.inner_exception, requests.exceptions.SSLError):
        return UNTRUSTED
    cut = any(isinstance(each, _CUT) for each in _causes(error.inner_exception))
    if cut or isinstance(error, ServiceResponseError):
        return SILENT
    return UNREACHED if isinstance(error, ServiceRequestError) and error.inner_exception else _UNSENT


def _causes(error: object) -> Iterator[object]:
    """Yield the causes within: a proxy reports a broken connection as one that was never made."""
    yield error
    for each in error.args if isinstance(error, Exception) else ():
        yield from _causes(each)
