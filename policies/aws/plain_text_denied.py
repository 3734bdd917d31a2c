"""Whoever calls what the stack guards by a policy has to use TLS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from policies.aws.documents import Statement, judge_document
from policies.matchers import at, require, with_name
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

BUCKET, OF_BUCKET = "aws:s3/bucket:Bucket", "aws:s3/bucketPolicy:BucketPolicy"
DENIED = (
    ("aws:secretsmanager/secretPolicy:SecretPolicy", "secretsmanager:*"),
    (OF_BUCKET, "s3:*"),
    ("aws:sns/topicPolicy:TopicPolicy", "sns:publish"),
    ("aws:sqs/queuePolicy:QueuePolicy", "sqs:*"),
)
"""A type, and what is denied in plain text. Of a topic it is the one action with a content."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(*(kind for kind, _ in DENIED)))


def _denies(statement: Statement, action: str) -> bool:
    return (
        not (statement.allows or statement.negated)
        and action in statement.actions
        and statement.is_for_everybody
        and statement.conditions == {"Bool": {"aws:securetransport": ("false",)}}
        and (action != "s3:*" or any(one.endswith("/*") for one in statement.resources))
    )


def _wrong(action: str, found: Sequence[Statement]) -> Iterator[str]:
    if not any(_denies(one, action) for one in found):
        yield f"its policy takes calls in plain text; deny {action} to everybody where aws:SecureTransport is false"


def _look(plan: Plan) -> Iterator[Finding]:
    for kind, action in DENIED:
        for policy in plan.of_type(kind):
            yield from judge_document(policy, "policy", partial(_wrong, action))
    for bucket in plan.of_type(BUCKET):
        found = with_name(plan, OF_BUCKET, "bucket", name=at(bucket.properties, "bucket"))
        yield from require(bucket, found, "policy", "it takes calls in plain text; add one that denies them")


RULE = Rule(
    name="aws-plain-text-denied",
    sentence="Secrets, the trail's bucket, the alerts' topic and the queue of new versions take no call in plain text.",
    controls=(
        Control(Framework.SOC_2, "CC6.7", "what is transmitted is protected"),
        Control(Framework.PCI_DSS, "4.2.1", "strong cryptography in transmission"),
        Control(Framework.PCI_DSS, "8.3.2", "authentication factors are encrypted in transmission"),
        Control(Framework.HIPAA, "164.312(e)(1)", "no access to what is transmitted"),
        Control(Framework.HIPAA, "164.312(e)(2)(i)", "what is transmitted is not altered unseen"),
        Control(Framework.GDPR, "32(1)(a)", "encryption"),
    ),
    limitation="Which version of TLS a caller uses: AWS takes 1.2 and later.",
    applies=_applies,
    across=_look,
)
