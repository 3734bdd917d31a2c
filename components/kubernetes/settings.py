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
from .pod_args import API_SERVER_PORTS, CERT_MANAGER, DNS_CIDRS, DNS_PORTS, EVERYWHERE, NetworkArgs, PodArgs


class KubernetesStore(StoreSection):
    """Secrets of the server's namespace."""

    kind: Literal["kubernetes"]
    operators: Annotated[tuple[Operator, ...], AfterValidator(distinct)] = ()
    """Users and groups that may read the Secrets, in addition to server, rotator and kubelets. The audit reports
    others."""


class CertificateIssuer(Section):
    """An issuer of cert-manager, or an external one: AWS Private CA, Google CAS, step, Venafi."""

    kind: Kind
    name: KubernetesName
    group: ApiGroup = CERT_MANAGER
    """API group of the issuer (cert-manager.io/docs/configuration/issuers), for example awspca.cert-manager.io."""


Quantities = dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity]


class Resources(Section):
    """Requests and limits of a container. Missing entries have defaults."""

    requests: Quantities = Field(default_factory=dict)
    limits: Quantities = Field(default_factory=dict)


class Toleration(Section):
    """A taint of nodes on which the pods may run."""

    key: LabelKey | None = None
    """Key of the taint. Without a key, operator Exists tolerates every taint."""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class KubernetesServer(ServerSection):
    """The MCP server as a Deployment."""

    kind: Literal["kubernetes"]
    arguments = (NetworkArgs, PodArgs)
    keys_for_stores: ClassVar = {"oidc_provider": ("aws",), "oidc_issuer": ("azure",)}
    image: Image
    namespace: Namespace = "coreflux-mcp"
    create_namespace: bool = True
    """Whether to create the namespace. If it exists already, you set its Pod Security level, and `pulumi destroy` does
    not delete it."""
    context: Context | None = None
    """Context of the kubeconfig; by default the current context."""
    replicas: Annotated[int, between(1, 100, "replicas")] = 2
    rollout_seconds: Annotated[int, between(30, 3600, "seconds")] = 300
    """Seconds that `pulumi up` waits for new pods, if the server was ready before. Pods are replaced one by one."""
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Host names by which MCP clients reach the server, in addition to the Service's, such as that of an Ingress."""
    connection_tools: bool = False
    """Allows tools that change broker and user for all MCP clients."""
    broker_cidrs: Networks = EVERYWHERE
    dns_cidrs: NetworksOrNone = DNS_CIDRS
    dns_ports: Ports = DNS_PORTS
    """Ports on which DNS pods and the servers in `dns_cidrs` listen, not the port of a Service."""
    api_server_cidrs: Networks = EVERYWHERE
    api_server_ports: Ports = API_SERVER_PORTS
    copilot_cidrs: NetworksOrNone | None = None
    client_cidrs: ClientNetworks = ()
    pull_secrets: Annotated[tuple[KubernetesName, ...], AfterValidator(distinct)] = ()
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """imagePullPolicy of the pods; by default Kubernetes chooses."""
    run_as: Literal["image", "platform"] = "image"
    resources: Resources | None = None
    """Resources of the server's container."""
    rotator_resources: Resources | None = None
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels of nodes for the pods."""
    tolerations: tuple[Toleration, ...] = ()
    priority_class: KubernetesName | None = None
    pod_labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Pod labels in addition to the stack's."""
    pod_annotations: dict[LabelKey, Annotation] = Field(default_factory=dict)
    certificate_issuer: CertificateIssuer | None = None
    oidc_issuer: Issuer | None = None
    """Lets External Secrets log in to Entra (store azure)."""
    reference: Literal["MountedFiles", "SyncedKey"] | None = None
    """How pods get secrets from store vault. MountedFiles, the default: Vault's agent writes files, which requires its
    injector in the cluster. SyncedKey: External Secrets writes Kubernetes Secrets."""
    vault_cidrs: Networks = EVERYWHERE
    oidc_provider: OidcProvider | None = None
    """Lets External Secrets log in to AWS (store aws)."""

    @property
    def has_own_issuer(self) -> bool:
        return self.certificate_issuer is not None
