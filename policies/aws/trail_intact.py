"""A record of the trail can't be changed or removed, and a change would show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.aws.logs import STORE, TRAIL, keeps_trail
from policies.matchers import at, judge, require, with_name
from policies.plan import Environment, Finding, Plan, Resource
from policies.rule import Control, Framework, Rule

BUCKET = "aws:s3/bucket:Bucket"
LOCK = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"
VERSIONS = "aws:s3/bucketVersioning:BucketVersioning"


def _applies(plan: Plan) -> bool:
    return keeps_trail(plan) or any(plan.of_type(TRAIL))


def _on(entry: Any) -> bool:
    return entry is True


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE) if keeps_trail(plan) else ():
        wrong = "records are nowhere that they can't be changed; add it"
        yield from require(store, list(plan.of_type(BUCKET)), "bucket of its trail", wrong)
    for trail in plan.of_type(TRAIL):
        wrong = "is off: nobody could prove that a record was changed; set enable_log_file_validation"
        yield from judge(trail, at(trail.properties, "enableLogFileValidation"), _on, "its validation", wrong)
    for bucket in plan.of_type(BUCKET):
        yield from _of_bucket(plan, bucket)
    for lock in plan.of_type(LOCK):
        mode = at(lock.properties, "rule", "defaultRetention", "mode")
        wrong = "is none of GOVERNANCE and COMPLIANCE: records are not locked; set one"
        yield from judge(lock, mode, lambda mode: mode in ("GOVERNANCE", "COMPLIANCE"), "its mode", wrong)
    for versions in plan.of_type(VERSIONS):
        status = at(versions.properties, "versioningConfiguration", "status")
        wrong = "is off: a record can be overwritten; enable it"
        yield from judge(versions, status, lambda status: status == "Enabled", "versioning", wrong)


def _of_bucket(plan: Plan, bucket: Resource) -> Iterator[Finding]:
    told = bucket.properties
    yield from judge(bucket, at(told, "objectLockEnabled"), _on, "its object lock", "is off; enable it")
    if plan.environment is Environment.PRODUCTION:
        wrong = "removes its records with it: in production they stay; leave it off"
        yield from judge(bucket, at(told, "forceDestroy"), lambda force: not force, "force_destroy", wrong)
    for kind, what in ((LOCK, "lock"), (VERSIONS, "versioning")):
        found = with_name(plan, kind, "bucket", name=at(told, "bucket"))
        yield from require(bucket, found, what, "a record can be removed; add it")


RULE = Rule(
    name="aws-trail-intact",
    sentence="Records of the trail are locked and validated: none is changed or removed before its time.",
    controls=(
        Control(Framework.SOC_2, "CC7.3", "what happened can be evaluated afterwards"),
        Control(Framework.PCI_DSS, "10.3.2", "records are protected from modification"),
        Control(Framework.PCI_DSS, "10.3.3", "records go at once where they are difficult to alter"),
        Control(Framework.PCI_DSS, "10.3.4", "a change of a record shows"),
        Control(Framework.HIPAA, "164.312(c)(1)", "no improper alteration or destruction"),
        Control(Framework.HIPAA, "164.312(c)(2)", "a mechanism shows that nothing was altered"),
    ),
    limitation="That nobody with s3:BypassGovernanceRetention ends a lock of mode GOVERNANCE: COMPLIANCE prevents that.",
    applies=_applies,
    across=_look,
)
