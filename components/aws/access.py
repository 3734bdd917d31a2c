"""Who reads and who writes which secret: one table, from which roles, secret policies, key and trail are made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from secretops.manifest import Reader, Secret, SecretKind

from .names import Names

TICK = "tick"
"""The function of the hourly tick: it finishes what a rotation left, retires users, and looks at every secret."""


def rotator_of(secret: str) -> str:
    """The function that rotates a secret."""
    return f"rotate-{secret}"


def declared_callers(operators: Sequence[str], reader: str | None) -> tuple[str, ...]:
    """Return who reads in addition to the stack's own roles: operators, and who reads for a server elsewhere."""
    return tuple(dict.fromkeys((*operators, *([reader] if reader else []))))


@dataclass(frozen=True)
class Access:
    """Of one secret: ARNs of roles and users."""

    readers: tuple[str, ...]
    writers: tuple[str, ...]


def rotated(secrets: Iterable[Secret]) -> tuple[Secret, ...]:
    """Those on AWS' own schedule: the ones that secretops makes values for.

    A rotation of any other could only fail, and leave an empty AWSPENDING behind; the tick reminds of those.
    """
    return tuple(secret for secret in secrets if secret.kind.alternates)


def read_to_rotate(secret: Secret, secrets: Sequence[Secret], *, certificate: bool) -> tuple[str, ...]:
    """Which others whoever rotates `secret` reads: the admin's credential, and the certificate that a broker asks for.

    The admin's own rotation acts as the admin itself.
    """
    return tuple(
        other.name
        for other in secrets
        if other.name != secret.name
        and (other.kind is SecretKind.BROKER_ADMIN or (certificate and other.kind is SecretKind.X509))
    )


def access_of(
    secrets: Sequence[Secret],
    names: Names,
    *,
    server: str | None,
    operators: Sequence[str],
    certificate: bool,
) -> dict[str, Access]:
    """Return secret -> who. `server` is the role that reads for the server, if there is one."""
    functions = {secret.name: names.role_arn(rotator_of(secret.name)) for secret in rotated(secrets)}
    tick = names.role_arn(TICK)
    found = {}
    for secret in secrets:
        own = [functions[secret.name]] if secret.name in functions else []
        needing = [
            functions[other.name]
            for other in rotated(secrets)
            if secret.name in read_to_rotate(other, secrets, certificate=certificate)
        ]
        by_server = [server] if server and Reader.SERVER in secret.readers else []
        found[secret.name] = Access(
            # Who reads for a server on somebody's own machine may be an operator too.
            readers=tuple(dict.fromkeys((*by_server, *own, *needing, tick, *operators))),
            writers=(*own, tick, *operators),
        )
    return found
