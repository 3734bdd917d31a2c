"""Check that reads of values are on record: which trails there are, what they log, and where they deliver it.

GetSecretValue is a management event that reads. A trail may leave those out, or AWS services' own, or be of another
kind of event alone: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_GetEventSelectors.html
A trail that logs may still fail to deliver: then records are missing, or alarms do not ring.
https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_GetTrailStatus.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from secretops.check import Level, Result, attention, ok
from secretops.errors import SecretopsError
from secretops.platforms.aws.checks.account import Account
from secretops.platforms.aws.trail import SOURCE

# Values of an event's field readOnly.
READS, WRITES = "true", "false"
_NAMES = {READS: "reads", WRITES: "changes"}
_KINDS = {"All": {READS, WRITES}, "ReadOnly": {READS}, "WriteOnly": {WRITES}}
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "Equals": str.__eq__,
    "StartsWith": str.startswith,
    "EndsWith": str.endswith,
}
# What GetTrailStatus calls the last failed delivery, and where to.
_DELIVERIES = {
    "LatestDeliveryError": "its bucket",
    "LatestDigestDeliveryError": "its bucket, of digest files",
    "LatestCloudWatchLogsDeliveryError": "CloudWatch Logs",
}
_RULE = (
    "one trail records every read and change of the stack's secrets, and delivers it to its bucket and to the log "
    "group that the alarms read"
)
_REMEDY = (
    "pulumi up makes one and turns it on; or name one in the stack file (existing_trail) whose log group is in this "
    "account and region, which an organisation's seldom is: its own is in the management account. A failed delivery to "
    "the bucket: correct its policy; to CloudWatch Logs: correct the trail's role and its trust"
)


def audit(account: Account) -> Result:
    """Find a trail that covers the region, records what Secrets Manager does, and delivers it to the alarms' log."""
    account.reach()
    region = account.location.region
    recording, wrong, unseen = [], [], list[SecretopsError]()
    for trail in account.ask("cloudtrail:DescribeTrails")["trailList"]:
        if not trail.get("IsMultiRegionTrail") and trail.get("HomeRegion") != region:
            continue
        try:
            lacks = _lacks(account, trail)
        except SecretopsError as error:
            unseen.append(error)
            continue
        if lacks:
            wrong.append(f"{trail['Name']}: {lacks}")
        else:
            recording.append(trail["Name"])
    if recording:
        return ok(", ".join(recording))
    if unseen:
        return Result.of(unseen[0], Level.UNKNOWN)
    return attention("; ".join(wrong) or f"no trail covers {region}", _RULE, _REMEDY)


def _lacks(account: Account, trail: Mapping[str, Any]) -> str:
    """Return why a trail does not record and deliver all that Secrets Manager does; empty if it does."""
    status = account.ask("cloudtrail:GetTrailStatus", Name=trail["TrailARN"])
    if not status["IsLogging"]:
        return "not logging"
    found = account.ask("cloudtrail:GetEventSelectors", TrailName=trail["TrailARN"])
    kinds = recorded(found.get("EventSelectors", ()), found.get("AdvancedEventSelectors", ()))
    if missing := [name for kind, name in _NAMES.items() if kind not in kinds]:
        return f"does not record {' and '.join(missing)} of Secrets Manager"
    failed = [f"{status[error]} from {where}" for error, where in _DELIVERIES.items() if status.get(error)]
    if failed:
        return " and ".join(failed)
    location, log_group = account.location, trail.get("CloudWatchLogsLogGroupArn", "")
    own = f":logs:{location.region}:{location.account}:log-group:{location.log_group}"
    if not location.log_group or log_group.removesuffix(":*").endswith(own):
        return ""
    return f"delivers to {log_group or 'no log group'}, and the alarms read {location.log_group} of this region"


def recorded(basic: Sequence[Mapping[str, Any]], advanced: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return which management events of Secrets Manager these selectors of a trail record: READS, WRITES.

    Without any a trail records all management events.
    """
    found: set[str] = set() if basic or advanced else {READS, WRITES}
    for selector in basic:
        is_excluded = SOURCE in selector.get("ExcludeManagementEventSources", ())
        if selector.get("IncludeManagementEvents", True) and not is_excluded:
            found |= _KINDS.get(selector.get("ReadWriteType", "All"), set())
    for selector in advanced:
        found |= _by_fields(selector["FieldSelectors"])
    return frozenset(found)


def _by_fields(selectors: Iterable[Mapping[str, Any]]) -> set[str]:
    """Of one advanced selector, whose fields all have to match. An unknown field may leave out any event."""
    found = {READS, WRITES}
    category = False
    for field in selectors:
        match field["Field"]:
            case "eventCategory":
                category = _fits(field, "Management")
            case "readOnly":
                found = {kind for kind in found if _fits(field, kind)}
            case "eventSource" if _fits(field, SOURCE):
                pass
            case _:
                return set()
    return found if category else set()


def _fits(selector: Mapping[str, Any], value: str) -> bool:
    """Whether `value` passes: it matches one of what is included, and none of what is excluded."""
    for operator, test in _OPERATORS.items():
        if (wanted := selector.get(operator)) and not any(test(value, each) for each in wanted):
            return False
        if any(test(value, each) for each in selector.get(f"Not{operator}", ())):
            return False
    return True
