"""What Azure and its SDK refuse, in our words. Of their texts nothing is passed on but codes."""

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

Told = tuple[type[SecretopsError], str, str, str]
"""Class, value, rule and remedy, which may name {where}, {host}, {vault}, {name}, {action} and {code}."""

FIREWALLED = frozenset({"ForbiddenByFirewall", "ForbiddenByConnection", "AuthorizationFailure"})
"""Refused for where the request comes from: Key Vault's two, and Storage's."""

UNGRANTED = frozenset({"ForbiddenByRbac", "ForbiddenByPolicy", "AccessDenied", "AuthorizationPermissionMismatch"})

DISABLED, DELETED, BEING_DELETED = "SecretDisabled", "ObjectIsDeletedButRecoverable", "ObjectIsBeingDeleted"


class ForbiddenError(StoreError):
    """Azure knows us, and does not let us."""


class FirewalledError(StoreError):
    """Azure lets nobody in from here."""


class DeletedError(StoreError):
    """A deleted secret has the name still."""


_ROLES = (
    "a role is assigned at the scope of one secret: Key Vault Secrets Officer to whoever rotates it, Key Vault Secrets "
    "User to its readers; and of the lease's container Storage Blob Data Contributor to whoever rotates"
)

_BY_CODE: dict[str, Told] = {
    **dict.fromkeys(
        FIREWALLED,
        (
            FirewalledError,
            "{host} lets nobody in from here ({code})",
            "its network rules name the networks, or the private endpoint, that it may be asked from",
            "run it from there, or let the stack's file name this network; then pulumi up",
        ),
    ),
    **dict.fromkeys(
        UNGRANTED,
        (
            ForbiddenError,
            "this principal may not {action} {where} ({code})",
            _ROLES,
            "pulumi up assigns them to the stack's identities, one takes minutes to work; for yourself ask an owner",
        ),
    ),
    DISABLED: (
        StoreError,
        "{where}: what was asked for is disabled, and given to nobody",
        "a disabled version is given to nobody; when it is the newest one, readers find nothing",
        "secretops doctor says which one it is, and what mends it",
    ),
    DELETED: (
        DeletedError,
        "{where} is deleted, and its name is held until it is purged",
        "a deleted secret is kept for the vault's retention; secretops brings back only what it deleted itself",
        "az keyvault secret recover --vault-name {vault} --name {name}; or, for good, purge in its place",
    ),
    **dict.fromkeys(
        (BEING_DELETED, "ObjectIsBeingRecovered"),
        (
            UnreachableError,
            "{where} is being deleted, purged or recovered ({code})",
            "that takes Azure a few seconds; nothing is half-written",
            "nothing to do: try again, or the next tick goes on from here",
        ),
    ),
    "ContainerNotFound": (
        StoreError,
        "{where}: there is no such container",
        "`pulumi up` makes the container of the lease; nothing was begun",
        "pulumi up; if it has run: is this its subscription? az account show",
    ),
}

_BY_STATUS: dict[int, Told] = {
    http.HTTPStatus.UNAUTHORIZED: (
        UsageError,
        "{host} does not take this login ({code})",
        "the token is of another tenant, or has ended",
        "az login --tenant with the subscription's; then: az account show",
    ),
    http.HTTPStatus.FORBIDDEN: _BY_CODE["AccessDenied"],
    http.HTTPStatus.NOT_FOUND: (
        StoreError,
        "there is no {where}",
        "`pulumi up` makes the vault and the container, the first value makes a secret",
        "pulumi up; if it has run: secretops put, or the next tick",
    ),
    http.HTTPStatus.TOO_MANY_REQUESTS: (
        UnreachableError,
        "{where}: Azure asks for fewer requests ({code})",
        "it was asked again, more and more slowly; nothing is half-written",
        "nothing to do: the next tick goes on from here",
    ),
}
_BROKEN: Told = (
    UnreachableError,
    "{host} does not serve {where} ({code})",
    "it was asked again, more and more slowly; nothing is half-written",
    "https://azure.status.microsoft says whether the region has trouble; the next tick goes on from here",
)
_OTHER: Told = (
    StoreError,
    "{where}: Azure refused to {action} it ({code})",
    "what was asked may have been done all the same: the next tick looks",
    "look at it: az keyvault secret list-versions --vault-name {vault} --name {name}",
)
_NO_LOGIN: Told = (
    UsageError,
    "there is no Azure login that works here",
    "it comes from the identity this runs as (AZURE_CLIENT_ID names a user-assigned one), or from az login",
    "az login; then: az account show",
)
_STRANGER: Told = (
    StoreError,
    "what answers as {host} does not prove to be it",
    "its certificate is not to be trusted; values are sent to no stranger",
    "does a proxy break TLS open? REQUESTS_CA_BUNDLE names the CA of one that may",
)
_UNREACHED: Told = (
    UnreachableError,
    "{host} can't be reached",
    "no connection came about: no such name, no network, or a private endpoint that this network does not know",
    "does its name resolve here? With a private endpoint run it from the vault's network",
)
_SILENT: Told = (
    UnreachableError,
    "{host} does not answer",
    "it was asked again, more and more slowly; what a lost answer was about is looked at by the next tick",
    "nothing to do: the next tick goes on from here",
)
_UNSENT: Told = (
    StoreError,
    "the Azure SDK refused to {action} {where} ({code})",
    "what was asked may have been done, if it was sent: the next tick looks",
    "see that the stack's outputs name this vault and this blob, and that az account show works",
)


