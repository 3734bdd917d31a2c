"""The sections of a stack file, one model each: what they may say, and the guide's default for what they do not.

A new platform is one more member of `StoreSettings` or `ServerSettings`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from components.naming import NAME
from components.problems import between, distinct, matching, network
from secretops.manifest import MqttProtocol, Reader

PROJECT_FOLDER = Path(__file__).resolve().parents[1]


class Section(BaseModel):
    """One section of a stack file. Frozen; an unknown key is an error, and so is a string where a number belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Name = Annotated[
    str,
    matching(NAME, "lower-case letters, digits and dashes, at most 40, a letter first and no dash last", "rename it"),
]
Port = Annotated[int, between(1, 65535, "")]
Days = Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")]
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
Host = Annotated[
    str,
    matching(
        _HOST,
        "a host's name or IPv4 address alone: no scheme, port, path or space",
        "write it like mqtt.example.com; the port goes into broker.port",
    ),
]
HostName = Annotated[
    str,
    matching(
        _HOST,
        "a host's name or IPv4 address alone, as clients write it: no scheme, port or path",
        "write it like mcp.example.com",
    ),
]
Network = Annotated[str, AfterValidator(network)]
Networks = Annotated[tuple[Network, ...], Field(min_length=1), AfterValidator(distinct)]
NetworksOrNone = Annotated[tuple[Network, ...], AfterValidator(distinct)]
EVERYWHERE = ("0.0.0.0/0", "::/0")
KubernetesName = Annotated[
    str,
    matching(
        r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
        "a Kubernetes name: lower-case letters, digits, dashes and dots, a letter or digit at both ends",
        "write it as kubectl shows it",
    ),
]
AbsolutePath = Annotated[
    str, matching(r"/[^\x00-\x1f\x7f]*", "an absolute path on this machine", "write the whole path, from / on")
]
Topic = Annotated[str, matching(r"[^\x00]+", "a topic filter, for example plant/#", "write one, or take the entry out")]
LogLevel = Literal["NONE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class Environment(StrEnum):
    """Which of the guide's three environments a stack is. Not its name."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class DotenvStore(Section):
    """A folder on this machine, as the guide draws it."""

    kind: Literal["dotenv"]
    root: Annotated[
        str,
        matching(
            r"[^~\x00-\x1f\x7f][^\x00-\x1f\x7f]*",
            "a path on one line; ~ is not expanded",
            "name a folder, for example .coreflux-mcp (below the project) or /etc/coreflux-mcp",
        ),
    ] = ".coreflux-mcp"
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
                    r"\S|\S[^\x00-\x1f\x7f]*\S",
                    "a user or a group as the API server names it",
                    "kubectl auth whoami shows yours; or take the entry out",
                ),
            ],
            ...,
        ],
        AfterValidator(distinct),
    ] = ()
    """Who is declared to read the Secrets beside server, rotator and kubelets: the audit flags everybody else."""


class AwsStore(Section):
    """Secrets Manager in one region."""

    kind: Literal["aws"]
    region: Annotated[str, matching(r"[a-z]{2}(-[a-z]+)+-\d", "an AWS region's code", "write it like eu-central-1")]


class LocalServer(Section):
    """The MCP server on this machine, started by an MCP client over stdio."""

    kind: Literal["local"]
    source: AbsolutePath | None = None
    """The upstream server's folder; None lets the launcher find or clone it."""


class CertificateIssuer(Section):
    """An issuer of cert-manager's."""

    kind: Literal["Issuer", "ClusterIssuer"]
    name: KubernetesName


class KubernetesServer(Section):
    """The MCP server as a Deployment."""

    kind: Literal["kubernetes"]
    image: Annotated[
        str,
        matching(
            r"(?=.*:[\w.-]+$)(?!.*:latest(@|$))([\w.-]+(:\d+)?/)?[a-z0-9._-]+(/[a-z0-9._-]+)*"
            r"(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
            "an image by its tag or digest; latest is another one each day",
            "write it like registry.example.com/coreflux-mcp-secrets:0.1.0",
        ),
    ]
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
    """None is the current one."""
    replicas: Annotated[int, between(1, 100, "replicas")] = 2
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Names that clients call it by, beside those of its Service: an ingress's."""
    broker_cidrs: Networks = EVERYWHERE
    """Where the broker's addresses lie: pods reach no other on its port."""
    api_server_cidrs: Networks = EVERYWHERE
    """Where the API server's addresses lie: only the rotator reaches them."""
    copilot_cidrs: NetworksOrNone | None = None
    """Where the server reaches the Coreflux Copilot by HTTPS; None is every public address, empty is nowhere."""
    client_cidrs: NetworksOrNone = ()
    """Clients beside the cluster's pods: load balancers, and ingress controllers on a node's own network."""
    pull_secrets: Annotated[tuple[KubernetesName, ...], AfterValidator(distinct)] = ()
    """Image pull secrets of the namespace, by name; an operator makes them."""
    certificate_issuer: CertificateIssuer | None = None
    """Who signs the client certificate, by cert-manager; None leaves it to an operator."""


class EcsServer(Section):
    """The MCP server on ECS Fargate."""

    kind: Literal["ecs"]


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


class DeclaredSecret(Section):
    """A secret of the stack's own, for example a connection string; supplied by an operator."""

    fields: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(distinct)]
    readers: Annotated[tuple[Reader, ...], Field(min_length=1), AfterValidator(distinct)] = (Reader.SERVER,)
    remind_after_days: Annotated[int, between(1, 366, "days")] = 90


StoreSettings = DotenvStore | KubernetesStore | AwsStore
ServerSettings = LocalServer | KubernetesServer | EcsServer
BrokerSettings = EmbeddedBroker | OutsideBroker
