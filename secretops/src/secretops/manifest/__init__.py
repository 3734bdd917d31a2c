"""The manifest: where a stack's secrets, broker and server are. Locators, names and cadences; never a value.

The Pulumi program builds one `Manifest` from its settings. An operator gets it as the stack output `secretops`, a
rotator as a file or a variable. Others may be able to write there, so a manifest is as strict as a stack file.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny, model_validator

from secretops import registry
from secretops.manifest.field_types import (
    AbsolutePath,
    CommonName,
    Days,
    FieldName,
    Grace,
    GroupName,
    Guid,
    Host,
    Port,
    ProjectName,
    Replicas,
    Seconds,
    SecretName,
    ServerUrl,
    StackName,
    Topic,
    UserName,
    refused,
)
from secretops.manifest.model import Issuer, Model, StoreLocation, by_kind
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


class SecretKind(StrEnum):
    """Who makes a secret's next value, and how it is proven. Not where it is kept."""

    MQTT_USER = "mqtt-user"  # two broker users, alternating; made by secretops
    BROKER_ADMIN = "broker-admin"  # two broker admins, alternating; the first one by the operator
    AGENT_KEY = "agent-key"  # a DigitalOcean agent API key
    X509 = "x509"  # CA certificate, client certificate, client key
    CA = "ca"  # the stack's own CA of client certificates; made by secretops
    SUPPLIED = "supplied"  # by the operator, always

    @property
    def alternates(self) -> bool:
        """Whether secretops makes its values, on two users that take turns."""
        return self in (SecretKind.MQTT_USER, SecretKind.BROKER_ADMIN)


HTTP_TOKEN = ("http-token", "token")
"""The secret, and its one field, by which the launcher knows an MCP client over HTTP (docs/adr/0003)."""


class Reader(StrEnum):
    """Who may read a secret."""

    SERVER = "server"
    ROTATOR = "rotator"


class PrivateCaIssuer(Issuer):
    """Who signs a certificate: secretops itself, by a CA whose key is a secret that only the rotator reads."""

    kind: Literal["private-ca"] = "private-ca"
    secret: SecretName
    """The CA: a secret of kind ca."""
    common_name: CommonName
    """Of the client: the name that the CA may certify, and none that does not begin with it."""
    seconds: Seconds
    """For how long a certificate is good."""
    ca_seconds: Seconds
    """For how long the CA is."""


PRIVATE_CA = "private-ca"


def _issuer(kind: str) -> type[Issuer]:
    found: type[Issuer] = PrivateCaIssuer if kind == PRIVATE_CA else registry.find_issuer(kind).issuer
    return found


COPILOT = "https://xtov5ljwjkydusw2zpus4yxe.agents.do-ai.run"
"""The Coreflux Copilot, which upstream's server asks unless it is led elsewhere (its server.py has this address)."""


class ExternalAgent(Model):
    """An agent whose keys somebody else gives out: of the Copilot, the Coreflux dashboard."""

    kind: Literal["external"] = "external"
    url: ServerUrl = COPILOT
    """Where a key is tested before it is published: https, without a path."""


class OwnedAgent(Model):
    """An agent of the operator's own DigitalOcean account: secretops makes its keys, and deletes them."""

    kind: Literal["owned"] = "owned"
    url: ServerUrl
    id: Guid
    """The agent's UUID."""
    prefix: CommonName
    """Begins the name of each key that secretops makes there. What has another name is never touched."""


Agent = Annotated[ExternalAgent | OwnedAgent, Field(discriminator="kind")]
"""What an agent key opens."""

AGENT_ADMIN = ("agent-admin", "token")
"""The secret, and its one field, with which keys of an owned agent are made: a token of DigitalOcean's API."""


class Secret(Model):
    """One named entry of the catalogue. Not a value."""

    name: SecretName
    kind: SecretKind
    fields: tuple[FieldName, ...]
    readers: tuple[Reader, ...]
    cadence_days: Days
    """After how many days a new value is due (alternating kinds), or a person is reminded (the others)."""
    users: tuple[UserName, ...] = ()
    """The two broker users that take turns; empty for kinds that do not alternate."""
    issuer: Annotated[
        SerializeAsAny[Issuer] | None, by_kind(Issuer, lambda: (*registry.issuers(), PRIVATE_CA), _issuer)
    ] = None
    """Who signs its certificates, which secretops has made and renews; None: an operator supplies them."""
    agent: Agent | None = None
    """What an agent key opens. None of every other kind, and where nobody says it: then no key is tested."""

    @model_validator(mode="after")
    def _check_users(self) -> Secret:
        if len(set(self.users)) != (2 if self.kind.alternates else 0):
            raise refused(
                "a secret of a broker user has two of them, and no other has any",
                shown=f"{self.name}: {len(set(self.users))} users",
            )
        return self

    @property
    def is_made(self) -> bool:
        """Whether secretops makes its values by itself."""
        return self.kind.alternates or self.is_issued or isinstance(self.agent, OwnedAgent)

    @property
    def is_begun(self) -> bool:
        """Whether it makes the first one, too: the first admin is an operator's."""
        return self.is_made and self.kind is not SecretKind.BROKER_ADMIN

    @property
    def is_issued(self) -> bool:
        """Whether it is a certificate that secretops has made: it ends by itself, and is renewed before."""
        return self.issuer is not None or self.kind is SecretKind.CA


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
