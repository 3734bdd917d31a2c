"""No policy of a resource lets in everybody or another account, and none of a secret may ever be changed to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from policies.aws.documents import Statement, judge_document
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

GUARD = "aws:secretsmanager/secretPolicy:SecretPolicy"
POLICIES = (
    *(GUARD, "aws:kms/key:Key", "aws:s3/bucketPolicy:BucketPolicy"),
    *("aws:sns/topicPolicy:TopicPolicy", "aws:sqs/queuePolicy:QueuePolicy"),
)

BINDS = ("aws:sourcearn", "aws:sourceaccount", "kms:encryptioncontext:")
"""What conditions begin with that say for whom a service acts; a key's context names the one resource."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(*POLICIES))


def _of(account: Any, who: str) -> bool:
    """Whether it is the account, or somebody of it."""
    return who == account or bool(re.match(rf"arn:aws[a-z-]*:iam::{re.escape(str(account))}:", who))


def _wrong(account: Any, found: Sequence[Statement]) -> Iterator[str]:
    for statement in (one for one in found if one.allows):
        who = statement.principals
        if statement.is_for_everybody or not who:
            yield "its policy allows everybody something; name a service or an account as the principal"
        elif account and not all(_of(account, one) for kind in who if kind != "Service" for one in who[kind]):
            yield "its policy lets in who is not of the stack's account; name principals of it"
        elif "Service" in who and not statement.is_bound_by(*BINDS):
            yield "its policy lets a service in on anybody's behalf; bind it by aws:SourceArn or aws:SourceAccount"


def _look(plan: Plan) -> Iterator[Finding]:
    account = at(plan.manifest, "store", "account") or None
    for policy in plan.of_type(*POLICIES):
        yield from judge_document(policy, "policy", partial(_wrong, account))
        if account is None:
            yield Finding(policy.urn, "whose account it is in is known after pulumi up", unknown=True)
    for policy in plan.of_type(GUARD):
        wrong = "is off: AWS would take a policy that lets in everybody; set block_public_policy"
        yield from judge(policy, at(policy.properties, "blockPublicPolicy"), lambda on: on is True, "its guard", wrong)


RULE = Rule(
    name="aws-policies-not-public",
    sentence="No policy of a secret, key, bucket, topic or queue lets in others than its account, or a service for others.",
    controls=(
        Control(Framework.SOC_2, "CC6.6", "nobody from outside is let in"),
        Control(Framework.PCI_DSS, "1.4.4", "what is stored can't be reached from untrusted networks by itself"),
        Control(Framework.PCI_DSS, "7.3.3", "all that is not named is denied"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only those who have been granted access have it"),
    ),
    limitation="Which principals of the stack's account a policy names, beside a secret's: others' policies decide.",
    applies=_applies,
    across=_look,
)
