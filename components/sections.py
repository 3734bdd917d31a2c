"""The sections of a stack file, one model each: what they may say, and the guide's default for what they do not.

A new platform is one more member of `StoreSettings` or `ServerSettings`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from components.constraints import between, distinct, matching
from components.entries import (
    EVERYWHERE,
    AbsolutePath,
    Account,
    AgentId,
    AgentUrl,
    AuditFile,
    AzureLocation,
    AzureSubnet,
    BlobDnsZone,
    Caller,
    CertificateArn,
    ClientNetworks,
    Cluster,
    Constraint,
    Days,
    Email,
    Folder,
    Guid,
    Host,
    HostName,
    Image,
    Issuer,
    JwtIssuer,
    KubernetesName,
    LogGroup,
    Name,
    Networks,
    NetworksOrNone,
    OidcProvider,
    Operator,
    Port,
    PrivateCaArn,
    PublicAddresses,
    QueueDnsZone,
    Region,
    Registry,
    ResourceGroup,
    Retention,
    SecurityGroups,
    Spread,
    Subject,
    Subnets,
    SwarmNetwork,
    SwarmSecret,
    Topic,
    TopicArn,
    TrailArn,
    VaultAddress,
    VaultDnsZone,
    VaultNamespace,
    VaultPath,
    VaultReader,
    VpcId,
    WayOut,
)
from secretops.manifest import MqttProtocol, Reader

_ABOVE = Path(__file__).resolve().parents[1]

PROJECT_FOLDER = _ABOVE if (_ABOVE / "Pulumi.yaml").is_file() else Path.cwd()
"""This clone; or, where the components are installed, the folder of the program that uses them: the engine runs it
there. What a section calls relative to the project lies below it."""


class Section(BaseModel):
    """One section of a stack file. Frozen; an unknown key is an error, and so is a string where a number belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Environment(StrEnum):
    """Which of the guide's three environments a stack is. Not its name."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class DotenvStore(Section):
    """A folder on this machine, as the guide draws it."""

    kind: Literal["dotenv"]
    root: Folder = ".coreflux-mcp"
    """Relative to the project, or absolute, for example /etc/coreflux-mcp."""
    deliver: Literal["variables", "files"] = "variables"
    """Whether config/.env holds the values (MQTT_PASSWORD) or names their files (MQTT_PASSWORD_FILE)."""

    @property
    def folder(self) -> Path:
        """The root, absolute."""
        return PROJECT_FOLDER / self.root


class KubernetesStore(Section):
    """Secrets of the server's namespace."""

    kind: Literal["kubernetes"]
    operators: Annotated[
        tuple[
            Annotated[
                str,
                matching(
                    r"[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?",
                    "a user or a group as the API server names it",
                    "kubectl auth whoami shows yours; or take the entry out",
                ),
            ],
            ...,
        ],
        AfterValidator(distinct),
    ] = ()
    """Who is declared to read the Secrets beside server, rotator and kubelets: the audit flags everybody else."""


class Vpc(Section):
    """Where the rotating functions run, for a broker that only a VPC reaches."""

    subnets: Subnets
    security_groups: SecurityGroups
    way_out: WayOut | None = None
    """How they reach Secrets Manager. Values then go through that endpoint alone, if it is one."""


class ExistingTrail(Section):
    """A CloudTrail trail that somebody keeps, for example the organisation's."""

    arn: TrailArn
    log_group: LogGroup


class AwsStore(Section):
    """Secrets Manager in one region of one account."""

    kind: Literal["aws"]
    region: Region
    account: Account
    """Whatever account the credentials are of: no other is touched."""
    operators: Annotated[tuple[Operator, ...], Field(min_length=1), AfterValidator(distinct)]
    """Who may put and read values beside the stack's own roles: everybody else is denied, administrators too."""
    replicas: Annotated[tuple[Region, ...], AfterValidator(distinct)] = ()
    """Other regions that have a copy of each secret, under a key of their own."""
    generation: Annotated[int, between(1, 999, "")] = 1
    """One more where a destroyed stack is made anew before its secrets' recovery window is over."""
    vpc: Vpc | None = None
    retention_days: Retention = 365
    """Of the trail."""
    existing_trail: ExistingTrail | None = None
    object_lock: Literal["governance", "compliance"] = "governance"
    """How the trail's bucket locks records. Compliance is for good: not even the account's root shortens or ends it."""
    alert_emails: Annotated[tuple[Email, ...], AfterValidator(distinct)] = ()
    alert_topic: TopicArn | None = None
    """An SNS topic that exists; without it one is made."""


