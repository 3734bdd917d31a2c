"""Rules on alarms in AWS: which events they watch, whether they can go off, and which topics they notify."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from policies import aws
from policies.controls import controls
from policies.matchers import at, between, contains, is_set, judge, listed, matches, one_of, related, require, with_name
from policies.plan import UNKNOWN, Finding, Plan, Resource, Unknown
from policies.rule import Each, Expect, Rule

EVENT_RULE, TARGET = "aws:cloudwatch/eventRule:EventRule", "aws:cloudwatch/eventTarget:EventTarget"


def _alarms(plan: Plan, wanted: Mapping[tuple[str, ...], Any]) -> list[Resource] | Unknown:
    """Return enabled alarms with the `wanted` properties that notify a topic. Return UNKNOWN if there are none, but
    unknown properties may match."""
    found: list[Resource] = []
    may_be = False
    for alarm in plan.of_type(aws.ALARM):
        entries = [(at(alarm.properties, *path), value) for path, value in wanted.items()]
        if any(entry is not UNKNOWN and entry != value for entry, value in entries):
            continue
        actions, is_on = (at(alarm.properties, what) for what in ("alarmActions", "actionsEnabled"))
        if UNKNOWN in (actions, is_on, *(entry for entry, _ in entries)):
            may_be = True
        elif listed(actions) and is_on in (None, True):
            found.append(alarm)
    return UNKNOWN if may_be and not found else found


def _alarms_on_event(plan: Plan, *words: str) -> list[Resource] | Unknown:
    found: list[Resource] = []
    may_be = False
    for one in plan.of_type(aws.FILTER):
        pattern = at(one.properties, "pattern")
        metric, namespace = (at(one.properties, "metricTransformation", what) for what in ("name", "namespace"))
        if UNKNOWN in (pattern, metric, namespace):
            may_be = True
        elif isinstance(pattern, str) and all(word in pattern for word in words):
            alarms = _alarms(plan, {("metricName",): metric, ("namespace",): namespace})
            may_be |= alarms is UNKNOWN
            found += listed(alarms)
    return UNKNOWN if may_be and not found else found


def _silent_queues(plan: Plan) -> Iterator[Finding]:
    for one in plan.of_type(aws.FUNCTION, aws.SCHEDULE):
        arn = at(one.properties, *(("target",) if one.type == aws.SCHEDULE else ()), "deadLetterConfig")
        queue = at(arn, "arn" if one.type == aws.SCHEDULE else "targetArn")
        if isinstance(queue, str):
            alarms = _alarms(plan, {("namespace",): "AWS/SQS", ("dimensions", "QueueName"): queue.rpartition(":")[2]})
            yield from require(
                one, alarms, "alarm on its dead-letter queue", "nobody notices failures; add an alarm on the queue"
            )


READ = '"GetSecretValue"'
WATCHED_READS = {
    "undeclared reads": (READ, "userIdentity.arn !="),
    "denied reads": (READ, '"AccessDenied'),
}
# What an alarm watches -> names of CloudTrail events that change it.
TAMPERING: Mapping[str, tuple[str, ...]] = {
    "a secret": ("DeleteSecret", "PutResourcePolicy", "DeleteResourcePolicy", "CancelRotateSecret"),
    "a KMS key": ("DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy", "CreateGrant"),
    "a role": ("UpdateAssumeRolePolicy", "PutRolePolicy", "AttachRolePolicy"),
    "a function": ("UpdateFunctionCode", "UpdateFunctionConfiguration"),
    "the trail": ("StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"),
    "the trail's log": ("DeleteLogGroup", "DeleteMetricFilter", "PutRetentionPolicy"),
    "an alarm": ("DeleteAlarms", "DisableAlarmActions", "DisableRule", "RemoveTargets"),
    "the topic": ("DeleteTopic", "Unsubscribe"),
}


def _silent_reads(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(aws.STORE):
        for what, words in WATCHED_READS.items():
            found = _alarms_on_event(plan, *words)
            yield from require(
                store, found, f"alarm on {what}", "add a metric filter on the trail's log, and an alarm on its metric"
            )


def _silent_tampering(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(aws.STORE):
        for what, events in TAMPERING.items():
            alarms = {event: _alarms_on_event(plan, f'"{event}') for event in events}
            if silent := [event for event, found in alarms.items() if found == []]:
                wrong = f"no alarm rings when {' or '.join(silent)} changes {what}"
                yield Finding(store.urn, f"{wrong}; add a metric filter on the trail's log, and an alarm on its metric")
            elif UNKNOWN in alarms.values():
                yield Finding(store.urn, f"an alarm on {what} is known after pulumi up", unknown=True)


# Parameter of a request in CloudTrail -> type of the resource that it names.
REQUESTS = {
    **{"secretId": aws.SECRET, "roleName": aws.ROLE, "role": aws.ROLE},
    **{"functionName": aws.FUNCTION, "alarmName": aws.ALARM},
}


def _deaf_filters(plan: Plan) -> Iterator[Finding]:
    """Yield a finding for each metric filter on a log other than the trail's, or with a pattern that misses names of
    the stack's resources."""
    log = at(plan.manifest, "store", "log_group") or UNKNOWN
    for one in plan.of_type(aws.FILTER):
        group, pattern = at(one.properties, "logGroupName"), at(one.properties, "pattern")
        yield from judge(
            one,
            (group, log),
            lambda pair: pair[0] == pair[1],
            "logGroupName",
            "is not the trail's log group; set the trail's log group",
        )
        if pattern is UNKNOWN:
            yield Finding(one.urn, "pattern is known after pulumi up", unknown=True)
        for field, kind in REQUESTS.items():
            globs = re.findall(rf'\$\.requestParameters\.{field} = "([^"]*)"', str(pattern))
            names = [at(named.properties, "name") for named in plan.of_type(kind) if globs]
            wrong = f"does not match all of the stack's names; match {', '.join(map(str, names))}"
            yield from judge(one, names, partial(_match_all, globs), f"pattern by {field}", wrong)


