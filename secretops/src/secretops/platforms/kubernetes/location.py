"""The manifest's model of the Kubernetes store."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from secretops.manifest.field_types import LINE, FieldName, ReaderName, SecretName, matching
from secretops.manifest.model import Model, StoreLocation

# A DNS subdomain of RFC 1123.
KUBERNETES_NAME = r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"

KubernetesName = Annotated[str, matching(KUBERNETES_NAME, "a Kubernetes name: lower case, digits, dashes and dots")]
KubernetesNamespace = Annotated[str, matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a DNS label")]
KubernetesKey = Annotated[str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}", "a key of a Kubernetes Secret")]
Label = Annotated[str, matching(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", "a label's value")]
Context = Annotated[str, matching(rf"{LINE}{{1,253}}", "a context of the kubeconfig, on one line")]


class Delivered(Model):
    """The Kubernetes Secret that a secret is delivered in: one, so that no reader sees a torn pair."""

    name: KubernetesName
    keys: dict[FieldName, KubernetesKey]
    """field -> key. Beside them `<secret>-version` says which version it is."""


class KubernetesStoreLocation(StoreLocation):
    """Secrets of a namespace. None of them is a resource of the stack (docs/adr/0005)."""

    kind: Literal["kubernetes"] = "kubernetes"
    namespace: KubernetesNamespace
    context: Context | None = None
    """Of the operator's kubeconfig; None takes the current one. In a pod its own service account is taken."""
    versions: KubernetesName
    """The Secret that only the rotator reads: every version kept of every secret, pending ones too."""
    lease: KubernetesName
    """The Lease (coordination.k8s.io) that a rotator acquires."""
    instance: Label = ""
    """The stack's label app.kubernetes.io/instance, which its Lease carries: a Lease with another is of another stack,
    and so are the Secrets beside it. Empty where no program made the Lease: such a one has no such label."""
    delivered: dict[SecretName, Delivered] = Field(default_factory=dict)
    """secret -> where its readers find it."""
    issued: Delivered | None = None
    """The Secret that an issuer writes the client certificate into, which is in no version of the store."""
    readers: dict[KubernetesName, tuple[ReaderName, ...]] = Field(default_factory=dict)
    """Name of a Secret -> who is declared to read it, as the API server's audit log names users and groups."""
