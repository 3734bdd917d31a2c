"""The secrets that a service mounts. The Pulumi program declares the service with these secrets, so that `pulumi up`
does not change them."""

from __future__ import annotations

import stat

from secretops.errors import UsageError
from secretops.platforms.swarm.api import SwarmApi
from secretops.platforms.swarm.location import MountedSecret
from secretops.platforms.swarm.rollout import secrets_of


def operator_secret(secret: str, *, file_name: str, uid: str, gid: str, api: SwarmApi | None = None) -> MountedSecret:
    """Return the mount of an operator's Swarm secret, readable only for `uid`. Raises UsageError if it is missing."""
    found = (api or SwarmApi()).get(f"/secrets/{secret}")
    if found is None:
        raise UsageError(
            f"the Swarm has no Docker secret {secret}",
            rule="an operator must create this Docker secret, so that its value never passes through Pulumi",
            remedy=f"docker secret create {secret} FILE",
            code="swarm-secret-missing",
        )
    mode = stat.S_IRUSR
    return MountedSecret(secret_id=found["ID"], secret_name=secret, file_name=file_name, uid=uid, gid=gid, mode=mode)


def mounted_secrets(service: str, api: SwarmApi | None = None) -> tuple[MountedSecret, ...]:
    """Return the secrets that a service mounts, sorted by file; none if the service is missing."""
    found = (api or SwarmApi()).get(f"/services/{service}")
    listed = [
        MountedSecret(
            secret_id=entry["SecretID"],
            secret_name=entry["SecretName"],
            file_name=entry["File"]["Name"],
            uid=entry["File"]["UID"],
            gid=entry["File"]["GID"],
            mode=entry["File"]["Mode"],
        )
        for entry in (secrets_of(found) if found else ())
    ]
    return tuple(sorted(listed, key=lambda each: each.file_name))
