"""The manifest: locations, names and cadences of a stack's secrets, broker and server. Contains no value.

The Pulumi program builds it. Operators read it from the stack output `secretops`, rotators from a file or variable.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny, model_validator

from secretops import registry
from secretops.manifest import field_types as types
from secretops.manifest.model import Issuer, Model, StoreLocation, by_kind
from secretops.manifest.validation_errors import ManifestError, manifest_error

# Names of other modules that are part of this module's interface.
__all__ = ["Issuer", "ManifestError", "Model", "StoreLocation"]


class SecretKind(StrEnum):
    """The kind of a secret. It determines who makes the next value, and how a value is tested."""

    MQTT_USER = "mqtt-user"  # two alternating broker users; secretops makes the passwords
    BROKER_ADMIN = "broker-admin"  # two alternating broker admins; the operator supplies the first
    AGENT_KEY = "agent-key"  # an API key of a DigitalOcean agent
    X509 = "x509"  # CA certificate, client certificate, client key
    CA = "ca"  # the stack's own CA, which signs client certificates; secretops makes it
    SUPPLIED = "supplied"  # an operator supplies each value

    @property
    def alternates(self) -> bool:
        return self in (SecretKind.MQTT_USER, SecretKind.BROKER_ADMIN)


# Secret and field of the token that authenticates MCP clients over HTTP (docs/adr/0003).
HTTP_TOKEN = ("http-token", "token")

# Secret and field of the DigitalOcean API token that creates keys of an owned agent.
AGENT_ADMIN = ("agent-admin", "token")

# The Coreflux Copilot: the agent that upstream's server.py uses by default.
COPILOT = "https://xtov5ljwjkydusw2zpus4yxe.agents.do-ai.run"

PRIVATE_CA = "private-ca"

# Addresses of the embedded broker.
LOOPBACK = ("localhost", "127.0.0.1")


class Reader(StrEnum):
    SERVER = "server"
    ROTATOR = "rotator"


class PrivateCaIssuer(Issuer):
    """The stack's own CA as the issuer. Only the rotator reads the CA's key."""

    kind: Literal["private-ca"] = "private-ca"
    # Secret with the CA, of kind `ca`.
    secret: types.SecretName
    # Common name of the client. The CA certifies only names that begin with it.
    common_name: types.CommonName
    # Lifetimes of a certificate, and of the CA.
    seconds: types.Seconds
    ca_seconds: types.Seconds


class ExternalAgent(Model):
    """An agent whose keys come from elsewhere, such as the Coreflux dashboard."""

    kind: Literal["external"] = "external"
    # Address for a test of a key before it is published.
    url: types.ServerUrl = COPILOT


class OwnedAgent(Model):
    """An agent in the operator's DigitalOcean account. secretops creates and deletes its keys."""

    kind: Literal["owned"] = "owned"
    url: types.ServerUrl
    id: types.Guid
    # Prefix of the names of secretops' keys. Keys with other names are never changed.
    prefix: types.CommonName


Agent = Annotated[ExternalAgent | OwnedAgent, Field(discriminator="kind")]


class Secret(Model):
    """A named secret of the stack, without its value."""

    name: types.SecretName
    kind: SecretKind
    fields: tuple[types.FieldName, ...]
    readers: tuple[Reader, ...]
    # Days until a value is rotated, or a person is reminded to supply a new one.
    cadence_days: types.Days
    # The two broker users between which rotations alternate; empty for a secret of another kind.
    users: tuple[types.UserName, ...] = ()
    # Issuer of the certificates that secretops requests and renews. None: an operator supplies them.
    issuer: Annotated[
        SerializeAsAny[Issuer] | None,
        by_kind(
            Issuer,
            lambda: (*registry.issuers(), PRIVATE_CA),
            lambda kind: PrivateCaIssuer if kind == PRIVATE_CA else registry.find_issuer(kind).issuer,
        ),
    ] = None
    # Agent for an agent key. None: keys are published untested.
    agent: Agent | None = None

    @model_validator(mode="after")
    def _check_users(self) -> Secret:
        if len(set(self.users)) != (2 if self.kind.alternates else 0):
            raise types.refused(
                "a secret of a broker user must have two users, any other secret none",
                shown=f"{self.name}: {len(set(self.users))} users",
            )
        return self

    @property
    def is_made(self) -> bool:
        return self.kind.alternates or self.is_issued or isinstance(self.agent, OwnedAgent)

    @property
    def makes_first_value(self) -> bool:
        """Return whether secretops also makes the first value. An operator supplies the first value of a broker
        admin."""
        return self.is_made and self.kind is not SecretKind.BROKER_ADMIN

    @property
    def is_issued(self) -> bool:
        """Return whether the secret is a certificate that secretops requests and renews."""
        return self.issuer is not None or self.kind is SecretKind.CA


