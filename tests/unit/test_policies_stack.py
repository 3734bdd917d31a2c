"""The rules about a stack as a whole: secret values, and resources of other stacks."""

import base64
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from policies.evidence import Verdict, judge_by
from policies.plan import Environment, Finding, Plan
from secretops.values import new_password
from tests.unit.policy_breaks import NO_VALUE, key_file, secret
from tests.unit.policy_plans import OWN, broken, named, own, plan, planned, results, text_of, verdicts

TENANT = ", create_namespace: false, run_as: platform"
CONFIG = "kubernetes:core/v1:ConfigMap"
PROTECTED, IN_TIME = "stack-is-protected-in-production", "stack-rotates-in-time"
ADMINS, APART = "stack-server-reads-no-admin-secret", "stack-is-isolated"


def test_nearly_each_password_that_secretops_makes_is_noticed_under_any_name() -> None:
    made = {f"line-{number}": new_password() for number in range(300)}
    assert len(list(named(NO_VALUE).findings(broken(own("dev"), "", ("motd",), made)))) > 290


def test_possible_value_is_reported_by_its_place_only() -> None:
    value = new_password() + new_password()  # one in thirty alone has the form of words
    (finding,) = named(NO_VALUE).findings(broken(own("staging"), CONFIG, ("data", "motd"), value))
    assert "data.motd" in finding.message
    assert value not in repr(finding)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("MQTT_PASSWORD_FILE", "/run/secrets/mqtt_password"),
        ("MQTT_PASSWORD", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/mqtt-AbCdEf"),
        ("password", "mqtt-password"),
        ("token", "coreflux-mcp/prod/http-token"),
        ("automountServiceAccountToken", False),
        ("principal-secret", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
        ("sha256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ],
)
def test_a_reference_is_no_value(key: str, text: object) -> None:
    assert verdicts(broken(own("dev"), "", (key,), text))[NO_VALUE] == "kept"


MIXED, WORDED = "".join(("gT7", "!kq", "#9Zx2", "@mL")), "".join(("Secret", "Sauce", "99"))


@pytest.mark.parametrize(("key", "text"), [("backup", MIXED), ("password", WORDED)])
def test_a_password_is_a_value_under_any_name_and_with_any_word_in_it(key: str, text: str) -> None:
    assert verdicts(broken(own("dev"), "", (key,), text))[NO_VALUE] == "broken"


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:iam::123456789012:role/CorefluxSecretsOperatorsEuCentral1Prod",
        "arn:aws:iam::123456789012:role/PlatformStackOperatorRole8C0E5FA1B2Zx9QkLmN",
        "arn:aws:sns:eu-central-1:123456789012:coreflux-mcp-prod-AlertsTopic2Zx9QkLmN0aB1cD2eF3",
        "https://oidc.example.com/id/ABCDEF0123456789abcdef0123456789",
        "registry.example.com/mcp/server:0.1.0-build.20261126AbCdEfGhIjKlMnOpQrStUvWx",
        "/subscriptions/s/resourceGroups/g/providers/P/userAssignedIdentities/CorefluxSecretsOperatorsEuCentral1Prod",
    ],
)
def test_a_random_name_within_a_locator_is_no_value_and_a_value_after_it_is(text: str) -> None:
    assert verdicts(broken(own("dev"), "", ("place",), text))[NO_VALUE] == "kept"
    assert verdicts(broken(own("dev"), "", ("place",), f"{text} {new_password()}"))[NO_VALUE] == "broken"


@pytest.mark.parametrize("encoded", [False, True])
def test_a_certificate_is_public_and_its_key_is_not(encoded: bool) -> None:
    body = base64.b64encode(re.sub(r"\W", "", new_password()).encode() * 3).decode()
    certificate = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    for text, verdict in ((certificate, "kept"), (certificate + key_file(), "broken")):
        encoded_text = base64.b64encode(text.encode()).decode() if encoded else text
        assert verdicts(broken(own("dev"), "", ("ca",), encoded_text))[NO_VALUE] == verdict


@pytest.mark.parametrize("stack", ["staging", "prod-vault-kubernetes"])
def test_a_tenant_whose_platform_assigns_users_keeps_every_rule(stack: str) -> None:
    found = verdicts(planned(text_of(stack).replace("mcp:0.1.0'", f"mcp:0.1.0'{TENANT}"), stack))
    assert set(found.values()) == {"kept"}, found


@pytest.mark.parametrize("name", ["production", "eu-prod", "Prod_EU", "prod.eu", "s" * 49, "s" * 90])
def test_a_stack_is_apart_whatever_it_is_called(name: str) -> None:
    assert verdicts(planned(text_of("prod-swarm"), name))[APART] == "kept"


@pytest.mark.parametrize(
    ("stack", "at", "path", "to"),
    [
        ("prod", "secret-mqtt", ("name",), "coreflux-mcp/prod-eu/x"),
        ("prod-vault-kubernetes", "", ("secretops", "store", "mount"), "coreflux-mcp-prod"),
        ("staging", "", ("secretops", "store", "instance"), "coreflux-mcp-prod"),
    ],
)
def test_a_name_that_begins_like_the_stacks_is_anothers(stack: str, at: str, path: tuple[str, ...], to: str) -> None:
    assert verdicts(broken(own(stack), at, path, to))[APART] == "broken"


def test_a_rule_that_fails_is_broken_by_its_name_and_the_others_are_judged() -> None:
    def look(plan: Plan) -> Iterator[Finding]:
        raise KeyError(plan.outputs["secret"])

    plan = broken(own("dev"), "", ("secret",), new_password())
    judged = judge_by(replace(named(NO_VALUE), name="stack-of-a-test", across=look), plan)
    assert judged.verdict is Verdict.BROKEN
    assert "stack-of-a-test" in judged.findings[0].message
    assert plan.outputs["secret"] not in repr(judged)


def test_only_production_has_to_be_protected() -> None:
    assert results("prod-aws-kubernetes")[PROTECTED] == "kept"
    for stack in ("dev-aws-local", "dev-vault-local", "staging"):
        assert PROTECTED not in results(stack), stack
        assert own(stack).environment is not Environment.PRODUCTION


def test_private_ca_outlasts_its_certificates_and_only_the_rotator_reads() -> None:
    text = text_of("staging").replace("ca_file: /etc/ssl/certs/ca.crt", "client_certificate: true")
    plan = planned(f"{text}\n  issuer: {{kind: private-ca}}", "staging")
    assert [one["cadence_days"] for one in plan.manifest["secrets"] if one["kind"] == "ca"] == [1825]
    assert (verdicts(plan)[IN_TIME], verdicts(plan)[ADMINS]) == ("kept", "kept")
    shared = secret("client-ca", readers=["server", "rotator"], cadence_days=3651)
    after = verdicts(broken(plan, "", ("secretops", "secrets"), shared))
    assert (after[IN_TIME], after[ADMINS]) == ("broken", "broken")


def test_a_finding_names_the_key_of_the_stack_file() -> None:
    text = text_of("prod-swarm").replace("image:", "encrypted: false, image:")
    (finding,) = named("swarm-network-is-encrypted").findings(planned(text, "prod-swarm"))
    assert "server.encrypted" in finding.message


@pytest.mark.parametrize("kind", sorted(kind for check in named(PROTECTED).checks for kind in check.types))
def test_each_type_that_has_to_be_protected_is_one_that_some_stack_makes(kind: str) -> None:
    assert any(list(plan(stack).of_type(kind)) for stack in OWN)
