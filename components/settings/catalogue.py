"""The catalogue: which secrets a stack has. The guide's own four, and whatever the stack declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from secretops import manifest
from secretops.manifest import (
    AGENT_ADMIN,
    HTTP_TOKEN,
    Agent,
    ExternalAgent,
    Issuer,
    PrivateCaIssuer,
    Reader,
    Secret,
    SecretKind,
)
from secretops.platforms.aws.location import AwsPrivateCaIssuer

from ..aws.settings import AwsPrivateCa
from ..core.naming import BROKER_USER_LIMIT, CERTIFICATE_FILES, physical_name, variable_of
from ..dotenv.settings import LocalServer
from ..kubernetes.settings import KubernetesServer, KubernetesStore
from ..vault.settings import VaultStore
from .sections import (
    AgentSettings,
    DeclaredSecret,
    IssuerSettings,
    OutsideBroker,
    OwnedAgent,
    PrivateCa,
    Rotation,
    StoreSettings,
)

CLIENT_CERT = "client-cert"
CLIENT_CA = "client-ca"
LONGEST_NAME = 50
"""Characters of the client's name: its CA's name is that and 12 more, and a common name has 64 at most (RFC 5280)."""
_DAY = 86400
SERVER_AND_ROTATOR = (Reader.SERVER, Reader.ROTATOR)


@dataclass(frozen=True)
class Catalogue:
    """The secrets of one stack, by name. Public: a value never gets here."""

    secrets: tuple[Secret, ...]

    def __iter__(self) -> Iterator[Secret]:
        return iter(self.secrets)

    def for_reader(self, reader: Reader) -> tuple[Secret, ...]:
        """Those that `reader` is granted."""
        return tuple(secret for secret in self.secrets if reader in secret.readers)


def secrets_of(stack: str, sections: Mapping[str, Any]) -> Iterator[Secret]:
    """Those of a stack whose file has `sections`, by their names, as `schema.read` gives them."""
    store, server, broker = sections["store"], sections["server"], sections["broker"]
    issuer, agent, rotation = sections.get("issuer"), sections.get("agent"), sections.get("rotation", Rotation())
    own: Mapping[str, DeclaredSecret] = sections.get("secrets", {})
    yield broker_admin(stack, rotation.broker_admin_days)
    yield mqtt(stack, rotation.mqtt_days)
    yield agent_key(stack, rotation.agent_key_days, agent)
    if isinstance(agent, OwnedAgent):
        yield agent_admin()
    issued = isinstance(server, KubernetesServer) and server.certificate_issuer
    if isinstance(broker, OutsideBroker) and broker.client_certificate:
        by, authority = _issuer(store, stack, issuer), broker.ca_file is not None
        if isinstance(issuer, PrivateCa):
            yield client_ca(issuer)
        if not issued:
            yield client_cert(issuer=by, authority=authority)
        elif not isinstance(store, KubernetesStore):  # its rotator has no way to a certificate that lies in a cluster
            yield client_cert((Reader.ROTATOR,), issuer=by, authority=authority)
    if not isinstance(server, LocalServer) and HTTP_TOKEN[0] not in own:  # other machines reach it
        yield http_token()
    for name, secret in own.items():
        yield declared(name, secret.fields, secret.readers, secret.remind_after_days)


def _issuer(store: StoreSettings, stack: str, section: IssuerSettings | None) -> Issuer | None:
    """Who signs the client certificate of the store's secret; None leaves it to an operator."""
    if isinstance(section, PrivateCa | AwsPrivateCa):
        return issuer_of(section, stack)
    if not isinstance(store, VaultStore):
        return None
    from ..vault import issuing

    return issuing.issuer_of(store, stack)


def mqtt(stack: str, cadence_days: int) -> Secret:
    """The server's own broker credential. One secret of two fields, so that no reader sees a torn pair."""
    return Secret(
        name="mqtt",
        kind=SecretKind.MQTT_USER,
        fields=("username", "password"),
        readers=SERVER_AND_ROTATOR,
        cadence_days=cadence_days,
        users=_users("coreflux-mcp", stack),
    )


def broker_admin(stack: str, cadence_days: int) -> Secret:
    """The rotator's credential at the broker. The server never reads it."""
    return Secret(
        name="broker-admin",
        kind=SecretKind.BROKER_ADMIN,
        fields=("username", "password"),
        readers=(Reader.ROTATOR,),
        cadence_days=cadence_days,
        users=_users("coreflux-admin", stack),
    )


def agent_key(stack: str, cadence_days: int, section: AgentSettings | None) -> Secret:
    """The API key of the Coreflux Copilot, or of another agent of DigitalOcean's."""
    return Secret(
        name="agent-key",
        kind=SecretKind.AGENT_KEY,
        fields=("api-key",),
        readers=SERVER_AND_ROTATOR,
        cadence_days=cadence_days,
        agent=_agent(stack, section),
    )


