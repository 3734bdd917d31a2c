"""The manifest: where a stack's secrets, broker and server are. Locators, names and cadences; never a value.

The Pulumi program builds one `Manifest` from its settings. An operator gets it as the stack output `secretops`, a
rotator as a file or a variable. Others may be able to write there, so a manifest is as strict as a stack file.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import SerializeAsAny, model_validator

from secretops import registry
from secretops.manifest.field_types import (
    AbsolutePath,
    Grace,
    GroupName,
    Host,
    Port,
    ProjectName,
    Replicas,
    SecretName,
    StackName,
    Topic,
    refused,
)
from secretops.manifest.model import Issuer, Model, StoreLocation, by_kind
from secretops.manifest.secret import (
    AGENT_ADMIN,
    COPILOT,
    HTTP_TOKEN,
    Agent,
    ExternalAgent,
    OwnedAgent,
    PrivateCaIssuer,
    Reader,
    Secret,
    SecretKind,
)
from secretops.manifest.validation_errors import ManifestError, not_a_manifest

__all__ = [
    "AGENT_ADMIN",
    "COPILOT",
    "HTTP_TOKEN",
    "Agent",
    "Broker",
    "BrokerKind",
    "ExternalAgent",
    "Issuer",
    "Manifest",
    "ManifestError",
    "Model",
    "MqttProtocol",
    "OwnedAgent",
    "PrivateCaIssuer",
    "Reader",
    "Secret",
    "SecretKind",
    "StoreLocation",
]


class BrokerKind(StrEnum):
    """Which commands a broker understands for its users. `coreflux` also covers the embedded broker."""

    COREFLUX = "coreflux"
    MOSQUITTO = "mosquitto"


class MqttProtocol(StrEnum):
    """Which MQTT a client speaks to the broker."""

    V5 = "5"
    V311 = "3.1.1"


LOOPBACK = ("localhost", "127.0.0.1")
"""Where the embedded broker listens."""


class Broker(Model):
    """How to reach the MQTT broker, which is the target of the broker users' passwords."""

    kind: BrokerKind
    host: Host
    port: Port
    protocol: MqttProtocol
    tls: bool
    ca_file: AbsolutePath | None = None
    """PEM bundle that signs the broker's certificate; None trusts the system's."""
    certificate_file: AbsolutePath | None = None
    """PEM of the client's certificate and its chain, for a broker that asks for one; secretops shows it too."""
    key_file: AbsolutePath | None = None
    """PEM of that certificate's key, without a passphrase. A path, never the key."""
    certificate_secret: SecretName | None = None
    """The secret of the stack whose current value is that certificate, where it lies in no file."""
    topics: tuple[Topic, ...] = ("#", "$SYS/Coreflux/#")
    """Topic filters that the server's user may publish and subscribe to, where the broker's ACL can say so."""
    groups: tuple[GroupName, ...] = ()
    """Groups of a Coreflux broker that the server's users are added to."""
    embedded: bool = False
    """Whether `secretops broker` is this broker."""
    home: AbsolutePath | None = None
    """Folder of the embedded broker's users, log and pid file."""

    @model_validator(mode="after")
    def _check_transport(self) -> Broker:
        """No password crosses a network in clear: only the embedded broker, on this machine, goes without TLS."""
        if self.embedded and (self.tls or self.host not in LOOPBACK or self.kind is not BrokerKind.COREFLUX):
            raise refused(
                f"the embedded broker is of kind coreflux, without TLS, at {' or '.join(LOOPBACK)}",
                shown=f"embedded: true at {self.host}, kind {self.kind}, tls: {str(self.tls).lower()}",
            )
        if not self.embedded and (not self.tls or self.home):
            raise refused(
                "secrets are only sent over TLS; the embedded broker alone goes without, and has a home",
                shown=f"{self.host}:{self.port}, tls: {str(self.tls).lower()}, home: {self.home or 'none'}",
            )
        return self


def _location(kind: str) -> type[StoreLocation]:
    found: type[StoreLocation] = registry.find(kind).location
    return found


class Manifest(Model):
    """Everything secretops needs to know of one stack."""

    project: ProjectName
    stack: StackName
    store: Annotated[SerializeAsAny[StoreLocation], by_kind(StoreLocation, lambda: registry.PLATFORMS, _location)]
    broker: Broker
    secrets: tuple[Secret, ...]
    grace_seconds: Grace
    """How long readers have to let go of a replaced version before its user is scrambled."""
    replicas: Replicas | None = None
    """How many servers run, each of which reports its version; None where MCP clients start as many as they like."""

    @classmethod
    def parse(cls, text: bytes | str, where: str) -> Manifest:
        """Return the manifest in `text`, JSON. Raises ManifestError with every error, which names `where`."""
        try:
            return cls.model_validate_json(text)
        except (ValueError, RecursionError) as error:
            raise not_a_manifest(where, error) from None

    @model_validator(mode="after")
    def _check_together(self) -> Manifest:
        names = [secret.name for secret in self.secrets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise refused("each secret once", shown=f"secrets: {', '.join(twice)} twice")
        return self

    def secret(self, name: str) -> Secret:
        """The secret called `name`. Raises KeyError."""
        for secret in self.secrets:
            if secret.name == name:
                return secret
        raise KeyError(name)

    def of_kind(self, kind: SecretKind) -> Secret | None:
        """The stack's secret of a kind that occurs at most once, or None."""
        return next((secret for secret in self.secrets if secret.kind is kind), None)
