"""The secrets that a stack has, as specifications: names, fields, readers and cadence. A value never gets here."""

from __future__ import annotations

from collections.abc import Iterable

from secretops.manifest import (
    AGENT_ADMIN,
    HTTP_TOKEN,
    Agent,
    ExternalAgent,
    Issuer,
    Reader,
    Secret,
    SecretKind,
)

from .naming import BROKER_USER_LIMIT, CERTIFICATE_FILES, physical_name, variable_of

CLIENT_CERT = "client-cert"
CLIENT_CA = "client-ca"
LONGEST_NAME = 50
"""Characters of the client's name: its CA's name is that and 12 more, and a common name has 64 at most (RFC 5280)."""
REMIND_DAYS = 90
"""After which an operator is asked for a new value of a secret that he supplies, if the stack does not say."""
SERVER_AND_ROTATOR = (Reader.SERVER, Reader.ROTATOR)


def guide_secrets(stack: str) -> tuple[Secret, ...]:
    """Return the secrets of the Secret Management Guide, with its default cadences, and the server's bearer token."""
    return broker_admin(stack, 90), mqtt(stack, 90), agent_key(180, ExternalAgent()), http_token()


def for_server(secrets: Iterable[Secret]) -> tuple[Secret, ...]:
    """Return those that the server reads."""
    return tuple(secret for secret in secrets if Reader.SERVER in secret.readers)


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


def agent_key(cadence_days: int, agent: Agent) -> Secret:
    """The API key of the Coreflux Copilot, or of another agent of DigitalOcean's."""
    return Secret(
        name="agent-key",
        kind=SecretKind.AGENT_KEY,
        fields=("api-key",),
        readers=SERVER_AND_ROTATOR,
        cadence_days=cadence_days,
        agent=agent,
    )


def agent_admin() -> Secret:
    """The token of DigitalOcean's API that the rotator makes agent keys with. Supplied; the server never reads it."""
    name, field = AGENT_ADMIN
    return declared(name, (field,), (Reader.ROTATOR,), REMIND_DAYS)


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


def client_ca(days: int) -> Secret:
    """The stack's own CA of client certificates. The rotator signs by it; the server never reads it."""
    return Secret(
        name=CLIENT_CA,
        kind=SecretKind.CA,
        fields=("ca.crt", "ca.key"),
        readers=(Reader.ROTATOR,),
        cadence_days=days,
    )


def client_name(stack: str) -> str:
    """Return the one name that client certificates of the stack are for."""
    return physical_name("coreflux-mcp", stack, limit=LONGEST_NAME)


def http_token() -> Secret:
    """What an MCP client shows to a server that other machines reach. Supplied, with a declared secret's reminder."""
    name, field = HTTP_TOKEN
    return declared(name, (field,), (Reader.SERVER,), REMIND_DAYS)


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
