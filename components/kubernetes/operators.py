"""Custom resources of cert-manager and External Secrets.

Tests check their fields against the published definitions. If the operator is not installed, `pulumi up` fails after a
minute and names the unknown kind.
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

# Lifetime of a certificate, 90 days: cert-manager's default, and the Secret Management Guide's maximum for passwords.
LIFE = "2160h"
# How long before the end of LIFE cert-manager renews a certificate: a third of LIFE.
RENEW_BEFORE = "720h"

# Maximum minutes between two polls of a store, as for launchers that fetch. The store's audit log has a line for each
# poll.
MOST_SYNC_MINUTES = 5


def sync_minutes(grace_seconds: int) -> int:
    """Return the longest interval between polls, in minutes, with which pods still reconnect within the grace
    period."""
    return max(1, min(MOST_SYNC_MINUTES, (grace_seconds - TO_A_VOLUME - CHANGE_OVER) // 60))


@dataclass(frozen=True, kw_only=True)
class OperatorObject:
    api_version: str
    kind: str
    name: str
    spec: dict[str, Any]

    def deploy(self, name: str, place: Place, *, after: Sequence[pulumi.Resource] = ()) -> apiextensions.CustomResource:
        return apiextensions.CustomResource(
            name,
            api_version=self.api_version,
            kind=self.kind,
            metadata=place.metadata(self.name),
            spec=self.spec,
            opts=place.after(*after),
        )


def client_certificate(issuer: CertificateIssuerArgs, stack: str) -> OperatorObject:
    """Return the Certificate. cert-manager renews it, with a new key, in the Secret CERTIFICATE."""
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
    """Return the SecretStore. Only ExternalSecrets of its namespace can use it."""
    return OperatorObject(
        api_version="external-secrets.io/v1", kind="SecretStore", name=STORE, spec={"provider": dict(provider)}
    )


def synced_secret(secret: Secret, remote: str, version: str = "", *, minutes: int) -> OperatorObject:
    """Return the ExternalSecret for `secret`, which is named `remote` in the store.

    One request reads all fields, so that user and password match. External Secrets writes a Secret only once all of its
    entries have values, so each secret gets its own Secret. `version` is the store's key for the version.
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
    name: str, secrets: SyncedKey, catalog: Iterable[Secret], place: Place, *, grace_seconds: int
) -> tuple[str, ...]:
    """Declare the objects for External Secrets. Return the names of the Secrets that it creates."""
    minutes = sync_minutes(grace_seconds)
    store = secret_store(secrets.provider).deploy(f"{name}-secret-store", place)
    made = [
        synced_secret(secret, secrets.remotes[secret.name], secrets.version, minutes=minutes)
        for secret in catalog
        if secret.name in secrets.secrets
    ]
    for secret, each in zip(secrets.secrets, made, strict=True):
        each.deploy(f"{name}-synced-{secret}", place, after=[store])
    return tuple(each.name for each in made)
