"""What everything in the namespace is called. Secrets have the names of the guide, Kubernetes Secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import meta

from secretops.manifest import HTTP_TOKEN, Secret, SecretKind
from secretops.platforms.kubernetes.location import Delivered

from ..core.naming import physical_name
from ..core.planned import planned
from ..core.principals import Namespace

SERVER = "coreflux-mcp-server"
ROTATOR = "coreflux-mcp-rotator"

SECRETS = "coreflux-mcp-secrets"
CERTS = "coreflux-mcp-certs"
VERSIONS = "coreflux-mcp-versions"
"""For the rotator alone: every version of every secret."""
SYNCED = f"{SECRETS}-"
"""What the name of each Secret begins with that External Secrets keeps: one a secret, there once that has a value."""
STORE = "coreflux-mcp-store"
SYNC = "coreflux-mcp-sync"
"""The service account that External Secrets reads a store as. No pod runs as it."""
CERTIFICATE = "coreflux-mcp-certificate"
"""In the place of CERTS where cert-manager writes it: one writer a Secret."""
CERTIFICATE_KEYS = {"client.crt": "tls.crt", "client.key": "tls.key"}
"""field -> cert-manager's key in CERTIFICATE. Its ca.crt is the client issuer's CA, not the broker's."""

PUBLIC = "coreflux-mcp-public"
STACK = "coreflux-mcp-stack"
LEASE = ROTATOR
DEFAULT_DENY = "coreflux-mcp-default-deny"

INSTANCE = "app.kubernetes.io/instance"
"""The label that says whose an object is, by the stack's name."""

LABEL_LIMIT = 63
"""Characters of a label's value (Kubernetes, Labels and Selectors)."""


_KEYS = {
    SecretKind.MQTT_USER: {"username": "mqtt-user", "password": "mqtt-password"},  # nosec B105 - a key's name
    SecretKind.AGENT_KEY: {"api-key": "api-key"},
}
"""As the guide has them, and the launcher's files: source."""


def delivered(secret: Secret) -> Delivered:
    """The Secret and the keys that the server's pods find `secret` in."""
    if secret.kind is SecretKind.X509:
        return Delivered(name=CERTS, keys={field: field for field in secret.fields})
    token, field = HTTP_TOKEN
    if secret.name == token:
        return Delivered(name=SECRETS, keys={field: token})
    keys = _KEYS.get(secret.kind) or {field: f"{secret.name}.{field}" for field in secret.fields}
    return Delivered(name=SECRETS, keys=keys)


def selector(program: str) -> dict[str, str]:
    """The label that the pods of SERVER or ROTATOR are found by. Never changed: a Deployment's selector can't be."""
    return {"app.kubernetes.io/name": program}


def labels(program: str, stack: str) -> dict[str, str]:
    """The recommended labels (Kubernetes, Recommended Labels)."""
    return {
        **selector(program),
        INSTANCE: physical_name("coreflux-mcp", stack, limit=LABEL_LIMIT).rstrip("-_."),
        "app.kubernetes.io/part-of": "coreflux-mcp",
        "app.kubernetes.io/managed-by": "pulumi",
    }


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one component's objects lie: its namespace, labelled as `program`'s, below the component."""

    namespace: Namespace
    labels: Mapping[str, str]
    child: pulumi.ResourceOptions

    @classmethod
    def of(cls, component: pulumi.ComponentResource, namespace: Namespace, program: str, stack: str) -> Place:
        """The place of `component`, whose children the namespace's own provider makes."""
        child = pulumi.ResourceOptions(parent=component, provider=namespace.provider)
        return cls(namespace=namespace, labels=labels(program, stack), child=child)

    def after(self, *others: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of a child that is made after `others`."""
        return pulumi.ResourceOptions(parent=self.child.parent, provider=self.child.provider, depends_on=list(others))

    def metadata(self, name: str, annotations: Mapping[str, pulumi.Input[str]] | None = None) -> meta.v1.ObjectMetaArgs:
        """Of an object called `name`."""
        return meta.v1.ObjectMetaArgs(
            name=name, namespace=self.namespace.name, labels=self.labels, annotations=annotations
        )


def name_of(made: pulumi.Output[meta.v1.outputs.ObjectMeta], name: str) -> pulumi.Output[str]:
    """Return an object's name as its output; `name` is what the program calls it."""
    return planned(made.apply(lambda metadata: str(metadata.name)), name)


def user_of(namespace: str, account: str) -> str:
    """How the API server names a service account."""
    return f"system:serviceaccount:{namespace}:{account}"
