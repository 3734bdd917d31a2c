"""Rules on access records in AWS: CloudTrail's trail, its bucket, and logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from policies import aws
from policies.aws.documents import Judge, every, needs
from policies.controls import controls
from policies.matchers import (
    at,
    between,
    is_present,
    is_set,
    is_true,
    judge,
    listed,
    not_set,
    one_of,
    related,
    require,
    with_name,
)
from policies.plan import UNKNOWN, Finding, Plan, Resource, Unknown, type_of
from policies.rule import ALL, PRODUCTION, Expect, Rule, protected

BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
OWNERSHIP = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
LOCK = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"
VERSIONS = "aws:s3/bucketVersioning:BucketVersioning"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
OWNER, MODES = "BucketOwnerEnforced", ("GOVERNANCE", "COMPLIANCE")
BY_DEFAULT = "applyServerSideEncryptionByDefault"
BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
# Retention in days: what PCI DSS 10.5.1 requires, what it requires to be immediately available, CloudWatch's maximum.
YEAR, AT_HAND, LONGEST = 365, 90, 3653


def _needs_trail(plan: Plan) -> bool:
    """Return whether the stack must create a trail. False if the output `trail` has the ARN of an existing trail."""
    records = at(plan.outputs, "trail", "records")
    return any(plan.of_type(aws.STORE)) and not (isinstance(records, str) and records.startswith("arn:"))


def _of_own_trail(judge_plan: Judge) -> Judge:
    return lambda plan: judge_plan(plan) if _needs_trail(plan) else iter(())


def _applies(plan: Plan) -> bool:
    return _needs_trail(plan) or any(plan.of_type(aws.TRAIL))


def _log_of(plan: Plan, trail: Resource) -> list[Resource] | Unknown:
    arn = at(trail.properties, "cloudWatchLogsGroupArn")
    named = related(plan, aws.LOG, "name", ok=lambda name: f":log-group:{name}:" in str(arn))
    return UNKNOWN if arn is UNKNOWN else named


def _all_management(selectors: Any) -> bool:
    """Accept no selectors, which is AWS' default, or a selector for all management events. Both include reads of
    secrets."""
    fields = [at(one, "fieldSelectors") for one in listed(selectors)]
    return not selectors or [{"field": "eventCategory", "equals": ["Management"]}] in fields


def _a_year(days: Any) -> bool:
    return isinstance(days, int) and days >= YEAR


def _locked_a_year(retention: Any) -> bool:
    return _a_year(at(retention, "days")) or _a_year((at(retention, "years") or 0) * YEAR)


def _expires_late(rule: Any) -> bool:
    days = at(rule, "expiration", "days")
    return at(rule, "status") == "Disabled" or days is None or _a_year(days)


def _log_is(what: str, ok: Callable[[Any], bool], wrong: str) -> Judge:
    def judge_logs(plan: Plan) -> Iterator[Finding]:
        for trail in plan.of_type(aws.TRAIL):
            found = _log_of(plan, trail)
            yield from require(
                trail,
                found,
                "log group in this stack",
                f"the log's {what} is unknown; create the log group in this stack",
            )
            for log in listed(found):
                yield from judge(log, at(log.properties, what), ok, what, wrong)

    return judge_logs


def _log_of_functions(plan: Plan) -> Iterator[Finding]:
    for function in plan.of_type(aws.FUNCTION):
        name, log = at(function.properties, "name"), at(function.properties, "loggingConfig", "logGroup")
        if log is None:
            log = name if name is UNKNOWN else f"/aws/lambda/{name}"
        found = with_name(plan, aws.LOG, "name", name=log)
        yield from require(
            function,
            found,
            "log group in this stack",
            "Lambda would create a log group that never expires; add a LogGroup",
        )


NO_KEY = "is not set; set the stack's KMS key for records"
SHORT = f"is below {YEAR} days; set store.retention_days: {YEAR} or more"
NO_RETENTION = "is not from {} to {} days; set retention_in_days, or for the trail store.retention_days"
SELECTORS = "may leave reads unrecorded; select all management events, or remove the selectors"
PUBLIC, REMOVABLE = (
    "the bucket could be made public; add a BucketPublicAccessBlock",
    "a record could be removed; add object lock",
)

# Of the log groups, only the trail's must be protected.
HOLDS = (
    protected(aws.BUCKET, aws.TRAIL),
    protected(aws.LOG, only=lambda log: type_of(log.parent) == "coreflux-mcp-secrets:aws:AccessTrail"),
)

RULES = (
    Rule(
        name="aws-buckets-closed",
        sentence="Every bucket blocks public access by all four settings of S3, and its account owns each object.",
        controls=controls("CC6.6 10.3.1 164.312(a)(1)", "only principals with a grant read the records"),
        limitation="Principals of the account may read the bucket if their own policies allow it.",
        checks=(
            *(
                Expect(BLOCK, what, is_true, "is not true: the bucket could be made public; set true")
                for what in BLOCKS
            ),
            Expect(
                aws.BUCKET,
                "acl",
                one_of(None, "private"),
                "is not private: others could read records; remove this property",
            ),
            Expect(OWNERSHIP, "rule.objectOwnership", one_of(OWNER), f"lets others own an object; set {OWNER}"),
        ),
        across=every(
            needs(BLOCK, "block of public access", PUBLIC, of=aws.BUCKET, by="bucket"),
            needs(
                OWNERSHIP,
                "object ownership",
                "others could own an object; add BucketOwnershipControls",
                of=aws.BUCKET,
                by="bucket",
            ),
        ),
        types=(aws.BUCKET,),
    ),
    Rule(
        name="aws-logs-retained",
        sentence="Every log group, including each function's, has a retention period; in production 90 days or more.",
        controls=controls("CC7.3 10.5.1 164.312(b)", "events of the last months can be evaluated"),
        limitation="The rule does not check whether the trail is retained for a year: aws-trail-retained-a-year "
        "judges that.",
        checks=(
            Expect(aws.LOG, "retentionInDays", between(1, LONGEST), NO_RETENTION.format(1, LONGEST), ALL - PRODUCTION),
            Expect(
                aws.LOG, "retentionInDays", between(AT_HAND, LONGEST), NO_RETENTION.format(AT_HAND, LONGEST), PRODUCTION
            ),
        ),
        across=_log_of_functions,
    ),
    Rule(
        name="aws-records-encrypted",
        sentence="The trail, its bucket and its log are encrypted by the stack's own KMS key.",
        controls=controls("CC6.1 10.3.1 164.312(a)(2)(iv) 32(1)(a)", "only users of the key read the records"),
        limitation="The rule does not check the logs of functions and tasks, which have no record of a read: "
        "store.log_kms_key encrypts them.",
        checks=(
            Expect(aws.TRAIL, "kmsKeyId", is_present, NO_KEY),
            Expect(ENCRYPTION, "rules", is_present, NO_KEY),
            Expect(ENCRYPTION, f"rules[].{BY_DEFAULT}.sseAlgorithm", one_of("aws:kms"), "is not aws:kms; set aws:kms"),
            Expect(ENCRYPTION, f"rules[].{BY_DEFAULT}.kmsMasterKeyId", is_present, NO_KEY),
        ),
        across=every(
            _log_is("kmsKeyId", is_present, NO_KEY),
            needs(
                ENCRYPTION,
                "encryption",
                "add encryption with the stack's KMS key for records",
                of=aws.BUCKET,
                by="bucket",
            ),
        ),
    ),
    Rule(
        name="aws-trail-intact",
        sentence="Records of the trail are locked and validated, so that nobody alters or removes one unnoticed.",
        controls=controls("CC7.3 10.3.2 10.3.3 10.3.4 164.312(b)", "nobody alters a record unnoticed"),
        limitation="The rule does not check who may end a lock of mode GOVERNANCE (s3:BypassGovernanceRetention). "
        "Nobody can end one of mode COMPLIANCE.",
        checks=(
            Expect(
                aws.TRAIL,
                "enableLogFileValidation",
                is_true,
                "is not true: a change of a record goes unnoticed; set true",
            ),
            Expect(aws.BUCKET, "objectLockEnabled", is_true, "is not true: a record could be removed; set true"),
            Expect(
                aws.BUCKET,
                "forceDestroy",
                not_set,
                "is on: pulumi destroy deletes records; remove this property",
                PRODUCTION,
            ),
            Expect(LOCK, "rule.defaultRetention.mode", one_of(*MODES), f"locks no record; set {' or '.join(MODES)}"),
            Expect(
                VERSIONS,
                "versioningConfiguration.status",
                one_of("Enabled"),
                "is not Enabled: records could be replaced; set Enabled",
            ),
        ),
        across=every(
            _of_own_trail(needs(aws.BUCKET, "bucket of records", "add a bucket")),
            needs(LOCK, "object lock", REMOVABLE, of=aws.BUCKET, by="bucket"),
            needs(VERSIONS, "versioning", "a record could be replaced; add versioning", of=aws.BUCKET, by="bucket"),
        ),
        applies=_applies,
    ),
    Rule(
        name="aws-trail-records-reads",
        sentence="The stack's trail covers every region, records reads, and sends records to a log group with alarms.",
        controls=controls(
            "CC7.2 10.2.1 10.2.1.2 10.2.1.5 10.2.2 164.312(b) 32(1)(d)", "reads and changes of secrets are recorded"
        ),
        limitation="CloudTrail does not record which version was read, or what a server does with a value.",
        checks=(
            Expect(
                aws.TRAIL, "enableLogging", one_of(None, True), "is false: nothing is recorded; remove this property"
            ),
            Expect(aws.TRAIL, "isMultiRegionTrail", is_true, "is not true: other regions are not recorded; set true"),
            Expect(
                aws.TRAIL,
                "includeGlobalServiceEvents",
                one_of(None, True),
                "is false: IAM is not recorded; remove this property",
            ),
            Expect(aws.TRAIL, "advancedEventSelectors", _all_management, SELECTORS),
            Expect(aws.TRAIL, "eventSelectors", not_set, "may leave reads unrecorded; remove this property"),
            Expect(aws.TRAIL, "cloudWatchLogsGroupArn", is_set, "is not set: no alarm notices a read; set a log group"),
        ),
        across=_of_own_trail(
            needs(aws.TRAIL, "trail", "no read is recorded; add a trail, or set store.existing_trail")
        ),
        applies=_applies,
    ),
    Rule(
        name="aws-trail-retained-a-year",
        sentence="In production, the trail's bucket and log group retain records for at least 365 days.",
        controls=controls("CC7.3 10.5.1 164.312(b)", "events of the last year can be evaluated"),
        limitation="The rule does not check whether records are retained for six years, as HIPAA requires of "
        "documentation (164.316).",
        checks=(
            Expect(LOCK, "rule.defaultRetention", _locked_a_year, SHORT),
            Expect(LIFECYCLE, "rules[]", _expires_late, f"expiration {SHORT}"),
        ),
        across=_log_is("retentionInDays", _a_year, SHORT),
        types=(aws.TRAIL,),
        environments=PRODUCTION,
    ),
)
