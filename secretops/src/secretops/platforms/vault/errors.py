"""Convert rejections of a server to errors of secretops, without the server's texts."""

from __future__ import annotations

import http
from collections.abc import Iterable
from urllib.parse import urlsplit

import requests

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.stores.store_errors import BROKEN, SILENT, THROTTLED, UNREACHED, UNTRUSTED, ErrorTemplate


class DeniedError(StoreError): ...


# Text of the server when check-and-set fails.
MISMATCH = "check-and-set parameter did not match"
_SEALED = ErrorTemplate(
    UnreachableError,
    "{host} is sealed",
    "the server must be unsealed before it reads or writes; nothing is half-written",
    "bao operator unseal; the next tick continues",
    "vault-sealed",
)
_STANDBY = ErrorTemplate(
    UnreachableError,
    "{host} is a standby, and does not reach the active server ({code})",
    "a standby must reach the active server, to which it forwards requests; the request was retried",
    "check for a leader: bao operator raft list-peers; the next tick continues",
    "vault-standby",
)
_NO_NAMESPACE = ErrorTemplate(
    StoreError,
    "{host} has no namespace {namespace!r}",
    "store.namespace in the stack file must name the namespace of the mount",
    "correct store.namespace (bao namespace list shows the namespaces), then pulumi up",
    "vault-namespace-missing",
)
_NO_MOUNT = ErrorTemplate(
    StoreError,
    "mount {mount} does not exist at {host}",
    "the store's KV engine must be mounted, which `pulumi up` does; nothing was written",
    "pulumi up; if it has run, check address and namespace with: bao secrets list",
    "vault-mount-missing",
)
_NOT_KV2 = ErrorTemplate(
    StoreError,
    "mount {mount} at {host} is not a KV engine of version 2",
    "it must be of version 2, the only one with versions and check-and-set",
    "bao secrets list -detailed shows it; move it away (bao secrets move), then pulumi up, which mounts one",
    "vault-mount-not-kv2",
)
_DENIED = ErrorTemplate(
    DeniedError,
    "this token may not {action} {where} (permission denied)",
    "a policy of the token must allow it; policies name each path",
    "pulumi up writes the policies of the stack's roles; bao token capabilities shows your own rights",
    "vault-access-denied",
)
_OTHER = ErrorTemplate(
    StoreError,
    "{where}: the server rejected the request to {action} ({code})",
    "nothing was changed",
    "find the request and the reason in the server's audit log",
    "vault-request-rejected",
)
# Statuses of a standby that can't forward a request. No token is sent to the address in the response.
_REDIRECTS = frozenset({301, 302, 307, 308})
# Statuses to retry, besides 5xx. 412: a standby that is behind.
AGAIN = frozenset({http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.PRECONDITION_FAILED, *_REDIRECTS})
_TEXTS = {
    "health": "check its log: a server that can't write to its audit devices rejects every request",
    "trust": "store.ca_file names the CA; the default is VAULT_CACERT, then the system's CAs",
    "way": "bao status; the next tick continues",
}


# The first match applies: a failed handshake is a ConnectionError, too.
_BY_CLASS: tuple[tuple[tuple[type[Exception], ...], ErrorTemplate], ...] = (
    ((requests.exceptions.SSLError,), UNTRUSTED),
    ((requests.exceptions.ReadTimeout, requests.exceptions.ChunkedEncodingError), SILENT),
    ((requests.exceptions.ConnectionError,), UNREACHED),
)


def host_of(address: str) -> str:
    return urlsplit(address).netloc or address


def rejected(
    status: int, texts: Iterable[str], *, address: str, action: str, where: str, mount: str = "", namespace: str = ""
) -> SecretopsError:
    names = {"where": where, "host": host_of(address), "mount": mount, "namespace": namespace, "action": action}
    text = " ".join(texts)
    cases = (
        (status == http.HTTPStatus.SERVICE_UNAVAILABLE and "sealed" in text, _SEALED),
        (status in _REDIRECTS or "node not active" in text or "standby" in text, _STANDBY),
        (status in AGAIN, THROTTLED),
        (status >= http.HTTPStatus.INTERNAL_SERVER_ERROR, BROKEN),
        (status == http.HTTPStatus.NOT_FOUND and "namespace" in text, _NO_NAMESPACE),
        (status == http.HTTPStatus.NOT_FOUND, _NO_MOUNT),
        (status == http.HTTPStatus.METHOD_NOT_ALLOWED, _NOT_KV2),
        (status == http.HTTPStatus.FORBIDDEN, _DENIED),
        (True, _OTHER),
    )
    template = next(template for applies, template in cases if applies)
    return template.filled(code=status, **names, **_TEXTS)


def not_kv2(address: str, mount: str) -> SecretopsError:
    return _NOT_KV2.filled(mount=mount, host=host_of(address))


def not_vault(host: str, rule: str) -> StoreError:
    return StoreError(
        f"{host} does not answer as a server of Vault or OpenBao",
        rule=rule,
        remedy="set store.address to the server itself, not to a portal or a proxy",
        code="vault-response-invalid",
    )


def no_response(error: Exception, address: str, ca_file: str | None) -> SecretopsError:
    """Return the error for a missing response. Omits the text of `error`, which may contain the request."""
    host = host_of(address)
    for kinds, template in _BY_CLASS:
        if isinstance(error, kinds):
            return template.filled(host=host, **_TEXTS)
    if ca_file and not isinstance(error, requests.exceptions.RequestException):
        return UsageError(
            f"{ca_file} has no readable CA certificate",
            rule="the file must contain the CA that signs the server's certificate",
            remedy="write the PEM bundle of the server's CA to this file",
            code="ca-file-invalid",
        )
    return invalid_address(address, f" ({type(error).__name__})")


def invalid_address(address: str, why: str = "") -> UsageError:
    return UsageError(
        f"{address!r} is not a valid server address{why}",
        rule="it must be https:// and a host, with its port if that is not 443",
        remedy="correct store.address in the stack file, then pulumi up",
        code="vault-address-invalid",
    )
