"""The rules over a stack as a whole: each can fail, and says so of what is not known yet."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from policies.evidence import Verdict, judge_by
from policies.rule import CONCEALED, UNKNOWN, Environment, Finding, Plan
from policies.stack import protected
from secretops.values import new_password
from tests.unit.policy_plans import (
    STACK_FILES,
    Break,
    Change,
    added,
    broken,
    changed,
    holds,
    named,
    planned,
    row,
    shipped,
    unprotected,
    verdicts,
)

DEV, STAGING, PROD = (partial(shipped, stack) for stack in ("dev", "staging", "prod"))
AZURE, VAULT, SWARM = (partial(shipped, stack) for stack in ("prod-azure", "prod-vault-kubernetes", "prod-swarm"))
CONFIG = "kubernetes:core/v1:ConfigMap"

DECLARES_NONE = "stack-declares-no-value"
NO_VALUE, PROTECTED, IN_TIME = "stack-holds-no-value", "stack-is-protected-in-production", "stack-rotates-in-time"
SCHEDULE, TRAIL, ENCRYPTED = "stack-rotates-by-schedule", "stack-has-a-trail", "stack-is-encrypted-or-says-so"
TLS, ADMINS, APART = "stack-speaks-tls-to-the-broker", "stack-keeps-admins-from-the-server", "stack-is-apart"


def key_file() -> str:
    """What a private key looks like, and is none."""
    return f"-----BEGIN {'PRIVATE'} KEY-----\n{base64.b64encode(bytes(48)).decode()}\n-----END {'PRIVATE'} KEY-----\n"


def by_name(secret: str, **more: object) -> Callable[[object], object]:
    """The manifest's secrets with entries of one of them in place of its own."""

    def change(secrets: object) -> object:
        assert isinstance(secrets, list)
        assert secret in [one["name"] for one in secrets]
        return [one | more if one["name"] == secret else one for one in secrets]

    return change


def protects(plan: Callable[[], Plan], at: str) -> Break:
    return Break(rule=PROTECTED, plan=plan, change=unprotected(at))


def holding(plan: Callable[[], Plan], change: Change, *, unknown: Change | None = None, also: str = "") -> Break:
    return Break(rule=NO_VALUE, plan=plan, change=change, unknown=unknown, also=frozenset(also.split()))


def declaring(plan: Callable[[], Plan], of_type: str, /, **properties: object) -> Break:
    also = {"aws": "aws-account-named", "azure-native": "azure-subscription-named"}.get(of_type.partition(":")[0])
    change = added(of_type, properties)  # by the default provider
    return Break(rule=DECLARES_NONE, plan=plan, change=change, also=frozenset({also} if also else ()))