def _agent(stack: str, section: AgentSettings | None) -> Agent:
    if isinstance(section, OwnedAgent):
        prefix = physical_name("coreflux-mcp", stack, limit=LONGEST_NAME)
        return manifest.OwnedAgent(url=section.url, id=section.id, prefix=prefix)
    return ExternalAgent(url=section.url) if section and section.url else ExternalAgent()


def agent_admin() -> Secret:
    """The token of DigitalOcean's API that the rotator makes agent keys with. Supplied; the server never reads it."""
    name, field = AGENT_ADMIN
    reminder = DeclaredSecret.model_fields["remind_after_days"].default
    return declared(name, (field,), (Reader.ROTATOR,), reminder)


def client_cert(
    readers: tuple[Reader, ...] = SERVER_AND_ROTATOR, *, issuer: Issuer | None = None, authority: bool = True
) -> Secret:
    """The TLS client certificate, with the CA that signs the broker's. Due by its expiry, or by its cadence
    where that is unknown.

    `authority`: whether the stack says who that CA is. One that is issued has none beside it otherwise, and its readers
    trust the system's.
    """
    return Secret(
        name=CLIENT_CERT,
        kind=SecretKind.X509,
        fields=tuple(field for field in CERTIFICATE_FILES if field != "ca.crt" or authority or not issuer),
        readers=readers,
        cadence_days=365,
        issuer=issuer,
    )


def client_ca(section: PrivateCa) -> Secret:
    """The stack's own CA of client certificates. The rotator signs by it; the server never reads it."""
    return Secret(
        name=CLIENT_CA,
        kind=SecretKind.CA,
        fields=("ca.crt", "ca.key"),
        readers=(Reader.ROTATOR,),
        cadence_days=section.ca_days,
    )


def issuer_of(section: PrivateCa | AwsPrivateCa, stack: str) -> PrivateCaIssuer | AwsPrivateCaIssuer:
    """Who signs, and for whom: the one client of the stack."""
    name, seconds = physical_name("coreflux-mcp", stack, limit=LONGEST_NAME), section.days * _DAY
    if isinstance(section, AwsPrivateCa):
        return AwsPrivateCaIssuer(arn=section.arn, common_name=name, seconds=seconds)
    return PrivateCaIssuer(secret=CLIENT_CA, common_name=name, seconds=seconds, ca_seconds=section.ca_days * _DAY)


def http_token() -> Secret:
    """What an MCP client shows to a server that other machines reach. Supplied, with a declared secret's reminder."""
    name, field = HTTP_TOKEN
    return declared(name, (field,), (Reader.SERVER,), DeclaredSecret.model_fields["remind_after_days"].default)


def declared(name: str, fields: tuple[str, ...], readers: tuple[Reader, ...], remind_after_days: int) -> Secret:
    """A secret of the stack's own. Its values are supplied; after `remind_after_days` a new one is asked for."""
    return Secret(name=name, kind=SecretKind.SUPPLIED, fields=fields, readers=readers, cadence_days=remind_after_days)


GUIDE = frozenset({"mqtt", "broker-admin", "agent-key", AGENT_ADMIN[0], CLIENT_CERT, CLIENT_CA})
"""Names that a stack can't declare."""

SERVER_VARIABLES = frozenset(
    {"MQTT_BROKER", "MQTT_PORT", "MQTT_USE_TLS", "MQTT_PROTOCOL", "MQTT_CA_CERT", "MQTT_CLIENT_CERT", "MQTT_CLIENT_KEY"}
    | {"MQTT_USER", "MQTT_PASSWORD", "MQTT_PASSWORD_FILE", "DO_AGENT_API_KEY", "DO_AGENT_API_KEY_FILE", "LOG_LEVEL"}
    | {"MQTT_CLIENT_ID", "LOT_VERIFIER_API_URL", "COREFLUX_SERVER_DIR", "DO_AGENT_URL"}
)
"""What the server reads (the guide, Environment-Specific Configuration; its parse_args) and what the launcher reads; a
stack's own secrets have other variables."""

_VARIABLES = {
    SecretKind.MQTT_USER: {"username": "MQTT_USER", "password": "MQTT_PASSWORD"},  # nosec B105 - names of variables
    SecretKind.AGENT_KEY: {"api-key": "DO_AGENT_API_KEY"},
    SecretKind.X509: {"ca.crt": "MQTT_CA_CERT", "client.crt": "MQTT_CLIENT_CERT", "client.key": "MQTT_CLIENT_KEY"},
}


def variables_of(secret: Secret) -> dict[str, str]:
    """field -> the variable that the server reads (the guide, Environment-Specific Configuration)."""
    return dict(_VARIABLES.get(secret.kind) or {field: variable_of(secret.name, field) for field in secret.fields})


def _users(base: str, stack: str) -> tuple[str, str]:
    name = physical_name(base, stack, limit=BROKER_USER_LIMIT - 2)
    return f"{name}-a", f"{name}-b"
