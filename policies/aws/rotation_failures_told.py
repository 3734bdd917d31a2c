"""A rotation that failed or is overdue, and a tick that does not run, are told to the alerts' topic."""

from __future__ import annotations

from collections.abc import Iterator

from policies.aws.alarms import told_of_metric
from policies.matchers import at, contains, judge, listed, related, require, with_name
from policies.plan import Finding, Plan, Resource
from policies.rule import Control, Framework, Rule

STORE = "coreflux-mcp-secrets:aws:SecretStore"
EVENTS, TARGET = "aws:cloudwatch/eventRule:EventRule", "aws:cloudwatch/eventTarget:EventTarget"
TOPIC, LETS = "aws:sns/topic:Topic", "aws:sns/topicPolicy:TopicPolicy"
METRICS = {"Overdue": "a rotation is overdue", "Failed": "a tick failed", "Invocations": "the tick does not run"}


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE))


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE):
        rules = related(plan, EVENTS, "eventPattern", ok=lambda pattern: contains(pattern, '"RotationFailed"'))
        wrong = "Secrets Manager's own word of a rotation that failed is not heard; add a rule of events"
        yield from require(store, rules, "rule on rotations that failed", wrong)
        for rule in listed(rules):
            yield from _heard(plan, rule)
        for metric, what in METRICS.items():
            yield from require(store, told_of_metric(plan, metric), f"alarm on {metric}", f"add one: {what}")


def _heard(plan: Plan, rule: Resource) -> Iterator[Finding]:
    told = rule.properties
    yield from judge(
        rule, at(told, "state"), lambda state: state in (None, "ENABLED"), "its state", "is off; enable it"
    )
    targets = with_name(plan, TARGET, "rule", name=at(told, "name"))
    yield from require(rule, targets, "target", "nobody is told; give it the alerts' topic")
    if any(plan.of_type(TOPIC)):  # one that was there has its owner's policy
        for target in listed(targets):
            lets = with_name(plan, LETS, "arn", name=at(target.properties, "arn"))
            yield from require(target, lets, "topic that lets it", "nobody is told; give the topic a policy for events")


RULE = Rule(
    name="aws-rotation-failures-told",
    sentence="Somebody is told of a rotation that failed or is overdue, and of an hour without a tick.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "what fails is monitored"),
        Control(Framework.PCI_DSS, "8.6.3", "that passwords are changed in time is watched"),
        Control(Framework.PCI_DSS, "10.7.2", "failures of a control are detected and told"),
        Control(Framework.HIPAA, "164.312(b)", "activity is examined"),
        Control(Framework.GDPR, "32(1)(d)", "whether a measure works is looked at again and again"),
    ),
    limitation="That somebody hears it: who subscribes to the alerts' topic is for the stack file or the operator.",
    applies=_applies,
    across=_look,
)
