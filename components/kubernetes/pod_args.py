"""Arguments that the components of a cluster share, and their defaults. Imports no SDK: settings use the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pulumi

if TYPE_CHECKING:
    from pulumi_kubernetes import core

# Seconds, at most: a kubelet updates a volume (docs/operations/kubernetes.md), and a launcher changes over.
TO_A_VOLUME, CHANGE_OVER = 120, 60

EVERYWHERE = ("0.0.0.0/0", "::/0")
# Kubernetes' NodeLocal DNSCache (kubernetes.io, Using NodeLocal DNSCache), both addresses of AKS' LocalDNS
# (learn.microsoft.com, DNS Resolution in AKS), and GKE's Cloud DNS (cloud.google.com, Using Cloud DNS for GKE).
DNS_CIDRS = ("169.254.20.10/32", "169.254.10.10/31", "169.254.169.254/32")
# Of DNS pods: policies look at the pod's port. OpenShift's is 5353 (cluster-dns-operator, dns/daemonset.yaml), and
# Gardener's 8053 (gardener, coredns).
DNS_PORTS = (53, 5353, 8053)
# Of the Service `kubernetes`, and of API servers behind it: kubeadm, minikube and MicroK8s. Some networks look at the
# one, some at the other.
API_SERVER_PORTS = (443, 6443, 8443, 16443)
CERT_MANAGER = "cert-manager.io"


@dataclass(frozen=True, kw_only=True)
class CertificateIssuerArgs:
    """An issuer of cert-manager, or an external one."""

    kind: str
    name: str
    group: str = CERT_MANAGER


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Requests and limits of a container, by cpu, memory and ephemeral-storage."""

    requests: Mapping[str, str]
    limits: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What pods may connect to, and who may connect to them: networks as CIDRs."""

    broker_cidrs: Sequence[str] = EVERYWHERE
    """Networks of the broker."""
    dns_cidrs: Sequence[str] = DNS_CIDRS
    """Addresses of DNS that belong to no pod."""
    dns_ports: Sequence[int] = DNS_PORTS
    api_server_cidrs: Sequence[str] = EVERYWHERE
    """Networks of the API server, for the rotator."""
    api_server_ports: Sequence[int] = API_SERVER_PORTS
    copilot_cidrs: Sequence[str] | None = None
    """Networks of the Coreflux Copilot; None is every public address."""
    client_cidrs: Sequence[str] = ()
    """Networks of clients that are no pods of the cluster."""
    vault_cidrs: Sequence[str] = EVERYWHERE
    """Networks of a Vault server."""


@dataclass(frozen=True, kw_only=True)
class PodArgs(NetworkArgs):
    """How pods of the stack run."""

    image: pulumi.Input[str]
    """The image that this project builds: the server and secretops."""
    pull_secrets: Sequence[pulumi.Input[str]] = ()
    """Names of image pull secrets of the namespace."""
    pull_policy: pulumi.Input[str] | None = None
    run_as: Literal["image", "platform"] = "image"
    """uid and gid: the image's, or what the platform assigns (OpenShift)."""
    resources: Resources | None = None
    """Requests and limits of the container; what is missing has its default."""
    node_selector: Mapping[str, str] | None = None
    tolerations: Sequence[core.v1.TolerationArgs] = ()
    priority_class: pulumi.Input[str] | None = None
    pod_labels: Mapping[str, str] | None = None
    pod_annotations: Mapping[str, str] | None = None
    certificate_issuer: CertificateIssuerArgs | None = None
    """Who signs the client certificate by cert-manager; None if secretops stores a certificate."""
