"""What a server of Vault or OpenBao refuses, in our words. Of its texts nothing is passed on: only the status."""

from __future__ import annotations

import http
from collections.abc import Iterable
from urllib.parse import urlsplit

import requests

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError


class DeniedError(StoreError):
    """The server knows us, and its policies do not let us."""


class InvalidTokenError(UsageError):
    """The server does not know our token, or any more."""


class SealedError(UnreachableError):
    """The server runs, and its storage is closed to it."""


class LoginError(StoreError):
    """The method does not let us in."""


class UnwrapError(LoginError):
    """The wrapping token is good for nothing any more: somebody was there before us."""


Told = tuple[type[SecretopsError], str, str, str]
"""Class, value, rule and remedy, which may name {where}, {host}, {mount}, {namespace}, {action} and {status}."""

MISMATCH = "check-and-set parameter did not match"
"""How the server says that what is written was written by somebody else meanwhile."""

_SEALED: Told = (
    SealedError,
    "{host} is sealed",
    "a sealed server reads and writes nothing until it is unsealed; nothing is half-written",
    "unseal it (bao operator unseal); the next tick goes on from here",
)
_STANDBY: Told = (
    UnreachableError,
    "{host} is a standby, and does not reach the active server ({status})",
    "a standby passes requests on to the active one; it was asked again, more and more slowly",
    "does the cluster have a leader (bao operator raft list-peers)? The next tick goes on from here",
)
_THROTTLED: Told = (
    UnreachableError,
    "{host} asks for fewer requests ({status})",
    "it was asked again, more and more slowly; nothing is half-written",
    "nothing to do: the next tick goes on from here; a rate limit quota of the server may be too small",
)
_BROKEN: Told = (
    UnreachableError,
    "{host} does not serve {where} ({status})",
    "it was asked again, more and more slowly; a server that can't write to its audit devices serves nothing",
    "see its log; the next tick goes on from here",
)
_NO_NAMESPACE: Told = (
    StoreError,
    "{host} has no namespace {namespace!r}",
    "the stack's file names the namespace that its mount is in",
    "correct it there, then pulumi up; bao namespace list says which there are",
)
_NO_MOUNT: Told = (
    StoreError,
    "there is no mount {mount} at {host}",
    "`pulumi up` mounts the store's KV engine; nothing was written",
    "pulumi up; if it has run: is this its server and its namespace? bao secrets list",
)
_NOT_V2: Told = (
    StoreError,
    "mount {mount} at {host} is no KV engine of version 2",
    "only version 2 keeps versions and takes check-and-set",
    "pulumi up mounts one; bao secrets list -detailed says what each mount is",
)
_DENIED: Told = (
    DeniedError,
    "this token may not {action} {where} (permission denied)",
    "no policy of the token allows it; a policy names each path by itself",
    "pulumi up writes the policies of the stack's roles; bao token capabilities says what you may yourself",
)
_OTHER: Told = (
    StoreError,
    "{where}: the server refused to {action} it ({status})",
    "what was asked was not done",
    "its audit log has the request and why it was refused",
)
_REDIRECTS = frozenset({301, 302, 307, 308})
"""A standby that can't pass a request on. No token is sent to wherever it points."""

AGAIN = frozenset({http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.PRECONDITION_FAILED, *_REDIRECTS})
"""Beside what is the server's own fault: what is asked again. 412: a standby that has not caught up yet."""


def host_of(address: str) -> str:
    return urlsplit(address).netloc or address


def refused(
    status: int, texts: Iterable[str], *, address: str, action: str, where: str, mount: str = "", namespace: str = ""
) -> SecretopsError:
    """What an answer with `status` and the server's own `texts` means: `action` was asked of `where`."""
    kind, *said = _meaning(status, " ".join(texts))
    names = {
        "where": where,
        "host": host_of(address),
        "mount": mount,
        "namespace": namespace,
        "action": action,
        "status": status,
    }
    what, rule, remedy = (text.format(**names) for text in said)
    return kind(what, rule=rule, remedy=remedy)


def not_version_2(address: str, mount: str) -> SecretopsError:
    """That what is mounted there is another engine, or KV's version 1."""
    kind, what, rule, remedy = _NOT_V2
    return kind(what.format(mount=mount, host=host_of(address)), rule=rule, remedy=remedy)


def no_server(host: str, rule: str) -> StoreError:
    """That what answers is something else: it does not do what `rule` says that a server does."""
    return StoreError(
        f"what answers as {host} is no server of Vault or OpenBao",
        rule=rule,
        remedy="see that the stack's file names the server's own address, and no portal or proxy answers in its place",
    )


def unanswered(error: Exception, address: str, ca_file: str | None) -> SecretopsError:
    """What it means that no answer came. `error`'s own text may name what was sent: nothing of it is passed on."""
    host = host_of(address)
    if isinstance(error, requests.exceptions.SSLError):
        return StoreError(
            f"what answers as {host} does not prove to be it",
            rule="its certificate is not to be trusted; no token and no value is sent to a stranger",
            remedy="the stack's file names the CA that signs it (ca_file), else VAULT_CACERT or the system's is used",
        )
    if isinstance(error, requests.exceptions.ReadTimeout | requests.exceptions.ChunkedEncodingError):
        return UnreachableError(
            f"{host} does not answer",
            rule="it was asked again, more and more slowly; what a lost answer was about is looked at by the next tick",
            remedy="nothing to do: the next tick goes on from here",
        )
    if isinstance(error, requests.exceptions.ConnectionError):
        return UnreachableError(
            f"{host} can't be reached",
            rule="no connection came about, or it broke: no such name, no network, or no server there",
            remedy="bao status says whether it answers; the next tick goes on from here",
        )
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


def ended(host: str, *, person: bool) -> InvalidTokenError:
    """That the server does not know the token."""
    return InvalidTokenError(
        f"{host} does not take this token: it has ended, was revoked, or is of another server",
        rule="a token is good for its TTL; one that may not look itself up can't be told from one that has ended",
        remedy="log in again (bao login); then: bao token lookup" if person else "the next tick logs in anew",
    )


def _meaning(status: int, text: str) -> Told:
    cases = (
        (status == http.HTTPStatus.SERVICE_UNAVAILABLE and "sealed" in text, _SEALED),
        (status in _REDIRECTS or "node not active" in text or "standby" in text, _STANDBY),
        (status in AGAIN, _THROTTLED),
        (status >= http.HTTPStatus.INTERNAL_SERVER_ERROR, _BROKEN),
        (status == http.HTTPStatus.NOT_FOUND and "namespace" in text, _NO_NAMESPACE),
        (status == http.HTTPStatus.NOT_FOUND, _NO_MOUNT),
        (status == http.HTTPStatus.METHOD_NOT_ALLOWED, _NOT_V2),
        (status == http.HTTPStatus.FORBIDDEN, _DENIED),
    )
    return next((told for is_so, told in cases if is_so), _OTHER)