class DnsZones(Section):
    """Private DNS zones: a virtual network asks them for names, and those of its private endpoints are put there."""

    vault: VaultDnsZone
    blob: BlobDnsZone
    queue: QueueDnsZone


class PrivateEndpoint(Section):
    """Where vault and lease have an address in a virtual network. Both: without the lease nobody puts a value."""

    subnet: AzureSubnet
    """Not the one of the Container Apps environment: that is delegated to it."""
    dns_zones: DnsZones


class VaultNetwork(Section):
    """From where vault and lease are reached, beside the stack's own containers. From everywhere else they are not:
    with server kubernetes or local the way out of the cluster or of that machine has to be in it, too."""

    addresses: Annotated[tuple[PublicAddresses, ...], AfterValidator(distinct)] = ()
    subnets: Annotated[tuple[AzureSubnet, ...], AfterValidator(distinct)] = ()
    """Each with the service endpoints Microsoft.KeyVault and Microsoft.Storage."""
    private_endpoint: PrivateEndpoint | None = None

    @property
    def is_private(self) -> bool:
        """Whether private endpoints are the one way in."""
        return bool(self.private_endpoint and not self.addresses and not self.subnets)

    def is_way_in(self, own: str | None) -> bool:
        """Whether anybody is let in but the containers in the stack's `own` subnet."""
        others = [one for one in self.subnets if one.lower() != (own or "").lower()]
        return bool(self.addresses or others or self.private_endpoint)


class AzureStore(Section):
    """A key vault in one resource group of one subscription."""

    kind: Literal["azure"]
    tenant: Guid
    subscription: Guid
    location: AzureLocation
    operators: Annotated[tuple[Guid, ...], Field(min_length=1), AfterValidator(distinct)]
    """Object ids of users who put and read values. No groups: the trail names who is in one, and not the group."""
    resource_group: ResourceGroup | None = None
    """One that exists; without it one is made."""
    subnet: AzureSubnet | None = None
    """Of the Container Apps environment, delegated to it; without it they are in Azure's own network."""
    network: VaultNetwork | None = None
    """Without it everybody reaches the vault whose role lets him read."""
    image: Image | None = None
    """The rotator's; without it the server's, where that has one."""
    registry: Registry | None = None
    """Whence Container Apps takes the image as an identity of the stack's; without it, of one that asks nobody."""
    generation: Annotated[int, between(1, 999, "")] = 1
    """One more where a destroyed stack is made anew while its deleted vault or workspace still holds the name."""
    retention_days: Annotated[int, between(30, 730, "days: what Log Analytics keeps at hand")] = 365
    """Of the trail."""
    alert_emails: Annotated[tuple[Email, ...], AfterValidator(distinct)] = ()


class VaultAppRole(Section):
    """Log in by AppRole, for a server and a rotator outside of any platform that vouches for them. Vault makes each
    secret id when an operator asks for one: a secret id is a value, and none is here."""

    server_file: AbsolutePath | None = None
    """Where the server finds its own; without it, below the folder of the client's entry."""
    rotator_file: AbsolutePath | None = None
    wrapped: bool = False
    """Whether the server's file has a wrapping token, which is good for one start."""
    networks: NetworksOrNone = ()
    """From where a secret id is taken; from everywhere if there is none."""
    days: Annotated[int, between(1, 366, "days")] = 90
    """For which a secret id is good."""


class VaultJwt(Section):
    """Log in by a token that somebody else signed: a cluster, or whoever gives workloads identities."""

    issuer: JwtIssuer
    ca_file: AbsolutePath | None = None
    """PEM bundle that signs the issuer's certificate; without it the Vault server's own are trusted."""
    audience: Name = "vault"
    server: Subject | None = None
    """The claim sub of the server's token; a cluster's is known."""
    rotator: Subject | None = None
    server_file: AbsolutePath | None = None
    """Where that token lies; without it, below the folder of the client's entry."""
    rotator_file: AbsolutePath | None = None


