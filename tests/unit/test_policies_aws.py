"""Each rule for AWS is kept by what is shipped, broken by one property, and says so where it can't know yet."""

from __future__ import annotations

import json
from dataclasses import replace
from time import process_time
from typing import Any

import pytest

from policies.catalogue import rules
from policies.rule import UNKNOWN, Environment, Plan
from tests.unit import aws_stack
from tests.unit.aws_breaks import OF_ROLES, OF_SECRETS, PRIVATE_KEY, everything, prod, wider
from tests.unit.aws_rotation_breaks import OF_ROTATION
from tests.unit.aws_trail_breaks import BUCKET, CONTAINERS, OF_SERVER, OF_TRAIL, TASK, TRAIL, only_selector
from tests.unit.policy_plans import STACK_FILES, Break, Change, added, changed, holds, named, plan_of, shipped, verdicts

STACKS = tuple(stack for stack in STACK_FILES if stack == "prod" or "aws" in stack)

NOT_EVERYWHERE = {
    "aws-deletion-waits": ("prod", "prod-aws-kubernetes", "prod-aws-swarm"),
    "aws-trail-kept-a-year": ("prod", "prod-aws-kubernetes", "prod-aws-swarm"),
    "aws-tasks-closed": ("prod",),
    "aws-tasks-hold-no-value": ("prod",),
    "aws-tasks-have-no-shell": ("prod",),
    "aws-network-not-public": ("prod",),
    "aws-balancer-speaks-tls": (),
    "aws-functions-share-network": (),
}
"""Rule -> the shipped stacks that have what it is about. All others are about every stack of AWS."""


TRUST = ("assumeRolePolicy", "Statement", 0)
WAY_OUT, INSIDE = {"type": "egress", "cidrBlocks": ["0.0.0.0/0"]}, {"cidrBlocks": ["10.0.0.0/8"]}

BREAKS = (*OF_SECRETS, *OF_ROLES, *OF_ROTATION, *OF_TRAIL, *OF_SERVER)


def exactly(there: Any) -> Any:
    """A condition that knows no pattern."""
    return {{"ArnLike": "ArnEquals"}.get(operator, operator): names for operator, names in there.items()}


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: one.rule)
def test_one_broken_property_breaks_its_rule_and_no_other(one: Break) -> None:
    holds(one)


def test_every_rule_for_aws_is_broken_by_a_row() -> None:
    assert {one.rule for one in BREAKS} == {rule.name for rule in rules() if rule.name.startswith("aws-")}


@pytest.mark.parametrize("stack", STACKS)
def test_a_shipped_stack_keeps_every_rule_that_has_something_to_judge_in_it(stack: str) -> None:
    expected = {
        rule.name: "kept"
        for rule in rules()
        if rule.name.startswith("aws-") and stack in NOT_EVERYWHERE.get(rule.name, STACKS)
    }
    assert {name: said for name, said in verdicts(shipped(stack)).items() if name.startswith("aws-")} == expected


def test_a_stack_with_every_option_keeps_every_rule() -> None:
    said = {name: one for name, one in verdicts(everything()).items() if name.startswith("aws-")}
    assert set(said) == {rule.name for rule in rules() if rule.name.startswith("aws-")}
    assert set(said.values()) == {"kept"}


@pytest.mark.parametrize("stack", STACKS)
def test_a_first_preview_breaks_no_rule_and_what_it_can_not_judge_is_not_kept(stack: str) -> None:
    said = {name: one for name, one in verdicts(shipped(stack, preview=True)).items() if name.startswith("aws-")}
    assert "broken" not in said.values()
    assert said["aws-least-privilege"] == said["aws-secrets-deny-others"] == "unknown"
    assert said["aws-keys-rotate"] == said["aws-roles-taken-by-named"] == "kept"


@pytest.mark.parametrize("stack", [stack for stack in STACK_FILES if stack not in STACKS])
def test_a_stack_without_aws_is_not_judged_by_its_rules(stack: str) -> None:
    assert not [name for name in verdicts(shipped(stack)) if name.startswith("aws-")]


