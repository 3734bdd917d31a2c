"""What a server of Vault or OpenBao refuses, as our errors. Of its texts nothing is passed on: only the status."""

from __future__ import annotations

import http
from collections.abc import Iterable
from urllib.parse import urlsplit

import requests

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.stores.store_errors import BROKEN, SILENT, THROTTLED, UNREACHED, UNTRUSTED, ErrorTemplate


class DeniedError(StoreError):
    """A policy of the server denies it."""


class InvalidTokenError(UsageError):
    """The server does not accept the token."""


class SealedError(UnreachableError):
    """The server is sealed."""


class LoginError(StoreError):
    """The auth method refuses the login."""


class UnwrapError(LoginError):
    """Somebody else has used the wrapping token."""


# What the server answers to a write whose document somebody else has written meanwhile.
MISMATCH = "check-and-set parameter did not match"
_SEALED = ErrorTemplate(
    SealedError,
    "{host} is sealed",
    "a sealed server reads and writes nothing until it is unsealed; nothing is half-written",
    "unseal it (bao operator unseal); the next tick goes on from here",
)
_STANDBY = ErrorTemplate(
    UnreachableError,
    "{host} is a standby, and does not reach the active server ({code})",
    "a standby passes requests on to the active one; it was asked again, more and more slowly",
    "does the cluster have a leader (bao operator raft list-peers)? The next tick goes on from here",
)
_NO_NAMESPACE = ErrorTemplate(
    StoreError,
    "{host} has no namespace {namespace!r}",
    "the stack's file names the namespace that its mount is in",
    "correct it there, then pulumi up; bao namespace list says which there are",
)
_NO_MOUNT = ErrorTemplate(
    StoreError,
    "there is no mount {mount} at {host}",
    "`pulumi up` mounts the store's KV engine; nothing was written",
    "pulumi up; if it has run: is this its server and its namespace? bao secrets list",
)
_NOT_V2 = ErrorTemplate(
    StoreError,
    "mount {mount} at {host} is no KV engine of version 2",
    "only version 2 keeps versions and takes check-and-set",
    "pulumi up mounts one; bao secrets list -detailed says what each mount is",
)
_DENIED = ErrorTemplate(
    DeniedError,
    "this token may not {action} {where} (permission denied)",
    "no policy of the token allows it; a policy names each path by itself",
    "pulumi up writes the policies of the stack's roles; bao token capabilities says what you may yourself",
)
_OTHER = ErrorTemplate(
    StoreError,
    "{where}: the server refused to {action} it ({code})",
    "what was asked was not done",
    "its audit log has the request and why it was refused",
)
# A standby that can't pass a request on. No token is sent to the address that it names.
_REDIRECTS = frozenset({301, 302, 307, 308})
# What is repeated, besides the server's own failures. 412: a standby that has not caught up yet.
AGAIN = frozenset({http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.PRECONDITION_FAILED, *_REDIRECTS})
_TEXTS = {
    "health": "see its log: a server that can't write to its audit devices serves nothing",
    "trust": "the stack file names the CA that signs it (ca_file); else VAULT_CACERT or the system's counts",
    "way": "bao status says whether it answers; the next tick goes on from here",
}


# The first that fits counts: a failed handshake is a ConnectionError, too.
_BY_CLASS: tuple[tuple[tuple[type[Exception], ...], ErrorTemplate], ...] = (
    ((requests.exceptions.SSLError,), UNTRUSTED),
    ((requests.exceptions.ReadTimeout, requests.exceptions.ChunkedEncodingError), SILENT),
    ((requests.exceptions.ConnectionError,), UNREACHED),
)


def host_of(address: str) -> str:
    return urlsplit(address).netloc or address


def refused(
    status: int, texts: Iterable[str], *, address: str, action: str, where: str, mount: str = "", namespace: str = ""
) -> SecretopsError:
    """Translate an answer with `status` and the server's own `texts` to `action` on `where`."""
    names = {"where": where, "host": host_of(address), "mount": mount, "namespace": namespace, "action": action}
    return _meaning(status, " ".join(texts)).filled(code=status, **names, **_TEXTS)


def not_version_2(address: str, mount: str) -> SecretopsError:
    """Return the error for a mount that is another engine, or KV's version 1."""
    return _NOT_V2.filled(mount=mount, host=host_of(address))


def no_server(host: str, rule: str) -> StoreError:
    """Return the error for a host that breaks `rule`, so that it is no server of Vault or OpenBao."""
    return StoreError(
        f"what answers as {host} is no server of Vault or OpenBao",
        rule=rule,
        remedy="see that the stack's file names the server's own address, and no portal or proxy answers in its place",
    )


def unanswered(error: Exception, address: str, ca_file: str | None) -> SecretopsError:
    """Translate a missing answer. Nothing of the error's own text is passed on: it may name what was sent."""
    host = host_of(address)
    for kinds, template in _BY_CLASS:
        if isinstance(error, kinds):
            return template.filled(host=host, **_TEXTS)
    if ca_file and not isinstance(error, requests.exceptions.RequestException):
        return UsageError(
            f"{ca_file}: no CA can be read from it",
            rule="a server is only talked to when that CA signed its certificate",
            remedy="put the PEM bundle of the server's CA there",
        )
    return UsageError(
        f"{address!r} is no address of a server ({type(error).__name__})",
        rule="https:// and a host, with its port if it is not 443",
        remedy="correct it in the stack's file, then pulumi up",
    )


def ended(host: str) -> InvalidTokenError:
    """Return the error for a person's token that the server does not accept."""
    return InvalidTokenError(
        f"{host} does not take this token: it has ended, was revoked, or is of another server",
        rule="a token is good for its TTL; one that may not look itself up can't be told from one that has ended",
        remedy="log in again (bao login); then: bao token lookup",
    )


def _meaning(status: int, text: str) -> ErrorTemplate:
    cases = (
        (status == http.HTTPStatus.SERVICE_UNAVAILABLE and "sealed" in text, _SEALED),
        (status in _REDIRECTS or "node not active" in text or "standby" in text, _STANDBY),
        (status in AGAIN, THROTTLED),
        (status >= http.HTTPStatus.INTERNAL_SERVER_ERROR, BROKEN),
        (status == http.HTTPStatus.NOT_FOUND and "namespace" in text, _NO_NAMESPACE),
        (status == http.HTTPStatus.NOT_FOUND, _NO_MOUNT),
        (status == http.HTTPStatus.METHOD_NOT_ALLOWED, _NOT_V2),
        (status == http.HTTPStatus.FORBIDDEN, _DENIED),
    )
    return next((told for is_so, told in cases if is_so), _OTHER)
