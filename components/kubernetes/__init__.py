"""The Kubernetes platform: the store is Secrets of one namespace, the server a Deployment in it.

Kubernetes 1.27 is the oldest: the first that by default lets a node be emptied of pods that are not ready, whatever
their budget. Pod Security admission is stable since 1.25; policy/v1 and CronJobs of batch/v1 are older.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import lazily

if TYPE_CHECKING:
    from .identity import KubernetesIdentity, KubernetesIdentityArgs
    from .mcp_server import KubernetesMcpServer, KubernetesMcpServerArgs
    from .pod_args import CertificateIssuerArgs, PodArgs, Resources
    from .rotation import KubernetesRotator, KubernetesRotatorArgs
    from .secret_store import KubernetesSecretStore, KubernetesSecretStoreArgs

__all__ = [
    "CertificateIssuerArgs", "KubernetesIdentity", "KubernetesIdentityArgs", "KubernetesMcpServer",
    "KubernetesMcpServerArgs", "KubernetesRotator", "KubernetesRotatorArgs", "KubernetesSecretStore",
    "KubernetesSecretStoreArgs", "PodArgs", "Resources",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, __all__, "secret_store", "mcp_server", "identity", "pod_args")
