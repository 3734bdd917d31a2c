"""Which roles and users read and write each secret."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from secretops.manifest import Reader, Secret, SecretKind

from .names import Names

# Name of the function of the hourly tick, which recovers rotations, retires users, and checks every secret.
TICK = "tick"


def rotator_of(secret: str) -> str:
    return f"rotate-{secret}"


def declared_callers(operators: Sequence[str], reader: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*operators, *([reader] if reader else []))))


@dataclass(frozen=True)
class Access:
    """ARNs of the roles and users that may read or write one secret."""

    readers: tuple[str, ...]
    writers: tuple[str, ...]


def rotated(secrets: Iterable[Secret]) -> tuple[Secret, ...]:
    """Return the secrets that Secrets Manager rotates: those that alternate between two broker users.

    A rotation of another secret would fail and leave an empty version with the label AWSPENDING.
    """
    return tuple(secret for secret in secrets if secret.kind.alternates)


def read_to_rotate(secret: Secret, secrets: Sequence[Secret], *, certificate: bool) -> tuple[str, ...]:
    """Return the names of the other secrets that a rotation of `secret` reads: the broker admin's login and, if the
    broker requires it, the client certificate."""
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
    """Return the readers and writers of each secret. `server` is the ARN of the role or user with which the server
    reads."""
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
            # An operator may also be the reader of a local server.
            readers=tuple(dict.fromkeys((*by_server, *own, *needing, tick, *operators))),
            writers=(*own, tick, *operators),
        )
    return found
