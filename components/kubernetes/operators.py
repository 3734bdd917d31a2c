"""Objects that other operators of a cluster act on: cert-manager's Certificate, External Secrets' ExternalSecret.

The engine knows neither's fields; tests check them against the definitions that both projects publish. Where the
operator is not installed, `pulumi up` tries for a minute, then says which kind the API server does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pulumi_kubernetes import apiextensions

from components.kubernetes.names import CERTIFICATE, LABEL_LIMIT, SECRETS, Place
from components.naming import physical_name
from components.references import SyncedKey
from components.sections import CertificateIssuer

LIFE = "2160h"
"""90 days: cert-manager's default, and the guide's for passwords."""
RENEW_BEFORE = "720h"
"""A third of LIFE: renewed at two thirds."""

SYNC_EVERY = "1m"
"""As often as a kubelet syncs a volume: a new version is there well within the shortest sensible grace."""


@dataclass(frozen=True, kw_only=True)
class OperatorObject:
    """An object of a kind that a custom resource definition brings."""

    api_version: str
    kind: str
    name: str
    spec: dict[str, Any]

    def deploy(self, name: str, place: Place) -> apiextensions.CustomResource:
        """As the resource `name` of the stack."""
        return apiextensions.CustomResource(
            name,
            api_version=self.api_version,
            kind=self.kind,
            metadata=place.metadata(self.name),
            spec=self.spec,
            opts=place.child,
        )


def client_certificate(issuer: CertificateIssuer, stack: str) -> OperatorObject:
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
            "issuerRef": {"group": "cert-manager.io", "kind": issuer.kind, "name": issuer.name},
            "revisionHistoryLimit": 1,
        },
    )


def synced_secret(
    keys: Sequence[SyncedKey], *, store: str, store_kind: Literal["SecretStore", "ClusterSecretStore"]
) -> OperatorObject:
    """The Secret SECRETS, copied from another store by External Secrets. `store` is its object that may read there.

    Each secret is read whole, in one request: a user and another version's password would be a torn pair. In between
    its fields go by `<secret>.<field>`, so that two secrets may have a field of the same name. Only tests call it until
    a store does that is not the cluster's: aws is the first.
    """
    whole = [
        {
            "extract": {"key": key.remote},
            "rewrite": [{"regexp": {"source": "^(.*)$", "target": f"{key.secret}.$1"}}],
        }
        for key in keys
    ]
    data = {name: f'{{{{ index . "{key.secret}.{field}" }}}}' for key in keys for field, name in key.keys.items()}
    return OperatorObject(
        api_version="external-secrets.io/v1",
        kind="ExternalSecret",
        name=SECRETS,
        spec={
            "refreshInterval": SYNC_EVERY,
            "secretStoreRef": {"name": store, "kind": store_kind},
            "dataFrom": whole,
            "target": {
                "name": SECRETS,
                "creationPolicy": "Owner",
                "deletionPolicy": "Retain",
                "template": {"engineVersion": "v2", "mergePolicy": "Replace", "data": data},
            },
        },
    )
