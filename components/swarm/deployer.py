"""What the deployer's own Docker client knows, and Pulumi's provider is to use: a manager, and a login at a registry.

Looked at is only that there is a login, never what it is.
"""

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

_INSTEAD = ("DOCKER_REGISTRY_USER", "DOCKER_REGISTRY_PASS")
"""Variables that the provider takes in place of a login: what is an input of its own may come to lie in the state."""

_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
"""Names of one registry."""


def manager() -> str:
    """The daemon that secretops asks, too.

    Raises RunError for a context that is not there, or whose TLS the provider would not speak: it knows no context.
    """
    try:
        host, folder = address_of(), certificates_of()
    except UsageError as error:
        raise pulumi.RunError(str(error)) from None
    given = os.environ.get("DOCKER_CERT_PATH")
    if folder and (not given or Path(given) != folder):
        raise _refused(
            f"{host}: by TLS with the certificates of {folder}",
            rule="Pulumi's provider knows no context and no folder of its own: it would speak to that port without TLS",
            remedy=f"export DOCKER_HOST={host} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={folder}, or go by ssh://",
        )
    return host


def check_manager() -> None:
    """That a manager answers. Raises RunError; a preview warns instead: it needs none to show what is to be made.

    Left to itself an `up` makes what lies elsewhere, and ends half-way with the provider's own words.
    """
    manager()
    try:
        ask_manager()
    except SecretopsError as error:
        if not pulumi.runtime.is_dry_run():
            raise pulumi.RunError(str(error)) from None
        pulumi.log.warn(f"no manager was asked, and `up` needs one\n{error}")


def ask_manager() -> None:
    """Raise SecretopsError unless a manager answers."""
    api.check_manager(api.SwarmApi(patient=False).get("/info") or {})


def check_login(registry: str) -> None:
    """Check that there is a login at `registry`, which the provider reads itself, and sends with each service.

    Raises RunError if there is none, or if the provider would use another.
    """
    for name in _INSTEAD:
        if os.environ.get(name):
            raise _refused(
                f"{name} is set, and the stack file has server.registry_login",
                rule="the provider would take it for its own, in place of Docker's login",
                remedy=f"unset {name}, then docker login {registry}",
            )
    names = _HUB if registry in _HUB else (registry,)
    if not set(names) & set(_known()):
        raise _refused(
            f"server.registry_login: no login at {registry} in {_config()}",
            rule="the nodes pull the image with the login of whoever deploys",
            remedy=f"docker login {registry}, or take it out and docker pull the image on each node",
        )


def _refused(what: str, *, rule: str, remedy: str) -> pulumi.RunError:
    return pulumi.RunError(str(UsageError(what, rule=rule, remedy=remedy)))


def _config() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def _known() -> Iterable[str]:
    """Hosts that Docker's client has a login for, in its file or by a helper."""
    try:
        config: Any = json.loads(_config().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    if not isinstance(config, dict):
        return ()
    found = [*(config.get("auths") or ()), *(config.get("credHelpers") or ())]
    return [str(each).partition("://")[2].partition("/")[0] or str(each).partition("/")[0] for each in found]