_CUT = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


def codes(error: AzureError) -> list[str]:
    """Azure's own names of what went wrong, the innermost first; else the status, else the SDK's class."""
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


def told(error: AzureError, action: str, url: str, name: str) -> SecretopsError:
    """What `error` means: `action` was asked of the secret, or the blob, `name` at `url`."""
    if isinstance(error, HttpResponseError) and error.response is None and isinstance(error.__context__, AzureError):
        error = error.__context__  # the client of the query API turns a login that failed into an answer
    host = urlsplit(url).netloc
    found = codes(error)
    kind, *texts = _meaning(error, found)
    names = {
        "where": f"{name} in {host}",
        "host": host,
        "vault": vault_name(url),
        "name": name,
        "action": action,
        "code": found[0],
    }
    what, rule, remedy = (text.format(**names) for text in texts)
    return kind(what, rule=rule, remedy=remedy)


def no_login(tenant: str) -> UsageError:
    """That no login gives a token of the stack's tenant: none is there, or it is of another."""
    _, what, rule, _ = _NO_LOGIN
    remedy = f"az login --tenant {tenant}; then: az account show"
    return UsageError(f"{what}: none of tenant {tenant}, which the stack is of", rule=rule, remedy=remedy)


def vault_name(url: str) -> str:
    """Of the vault at `url`, as `az --vault-name` takes it."""
    return urlsplit(url).netloc.partition(".")[0]


def undone(url: str, name: str) -> UnreachableError:
    """That a deletion, or a recovery, that Azure began was not done when we had waited for long enough."""
    return UnreachableError(
        f"{name} in {urlsplit(url).netloc} is still being deleted or recovered",
        rule="that takes Azure a few seconds, unless somebody else undoes it meanwhile; nothing is half-written",
        remedy="nothing to do: try again, or the next tick goes on from here",
    )


@contextmanager
def telling(action: str, url: str, name: str) -> Iterator[None]:
    """Turn what the SDK raises into our errors, without its text and without its traceback."""
    try:
        yield
    except AzureError as error:
        raise told(error, action, url, name) from None
    except ValueError as error:  # a URL that is none, a challenge of somebody else's
        raise told(AzureError(type(error).__name__), action, url, name) from None


def _meaning(error: AzureError, found: list[str]) -> Told:
    asked = isinstance(error, HttpResponseError) and error.status_code is not None
    if isinstance(error, ClientAuthenticationError) and not (asked and error.status_code in (401, 403)):
        return _NO_LOGIN
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        by_code = next((_BY_CODE[code] for code in found if code in _BY_CODE), None)
        broken = error.status_code >= http.HTTPStatus.INTERNAL_SERVER_ERROR
        return by_code or _BY_STATUS.get(error.status_code) or (_BROKEN if broken else _OTHER)
    if isinstance(error.inner_exception, requests.exceptions.SSLError):
        return _STRANGER
    cut = any(isinstance(each, _CUT) for each in _causes(error.inner_exception))
    if cut or isinstance(error, ServiceResponseError):
        return _SILENT
    return _UNREACHED if isinstance(error, ServiceRequestError) and error.inner_exception else _UNSENT


def _causes(error: object) -> Iterator[object]:
    """Through a proxy a connection that broke is told as one that did not come about: what it was is within."""
    yield error
    for each in error.args if isinstance(error, Exception) else ():
        yield from _causes(each)
