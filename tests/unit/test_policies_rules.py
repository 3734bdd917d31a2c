"""For each rule, a valid plan keeps it, its break breaks only this rule, and an unknown value does not count as
"kept"."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from policies.plan import UNKNOWN, Environment
from policies.rule import rules
from policies.vault.access import rights
from tests.unit import policy_plans
from tests.unit.policy_breaks import BREAKS, KEY_VAULT, OFFICER, SECRETS_USER, granted
from tests.unit.policy_plans import OPTIONS, OWN, Break, added, changed, holds, own, plan, results, verdicts, without


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: one.rule)
def test_one_broken_property_breaks_its_rule_and_no_other(one: Break) -> None:
    holds(one)


def test_every_rule_has_a_row() -> None:
    assert {one.rule for one in BREAKS} == {rule.name for rule in rules()}


# Plan -> the platforms whose rules apply, besides those for all stacks.
PLATFORMS: Mapping[str, set[str]] = {
    "dev": {"dotenv"}, "dev-aws-local": {"aws", "dotenv"}, "dev-vault-local": {"dotenv", "vault"},
    "staging": {"kubernetes"}, "staging-certified": {"kubernetes"}, "staging-on-files": {"dotenv"},
    "prod": {"aws"}, "prod-aws-kubernetes": {"aws", "kubernetes"}, "prod-azure": {"azure"},
    "prod-azure-kubernetes": {"azure", "kubernetes"}, "prod-swarm": {"swarm"},
    "prod-swarm-published": {"swarm"}, "prod-vault-kubernetes": {"vault", "kubernetes"}, "aws+": {"aws"},
    "azure+": {"azure"}, "azure-closed": {"azure"}, "vault+": {"vault", "kubernetes"},
    "vault-unrecorded": {"vault", "kubernetes"}, "swarm+": {"swarm"},
}  # fmt: skip


@pytest.mark.parametrize("name", [*OWN, *OPTIONS])
def test_a_plan_keeps_every_rule_of_its_platforms_and_no_other_rule_applies(name: str) -> None:
    assert set(results(name).values()) == {"kept"}, results(name)
    assert {rule.partition("-")[0] for rule in results(name)} == {"stack", *PLATFORMS[name]}


@pytest.mark.parametrize("stack", ["prod", "prod-azure", "staging"])
def test_a_first_preview_breaks_no_rule_and_has_the_same_rules(stack: str) -> None:
    found = verdicts(own(stack, preview=True))
    assert "broken" not in found.values()
    assert set(found) == set(results(stack)), "what applies does not hang on what is known"


@pytest.mark.parametrize("stack", policy_plans.STACK_FILES)
def test_a_first_preview_of_a_shipped_stack_judges_all_that_the_program_determines(stack: str) -> None:
    found = verdicts(policy_plans.shipped(stack, preview=True))
    later = {rule: verdict for rule, verdict in found.items() if verdict != "kept"}
    assert set(later.values()) <= {"unknown"}
    assert later.keys() <= {rule.name for rule in rules() if rule.later}
    assert len(later) <= 3


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("azure-reads-alerted", without("alert-denied-read")),
        ("azure-roles-scoped", granted("server-reads-mqtt", OFFICER, KEY_VAULT)),
        ("azure-roles-scoped", granted("server-reads-mqtt", SECRETS_USER, f"{KEY_VAULT}/secrets/broker-admin")),
        ("azure-roles-scoped", changed("rotator-keeps-secrets", "principalId", to="another")),
    ],
)
def test_azure_fault_breaks_a_first_preview(rule: str, change: Any) -> None:
    assert verdicts(change(own("prod-azure", preview=True)))[rule] == "broken"


@pytest.mark.parametrize(
    ("rule", "name", "change"),
    [
        ("aws-deletion-waits", "prod", changed("key", "deletionWindowInDays", to=7)),
        ("aws-trail-retained-a-year", "prod", changed("trail-log", "retentionInDays", to=90)),
        ("aws-trail-intact", "prod", changed("trail-bucket", "forceDestroy", to=True)),
        ("azure-vault-recovers", "prod-azure", changed("vault", "properties", "softDeleteRetentionInDays", to=7)),
        ("azure-trail-retained", "prod-azure", changed("workspace", "retentionInDays", to=90)),
        ("vault-production-is-recorded", "vault-unrecorded", changed("", "trail", "policy", to="")),
    ],
)
def test_production_rules_apply_to_production_only(rule: str, name: str, change: Any) -> None:
    before = change(plan(name))
    assert verdicts(before)[rule] == "broken"
    assert verdicts(replace(before, environment=Environment.STAGING)).get(rule) != "broken"


_TRUST = ("assumeRolePolicy", "Statement", 0, "Condition")
_CRON = ("configuration", "scheduleTriggerConfig", "cronExpression")
_OUTWARD = {"type": "egress", "cidrBlocks": ["0.0.0.0/0"]}


@pytest.mark.parametrize(
    ("rule", "name", "change"),
    [
        ("aws-tick-hourly", "prod", changed("schedule", "scheduleExpression", to="rate(30 minutes)")),
        ("aws-network-not-public", "prod", added("aws:ec2/securityGroupRule:SecurityGroupRule", _OUTWARD)),
        (
            "aws-roles-taken-by-named",
            "prod",
            changed("schedule-role", *_TRUST, to=lambda there: {"ArnEquals": there["ArnLike"], **there}),
        ),
        ("aws-rotation-failures-alerted", "prod", added("aws:cloudwatch/eventTarget:EventTarget", {"rule": UNKNOWN})),
        ("azure-tick-hourly", "prod-azure", changed("job", *_CRON, to="*/10 * * * *")),
        ("azure-storage-closed", "prod-azure", changed("lease-account", "minimumTlsVersion", to="TLS1_3")),
        ("kubernetes-ticks-are-alone", "staging", changed("rotator-cronjob", "spec", "schedule", to="@hourly")),
        ("kubernetes-tokens-are-used", "prod-aws-kubernetes", without("kubernetes:core/v1:ServiceAccount")),
        ("swarm-provider-has-no-login", "swarm+", changed("swarm", "registryAuth", to='[{"address": "r"}]')),
    ],
)
def test_equivalent_settings_keep_the_rule(rule: str, name: str, change: Any) -> None:
    assert verdicts(change(plan(name)))[rule] == "kept"


@pytest.mark.parametrize(
    ("rule", "name", "at"),
    [
        ("kubernetes-network-is-closed", "staging", "default-deny"),
        ("kubernetes-ticks-are-alone", "staging", "rotator-cronjob"),
        ("aws-secrets-deny-others", "prod", "policy-mqtt"),
        ("aws-rotation-scheduled", "prod", "rotate-broker-admin-schedule"),
        ("aws-trail-records-reads", "prod", "trail-trail"),
        ("azure-reads-recorded", "prod-azure", "vault-audit"),
        ("azure-tick-hourly", "prod-azure", "job"),
        ("dotenv-ticks-by-the-hour", "dev", "rotator"),
        ("swarm-network-is-encrypted", "swarm+", "network"),
        ("vault-versions-are-retained", "prod-vault-kubernetes", "versions"),
    ],
)
def test_a_resource_that_is_not_there_breaks_the_rule_that_needs_it(rule: str, name: str, at: str) -> None:
    assert verdicts(without(at)(plan(name)))[rule] == "broken"
    if rule.startswith("aws-"):
        assert verdicts(without(at)(own(name, preview=True)))[rule] == "broken"


def test_a_trail_that_somebody_else_keeps_is_not_judged_and_its_alarms_are() -> None:
    from tests.unit import aws_stack
    from tests.unit.policy_plans import plan_of

    theirs = "{arn: 'arn:aws:cloudtrail:eu-central-1:123456789012:trail/all', log_group: /org/trail}"
    found = verdicts(plan_of(aws_stack.on_aws(f", existing_trail: {theirs}"), "prod"))
    assert not {"aws-trail-intact", "aws-trail-retained-a-year", "aws-trail-records-reads"} & set(found)
    assert found["aws-reads-alerted"] == found["aws-tampering-alerted"] == "kept"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('# path "x" {}\npath "a/\\"b\\"" {\n  capabilities = ["read", "list"]\n}', {'a/"b"': ["read", "list"]}),
        ('path "a" { capabilities = ["sudo"] }\npath "a" { capabilities = ["read"] }', {"a": ["sudo", "read"]}),
        ('path "a" { capabilities = ["read"] allowed_parameters = {} }', None),
        ('path "a" { policy = "read" }', None),
        ('path "a" { capabilities = [read] }', None),
    ],
)
def test_a_policy_reads_as_vault_reads_it(text: str, found: Any) -> None:
    assert rights(text) == found
