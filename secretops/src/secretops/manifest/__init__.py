"""What a stack tells secretops: where everything is, and never what anything is worth.

The Pulumi program builds one `Manifest` from its settings and hands it on as the stack output `secretops` (for an
operator), and as a file or a variable (for a rotator). It is public: locators, names, cadences.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from secretops.manifest.model import Model
from secretops.manifest.places import (
    SWARM_INSTANCE,
    AwsStore,
    AzureStore,
    Delivered,
    DotenvStore,
    KubernetesStore,
    StoreLocation,
    SwarmFile,
    SwarmStore,
    VaultLogin,
    VaultStore,
    version_file,
)
from secretops.manifest.secret import (
    AGENT_ADMIN,
    COPILOT,
    HTTP_TOKEN,
    Agent,
    AwsPrivateCaIssuer,
    ExternalAgent,
    Issuer,
    OwnedAgent,
    PrivateCaIssuer,
    Reader,
    Secret,
    SecretKind,
    VaultIssuer,
)

__all__ = [
    "AGENT_ADMIN",
    "COPILOT",
    "HTTP_TOKEN",
    "SWARM_INSTANCE",
    "Agent",
    "AwsPrivateCaIssuer",
    "AwsStore",
    "AzureStore",
    "Broker",
    "BrokerKind",
    "Delivered",
    "DotenvStore",
    "ExternalAgent",
    "Issuer",
    "KubernetesStore",
    "Manifest",
    "Model",
    "MqttProtocol",
    "OwnedAgent",
    "PrivateCaIssuer",
    "Reader",
    "Secret",
    "SecretKind",
    "StoreLocation",
    "SwarmFile",
    "SwarmStore",
    "VaultIssuer",
    "VaultLogin",
    "VaultStore",
    "version_file",
]


class BrokerKind(StrEnum):
    """Which commands a broker understands for its users. `coreflux` also covers the embedded broker."""

    COREFLUX = "coreflux"
    MOSQUITTO = "mosquitto"


class MqttProtocol(StrEnum):
    """Which MQTT a client speaks to the broker."""

    V5 = "5"
    V311 = "3.1.1"


class Broker(Model):
    """How to reach the MQTT broker, which is the target of the broker users' passwords."""

    kind: BrokerKind
    host: str
    port: int
    protocol: MqttProtocol
    tls: bool
    ca_file: str | None = None
    """PEM bundle that signs the broker's certificate; None trusts the system's."""
    certificate_file: str | None = None
    """PEM of the client's certificate and its chain, for a broker that asks for one; secretops shows it too."""
    key_file: str | None = None
    """PEM of that certificate's key, without a passphrase. A path, never the key."""
    certificate_secret: str | None = None
    """The secret of the stack whose current value is that certificate, where it lies in no file."""
    topics: tuple[str, ...] = ("#", "$SYS/Coreflux/#")
    """Topic filters that the server's user may publish and subscribe to, where the broker's ACL can say so."""
    embedded: bool = False
    """Whether `secretops broker` is this broker."""
    home: str | None = None
    """Folder of the embedded broker's users, log and pid file."""


class Manifest(Model):
    """Everything secretops needs to know of one stack."""

    project: str
    stack: str
    store: Annotated[StoreLocation, Field(discriminator="kind")]
    broker: Broker
    secrets: tuple[Secret, ...]
    grace_seconds: int
    """How long readers have to let go of a replaced version before its user is scrambled."""
    replicas: int | None = None
    """How many servers run, each of which reports its version; None where MCP clients start as many as they like."""

    def secret(self, name: str) -> Secret:
        """The secret called `name`. Raises KeyError."""
        for secret in self.secrets:
            if secret.name == name:
                return secret
        raise KeyError(name)

    def of_kind(self, kind: SecretKind) -> Secret | None:
        """The stack's secret of a kind that occurs at most once, or None."""
        return next((secret for secret in self.secrets if secret.kind is kind), None)
