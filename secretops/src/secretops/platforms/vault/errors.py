"""Convert Vault's rejections to errors of secretops, without Vault's texts."""

from __future__ import annotations

import http
from collections.abc import Iterable
from urllib.parse import urlsplit

import requests

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.stores.store_errors import BROKEN, SILENT, THROTTLED, UNREACHED, UNTRUSTED, ErrorTemplate, was_cut


class DeniedError(StoreError): ...


# Text of the server when check-and-set fails.
MISMATCH = "check-and-set parameter did not match"
_SEALED = ErrorTemplate(
    UnreachableError,
    "{host} is sealed",
    "the Vault server must be unsealed before it reads or writes; no write is incomplete",
    "unseal the server: bao operator unseal; the next tick tries again",
    "vault-sealed",
)
_STANDBY = ErrorTemplate(
    UnreachableError,
    "{host} is a standby, and does not reach the active server ({code})",
    "a standby must reach the active server, to which it forwards requests; the request was retried",
    "find out whether a server is active: run bao status, or vault status, on each; the next tick tries again",
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
    "the mount must exist, in the namespace of store.namespace; nothing was written",
    "pulumi up, which creates the stack's mounts; if it has run, check store.address and store.namespace with: bao "
    "secrets list, or bao auth list for a mount auth/…",
    "vault-mount-missing",
)
_NOT_KV2 = ErrorTemplate(
    StoreError,
    "mount {mount} at {host} is not a KV engine of version 2",
    "the mount must be a KV engine of version 2: only this has versions and check-and-set",
    "bao secrets move {mount} {mount}-former; then pulumi up, which mounts a new engine",
    "vault-mount-not-kv2",
)
_DENIED = ErrorTemplate(
    DeniedError,
    "this token may not {action} {where} (permission denied)",
    "a policy of the token must allow the request; the stack's policies name each path",
    "for a role of the stack: pulumi up writes its policies; for your own token, see its rights: bao token "
    "capabilities PATH",
    "vault-access-denied",
)
_OTHER = ErrorTemplate(
    StoreError,
    "{where}: the server rejected the request to {action} ({code})",
    "the server must accept the request; a rejected request changes nothing",
    "find the request and the reason in the server's audit log",
    "vault-request-rejected",
)
# Statuses of a standby that can't forward a request. No token is sent to the address in the response.
_REDIRECTS = frozenset({301, 302, 307, 308})
# Statuses to retry, besides 5xx. 412: a standby that is behind.
AGAIN = frozenset({http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.PRECONDITION_FAILED, *_REDIRECTS})
_TEXTS = {
    "service_check": "check the server's log: a server that can't write to its audit devices rejects every request",
    "ca_setting": "set store.ca_file in the stack file to the server's CA (default: VAULT_CACERT, then the system's "
    "CAs)",
    "connection_check": "check the server: bao status; the next tick tries again",
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
            return (UNREACHED if was_cut(error) else template).filled(host=host, **_TEXTS)
    if ca_file and not isinstance(error, requests.exceptions.RequestException):
        return UsageError(
            f"{ca_file} has no readable CA certificate",
            rule="the file must contain the CA that signs the certificate of the Vault server",
            remedy="write the CA's certificate to this file as PEM",
            code="ca-file-invalid",
        )
    return invalid_address(address, f" ({type(error).__name__})")


def invalid_address(address: str, why: str = "") -> UsageError:
    return UsageError(
        f"{address!r} is not a valid address of a Vault server{why}",
        rule="the address must be https://HOST, or https://HOST:PORT if the port is not 443",
        remedy="correct store.address in the stack file, then pulumi up",
        code="vault-address-invalid",
    )
