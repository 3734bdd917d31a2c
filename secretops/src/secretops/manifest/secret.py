"""A secret as it is declared: its kind, its fields, who reads it, how often it changes, and who signs or makes it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny, model_validator

from secretops import registry
from secretops.manifest.field_types import (
    CommonName,
    Days,
    FieldName,
    Guid,
    Seconds,
    SecretName,
    ServerUrl,
    UserName,
    refused,
)
from secretops.manifest.model import Issuer, Model, by_kind


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


def _issuers() -> Iterator[str]:
    yield from registry.issuers()
    yield PRIVATE_CA


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
    issuer: Annotated[SerializeAsAny[Issuer] | None, by_kind(Issuer, _issuers, _issuer)] = None
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
