"""Docker's own configuration: the daemon's address (DOCKER_HOST, else the context, else the default socket), and logins
to registries."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import requests
from docker import auth
from docker.context import ContextAPI
from docker.credentials.errors import StoreError as HelperError
from docker.tls import TLSConfig

from secretops import redaction
from secretops.errors import UnreachableError, UsageError

# Default address of a daemon.
SOCKET = "/var/run/docker.sock"

ANSWER_SECONDS = 60

# Secret fields of a login to a registry.
_HIDDEN = frozenset({"password", "identitytoken", "registrytoken"})


@dataclass(frozen=True)
class Connection:
    session: requests.Session
    url: str


def open_connection(environment: Mapping[str, str] = os.environ) -> Connection:
    host, tls = _address(environment)
    try:
        client = docker.APIClient(
            base_url=host, tls=tls, version="auto", timeout=ANSWER_SECONDS, use_ssh_client=host.startswith("ssh://")
        )
    except (docker.errors.DockerException, OSError) as error:
        reason = _reason(error, host)
        raise UnreachableError(
            f"no Docker daemon answers at {host}: {reason}",
            rule="the daemon must answer: the stack's store is in its Swarm",
            remedy="run the command on a manager as a member of the group docker, or set DOCKER_HOST to a manager",
            code="daemon-unreachable",
        ) from None
    return Connection(client, f"{client.base_url}/v{client.api_version}")


def address_of(environment: Mapping[str, str] = os.environ) -> str:
    return _address(environment)[0]


def certificates_of(environment: Mapping[str, str] = os.environ) -> Path | None:
    tls = _address(environment)[1]
    certificate = (tls.cert[0] if tls.cert else tls.ca_cert) if isinstance(tls, TLSConfig) else None
    return Path(certificate).parent if certificate else None


def socket_of(environment: Mapping[str, str] = os.environ) -> str:
    """Return the daemon's socket path on its machine, which a task there can mount."""
    host = address_of(environment)
    return host.removeprefix("unix://") if host.startswith("unix://") else SOCKET


def registry_login(image: str) -> str | None:
    """Return the login (`docker login`) to the registry of `image` as an API header, or None.

    Raises UsageError if Docker's configuration, or its credential helper, is unusable.
    """
    registry = ""
    try:
        registry, _ = auth.resolve_repository_name(image)
        with warnings.catch_warnings(action="ignore"):  # the warning about a missing helper, which is an error below
            found = auth.load_config().resolve_authconfig(registry)
    except (docker.errors.DockerException, HelperError, OSError, ValueError) as error:
        raise UsageError(
            f"the login to {registry or image} can't be read ({type(error).__name__})",
            rule="Docker's configuration must contain the login, or name a credential helper",
            remedy=f"docker login {registry}".rstrip(),
            code="registry-login-unreadable",
        ) from None
    if not found:
        return None
    for key, text in found.items():
        if key.lower() in _HIDDEN and text:
            redaction.remember(str(text))
    header: str = auth.encode_header(found).decode()
    redaction.remember(header)
    return header


def _address(environment: Mapping[str, str]) -> tuple[str, TLSConfig | bool]:
    if host := environment.get("DOCKER_HOST"):
        folder = Path(environment.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
        if environment.get("DOCKER_TLS_VERIFY") and not host.startswith(("unix://", "ssh://")):
            ca, certificate, key = (str(folder / f"{name}.pem") for name in ("ca", "cert", "key"))
            try:
                return host, TLSConfig(client_cert=(certificate, key), ca_cert=ca, verify=True)
            except docker.errors.TLSParameterError:
                raise UsageError(
                    f"DOCKER_CERT_PATH: no ca.pem, cert.pem and key.pem in {folder}",
                    rule="DOCKER_TLS_VERIFY requires the client's certificate and key, and the daemon's CA",
                    remedy="set DOCKER_CERT_PATH to the folder that has these three files",
                    code="docker-certificates-missing",
                ) from None
        return host, False
    name = environment.get("DOCKER_CONTEXT")
    found = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
    if name and found is None:
        raise UsageError(
            f"DOCKER_CONTEXT: there is no context {name}",
            rule="DOCKER_CONTEXT must name one of Docker's contexts",
            remedy="list the contexts: docker context ls; then set DOCKER_CONTEXT to one of them",
            code="docker-context-unknown",
        )
    host = (found and found.Host) or f"unix://{SOCKET}"
    return host.replace("http+unix://", "unix://"), (found and found.TLSConfig) or False


def _reason(error: Exception, host: str) -> str:
    cause: BaseException | None = error
    reason = ""
    while cause is not None:
        reason = getattr(cause, "strerror", None) or reason
        cause = cause.__cause__ or cause.__context__
    if not reason and host.startswith("ssh://"):
        return f"ssh ended without an answer; to see the error of ssh: ssh {host.removeprefix('ssh://')} docker version"
    return reason or type(error).__name__
