"""The trail, its bucket and its log are encrypted by a key of the stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.aws.logs import TRAIL, log_of
from policies.matchers import at, judge, listed, require, with_name
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

BUCKET = "aws:s3/bucket:Bucket"
ENCRYPTED = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(TRAIL))


def _look(plan: Plan) -> Iterator[Finding]:
    wrong = "is none of the stack's own; set it to the key of records"
    for trail in plan.of_type(TRAIL):
        yield from judge(trail, at(trail.properties, "kmsKeyId"), bool, "its key", wrong)
        logs = log_of(plan, trail)
        yield from require(trail, logs, "log group in this stack", "nobody says how it is encrypted; make it here")
        for log in listed(logs):
            yield from judge(log, at(log.properties, "kmsKeyId"), bool, "its key", wrong)
    for bucket in plan.of_type(BUCKET):
        found = with_name(plan, ENCRYPTED, "bucket", name=at(bucket.properties, "bucket"))
        yield from require(bucket, found, "encryption", "add one, by the key of records")
    for encryption in plan.of_type(ENCRYPTED):
        rules = at(encryption.properties, "rules")
        yield from judge(encryption, rules, _by_key, "its rule", "is not by a KMS key; set aws:kms and the key")


def _by_key(rules: Any) -> bool:
    how = [at(rule, "applyServerSideEncryptionByDefault") for rule in listed(rules)]
    return bool(how) and all(at(one, "sseAlgorithm") == "aws:kms" and at(one, "kmsMasterKeyId") for one in how)


RULE = Rule(
    name="aws-records-encrypted",
    sentence="The trail, its bucket and its log are encrypted by a KMS key of the stack's own.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "records are encrypted where they are stored"),
        Control(Framework.PCI_DSS, "10.3.1", "records are read by who may use their key"),
        Control(Framework.HIPAA, "164.312(a)(2)(iv)", "a mechanism encrypts and decrypts what is stored"),
        Control(Framework.GDPR, "32(1)(a)", "encryption"),
    ),
    limitation="The logs of functions and tasks, which hold no record of a read: AWS encrypts them by a key of its own.",
    applies=_applies,
    across=_look,
)
