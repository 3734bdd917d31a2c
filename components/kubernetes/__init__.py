"""The Kubernetes platform: Secrets of a namespace as the store, a Deployment as the server.

The oldest supported release is 1.27, the first that by default supports unhealthyPodEvictionPolicy, so that
disruption budgets don't block evictions of unready pods.
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
