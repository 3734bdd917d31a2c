"""In production the trail's records are kept for a year, and can be searched as long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.aws.logs import TRAIL, log_of
from policies.matchers import at, each, judge, listed, require
from policies.plan import Environment, Finding, Plan
from policies.rule import Control, Framework, Rule

LOCK = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"
LIFE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
LEAST_DAYS = 365


def _applies(plan: Plan) -> bool:
    return plan.environment is Environment.PRODUCTION and any(plan.of_type(TRAIL))


def _long(days: Any) -> bool:
    return isinstance(days, int) and days >= LEAST_DAYS


def _locked(retention: Any) -> bool:
    return _long(at(retention, "days")) or _long((at(retention, "years") or 0) * LEAST_DAYS)


def _look(plan: Plan) -> Iterator[Finding]:
    short = f"is below {LEAST_DAYS} days: records are kept for a year; set store.retention_days"
    for lock in plan.of_type(LOCK):
        yield from judge(lock, at(lock.properties, "rule", "defaultRetention"), _locked, "its retention", short)
    for life in plan.of_type(LIFE):
        for rule in each(at(life.properties, "rules")):
            expiry = None if at(rule, "status") == "Disabled" else at(rule, "expiration", "days")
            yield from judge(life, expiry, lambda days: days is None or _long(days), "its expiry", short)
    for trail in plan.of_type(TRAIL):
        found = log_of(plan, trail)
        yield from require(trail, found, "log group in this stack", "nobody says how long it is kept; make it here")
        for log in listed(found):
            yield from judge(log, at(log.properties, "retentionInDays"), _long, "its retention", short)


RULE = Rule(
    name="aws-trail-kept-a-year",
    sentence="In production the trail's records, and the log in which they are searched, are kept for 365 days or more.",
    controls=(
        Control(Framework.SOC_2, "CC7.3", "what happened can be evaluated afterwards"),
        Control(Framework.PCI_DSS, "10.5.1", "records are kept for 12 months, three of them at hand"),
        Control(Framework.HIPAA, "164.312(b)", "activity that is recorded can be examined"),
    ),
    limitation="The six years of HIPAA's documentation (164.316): a stack that needs them sets store.retention_days.",
    applies=_applies,
    across=_look,
)
