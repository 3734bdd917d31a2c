"""Arguments of a cluster's components. Does not import pulumi_kubernetes, because the settings import this module even
where only another platform's SDK is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pulumi

if TYPE_CHECKING:
    from pulumi_kubernetes import core

# Maximum seconds until a kubelet updates a volume (docs/operations/kubernetes.md), and until a launcher then replaces
# its MQTT client.
TO_A_VOLUME, CHANGE_OVER = 120, 60

EVERYWHERE = ("0.0.0.0/0", "::/0")
# Kubernetes' NodeLocal DNSCache (kubernetes.io, Using NodeLocal DNSCache), both addresses of AKS' LocalDNS
# (learn.microsoft.com, DNS Resolution in AKS), and GKE's Cloud DNS (cloud.google.com, Using Cloud DNS for GKE).
DNS_CIDRS = ("169.254.20.10/32", "169.254.10.10/31", "169.254.169.254/32")
# Ports of DNS pods: 5353 on OpenShift (cluster-dns-operator, dns/daemonset.yaml), 8053 on Gardener (gardener, coredns).
DNS_PORTS = (53, 5353, 8053)
# Ports of the Service `kubernetes`, and of API servers (kubeadm, minikube, MicroK8s). Some network plugins match the
# Service's port, some the API server's.
API_SERVER_PORTS = (443, 6443, 8443, 16443)
CERT_MANAGER = "cert-manager.io"


@dataclass(frozen=True, kw_only=True)
class CertificateIssuerArgs:
    """An issuer of cert-manager, or an external issuer."""

    kind: str
    name: str
    group: str = CERT_MANAGER


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Requests and limits of a container: cpu, memory, ephemeral-storage."""

    requests: Mapping[str, str]
    limits: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """CIDRs and ports with which pods may communicate."""

    broker_cidrs: Sequence[str] = EVERYWHERE
    """Networks of the broker. Pods can connect to no other address on its port."""
    dns_cidrs: Sequence[str] = DNS_CIDRS
    """Addresses of DNS servers other than pods, such as a cache on each node or a cloud's resolver."""
    dns_ports: Sequence[int] = DNS_PORTS
    api_server_cidrs: Sequence[str] = EVERYWHERE
    """Networks of the API server. Only the rotator can connect to it."""
    api_server_ports: Sequence[int] = API_SERVER_PORTS
    copilot_cidrs: Sequence[str] | None = None
    """Networks of the Coreflux Copilot, for HTTPS. By default all public addresses; an empty list allows none."""
    client_cidrs: Sequence[str] = ()
    """Networks of clients that are not pods of the cluster, such as load balancers, or ingress controllers on a node's
    network."""
    vault_cidrs: Sequence[str] = EVERYWHERE
    """Networks of the Vault server, to which pods may connect; only if the store is vault."""


@dataclass(frozen=True, kw_only=True)
class PodArgs(NetworkArgs):
    image: pulumi.Input[str]
    """Image of this project, with server and secretops."""
    pull_secrets: Sequence[pulumi.Input[str]] = ()
    """Image pull secrets that you create in the namespace."""
    pull_policy: pulumi.Input[str] | None = None
    run_as: Literal["image", "platform"] = "image"
    """uid and gid of the pods. image: 10001, as in the image. platform: those that the platform assigns (OpenShift's
    restricted-v2)."""
    resources: Resources | None = None
    """Requests and limits of the container; missing entries have defaults."""
    node_selector: Mapping[str, str] | None = None
    tolerations: Sequence[core.v1.TolerationArgs] = ()
    priority_class: pulumi.Input[str] | None = None
    pod_labels: Mapping[str, str] | None = None
    pod_annotations: Mapping[str, str] | None = None
    certificate_issuer: CertificateIssuerArgs | None = None
    """The cert-manager issuer of the client certificate; by default an operator supplies the certificate."""
