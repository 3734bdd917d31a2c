"""Specifications of a stack's secrets: names, fields, readers and cadence, but no values."""

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
# Maximum number of characters of the client's name. The name of the client's CA has 12 more, and a common name may have
# at most 64 (RFC 5280).
LONGEST_NAME = 50
# Default age, in days, at which an operator is reminded to supply a new value.
REMIND_DAYS = 90
SERVER_AND_ROTATOR = (Reader.SERVER, Reader.ROTATOR)


def guide_secrets(stack: str) -> tuple[Secret, ...]:
    """Return the secrets of the Secret Management Guide with its cadences, and the bearer token."""
    return broker_admin(stack, 90), mqtt(stack, 90), agent_key(180, ExternalAgent()), http_token()


def for_server(secrets: Iterable[Secret]) -> tuple[Secret, ...]:
    return tuple(secret for secret in secrets if Reader.SERVER in secret.readers)


def mqtt(stack: str, cadence_days: int) -> Secret:
    """Return the specification of the server's broker credential. User and password are one secret, so that readers get
    a matching pair."""
    return Secret(
        name="mqtt",
        kind=SecretKind.MQTT_USER,
        fields=("username", "password"),
        readers=SERVER_AND_ROTATOR,
        cadence_days=cadence_days,
        users=_users("coreflux-mcp", stack),
    )


def broker_admin(stack: str, cadence_days: int) -> Secret:
    """Return the specification of the rotator's broker credential. The server never reads it."""
    return Secret(
        name="broker-admin",
        kind=SecretKind.BROKER_ADMIN,
        fields=("username", "password"),
        readers=(Reader.ROTATOR,),
        cadence_days=cadence_days,
        users=_users("coreflux-admin", stack),
    )


def agent_key(cadence_days: int, agent: Agent) -> Secret:
    return Secret(
        name="agent-key",
        kind=SecretKind.AGENT_KEY,
        fields=("api-key",),
        readers=SERVER_AND_ROTATOR,
        cadence_days=cadence_days,
        agent=agent,
    )


def agent_admin() -> Secret:
    """Return the specification of the operator's DigitalOcean API token, with which the rotator creates agent keys."""
    name, field = AGENT_ADMIN
    return declared(name, (field,), (Reader.ROTATOR,), REMIND_DAYS)


def client_cert(
    readers: tuple[Reader, ...] = SERVER_AND_ROTATOR, *, issuer: Issuer | None = None, authority: bool = True
) -> Secret:
    """Return the specification of the TLS client certificate, with its key and the broker's CA. It is due when it
    expires, or by its cadence if the expiry is unknown.

    `authority` is True if the stack configures the broker's CA. Otherwise a certificate from `issuer` has no field
    `ca.crt`, and readers use the system's CAs.
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
    """Return the specification of the CA with which the rotator signs client certificates. The server never reads
    it."""
    return Secret(
        name=CLIENT_CA,
        kind=SecretKind.CA,
        fields=("ca.crt", "ca.key"),
        readers=(Reader.ROTATOR,),
        cadence_days=days,
    )


def client_name(stack: str) -> str:
    return physical_name("coreflux-mcp", stack, limit=LONGEST_NAME)


def http_token() -> Secret:
    """Return the specification of the operator's bearer token for MCP clients on other machines."""
    name, field = HTTP_TOKEN
    return declared(name, (field,), (Reader.SERVER,), REMIND_DAYS)


def declared(name: str, fields: tuple[str, ...], readers: tuple[Reader, ...], remind_after_days: int) -> Secret:
    """Return the specification of a secret that an operator supplies. It is due after `remind_after_days`."""
    return Secret(name=name, kind=SecretKind.SUPPLIED, fields=fields, readers=readers, cadence_days=remind_after_days)


# Names of the guide's secrets, which a stack can't declare.
GUIDE = frozenset({"mqtt", "broker-admin", "agent-key", AGENT_ADMIN[0], CLIENT_CERT, CLIENT_CA})

# Environment variables that server and launcher read. The server's are in the Secret Management Guide (Environment-
# Specific Configuration) and in its function parse_args.
SERVER_VARIABLES = frozenset(
    {"MQTT_BROKER", "MQTT_PORT", "MQTT_USE_TLS", "MQTT_PROTOCOL", "MQTT_CA_CERT", "MQTT_CLIENT_CERT", "MQTT_CLIENT_KEY"}
    | {"MQTT_USER", "MQTT_PASSWORD", "MQTT_PASSWORD_FILE", "DO_AGENT_API_KEY", "DO_AGENT_API_KEY_FILE", "LOG_LEVEL"}
    | {"MQTT_CLIENT_ID", "LOT_VERIFIER_API_URL", "COREFLUX_SERVER_DIR", "DO_AGENT_URL"}
)

_VARIABLES = {
    SecretKind.MQTT_USER: {"username": "MQTT_USER", "password": "MQTT_PASSWORD"},  # nosec B105 - names of variables
    SecretKind.AGENT_KEY: {"api-key": "DO_AGENT_API_KEY"},
    SecretKind.X509: {"ca.crt": "MQTT_CA_CERT", "client.crt": "MQTT_CLIENT_CERT", "client.key": "MQTT_CLIENT_KEY"},
}


def variables_of(secret: Secret) -> dict[str, str]:
    """Map each field of a secret to the server's environment variable, as the Secret Management Guide names it, or else
    `variable_of`."""
    return dict(_VARIABLES.get(secret.kind) or {field: variable_of(secret.name, field) for field in secret.fields})


def _users(base: str, stack: str) -> tuple[str, str]:
    name = physical_name(base, stack, limit=BROKER_USER_LIMIT - 2)
    return f"{name}-a", f"{name}-b"