class VaultKubernetes(Section):
    """Log in as a service account, by a Kubernetes auth method that whoever runs Vault has enabled: enabling it may
    take a reviewer's token, which is a value."""

    mount: VaultPath = "kubernetes"
    audience: Name | None = "vault"
    """Of the pods' tokens; without it the API server's own, for a method without a reviewer's token."""


class VaultPki(Section):
    """A CA for client certificates. Its keys are made in Vault and never leave it."""

    signed_by: Literal["stack", "outside"] = "stack"
    """Who signs the intermediate: a root of the stack's own, or whoever has the stack's output `csr`."""
    certificate_file: AbsolutePath | None = None
    """Outside alone, once signed: PEM of the intermediate and of who signed it."""
    days: Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")] = 30
    """For which a client's certificate is good."""


class VaultStore(Section):
    """A KV v2 mount of a HashiCorp Vault or an OpenBao. Pulumi's own token is in VAULT_TOKEN, and nowhere here."""

    kind: Literal["vault"]
    address: VaultAddress
    operators: Annotated[tuple[VaultReader, ...], Field(min_length=1), AfterValidator(distinct)]
    """Who is declared to read beside server and rotator. Whoever runs Vault gives them the operator's policy."""
    product: Literal["vault", "openbao"] = "vault"
    """OpenBao's API enables no audit device: its configuration does."""
    namespace: VaultNamespace | None = None
    ca_file: AbsolutePath | None = None
    """PEM bundle that signs the server's certificate; without it the system's are trusted."""
    approle: VaultAppRole | None = None
    jwt: VaultJwt | None = None
    kubernetes: VaultKubernetes | None = None
    """How server and rotator log in: one of the three. With none of them a cluster's do by `kubernetes`, others by
    `approle`."""
    max_versions: Annotated[int, between(3, 100, "versions: the next, the current and the previous one")] = 5
    """Of each secret, its current one included."""
    audit_files: Annotated[tuple[AuditFile, ...], AfterValidator(distinct)] | None = None
    """Where the server writes its audit log; without it /vault/audit and standard output. It has all requests of all
    stacks: an empty list leaves audit devices to another one, or to whoever runs Vault."""
    pki: VaultPki | None = None

    @property
    def waits_for_a_signature(self) -> bool:
        """Whether the intermediate has been asked for, and nobody has signed it yet."""
        return bool(self.pki and self.pki.signed_by == "outside" and not self.pki.certificate_file)

    def issues_to(self, server: ServerSettings) -> bool:
        """Whether Vault's agent has the server's client certificate made, beside it, and renews it."""
        return bool(self.pki) and isinstance(server, KubernetesServer) and server.reference != "SyncedKey"


class SwarmStore(Section):
    """Secrets of the Docker Swarm that DOCKER_HOST is a manager of, or the current context."""

    kind: Literal["swarm"]
    rotator: Literal["timer", "service"] = "timer"
    """Who starts ticks: a systemd timer that an operator lays down on a manager, or a service of the stack there, which
    holds the daemon's socket for as long as it lives."""
    socket: AbsolutePath = "/var/run/docker.sock"
    """Of the managers' daemons, for that service."""


class LocalServer(Section):
    """The MCP server on this machine, started by an MCP client over stdio."""

    kind: Literal["local"]
    source: AbsolutePath | None = None
    """The upstream server's folder; without it the launcher finds or clones it."""
    reader: Caller | None = None
    """As whom the launcher reads: a role or a user of AWS, whose own policies have to let it, or a user of Azure."""
    folder: Folder | None = None
    """Where the client's entry is written, for a store that is no folder. Relative to the project, or absolute."""

    @property
    def entry_folder(self) -> Path:
        """That folder, absolute."""
        return PROJECT_FOLDER / (self.folder or ".coreflux-mcp-local")


class CertificateIssuer(Section):
    """An issuer of cert-manager's."""

    kind: Literal["Issuer", "ClusterIssuer"]
    name: KubernetesName