def test_a_trail_that_somebody_else_keeps_is_not_judged_and_its_alarms_are() -> None:
    theirs = "{arn: 'arn:aws:cloudtrail:eu-central-1:123456789012:trail/all', log_group: /org/trail}"
    said = verdicts(plan_of(aws_stack.on_aws(f", existing_trail: {theirs}"), "prod"))
    assert not {"aws-trail-intact", "aws-trail-kept-a-year", "aws-trail-records-reads"} & set(said)
    assert said["aws-reads-are-told"] == said["aws-tampering-is-told"] == said["aws-logs-kept"] == "kept"


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("aws-deletion-waits", changed("key", "deletionWindowInDays", to=7)),
        ("aws-trail-kept-a-year", changed("trail-log", "retentionInDays", to=90)),
        ("aws-trail-intact", changed(BUCKET, "forceDestroy", to=True)),
        ("aws-logs-kept", changed("trail-log", "retentionInDays", to=30)),
    ],
)
def test_what_only_production_needs_is_asked_of_production_alone(rule: str, change: Change) -> None:
    plan = change(plan_of(aws_stack.for_this_machine(), "dev", Environment.STAGING))
    assert verdicts(plan).get(rule, "not applicable") != "broken"
    assert verdicts(change(plan_of(aws_stack.for_this_machine(), "dev", Environment.PRODUCTION)))[rule] == "broken"


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("aws-deletion-waits", changed("key", "deletionWindowInDays", to=None)),
        ("aws-deletion-waits", changed("secret-mqtt", "recoveryWindowInDays", to=None)),
        ("aws-trail-records-reads", changed(TRAIL, "advancedEventSelectors", to=None)),
        ("aws-trail-records-reads", only_selector({"includeManagementEvents": True, "readWriteType": "All"})),
        ("aws-trail-kept-a-year", changed("trail-bucket-locked", "rule", to={"defaultRetention": {"years": 1}})),
        ("aws-trail-kept-a-year", changed("trail-bucket-lifecycle", "rules", 0, "expiration", to=None)),
        ("aws-tick-hourly", changed("schedule", "scheduleExpression", to="rate(30 minutes)")),
        ("aws-network-not-public", added("aws:ec2/securityGroupRule:SecurityGroupRule", WAY_OUT)),
        ("aws-network-not-public", added("aws:ec2/securityGroup:SecurityGroup", {"ingress": [INSIDE]})),
        ("aws-roles-taken-by-named", changed("schedule-role", *TRUST, "Condition", to=exactly)),
        ("aws-keys-open-named-secrets", changed("tick-grants", "policy", "Statement", 3, "Effect", to="Deny")),
    ],
)
def test_what_is_as_good_is_kept(rule: str, change: Change) -> None:
    assert verdicts(change(prod()))[rule] == "kept"


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("aws-rotation-failures-told", added("aws:cloudwatch/eventTarget:EventTarget", {"rule": UNKNOWN})),
        ("aws-reads-are-told", added("aws:cloudwatch/logMetricFilter:LogMetricFilter", {"pattern": UNKNOWN})),
        ("aws-rotation-failures-told", added("aws:cloudwatch/metricAlarm:MetricAlarm", {"metricName": UNKNOWN})),
    ],
)
def test_one_that_is_there_is_enough_while_another_is_not_known_yet(rule: str, change: Change) -> None:
    assert verdicts(change(prod()))[rule] == "kept"


def test_ten_times_the_secrets_take_about_ten_times_as_long() -> None:
    rule = named("aws-secrets-deny-others")

    def seconds(plan: Plan) -> float:
        took: list[float] = []
        for _ in range(3):
            began = process_time()
            assert not list(rule.look(plan))
            took.append(process_time() - began)
        return min(took)

    assert seconds(_with_secrets(1000)) < 30 * seconds(_with_secrets(100))


def _with_secrets(count: int) -> Plan:
    """A plan with so many secrets more, each with a policy of its own."""
    plan = prod()
    more = [
        replace(one, properties=json.loads(json.dumps(dict(one.properties)).replace("prod/mqtt", f"prod/mqtt{at}")))
        for one in plan.resources
        if one.name in ("secret-mqtt", "policy-mqtt")
        for at in range(count)
    ]
    return replace(plan, resources=(*plan.resources, *more))


def test_what_has_to_rotate_is_not_known_without_the_manifest() -> None:
    assert verdicts(changed("", "secretops", to=None)(prod()))["aws-rotation-scheduled"] == "unknown"


def test_a_wildcard_is_taken_where_aws_knows_nothing_narrower_and_nowhere_else() -> None:
    said = verdicts(everything())
    assert said["aws-least-privilege"] == "kept"
    with_more = changed("tick-grants", "policy", "Statement", 2, "Action", to=wider("ec2:TerminateInstances"))
    at_large = [one for one in json.loads(_policy("tick-grants"))["Statement"] if one["Resource"] == "*"]
    assert at_large, "Lambda's network interfaces are asked for everywhere"
    assert verdicts(with_more(everything()))["aws-least-privilege"] == "broken"


def test_no_finding_tells_what_a_policy_or_a_variable_says() -> None:
    text = f"{PRIVATE_KEY}of somebody"
    plan = changed(TASK, CONTAINERS, 0, "environment", 0, "value", to=text)(prod())
    told = [one.message for one in named("aws-tasks-hold-no-value").look(plan)]
    assert told
    assert not [one for one in told if "somebody" in one]


def _policy(name: str) -> str:
    (found,) = (one for one in everything().resources if one.name == name)
    return str(found.properties["policy"])
