from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from secretops.manifest.field_types import LINE, FieldName, ReaderName, SecretName, matching
from secretops.manifest.model import Model, StoreLocation

# DNS subdomain of RFC 1123.
KUBERNETES_NAME = r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"

KubernetesName = Annotated[str, matching(KUBERNETES_NAME, "a Kubernetes name: lower case, digits, dashes and dots")]
KubernetesNamespace = Annotated[str, matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a DNS label")]
KubernetesKey = Annotated[str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}", "a key of a Kubernetes Secret")]
Label = Annotated[str, matching(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", "a label's value")]
Context = Annotated[str, matching(rf"{LINE}{{1,253}}", "a context of the kubeconfig, on one line")]


class Delivered(Model):
    """The Kubernetes Secret that a secret is delivered to."""

    name: KubernetesName
    # field -> key. The key `<secret>-version` has the id of the version.
    keys: dict[FieldName, KubernetesKey]


class KubernetesStoreLocation(StoreLocation):
    """The Secrets of one namespace. They are not resources of the Pulumi stack (docs/adr/0005)."""

    kind: Literal["kubernetes"] = "kubernetes"
    namespace: KubernetesNamespace
    # Context of the operator's kubeconfig; None is the current context. A pod uses its service account instead.
    context: Context | None = None
    # Secret with all versions of all secrets. Only the rotator reads it.
    versions: KubernetesName
    # Lease (coordination.k8s.io) that a rotator acquires.
    lease: KubernetesName
    # Label app.kubernetes.io/instance of the stack's Lease. Empty for a Lease that no Pulumi program created.
    instance: Label = ""
    # secret -> the Secret that its readers mount.
    delivered: dict[SecretName, Delivered] = Field(default_factory=dict)
    # Secret with the client certificate that an issuer writes. The store has no versions of it.
    issued: Delivered | None = None
    # Name of a Secret -> its declared readers: users and groups of the API server.
    readers: dict[KubernetesName, tuple[ReaderName, ...]] = Field(default_factory=dict)