def _match_all(globs: list[str], names: list[Any]) -> bool:
    return all(any(fnmatchcase(str(name), glob) for glob in globs) for name in names)


# Operators and thresholds with which a single event, or the absence of all events, sets off an alarm.
SENSITIVE = (
    *(("GreaterThanOrEqualToThreshold", 1), ("GreaterThanThreshold", 0)),
    *(("LessThanThreshold", 1), ("LessThanOrEqualToThreshold", 0)),
)
# Limits of an alarm's period in seconds: the shortest at standard resolution, and two hours, so that one tick may fail.
PERIOD = (60, 7200)
LATE = "is not from {} to {} seconds: the alarm rings late; set 300".format(*PERIOD)


def _sensitive(alarm: Resource) -> Iterator[Finding]:
    operator, threshold = (at(alarm.properties, what) for what in ("comparisonOperator", "threshold"))
    wrong = (
        "does not set off the alarm at the first event, or when no event occurs; set GreaterThanOrEqualToThreshold 1, "
        "or LessThanThreshold 1"
    )
    yield from judge(alarm, (operator, threshold), lambda pair: pair in SENSITIVE, "threshold", wrong)
    if contains(operator, "LessThan"):
        missing, wrong = (
            at(alarm.properties, "treatMissingData"),
            "is not breaching: no alarm rings if nothing runs; set breaching",
        )
        yield from judge(alarm, missing, one_of("breaching"), "treatMissingData", wrong)


METRICS = {"Overdue": "a rotation is overdue", "Failed": "a tick failed", "Finished": "no tick finishes"}


