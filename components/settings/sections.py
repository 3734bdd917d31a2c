"""The sections of a stack file, one model each: what they may say, and the guide's default for what they do not.

Sections `store` and `server`, and the issuers of a platform, are in the platform's folder.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from secretops.manifest import MqttProtocol, PrivateCaIssuer, Reader

from ..core.broker import BrokerArgs
from ..core.naming import DAY
from ..core.secrets import CLIENT_CA, REMIND_DAYS
from .constraints import between, distinct
from .field_types import AbsolutePath, AgentId, AgentUrl, Days, Group, Host, Name, Port, Topic
from .section import IssuerSection, Section


class Environment(StrEnum):
    """Which of the guide's three environments a stack is. Not its name."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class EmbeddedBroker(Section):
    """`secretops broker`: on this machine, for development. MQTT 3.1.1, 100 clients, packets of up to 256 KiB."""

    kind: Literal["embedded"]
    port: Port = 1883

    @property
    def args(self) -> BrokerArgs:
        """Return the broker as components take it."""
        return BrokerArgs(host="localhost", port=self.port, tls=False, protocol=MqttProtocol.V311, embedded=True)


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
    groups: Annotated[tuple[Group, ...], AfterValidator(distinct)] = ()
    """Groups of a Coreflux broker that the server's users are added to, for its rules (`USER IN GROUP`)."""

    @property
    def listening_port(self) -> int:
        """Return the port, by default the one that IANA has for MQTT with TLS."""
        return self.port or 8883

    @property
    def args(self) -> BrokerArgs:
        """Return the broker as components take it."""
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
    """How often, and how long readers have to follow. The upper bounds are the guide's: 90 days and 6 months."""

    mqtt_days: Days = 90
    broker_admin_days: Days = 90
    agent_key_days: Annotated[int, between(1, 183, "days: 6 months (Secret Management Guide, Rotation)")] = 180
    grace_seconds: Annotated[int, between(0, 604800, "seconds: a week at most")] = 3600


class ExternalIssuer(IssuerSection):
    """Whoever signs the client certificate gives it to an operator, who puts it. secretops watches when it ends."""

    kind: Literal["external"]


class PrivateCa(IssuerSection):
    """A CA of the stack's own, for the one name of its client. Its key is a secret that only the rotator reads."""

    kind: Literal["private-ca"]
    days: Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")] = 30
    """For which a client's certificate is good."""
    ca_days: Annotated[int, between(30, 3650, "days")] = 1825
    """For which the CA is. The next one is made at two thirds of it, and a person has the broker trust it."""

    def issuer_of(self, common_name: str) -> PrivateCaIssuer:
        """Return the stack's own CA as an issuer."""
        return PrivateCaIssuer(
            secret=CLIENT_CA, common_name=common_name, seconds=self.days * DAY, ca_seconds=self.ca_days * DAY
        )


class DeclaredSecret(Section):
    """A secret of the stack's own, for example a connection string; supplied by an operator."""

    fields: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(distinct)]
    readers: Annotated[tuple[Reader, ...], Field(min_length=1), AfterValidator(distinct)] = (Reader.SERVER,)
    remind_after_days: Annotated[int, between(1, 366, "days")] = REMIND_DAYS


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
BrokerSettings = EmbeddedBroker | OutsideBroker
