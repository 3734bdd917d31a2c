"""Objects that other operators of a cluster act on: cert-manager's Certificate, External Secrets' ExternalSecret.

The engine knows neither's fields; tests check them against the definitions that both projects publish. Where the
operator is not installed, `pulumi up` tries for a minute, then says which kind the API server does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions

from secretops.manifest import Secret

from ..core.naming import physical_name
from ..core.references import SyncedKey
from .names import (
    CERTIFICATE,
    CERTS,
    LABEL_LIMIT,
    STORE,
    SYNCED,
    Place,
    delivered,
)
from .pod_args import CHANGE_OVER, TO_A_VOLUME, CertificateIssuerArgs

LIFE = "2160h"
"""90 days: cert-manager's default, and the guide's for passwords."""
RENEW_BEFORE = "720h"
"""A third of LIFE: renewed at two thirds."""

# Minutes between two reads of a store: as launchers that fetch poll it. Each is a line of its audit log.
MOST_SYNC_MINUTES = 5


def sync_minutes(grace_seconds: int) -> int:
    """Return the minutes between two reads of a store: few reads, and pods still change over within the grace."""
    return max(1, min(MOST_SYNC_MINUTES, (grace_seconds - TO_A_VOLUME - CHANGE_OVER) // 60))


@dataclass(frozen=True, kw_only=True)
class OperatorObject:
    """An object of a kind that a custom resource definition brings."""

    api_version: str
    kind: str
    name: str
    spec: dict[str, Any]

    def deploy(self, name: str, place: Place, *, after: Sequence[pulumi.Resource] = ()) -> apiextensions.CustomResource:
        """As the resource `name` of the stack, made `after` others."""
        return apiextensions.CustomResource(
            name,
            api_version=self.api_version,
            kind=self.kind,
            metadata=place.metadata(self.name),
            spec=self.spec,
            opts=place.after(*after),
        )


def client_certificate(issuer: CertificateIssuerArgs, stack: str) -> OperatorObject:
    """The server's certificate: cert-manager makes and renews it in the Secret CERTIFICATE, each with a new key."""
    return OperatorObject(
        api_version="cert-manager.io/v1",
        kind="Certificate",
        name=CERTIFICATE,
        spec={
            "secretName": CERTIFICATE,
            "commonName": physical_name("coreflux-mcp", stack, limit=LABEL_LIMIT),
            "duration": LIFE,
            "renewBefore": RENEW_BEFORE,
            "usages": ["client auth", "digital signature"],
            "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
            "issuerRef": {"group": issuer.group, "kind": issuer.kind, "name": issuer.name},
            "revisionHistoryLimit": 1,
        },
    )


def secret_store(provider: Mapping[str, Any]) -> OperatorObject:
    """Where External Secrets reads, and as whom. Of the namespace: no other's ExternalSecrets read by it."""
    return OperatorObject(
        api_version="external-secrets.io/v1", kind="SecretStore", name=STORE, spec={"provider": dict(provider)}
    )


def synced_secret(secret: Secret, remote: str, version: str = "", *, minutes: int) -> OperatorObject:
    """The Secret of the namespace that External Secrets copies `secret` into, which its store calls `remote`.

    It is read whole, in one request: a user and another version's password would be a torn pair. Each secret has a
    Secret of its own: External Secrets writes none before all that goes into it has a value, and not all need one.
    `version` is the key there that says which version it is. It is read every `minutes`.
    """
    place = delivered(secret)
    keys = {**place.keys, **({version: f"{secret.name}-version"} if version else {})}
    renamed = [
        {"regexp": {"source": f"^{re.escape(field)}$", "target": key}} for field, key in keys.items() if field != key
    ]
    name = CERTS if place.name == CERTS else f"{SYNCED}{secret.name}"
    whole: dict[str, Any] = {"extract": {"key": remote}}
    return OperatorObject(
        api_version="external-secrets.io/v1",
        kind="ExternalSecret",
        name=name,
        spec={
            "refreshInterval": f"{minutes}m",
            "secretStoreRef": {"name": STORE, "kind": "SecretStore"},
            "dataFrom": [whole | ({"rewrite": renamed} if renamed else {})],
            "target": {"name": name, "creationPolicy": "Owner", "deletionPolicy": "Retain"},
        },
    )


def sync(
    name: str, secrets: SyncedKey, catalogue: Iterable[Secret], place: Place, *, grace_seconds: int
) -> tuple[str, ...]:
    """Have External Secrets copy `secrets` into the namespace. Return the names of the Secrets that it makes."""
    minutes = sync_minutes(grace_seconds)
    store = secret_store(secrets.provider).deploy(f"{name}-secret-store", place)
    made = [
        synced_secret(secret, secrets.remotes[secret.name], secrets.version, minutes=minutes)
        for secret in catalogue
        if secret.name in secrets.secrets
    ]
    for secret, each in zip(secrets.secrets, made, strict=True):
        each.deploy(f"{name}-synced-{secret}", place, after=[store])
    return tuple(each.name for each in made)
