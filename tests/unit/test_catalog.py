"""The catalog of secrets: those of the Secret Management Guide, those that a stack declares, and their readers."""

import re
from datetime import UTC, datetime

from components.core.secrets import SERVER_VARIABLES, for_server, variables_of
from components.settings.section import PROJECT_FOLDER
from components.settings.settings import Settings
from secretops.certificates import new_ca
from secretops.manifest import PrivateCaIssuer, Reader, Secret, SecretKind
from tests.unit.stack_file import StackFile

FULL = """
config:
  store: {kind: dotenv}
  server: {kind: local}
  broker: {kind: coreflux, host: mqtt.example.com, client_certificate: true}
  rotation: {mqtt_days: 30, broker_admin_days: 45, agent_key_days: 60}
  secrets:
    db: {fields: [url, password], readers: [server, rotator], remind_after_days: 10}
    license: {fields: [key], readers: [rotator]}
"""


def full() -> tuple[Secret, ...]:
    return StackFile.read(FULL).parse("plant-7").secrets


def named(name: str) -> Secret:
    return next(secret for secret in full() if secret.name == name)


def test_the_server_never_reads_the_admins_credential() -> None:
    assert [secret.name for secret in for_server(full())] == ["mqtt", "agent-key", "client-cert", "db"]
    assert named("broker-admin").readers == (Reader.ROTATOR,)


def test_a_declared_secret_is_supplied_by_an_operator_for_the_readers_it_names() -> None:
    assert named("db") == Secret(
        name="db",
        kind=SecretKind.SUPPLIED,
        fields=("url", "password"),
        readers=(Reader.SERVER, Reader.ROTATOR),
        cadence_days=10,
    )
    assert [secret.name for secret in full() if Reader.ROTATOR in secret.readers][-1] == "license"


ON_KUBERNETES = """
config:
  store: {kind: kubernetes}
  server: {kind: kubernetes, image: "registry.example.com/mcp:1"%s}
  broker: {kind: coreflux, host: mqtt.example.com, client_certificate: true}
  secrets: %s
"""


def test_reachable_server_has_a_bearer_token_by_default() -> None:
    found = StackFile.read(ON_KUBERNETES % ("", "{}")).parse("staging").secrets
    (token,) = [secret for secret in found if secret.name == "http-token"]
    assert (token.kind, token.fields, token.readers) == (SecretKind.SUPPLIED, ("token",), (Reader.SERVER,))
    assert token.cadence_days == 90


def test_a_certificate_that_cert_manager_keeps_is_none_of_secretops_secrets() -> None:
    issuer = ", certificate_issuer: {kind: Issuer, name: ca}"
    assert "client-cert" in [secret.name for secret in StackFile.read(ON_KUBERNETES % ("", "{}")).parse("s").secrets]
    issued = StackFile.read(ON_KUBERNETES % (issuer, "{}")).parse("s").secrets
    assert "client-cert" not in [secret.name for secret in issued]


def test_a_ca_of_the_stacks_own_is_made_by_secretops_and_read_by_the_rotator_alone() -> None:
    text = f"{FULL}  issuer: {{kind: private-ca, days: 10, ca_days: 100}}\n"
    found = {secret.name: secret for secret in StackFile.read(text).parse("plant-7").secrets}
    authority, certificate = found["client-ca"], found["client-cert"]
    assert (authority.kind, authority.readers, authority.is_made) == (SecretKind.CA, (Reader.ROTATOR,), True)
    assert certificate.issuer == PrivateCaIssuer(
        secret="client-ca", common_name="coreflux-mcp-plant-7", seconds=10 * 86400, ca_seconds=100 * 86400
    )
    assert certificate.readers == (Reader.SERVER, Reader.ROTATOR)
    assert "ca.crt" not in certificate.fields, "nobody says who signs the broker's: the system's are trusted"


def test_no_clients_name_is_too_long_for_its_ca_to_have_one() -> None:
    text = f"{FULL}  issuer: {{kind: private-ca}}\n"
    found = StackFile.read(text).parse(f"plant-{'x' * 80}").secrets
    (issuer,) = [secret.issuer for secret in found if secret.issuer]
    certificate, _, _ = new_ca(issuer.common_name, seconds=60, now=datetime(2026, 3, 1, tzinfo=UTC))
    assert issuer.common_name.startswith("coreflux-mcp-plant-xxx") and "BEGIN CERTIFICATE" in certificate


def test_the_servers_variables_are_those_that_the_components_write() -> None:
    """The variables are read from the components' source. A declared secret can't have the name of such a variable."""
    source = (PROJECT_FOLDER / "components" / "core" / "broker.py").read_text()
    guide_secrets = [named(name) for name in ("mqtt", "agent-key", "client-cert")]
    written = set(re.findall(r'"((?:MQTT|DO|LOG)_[A-Z_]+)"', source))
    written |= {variable for secret in guide_secrets for variable in variables_of(secret).values()}
    assert written <= SERVER_VARIABLES
    not_of_the_stack = {"MQTT_CLIENT_ID", "LOT_VERIFIER_API_URL", "COREFLUX_SERVER_DIR"}
    known = {name for name in SERVER_VARIABLES if not name.endswith("_FILE")}
    assert known == written | not_of_the_stack


def test_a_long_stack_name_leaves_two_different_users_within_the_brokers_limit() -> None:
    settings: list[Settings] = [StackFile.read(FULL).parse(f"plant-{'x' * 80}-{end}") for end in ("east", "west")]
    users = [user for each in settings for secret in each.secrets for user in secret.users]
    assert len(set(users)) == len(users) == 8
    assert max(len(user) for user in users) <= 64
