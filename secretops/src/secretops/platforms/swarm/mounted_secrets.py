"""Which secrets a service has: names and ids, for a program that declares the service and must not move them back."""

from __future__ import annotations

import stat
from dataclasses import dataclass

from secretops.errors import UsageError
from secretops.platforms.swarm.api import Api


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A secret in a service's list, and the file that it is in its containers. A locator, never a value."""

    secret_id: str
    secret_name: str
    file_name: str
    uid: str
    gid: str
    mode: int


def named(secret: str, *, file_name: str, uid: str, gid: str, api: Api | None = None) -> Attached:
    """The secret of that name, which somebody else made, as a file that its owner alone reads.

    Raises UsageError where there is none, StoreError, UnreachableError.
    """
    found = (api or Api()).get("/secrets", name=[secret])  # also those whose name begins with it
    exact = next((one for one in found or () if one["Spec"]["Name"] == secret), None)
    if exact is None:
        raise UsageError(
            f"there is no secret {secret} in the Swarm",
            rule="the stack names it, and an operator makes it: its value never passes through Pulumi",
            remedy=f"docker secret create {secret} FILE",
        )
    return Attached(secret_id=exact["ID"], secret_name=secret, file_name=file_name, uid=uid, gid=gid, mode=stat.S_IRUSR)


def attached(service: str, api: Api | None = None) -> tuple[Attached, ...]:
    """The list of `service`, by file; empty where there is no such service yet.

    Raises StoreError, UnreachableError: who can't ask does not know that it is empty.
    """
    asked = api or Api()
    found = asked.get("/services", name=[service])  # also those whose name begins with it
    exact = next((one for one in found or () if one["Spec"]["Name"] == service), None)
    if exact is None:
        return ()
    listed = exact["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets") or ()
    return tuple(
        sorted(
            (
                Attached(
                    secret_id=one["SecretID"],
                    secret_name=one["SecretName"],
                    file_name=one["File"]["Name"],
                    uid=one["File"]["UID"],
                    gid=one["File"]["GID"],
                    mode=one["File"]["Mode"],
                )
                for one in listed
            ),
            key=lambda one: one.file_name,
        )
    )
