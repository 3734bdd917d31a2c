"""The secrets that a service has mounted: names and ids, for a program that declares it and must not change them."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import Any

from secretops.errors import UsageError
from secretops.platforms.swarm.api import SwarmApi
from secretops.platforms.swarm.rollout import list_of


@dataclass(frozen=True, kw_only=True)
class MountedSecret:
    """A secret in a service's list, and its file in the containers. A locator, never a value."""

    secret_id: str
    secret_name: str
    file_name: str
    uid: str
    gid: str
    mode: int


def operator_secret(secret: str, *, file_name: str, uid: str, gid: str, api: SwarmApi | None = None) -> MountedSecret:
    """Return the secret of that name, which an operator made, as a file that only its owner reads.

    Raises UsageError if there is none, StoreError, UnreachableError.
    """
    found = _named(api or SwarmApi(), "/secrets", secret)
    if found is None:
        raise UsageError(
            f"there is no secret {secret} in the Swarm",
            rule="the stack names it, and an operator makes it: its value never passes through Pulumi",
            remedy=f"docker secret create {secret} FILE",
        )
    return MountedSecret(
        secret_id=found["ID"], secret_name=secret, file_name=file_name, uid=uid, gid=gid, mode=stat.S_IRUSR
    )


def mounted_secrets(service: str, api: SwarmApi | None = None) -> tuple[MountedSecret, ...]:
    """Return the list of `service`, sorted by file; empty if there is no such service yet.

    Raises StoreError, UnreachableError.
    """
    found = _named(api or SwarmApi(), "/services", service)
    listed = [
        MountedSecret(
            secret_id=one["SecretID"],
            secret_name=one["SecretName"],
            file_name=one["File"]["Name"],
            uid=one["File"]["UID"],
            gid=one["File"]["GID"],
            mode=one["File"]["Mode"],
        )
        for one in (list_of(found) if found else ())
    ]
    return tuple(sorted(listed, key=lambda one: one.file_name))


def _named(api: SwarmApi, path: str, name: str) -> dict[str, Any] | None:
    """Return the one of exactly that name: the daemon also returns those whose name begins with it."""
    return next((one for one in api.get(path, name=[name]) or () if one["Spec"]["Name"] == name), None)
