"""Check the manager and the registry logins that Pulumi's Docker provider will use, without reading the logins."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pulumi

from secretops.errors import SecretopsError, UsageError
from secretops.platforms.swarm import api
from secretops.platforms.swarm.daemon import address_of, certificates_of

# Environment variables that the provider uses instead of a login, and may write to the state as its inputs.
_INSTEAD = ("DOCKER_REGISTRY_USER", "DOCKER_REGISTRY_PASS")

# Host names of Docker Hub.
_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")


def manager() -> str:
    """Return the Docker daemon's address, the same for Pulumi's provider and secretops.

    Raises RunError for a missing context, or for a context with TLS certificates, which the provider does not support.
    """
    try:
        host, folder = address_of(), certificates_of()
    except UsageError as error:
        raise pulumi.RunError(str(error)) from None
    given = os.environ.get("DOCKER_CERT_PATH")
    if folder and (not given or Path(given) != folder):
        raise _refused(
            f"Docker's context connects to {host} by TLS, with the certificates in {folder}",
            rule="a TLS connection must be set by environment variables: Pulumi's Docker provider does not read the "
            "certificates of a context",
            remedy=f"export DOCKER_HOST={host} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={folder}; or select a context with "
            "an ssh:// address: docker context use NAME",
            code="context-with-tls",
        )
    return host


def check_manager() -> None:
    """Raise RunError unless a manager answers. In a preview, which needs no manager, only print a warning."""
    manager()
    try:
        ask_manager()
    except SecretopsError as error:
        if not pulumi.runtime.is_dry_run():
            raise pulumi.RunError(str(error)) from None
        pulumi.log.warn(f"no Swarm manager answers; pulumi up requires a manager\n{error}")


def ask_manager() -> None:
    api.check_manager(api.SwarmApi(patient=False).get("/info") or {})


def check_login(registry: str) -> None:
    """Raise RunError unless the provider will use Docker's login at `registry`."""
    for name in _INSTEAD:
        if os.environ.get(name):
            raise _refused(
                f"{name} is set, and the stack file has server.registry_login",
                rule="the variable must not be set: Pulumi's provider would use it instead of Docker's login",
                remedy=f"unset {name}, then docker login {registry}",
                code="registry-variable-set",
            )
    names = _HUB if registry in _HUB else (registry,)
    if not set(names) & set(_known()):
        raise _refused(
            f"server.registry_login: no login at {registry} in {_config()}",
            rule="this machine must be logged in to the registry: the nodes pull the image with this login",
            remedy=f"docker login {registry}; or remove server.registry_login, and docker pull the image on each node",
            code="registry-login-missing",
        )


def _refused(what: str, *, rule: str, remedy: str, code: str) -> pulumi.RunError:
    return pulumi.RunError(str(UsageError(what, rule=rule, remedy=remedy, code=code)))


def _config() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def _known() -> Iterable[str]:
    try:
        config: Any = json.loads(_config().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    if not isinstance(config, dict):
        return ()
    found = [*(config.get("auths") or ()), *(config.get("credHelpers") or ())]
    return [str(each).partition("://")[2].partition("/")[0] or str(each).partition("/")[0] for each in found]
