"""A bucket is the account's alone: nothing that anybody sets can make it public."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge, require, with_name
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

BUCKET = "aws:s3/bucket:Bucket"
BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
OWNED = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(BUCKET))


def _look(plan: Plan) -> Iterator[Finding]:
    for bucket in plan.of_type(BUCKET):
        for kind, what in ((BLOCK, "block of public access"), (OWNED, "owner of its objects")):
            found = with_name(plan, kind, "bucket", name=at(bucket.properties, "bucket"))
            yield from require(bucket, found, what, "it could be made public; add it")
    for block in plan.of_type(BLOCK):
        for what in BLOCKS:
            wrong = "is off: the bucket could be made public; set it"
            yield from judge(block, at(block.properties, what), lambda on: on is True, what, wrong)
    for owned in plan.of_type(OWNED):
        owner = at(owned.properties, "rule", "objectOwnership")
        wrong = "may be another account; set BucketOwnerEnforced"
        yield from judge(owned, owner, lambda who: who == "BucketOwnerEnforced", "the owner of an object", wrong)


RULE = Rule(
    name="aws-buckets-closed",
    sentence="All four blocks of public access are on for every bucket, and its account owns each object.",
    controls=(
        Control(Framework.SOC_2, "CC6.6", "nobody from outside is let in"),
        Control(Framework.PCI_DSS, "1.4.4", "what is stored can't be reached from untrusted networks by itself"),
        Control(Framework.PCI_DSS, "10.3.1", "records are read by who has to"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only those who have been granted access have it"),
    ),
    limitation="Who of the account reads the bucket by a policy of his own.",
    applies=_applies,
    across=_look,
)
