"""Names of the objects in the namespace. Secrets have the names of the Secret Management Guide (Kubernetes Secrets)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import meta

from secretops.manifest import HTTP_TOKEN, Secret, SecretKind
from secretops.platforms.kubernetes.location import Delivered

from ..core.component import planned
from ..core.naming import physical_name
from ..core.principals import Namespace

SERVER = "coreflux-mcp-server"
ROTATOR = "coreflux-mcp-rotator"

SECRETS = "coreflux-mcp-secrets"
CERTS = "coreflux-mcp-certs"
# The Kubernetes Secret with every version of every secret. Only the rotator reads it.
VERSIONS = "coreflux-mcp-versions"
# Prefix of the Secrets that External Secrets creates, one for each secret that has a value.
SYNCED = f"{SECRETS}-"
STORE = "coreflux-mcp-store"
# The service account with which External Secrets reads a store. No pod uses it.
SYNC = "coreflux-mcp-sync"
# Replaces CERTS if cert-manager writes the certificate, so that each Secret has only one writer.
CERTIFICATE = "coreflux-mcp-certificate"
# Field -> cert-manager's key in CERTIFICATE. The ca.crt there is the CA of the client certificate, not of the broker.
CERTIFICATE_KEYS = {"client.crt": "tls.crt", "client.key": "tls.key"}

PUBLIC = "coreflux-mcp-public"
STACK = "coreflux-mcp-stack"
LEASE = ROTATOR
DEFAULT_DENY = "coreflux-mcp-default-deny"

# The label with the stack's name.
INSTANCE = "app.kubernetes.io/instance"

# Maximum number of characters of a label's value (Kubernetes, Labels and Selectors).
LABEL_LIMIT = 63

# Keys in Kubernetes Secrets, as in the Secret Management Guide. They are also the names of the launcher's files.
_KEYS = {
    SecretKind.MQTT_USER: {"username": "mqtt-user", "password": "mqtt-password"},  # nosec B105 - a key's name
    SecretKind.AGENT_KEY: {"api-key": "api-key"},
}


def delivered(secret: Secret) -> Delivered:
    if secret.kind is SecretKind.X509:
        return Delivered(name=CERTS, keys={field: field for field in secret.fields})
    token, field = HTTP_TOKEN
    if secret.name == token:
        return Delivered(name=SECRETS, keys={field: token})
    keys = _KEYS.get(secret.kind) or {field: f"{secret.name}.{field}" for field in secret.fields}
    return Delivered(name=SECRETS, keys=keys)


def selector(program: str) -> dict[str, str]:
    """Return the one label that selects a program's pods, because a Deployment's selector can't change."""
    return {"app.kubernetes.io/name": program}


def labels(program: str, stack: str) -> dict[str, str]:
    """Return a program's labels (Kubernetes, Recommended Labels)."""
    return {
        **selector(program),
        INSTANCE: physical_name("coreflux-mcp", stack, limit=LABEL_LIMIT).rstrip("-_."),
        "app.kubernetes.io/part-of": "coreflux-mcp",
        "app.kubernetes.io/managed-by": "pulumi",
    }


@dataclass(frozen=True, kw_only=True)
class Place:
    namespace: Namespace
    labels: Mapping[str, str]
    child: pulumi.ResourceOptions

    @classmethod
    def of(cls, component: pulumi.ComponentResource, namespace: Namespace, program: str, stack: str) -> Place:
        child = pulumi.ResourceOptions(parent=component, provider=namespace.provider)
        return cls(namespace=namespace, labels=labels(program, stack), child=child)

    def after(self, *others: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self.child.parent, provider=self.child.provider, depends_on=list(others))

    def metadata(self, name: str, annotations: Mapping[str, pulumi.Input[str]] | None = None) -> meta.v1.ObjectMetaArgs:
        return meta.v1.ObjectMetaArgs(
            name=name, namespace=self.namespace.name, labels=self.labels, annotations=annotations
        )


def name_of(made: pulumi.Output[meta.v1.outputs.ObjectMeta], name: str) -> pulumi.Output[str]:
    """Return an object's name as an output. A preview that does not know the output uses `name`."""
    return planned(made.apply(lambda metadata: str(metadata.name)), name)


def user_of(namespace: str, account: str) -> str:
    return f"system:serviceaccount:{namespace}:{account}"
