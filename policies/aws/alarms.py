"""Alarms as rules read them: one that is on, and tells a topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.matchers import at, listed
from policies.plan import UNKNOWN, Plan, Resource, Unknown

ALARM, FILTER = "aws:cloudwatch/metricAlarm:MetricAlarm", "aws:cloudwatch/logMetricFilter:LogMetricFilter"


def told_of_queue(plan: Plan, queue: str) -> list[Resource] | Unknown:
    """Alarms on what lies in a queue."""
    return _ringing(plan, {("namespace",): "AWS/SQS", ("dimensions", "QueueName"): queue})


def told_of_metric(plan: Plan, name: str) -> list[Resource] | Unknown:
    """Alarms on a metric."""
    return _ringing(plan, {("metricName",): name})


def told_of_event(plan: Plan, *words: str) -> list[Resource] | Unknown:
    """Alarms on the metric of a filter over the trail's log, whose pattern has all of `words` in it."""
    found: list[Resource] = []
    may_be = False
    for one in plan.of_type(FILTER):
        pattern, metric = at(one.properties, "pattern"), at(one.properties, "metricTransformation", "name")
        if pattern is UNKNOWN or metric is UNKNOWN:
            may_be = True
        elif isinstance(pattern, str) and all(word in pattern for word in words):
            alarms = told_of_metric(plan, metric)
            may_be |= alarms is UNKNOWN
            found += listed(alarms)
    return UNKNOWN if may_be and not found else found


def _ringing(plan: Plan, wanted: Mapping[tuple[str, ...], Any]) -> list[Resource] | Unknown:
    """Alarms of which all that is `wanted` is so, and that tell somebody; UNKNOWN where one may yet become that."""
    found: list[Resource] = []
    may_be = False
    for alarm in plan.of_type(ALARM):
        entries = [(at(alarm.properties, *path), value) for path, value in wanted.items()]
        if any(entry is not UNKNOWN and entry != value for entry, value in entries):
            continue
        told, is_on = (at(alarm.properties, what) for what in ("alarmActions", "actionsEnabled"))
        if UNKNOWN in (told, is_on, *(entry for entry, _ in entries)):
            may_be = True
        elif listed(told) and is_on in (None, True):
            found.append(alarm)
    return UNKNOWN if may_be and not found else found