class KubernetesServer(Section):
    """The MCP server as a Deployment."""

    kind: Literal["kubernetes"]
    image: Image
    namespace: Annotated[
        str,
        matching(
            r"(?!default$|kube-)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
            "a namespace of its own, which the stack makes: a DNS label, not default, not kube-...",
            "name it like coreflux-mcp",
        ),
    ] = "coreflux-mcp"
    context: (
        Annotated[
            str,
            matching(
                r"[^\x00-\x1f\x7f]+",
                "the name of a context of the kubeconfig",
                "kubectl config get-contexts lists them; take it out for the current one",
            ),
        ]
        | None
    ) = None
    """Of the kubeconfig; without it the current one."""
    replicas: Annotated[int, between(1, 100, "replicas")] = 2
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Names that clients call it by, beside those of its Service: an ingress's."""
    broker_cidrs: Networks = EVERYWHERE
    """Where the broker's addresses lie: pods reach no other on its port."""
    api_server_cidrs: Networks = EVERYWHERE
    """Where the API server's addresses lie: only the rotator reaches them."""
    copilot_cidrs: NetworksOrNone | None = None
    """Where the server reaches the Coreflux Copilot by HTTPS; without it every public address, empty is nowhere."""
    client_cidrs: ClientNetworks = ()
    """Clients beside the cluster's pods: load balancers, and ingress controllers on a node's own network."""
    pull_secrets: Annotated[tuple[KubernetesName, ...], AfterValidator(distinct)] = ()
    """Image pull secrets of the namespace, by name; an operator makes them."""
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


class LoadBalancer(Section):
    """An internal one, before the server's tasks."""

    vpc: VpcId
    security_groups: SecurityGroups
    certificate: CertificateArn
    """Of the stack's region, for the first of the server's allowed_hosts."""


class EcsServer(Section):
    """The MCP server on ECS Fargate."""

    kind: Literal["ecs"]
    image: Image
    subnets: Subnets
    """Private ones, with a way to the broker, the registry and AWS."""
    security_groups: SecurityGroups
    cluster: Cluster | None = None
    replicas: Annotated[int, between(1, 100, "replicas")] = 2
    """1 with a load balancer."""
    reference: Literal["NativeRef", "Fetched"] = "NativeRef"
    """How it reaches secrets: ECS injects them at a task's start and a new version is a new deployment, or the launcher
    fetches them and takes a new version while it runs."""
    copilot: bool = True
    """Whether it asks the Coreflux Copilot: its agent-key then has to have a value before a task can start."""
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Names that clients call it by."""
    load_balancer: LoadBalancer | None = None


class ContainerAppServer(Section):
    """The MCP server on Azure Container Apps."""

    kind: Literal["containerapp"]
    image: Image
    bootstrapped: bool = False
    """Whether its secrets have their first values. A new revision then has to be ready before it takes over, which none
    is without them."""
    ingress: Literal["environment", "network"] = "environment"
    """Who reaches it: other apps of its environment, or all of the virtual network that the store's subnet is of."""
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Names that clients call it by, beside the one that Container Apps gives it."""


class LogDriver(Section):
    """Where a container's log goes, which has the launcher's own access records."""

    name: Literal["local", "json-file", "journald", "syslog", "gelf", "fluentd"]
    options: dict[str, str] = Field(default_factory=dict)


class SwarmServer(Section):
    """The MCP server as a service of a Docker Swarm."""

    kind: Literal["swarm"]
    image: Image
    replicas: Annotated[int, between(1, 100, "replicas")] = 2
    """1 where ingress publishes it."""
    publish: Literal["none", "ingress", "host"] = "none"
    """Who reaches it: containers on its overlay network alone, for example a reverse proxy; by one port of every node;
    or each replica by a port of its node that Docker chooses, for a balancer that finds them."""
    port: Port | None = None
    """Of every node, with publish ingress."""
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Names that clients call it by, beside those on its network."""
    encrypted: bool = True
    """Whether its overlay network encrypts what goes from node to node (IPsec, which the nodes' kernels must have)."""
    networks: Annotated[tuple[SwarmNetwork, ...], AfterValidator(distinct)] = ()
    """Further overlay networks that server and rotator join, for example the broker's. Another one makes the service
    anew."""
    constraints: Annotated[tuple[Constraint, ...], AfterValidator(distinct)] = ()
    spread: Annotated[tuple[Spread, ...], AfterValidator(distinct)] = ()
    log_driver: LogDriver | None = None
    """Without it the daemons' own."""
    registry_login: bool = False
    """Whether nodes pull the image with the login that whoever deploys has by `docker login`."""
    reader: Operator | None = None
    """As whom the launcher reads, for store aws: a role or a user that is there, whose own policies have to let it."""
    login: SwarmSecret | None = None
    """Secret of the Swarm that an operator made, by which the launcher logs in to another store: an AWS shared
    credentials file, or what Vault's method asks for."""