def _silent_rotations(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(aws.STORE):
        rules = related(plan, EVENT_RULE, "eventPattern", ok=lambda pattern: contains(pattern, '"RotationFailed"'))
        yield from require(
            store, rules, "rule on failed rotations", "nobody notices a failed rotation; add an EventBridge rule"
        )
        for rule in listed(rules):
            yield from _unreported(plan, rule)
        for metric, what in METRICS.items():
            alarms = _alarms(plan, {("metricName",): metric, ("dimensions", "Stack"): plan.stack})
            yield from require(store, alarms, f"alarm on {metric}", f"nobody notices that {what}; add an alarm")


def _unreported(plan: Plan, rule: Resource) -> Iterator[Finding]:
    targets = with_name(plan, TARGET, "rule", name=at(rule.properties, "name"))
    yield from require(rule, targets, "target", "nobody is notified; add the alert topic as target")
    if any(plan.of_type(aws.TOPIC)):  # the owner of an existing topic sets its policy
        for target in listed(targets):
            lets = with_name(plan, aws.TOPIC_POLICY, "arn", name=at(target.properties, "arn"))
            yield from require(
                target,
                lets,
                "topic that accepts its events",
                "nobody is notified; allow events.amazonaws.com to publish",
            )


RECEIVERS = (
    "The rule does not check who receives alerts: the stack file or an operator subscribes addresses to the topic."
)
QUEUE_ARN, NO_QUEUE = matches(r"arn:.*:sqs:.*"), "is not an SQS queue: failed calls are lost; set a dead-letter queue"

RULES = (
    Rule(
        name="aws-alarms-ring-at-once",
        sentence="Every alarm notifies a topic within two hours: at the first event, or if an expected one is missing.",
        controls=controls("CC7.2 10.7.2 164.312(b)", "failures and anomalies are reported in time"),
        limitation="The rule does not check whether an alarm's metric counts AWS' real events: tests use events as "
        "AWS documents them.",
        checks=(
            Expect(aws.ALARM, "alarmActions", is_set, "is empty: nobody is notified; add the alert topic"),
            Expect(
                aws.ALARM, "actionsEnabled", one_of(None, True), "is false: nobody is notified; remove this property"
            ),
            Each(aws.ALARM, _sensitive),
            Expect(
                aws.ALARM, "evaluationPeriods", one_of(1), "is not 1: a single event would not set off the alarm; set 1"
            ),
            Expect(aws.ALARM, "period", between(*PERIOD), LATE),
            Expect(
                aws.ALARM,
                "statistic",
                one_of("Sum", "Maximum"),
                "is not Sum or Maximum: an event may be hidden; set Sum",
            ),
        ),
    ),
    Rule(
        name="aws-filters-match-this-stack",
        sentence="Every metric filter is on the trail's log group, and misses no resource of the stack.",
        controls=controls("CC7.2 10.4.1.1 164.312(b)", "a filter reviews every record of the stack"),
        later="the id of a KMS key, which the filter of key changes matches, is known only after AWS creates the key",
        limitation="The rule does not check whether a filter also matches the stack's keys and topic, and the trail's "
        "bucket and log.",
        across=_deaf_filters,
        types=(aws.FILTER,),
    ),
    Rule(
        name="aws-function-failures-alerted",
        sentence="Every Lambda function and every schedule has a dead-letter queue with an alarm.",
        controls=controls("CC7.2 10.7.2 164.312(b) 32(1)(d)", "a failed call is reported, and not lost"),
        limitation=RECEIVERS,
        checks=(
            Expect(aws.FUNCTION, "deadLetterConfig.targetArn", QUEUE_ARN, NO_QUEUE),
            Expect(aws.SCHEDULE, "target.deadLetterConfig.arn", QUEUE_ARN, NO_QUEUE),
        ),
        across=_silent_queues,
    ),
    Rule(
        name="aws-reads-alerted",
        sentence="Undeclared reads and denied reads each set off an alarm.",
        controls=controls("CC7.2 10.2.1.4 10.4.1.1 164.312(b) 32(1)(d)", "undeclared and denied reads are found"),
        limitation=f"{RECEIVERS} It does not check whether a filter matches AWS' real records: tests use records as "
        "AWS documents them.",
        across=_silent_reads,
        types=(aws.STORE,),
    ),
    Rule(
        name="aws-rotation-failures-alerted",
        sentence="Failed rotations, overdue rotations, and two hours without a tick each set off an alarm.",
        controls=controls("CC7.2 8.6.3 10.7.2 164.312(b) 32(1)(d)", "an overdue password is reported"),
        limitation=RECEIVERS,
        checks=(Expect(EVENT_RULE, "state", one_of(None, "ENABLED"), "is not ENABLED; set ENABLED"),),
        across=_silent_rotations,
        types=(aws.STORE,),
    ),
    Rule(
        name="aws-tampering-alerted",
        sentence="A change or deletion of a secret, key, role, function, alarm or the trail sets off an alarm.",
        controls=controls(
            "CC7.1 CC7.2 10.2.1.6 10.3.4 10.7.2 164.312(b) 164.312(c)(1)", "a change that weakens the stack is reported"
        ),
        later="the id of a KMS key, which the filter of key changes matches, is known only after AWS creates the key",
        limitation=f"{RECEIVERS} It does not check whether a filter matches AWS' real records: tests use records as "
        "AWS documents them.",
        across=_silent_tampering,
        types=(aws.STORE,),
    ),
)
