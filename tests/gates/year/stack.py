"""The simulated stack's manifest: every kind that secretops makes by itself, with the CA and the tokens they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secretops.manifest import (
    AGENT_ADMIN,
    Broker,
    BrokerKind,
    Manifest,
    MqttProtocol,
    OwnedAgent,
    PrivateCaIssuer,
    Reader,
    Secret,
    SecretKind,
)
from secretops.platforms.dotenv.location import DotenvStoreLocation
from tests.gates.year.systems import AGENT

if TYPE_CHECKING:
    from tests.gates.year.plan import Plan

USERS, ADMINS = ("user-a", "user-b"), ("admin-a", "admin-b")
# Delivered to the server.
SERVERS_FIELDS = {
    "mqtt": ("username", "password"),
    "agent-key": ("api-key",),
    "client-cert": ("client.crt", "client.key"),
}
SECONDS_A_DAY = 24 * 60 * 60


def manifest_of(plan: Plan) -> Manifest:
    """Return the manifest as the program would write it. Its store and broker are opened in memory."""
    both, rotator = (Reader.SERVER, Reader.ROTATOR), (Reader.ROTATOR,)
    credential = ("username", "password")
    issuer = PrivateCaIssuer(
        secret="client-ca",
        common_name="coreflux-mcp-year",
        seconds=plan.certificate_days * SECONDS_A_DAY,
        ca_seconds=plan.authority_days * SECONDS_A_DAY,
    )
    agent = OwnedAgent(url="https://agent.invalid", id=AGENT, prefix="coreflux-mcp-year")
    kinds = (
        ("broker-admin", SecretKind.BROKER_ADMIN, credential, rotator),
        ("mqtt", SecretKind.MQTT_USER, credential, both),
        ("agent-key", SecretKind.AGENT_KEY, ("api-key",), both),
        (AGENT_ADMIN[0], SecretKind.SUPPLIED, (AGENT_ADMIN[1],), rotator),
        ("client-ca", SecretKind.CA, ("ca.crt", "ca.key"), rotator),
        ("client-cert", SecretKind.X509, ("client.crt", "client.key"), both),
    )
    return Manifest(
        project="coreflux-mcp-secrets",
        stack="year",
        store=DotenvStoreLocation(root="/nowhere/store"),
        broker=Broker(kind=BrokerKind.MOSQUITTO, host="broker.invalid", port=1, protocol=MqttProtocol.V5, tls=True),
        grace_seconds=plan.grace * 60,
        replicas=plan.servers,
        secrets=tuple(Secret(name=name, kind=kind, fields=fields, readers=readers, cadence_days=plan.cadences[name],
                             users={"mqtt": USERS, "broker-admin": ADMINS}.get(name, ()),
                             issuer=issuer if kind is SecretKind.X509 else None,
                             agent=agent if kind is SecretKind.AGENT_KEY else None)
                      for name, kind, fields, readers in kinds),
    )  # fmt: skip
