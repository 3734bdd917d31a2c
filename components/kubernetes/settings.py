"""The sections of a stack file about Kubernetes: what they may say, and the default for what they do not."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from ..aws.field_types import OidcProvider
from ..settings.constraints import between, distinct
from ..settings.field_types import ClientNetworks, HostName, Image, Networks, NetworksOrNone, Ports
from ..settings.section import Section, ServerSection, StoreSection
from .field_types import (
    Annotation,
    ApiGroup,
    Context,
    Issuer,
    Kind,
    KubernetesName,
    LabelKey,
    LabelValue,
    Namespace,
    Operator,
    Quantity,
)
from .pod_args import API_SERVER_PORTS, CERT_MANAGER, DNS_CIDRS, DNS_PORTS, EVERYWHERE


class KubernetesStore(StoreSection):
    """Secrets of the server's namespace."""

    kind: Literal["kubernetes"]
    operators: Annotated[tuple[Operator, ...], AfterValidator(distinct)] = ()
    """Who is declared to read the Secrets beside server, rotator and kubelets: the audit flags everybody else."""


class CertificateIssuer(Section):
    """An issuer of cert-manager's, or an external one: AWS Private CA, Google CAS, step, Venafi."""

    kind: Kind
    name: KubernetesName
    group: ApiGroup = CERT_MANAGER
    """API group of the issuer (cert-manager.io/docs/configuration/issuers), for example awspca.cert-manager.io."""


Quantities = dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity]


class Resources(Section):
    """Requests and limits of a container. What is missing has its default."""

    requests: Quantities = Field(default_factory=dict)
    limits: Quantities = Field(default_factory=dict)


class Toleration(Section):
    """A taint of nodes that pods accept."""

    key: LabelKey | None = None
    """Without it every taint, with operator Exists."""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class KubernetesServer(ServerSection):
    """The MCP server as a Deployment."""

    kind: Literal["kubernetes"]
    keys_for_stores: ClassVar = {"oidc_provider": ("aws",), "oidc_issuer": ("azure",)}
    image: Image
    namespace: Namespace = "coreflux-mcp"
    create_namespace: bool = True
    """False where somebody else made it, who also sets its Pod Security level. `pulumi destroy` leaves it."""
    context: Context | None = None
    """Of the kubeconfig; without it the current one."""
    replicas: Annotated[int, between(1, 100, "replicas")] = 2
    rollout_seconds: Annotated[int, between(30, 3600, "seconds")] = 300
    """How long `pulumi up` waits for new pods of a server that was ready. They are replaced one by one."""
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Names that clients call it by, beside those of its Service: an ingress's."""
    connection_tools: bool = False
    """Whether MCP clients may choose the broker and user of all clients, with the server's connection tools."""
    broker_cidrs: Networks = EVERYWHERE
    """Where the broker's addresses lie: pods reach no other on its port."""
    dns_cidrs: NetworksOrNone = DNS_CIDRS
    """Addresses of DNS that are no pod's: a cache on each node, or a cloud's. Pods of any namespace are allowed too."""
    dns_ports: Ports = DNS_PORTS
    """Ports of those addresses and of DNS pods, not of the Service before them."""
    api_server_cidrs: Networks = EVERYWHERE
    """Networks of the API server. Only the rotator reaches them."""
    api_server_ports: Ports = API_SERVER_PORTS
    copilot_cidrs: NetworksOrNone | None = None
    """Where the server reaches the Coreflux Copilot by HTTPS; without it every public address, empty is nowhere."""
    client_cidrs: ClientNetworks = ()
    """Clients beside the cluster's pods: load balancers, and ingress controllers on a node's own network."""
    pull_secrets: Annotated[tuple[KubernetesName, ...], AfterValidator(distinct)] = ()
    """Image pull secrets of the namespace, by name; an operator makes them."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """imagePullPolicy; without it Kubernetes' default."""
    run_as: Literal["image", "platform"] = "image"
    """uid and gid of pods: the image's, 10001, or what the platform assigns (OpenShift's restricted-v2)."""
    resources: Resources | None = None
    """Of the server's container."""
    rotator_resources: Resources | None = None
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels of the nodes that pods run on."""
    tolerations: tuple[Toleration, ...] = ()
    priority_class: KubernetesName | None = None
    pod_labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """In addition to the stack's."""
    pod_annotations: dict[LabelKey, Annotation] = Field(default_factory=dict)
    certificate_issuer: CertificateIssuer | None = None
    """Who signs the client certificate, by cert-manager; without it an operator does."""
    oidc_issuer: Issuer | None = None
    """Of the cluster's tokens, for store azure: by which Entra knows the account that External Secrets reads as."""
    reference: Literal["MountedFiles", "SyncedKey"] | None = None
    """How it reaches the secrets of store vault: files of Vault's agent, whose injector the cluster has (the default),
    or Secrets of External Secrets."""
    vault_cidrs: Networks = EVERYWHERE
    """Where Vault's addresses lie, for store vault."""
    oidc_provider: OidcProvider | None = None
    """By which the account knows the cluster's service accounts, for store aws: External Secrets reads as one."""

    @property
    def has_own_issuer(self) -> bool:
        """Whether cert-manager signs the client certificate."""
        return self.certificate_issuer is not None