BREAKS: tuple[Break, ...] = (
    declaring(PROD, "aws:iam/accessKey:AccessKey", user="someone"),
    declaring(PROD, "aws:secretsmanager/secretVersion:SecretVersion", secretId="an-id"),
    declaring(AZURE, "azure-native:keyvault:Secret", properties={"value": "Summer-2026!"}),
    declaring(AZURE, "azure-native:keyvault/v20230701:Secret", properties=UNKNOWN),
    declaring(PROD, "random:index/randomPassword:RandomPassword", length=32),
    declaring(PROD, "tls:index/privateKey:PrivateKey", algorithm="ED25519"),
    declaring(STAGING, "kubernetes:core/v1:Secret", stringData={}),
    declaring(STAGING, "kubernetes:core/v1:SecretPatch"),
    declaring(STAGING, "kubernetes:v1:Secret", kind="Secret"),
    declaring(SWARM, "docker:index/secret:Secret", name="one"),
    declaring(VAULT, "vault:kv/secretV2:SecretV2"),
    declaring(VAULT, "vault:generic/secret:Secret"),
    declaring(VAULT, "vault:appRole/authBackendRoleSecretId:AuthBackendRoleSecretId"),
    declaring(VAULT, "vault:index/token:Token"),
    declaring(VAULT, "vault:pkiSecret/secretBackendCert:SecretBackendCert"),
    holding(DEV, changed("", "leaked", to=CONCEALED)),
    holding(DEV, changed("", "broker_password", to="hunter2"), unknown=changed("", "broker_password", to=UNKNOWN)),
    holding(STAGING, changed(CONFIG, "data", "motd", to=new_password())),
    holding(STAGING, changed(CONFIG, "data", "client.pem", to=key_file())),
    holding(STAGING, changed(CONFIG, "data", "url", to=f"mqtts://mcp:{new_password()[:8]}@mqtt.example.com")),
    holding(STAGING, changed(CONFIG, "data", "nested.json", to='{"a": [{"name": "MQTT_PASSWORD", "value": "abc"}]}')),
    holding(DEV, added("test:index/user:User", {"name": "mcp", "id": "AKIA" + "Q7" * 8})),
    holding(DEV, added("test:index/database:Database", {"masterPassword": CONCEALED})),
    holding(DEV, added("test:index/user:User", {"keepers": {"apiKey": "letmein"}})),
    protects(PROD, "secret-mqtt"),
    protects(PROD, "key"),
    protects(PROD, "trail-bucket"),
    protects(PROD, "trail-trail"),
    protects(PROD, "trail-log"),
    protects(AZURE, "vault"),
    protects(AZURE, "workspace"),
    protects(AZURE, "vault-audit"),
    protects(VAULT, "namespace"),
    protects(VAULT, "mount"),
    protects(VAULT, "audit-1"),
    row(IN_TIME, PROD, "", "secretops", "secrets", to=by_name("mqtt", cadence_days=91), unknown=False),
    row(IN_TIME, PROD, "", "secretops", "secrets", to=by_name("broker-admin", cadence_days=None), unknown=False),
    row(IN_TIME, STAGING, "", "secretops", "secrets", to=by_name("agent-key", cadence_days=184)),
    row(IN_TIME, STAGING, "", "secretops", "secrets", to=by_name("http-token", cadence_days=367), unknown=False),
    row(IN_TIME, SWARM, "", "secretops", "grace_seconds", to=604_801),
    row(SCHEDULE, PROD, "", "schedule", "every", to="day"),
    row(SCHEDULE, PROD, "", "schedule", "turn_on", to="systemctl enable a.timer"),
    row(SCHEDULE, DEV, "", "gaps", "rotation schedule", to=""),
    row(TRAIL, PROD, "", "trail", "records", to=""),
    row(TRAIL, DEV, "", "trail", "gap", to="another"),
    row(TRAIL, SWARM, "", "gaps", "trail of every read", to=""),
    row(ENCRYPTED, DEV, "", "gaps", "encryption at rest", to=""),
    row(ENCRYPTED, PROD, "", "secretops", "store", "kind", to="shared-drive"),
    row(TLS, PROD, "", "secretops", "broker", "tls", to=False),
    row(TLS, STAGING, "", "secretops", "broker", "tls", to=False),
    row(TLS, DEV, "", "secretops", "broker", "host", to="mqtt.example.com"),
    row(ADMINS, PROD, "", "secretops", "secrets", to=by_name("broker-admin", readers=["server", "rotator"])),
    row(APART, PROD, "", "secretops", "secrets", to=by_name("mqtt", users=["coreflux-mcp-a", "coreflux-mcp-b"])),
    row(APART, PROD, "secret-mqtt", "name", to="coreflux-mcp/staging/x", unknown=False, also="aws-secrets-deny-others"),
    row(APART, PROD, "", "secretops", "secrets", to=by_name("mqtt", users=["coreflux-mcp-preprod-a", "x-b"])),
    row(APART, PROD, "secret-mqtt", "name", to="coreflux-mcp/prod-eu/x", unknown=False, also="aws-secrets-deny-others"),
    row(APART, VAULT, "", "secretops", "store", "mount", to="coreflux-mcp-prod"),
    row(APART, STAGING, "", "secretops", "store", "instance", to="coreflux-mcp-prod"),
)


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: one.rule)
def test_one_thing_broken_breaks_its_rule_and_no_other(one: Break) -> None:
    holds(one)


def test_nearly_each_password_that_secretops_makes_is_noticed_under_any_name() -> None:
    made = {f"line-{number}": new_password() for number in range(300)}

    assert len(list(named(NO_VALUE).look(broken(DEV(), "", ("motd",), made)))) > 290


def test_what_may_be_a_value_is_told_by_its_place_and_never_by_itself() -> None:
    value = new_password()
    plan = broken(STAGING(), CONFIG, ("data", "motd"), value)

    (finding,) = named(NO_VALUE).look(plan)

    assert "data.motd" in finding.message
    assert value not in repr(finding)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("MQTT_PASSWORD_FILE", "/run/secrets/mqtt_password"),
        ("MQTT_PASSWORD", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/mqtt-AbCdEf"),
        ("api-key", "agent-key"),
        ("password", "mqtt-password"),
        ("token", "coreflux-mcp/prod/http-token"),
        ("certificate_secret", "client-cert"),
        ("automountServiceAccountToken", False),
        ("skipChildToken", "true"),
        ("principal-secret", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
        ("sha256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        ("a grant per secret", "one account owns the folder"),
    ],
)
def test_a_reference_is_no_value(key: str, text: object) -> None:
    assert verdicts(broken(DEV(), "", (key,), text))[NO_VALUE] == "kept"


def test_a_certificate_is_public_and_its_key_is_not() -> None:
    body = base64.b64encode(re.sub(r"\W", "", new_password()).encode() * 3).decode()
    certificate = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"

    assert verdicts(broken(DEV(), "", ("ca",), certificate))[NO_VALUE] == "kept"
    assert verdicts(broken(DEV(), "", ("ca",), certificate + key_file()))[NO_VALUE] == "broken"


def test_the_ca_of_a_cluster_in_base64_is_as_public_as_it_is_and_a_key_in_it_is_not() -> None:
    certificate = "-----BEGIN CERTIFICATE-----\nMIIBaz09AbCdEfGh0123456789IjKlMnOpQr\n-----END CERTIFICATE-----\n"

    for text, verdict in ((certificate, "kept"), (certificate + key_file(), "broken"), (key_file(), "broken")):
        bundle = base64.b64encode(text.encode()).decode()
        assert verdicts(broken(DEV(), "", ("caBundle",), bundle))[NO_VALUE] == verdict


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:iam::123456789012:role/CorefluxSecretsOperatorsEuCentral1Prod",
        "https://oidc.example.com/id/ABCDEF0123456789abcdef0123456789",
        "registry.example.com/mcp/server:0.1.0-build.20261126AbCdEfGhIjKlMnOpQrStUvWx",
        "/subscriptions/s/resourceGroups/g/providers/P/userAssignedIdentities/CorefluxSecretsOperatorsEuCentral1Prod",
    ],
)
def test_what_says_where_something_is_is_no_value_however_random_and_a_value_beside_it_is(text: str) -> None:
    assert verdicts(broken(DEV(), "", ("place",), text))[NO_VALUE] == "kept"
    assert verdicts(broken(DEV(), "", ("place",), f"{text} {new_password()}"))[NO_VALUE] == "broken"