class BrokerKind(StrEnum):
    """The command set of a broker's user management. The embedded broker is of kind coreflux."""

    COREFLUX = "coreflux"
    MOSQUITTO = "mosquitto"


class MqttProtocol(StrEnum):
    V5 = "5"
    V311 = "3.1.1"


class Broker(Model):
    kind: BrokerKind
    host: types.Host
    port: types.Port
    protocol: MqttProtocol
    tls: bool
    # PEM bundle of the CAs for the broker's certificate. None: the system's CAs.
    ca_file: types.AbsolutePath | None = None
    # PEM of the client certificate and its chain, for a broker that requires one; PEM of its key, without a passphrase.
    certificate_file: types.AbsolutePath | None = None
    key_file: types.AbsolutePath | None = None
    # Secret with the client certificate, if no file contains it.
    certificate_secret: types.SecretName | None = None
    # Topic filters of the server's user, for a broker with an ACL.
    topics: tuple[types.Topic, ...] = ("#", "$SYS/Coreflux/#")
    # Groups of a Coreflux broker that the server's users join.
    groups: tuple[types.GroupName, ...] = ()
    # True for `secretops broker`; `home` is the folder of its users, log and pid file.
    embedded: bool = False
    home: types.AbsolutePath | None = None

    @model_validator(mode="after")
    def _check_transport(self) -> Broker:
        if self.embedded and (self.tls or self.host not in LOOPBACK or self.kind is not BrokerKind.COREFLUX):
            raise types.refused(
                f"the embedded broker must be of kind coreflux, without TLS, at {' or '.join(LOOPBACK)}",
                shown=f"embedded: true at {self.host}, kind {self.kind}, tls: {str(self.tls).lower()}",
            )
        if not self.embedded and (not self.tls or self.home):
            raise types.refused(
                "a broker must use TLS, and only the embedded broker may have a home, the folder of its files",
                shown=f"{self.host}:{self.port}, tls: {str(self.tls).lower()}, home: {self.home or 'none'}",
            )
        return self


class Manifest(Model):
    project: types.ProjectName
    stack: types.StackName
    store: Annotated[
        SerializeAsAny[StoreLocation],
        by_kind(StoreLocation, lambda: registry.PLATFORMS, lambda kind: registry.find(kind).location),
    ]
    broker: Broker
    secrets: tuple[Secret, ...]
    # Seconds for which readers may use the previous version after the new one is delivered.
    grace_seconds: types.Grace
    # Number of servers expected to report their version. None if MCP clients start servers.
    replicas: types.Replicas | None = None

    @classmethod
    def parse(cls, text: bytes | str, where: str) -> Manifest:
        """Parse JSON. `where` is its origin, for messages. Raises ManifestError with all mistakes."""
        try:
            return cls.model_validate_json(text)
        except (ValueError, RecursionError) as error:
            raise manifest_error(where, error) from None

    @model_validator(mode="after")
    def _check_together(self) -> Manifest:
        names = [secret.name for secret in self.secrets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise types.refused("each secret must be listed once", shown=f"secrets: {', '.join(twice)} twice")
        return self

    def secret(self, name: str) -> Secret:
        for secret in self.secrets:
            if secret.name == name:
                return secret
        raise KeyError(name)

    def of_kind(self, kind: SecretKind) -> Secret | None:
        return next((secret for secret in self.secrets if secret.kind is kind), None)
