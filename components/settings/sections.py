"""Models of the sections of a stack file that belong to no platform, with the Secret Management Guide's defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from secretops import manifest
from secretops.manifest import HTTP_TOKEN, Agent, MqttProtocol, PrivateCaIssuer, Reader, Secret

from ..core import secrets
from ..core.broker import BrokerArgs
from ..core.naming import DAY
from ..core.secrets import CLIENT_CA, REMIND_DAYS
from .constraints import between, distinct
from .field_types import AbsolutePath, AgentId, AgentUrl, Days, Group, Host, Name, Port, Topic
from .section import IssuerSection, Section


class Environment(StrEnum):
    """The three environments of the Secret Management Guide."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class EmbeddedBroker(Section):
    """`secretops broker` on this machine, for development. It speaks MQTT 3.1.1, and accepts 100 clients and packets of
    up to 256 KiB."""

    kind: Literal["embedded"]
    port: Port = 1883

    @property
    def args(self) -> BrokerArgs:
        return BrokerArgs(host="localhost", port=self.port, tls=False, protocol=MqttProtocol.V311, embedded=True)


class OutsideBroker(Section):
    """A broker that you run. secretops rotates its users."""

    arguments = (BrokerArgs,)
    kind: Literal["coreflux", "mosquitto"]
    host: Host
    port: Port | None = None
    """By default 8883."""
    tls: bool = True
    ca_file: AbsolutePath | None = None
    protocol: MqttProtocol = MqttProtocol.V5
    client_certificate: bool = False
    topics: Annotated[tuple[Topic, ...], Field(min_length=1), AfterValidator(distinct)] = ("#", "$SYS/Coreflux/#")
    groups: Annotated[tuple[Group, ...], AfterValidator(distinct)] = ()

    @property
    def listening_port(self) -> int:
        """Return the port; by default 8883, IANA's for MQTT over TLS."""
        return self.port or 8883

    @property
    def args(self) -> BrokerArgs:
        return BrokerArgs(
            host=self.host,
            kind=self.kind,
            port=self.listening_port,
            tls=self.tls,
            ca_file=self.ca_file,
            protocol=self.protocol,
            client_certificate=self.client_certificate,
            topics=self.topics,
            groups=self.groups,
        )


class Rotation(Section):
    """How often secrets rotate, and how long readers may use the previous version (`grace_seconds`). The Secret
    Management Guide allows 90 days for broker users, 6 months for agent keys."""

    mqtt_days: Days = 90
    broker_admin_days: Days = 90
    agent_key_days: Annotated[int, between(1, 183, "days: 6 months (Secret Management Guide, Rotation)")] = 180
    grace_seconds: Annotated[int, between(0, 604800, "seconds: a week at most")] = 3600


class ExternalIssuer(IssuerSection):
    """An operator supplies the client certificate, which another CA signs. secretops warns before the certificate
    expires."""

    kind: Literal["external"]


class PrivateCa(IssuerSection):
    """A CA of the stack that signs only certificates with the stack's client name. Only the rotator reads the CA's
    key."""

    kind: Literal["private-ca"]
    days: Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")] = 30
    """Days that a client certificate is valid."""
    ca_days: Annotated[int, between(30, 3650, "days")] = 1825
    """Lifetime of the CA in days. After two thirds of it, secretops creates the next CA, which you add to the broker's
    CAs."""

    def issuer_of(self, common_name: str) -> PrivateCaIssuer:
        return PrivateCaIssuer(
            secret=CLIENT_CA, common_name=common_name, seconds=self.days * DAY, ca_seconds=self.ca_days * DAY
        )


class DeclaredSecret(Section):
    """A secret that you add, such as a connection string. An operator supplies its values, and is reminded after
    `remind_after_days`."""

    fields: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(distinct)]
    readers: Annotated[tuple[Reader, ...], Field(min_length=1), AfterValidator(distinct)] = (Reader.SERVER,)
    remind_after_days: Annotated[int, between(1, 366, "days")] = REMIND_DAYS


class ExternalAgent(Section):
    """A DigitalOcean agent of another owner, who gives you its keys: by default the Coreflux Copilot, otherwise the
    agent at `url`."""

    kind: Literal["external"]
    url: AgentUrl | None = None


class OwnedAgent(Section):
    """An agent of your own DigitalOcean account. secretops creates and deletes its keys."""

    kind: Literal["owned"]
    id: AgentId
    url: AgentUrl


AgentSettings = ExternalAgent | OwnedAgent
BrokerSettings = EmbeddedBroker | OutsideBroker


def secrets_of(stack: str, sections: Mapping[str, Any]) -> Iterator[Secret]:
    """Yield the secrets of a stack, according to the sections of its file."""
    store, server, broker = sections["store"], sections["server"], sections["broker"]
    issuer, agent, rotation = sections.get("issuer"), sections.get("agent"), sections.get("rotation", Rotation())
    own: Mapping[str, DeclaredSecret] = sections.get("secrets", {})
    yield secrets.broker_admin(stack, rotation.broker_admin_days)
    yield secrets.mqtt(stack, rotation.mqtt_days)
    yield secrets.agent_key(rotation.agent_key_days, _agent(stack, agent))
    if isinstance(agent, OwnedAgent):
        yield secrets.agent_admin()
    if isinstance(broker, OutsideBroker) and broker.client_certificate:
        own_issuer = issuer.issuer_of(secrets.client_name(stack)) if issuer else None
        signs, authority = own_issuer or store.certificate_issuer(stack), broker.ca_file is not None
        if isinstance(issuer, PrivateCa):
            yield secrets.client_ca(issuer.ca_days)
        if not server.has_own_issuer:
            yield secrets.client_cert(issuer=signs, authority=authority)
        elif (
            store.kind != server.kind
        ):  # the store's rotator can't read the certificate that the server's platform writes
            yield secrets.client_cert((Reader.ROTATOR,), issuer=signs, authority=authority)
    if server.is_remote and HTTP_TOKEN[0] not in own:
        yield secrets.http_token()
    for name, secret in own.items():
        yield secrets.declared(name, secret.fields, secret.readers, secret.remind_after_days)


def _agent(stack: str, section: AgentSettings | None) -> Agent:
    if isinstance(section, OwnedAgent):
        return manifest.OwnedAgent(url=section.url, id=section.id, prefix=secrets.client_name(stack))
    return manifest.ExternalAgent(url=section.url) if section and section.url else manifest.ExternalAgent()