class EmbeddedBroker(Section):
    """`secretops broker`: on this machine, for development. amqtt speaks MQTT 3.1.1 only."""

    kind: Literal["embedded"]
    port: Port = 1883


class OutsideBroker(Section):
    """A broker that somebody runs, and whose users secretops rotates."""

    kind: Literal["coreflux", "mosquitto"]
    host: Host
    port: Port | None = None
    tls: bool = True
    ca_file: AbsolutePath | None = None
    protocol: MqttProtocol = MqttProtocol.V5
    client_certificate: bool = False
    topics: Annotated[tuple[Topic, ...], Field(min_length=1), AfterValidator(distinct)] = ("#", "$SYS/Coreflux/#")

    @property
    def listening_port(self) -> int:
        """MQTT's registered ports: 8883 with TLS, 1883 without (IANA)."""
        return self.port or (8883 if self.tls else 1883)


class Rotation(Section):
    """How often, and how long readers have to follow. The upper bounds are the guide's: 90 days and 6 months."""

    mqtt_days: Days = 90
    broker_admin_days: Days = 90
    agent_key_days: Annotated[int, between(1, 183, "days: 6 months (Secret Management Guide, Rotation)")] = 180
    grace_seconds: Annotated[int, between(0, 604800, "seconds: a week at most")] = 3600


class ExternalIssuer(Section):
    """Whoever signs the client certificate gives it to an operator, who puts it. secretops watches when it ends."""

    kind: Literal["external"]


class PrivateCa(Section):
    """A CA of the stack's own, for the one name of its client. Its key is a secret that only the rotator reads."""

    kind: Literal["private-ca"]
    days: Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")] = 30
    """For which a client's certificate is good."""
    ca_days: Annotated[int, between(30, 3650, "days")] = 1825
    """For which the CA is. The next one is made at two thirds of it, and a person has the broker trust it."""


class AwsPrivateCa(Section):
    """A CA of AWS Private CA that is there. The tick asks it, and may have it sign for clients alone."""

    kind: Literal["aws-private-ca"]
    arn: PrivateCaArn
    """Another account's is shared with this one, by a permission for that template."""
    days: Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")] = 30
    """For which a client's certificate is good: 7 at most where the CA is one for short-lived certificates."""


class DeclaredSecret(Section):
    """A secret of the stack's own, for example a connection string; supplied by an operator."""

    fields: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(distinct)]
    readers: Annotated[tuple[Reader, ...], Field(min_length=1), AfterValidator(distinct)] = (Reader.SERVER,)
    remind_after_days: Annotated[int, between(1, 366, "days")] = 90


class ExternalAgent(Section):
    """An agent whose keys somebody else gives out: the Coreflux Copilot, unless its `url` is said."""

    kind: Literal["external"]
    url: AgentUrl | None = None


class OwnedAgent(Section):
    """An agent of the operator's own DigitalOcean account, whose keys secretops makes and deletes."""

    kind: Literal["owned"]
    id: AgentId
    url: AgentUrl


AgentSettings = ExternalAgent | OwnedAgent
StoreSettings = DotenvStore | KubernetesStore | AwsStore | AzureStore | VaultStore | SwarmStore
ServerSettings = LocalServer | KubernetesServer | EcsServer | ContainerAppServer | SwarmServer
BrokerSettings = EmbeddedBroker | OutsideBroker
IssuerSettings = ExternalIssuer | PrivateCa | AwsPrivateCa