@pytest.mark.parametrize("secret", ["db-credentials", "partner-api-key", "db-password", "token"])
def test_a_secret_of_ones_own_may_be_called_what_it_is(secret: str) -> None:
    for stack in ("staging", "prod", "prod-azure", "prod-aws-kubernetes", "prod-azure-kubernetes", "prod-swarm"):
        more = f"  coreflux-mcp-secrets:secrets: {{{secret}: {{fields: [username, value], readers: [rotator]}}}}\n"
        plan = planned(STACK_FILES[stack].read_text() + more, stack)
        assert "broken" not in verdicts(plan).values(), stack


@pytest.mark.parametrize("name", ["production", "eu-prod", "team-a", "Prod_EU", "prod.eu", "s" * 49, "s" * 90])
@pytest.mark.parametrize("stack", ["staging", "prod", "prod-azure", "prod-vault-kubernetes", "prod-swarm"])
def test_a_stack_is_apart_whatever_it_is_called(stack: str, name: str) -> None:
    text = STACK_FILES[stack].read_text().replace("namespace: coreflux-mcp", "namespace: coreflux-mcp-prod")
    assert verdicts(planned(text, name))[APART] == "kept"


def test_a_rule_that_fails_is_broken_by_its_name_and_the_others_are_judged() -> None:
    def look(plan: Plan) -> Iterator[Finding]:
        raise KeyError(plan.outputs["secret"])

    plan = broken(DEV(), "", ("secret",), new_password())

    judged = judge_by(replace(named(NO_VALUE), name="stack-of-a-test", look=look), plan)

    assert judged.verdict is Verdict.BROKEN
    assert "stack-of-a-test" in judged.findings[0].message
    assert plan.outputs["secret"] not in repr(judged)


def test_only_production_has_to_be_protected() -> None:
    assert verdicts(shipped("prod-aws-kubernetes"))[PROTECTED] == "kept"
    for stack in ("dev-aws-local", "dev-vault-local", "staging"):
        assert PROTECTED not in verdicts(shipped(stack)), stack


def test_a_stack_that_does_not_say_what_it_is_for_is_held_to_production() -> None:
    assert all(shipped(stack).environment is not Environment.PRODUCTION for stack in ("dev", "staging"))
    assert shipped("prod").environment is Environment.PRODUCTION


def test_a_ca_of_the_stacks_own_lasts_longer_than_what_it_certifies_and_is_the_rotators() -> None:
    shows = "    client_certificate: true\n  coreflux-mcp-secrets:issuer: {kind: private-ca}\n"
    plan = planned(STACK_FILES["staging"].read_text() + shows, "staging")

    assert [one["cadence_days"] for one in plan.manifest["secrets"] if one["kind"] == "ca"] == [1825]
    assert (verdicts(plan)[IN_TIME], verdicts(plan)[ADMINS]) == ("kept", "kept")
    shared = by_name("client-ca", readers=["server", "rotator"], cadence_days=3651)
    after = verdicts(broken(plan, "", ("secretops", "secrets"), shared))
    assert (after[IN_TIME], after[ADMINS]) == ("broken", "broken")


@pytest.mark.parametrize("form", [None, 7, "text", [], {}, [7], [None], [{"kind": []}], {"a": [UNKNOWN]}], ids=repr)
@pytest.mark.parametrize(
    "place", [("secretops",), ("secretops", "secrets"), ("secretops", "broker"), ("gaps",), ("trail",)]
)
def test_outputs_of_another_form_are_judged_and_break_no_rule_down(place: tuple[str, ...], form: object) -> None:
    assert verdicts(broken(DEV(), "", place, form))


@pytest.mark.parametrize("kind", sorted(protected.HOLDS | {protected.LOG, protected.DIAGNOSTICS}))
def test_each_type_that_has_to_be_protected_is_one_that_some_stack_makes(kind: str) -> None:
    assert any(list(shipped(stack).of_type(kind)) for stack in STACK_FILES)
