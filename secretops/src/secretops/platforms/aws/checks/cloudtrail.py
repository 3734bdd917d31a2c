"""Check that CloudTrail records reads of values, and delivers the records.

A trail may exclude read management events such as GetSecretValue:
https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_GetEventSelectors.html

A logging trail may fail to deliver:
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
# Fields of GetTrailStatus that describe the last failed delivery -> what was not delivered.
_DELIVERIES = {
    "LatestDeliveryError": "log files to its bucket",
    "LatestDigestDeliveryError": "digest files to its bucket",
    "LatestCloudWatchLogsDeliveryError": "events to CloudWatch Logs",
}
_RULE = (
    "a trail must record every read and change of the stack's secrets, and deliver to its bucket and to the log group "
    "that the alarms read"
)
_REMEDY = (
    "pulumi up creates a trail and starts it; or set existing_trail in the stack file to a trail with a log group in "
    "this account and region (an organization's trail has its log group in the management account). If a delivery to "
    "the bucket fails, correct the bucket's policy; if a delivery to CloudWatch Logs fails, correct the trail's role"
)


def audit(account: Account) -> Result:
    """Check that a trail covers the region, records Secrets Manager, and delivers to the alarms' log group."""
    account.reach()
    region = account.location.region
    recording, wrong, failed = [], [], list[SecretopsError]()
    for trail in account.call("cloudtrail:DescribeTrails")["trailList"]:
        if not trail.get("IsMultiRegionTrail") and trail.get("HomeRegion") != region:
            continue
        try:
            problem = _problem(account, trail)
        except SecretopsError as error:
            failed.append(error)
            continue
        if problem:
            wrong.append(f"{trail['Name']}: {problem}")
        else:
            recording.append(trail["Name"])
    if recording:
        return ok(", ".join(recording))
    if failed:
        return Result.of(failed[0], Level.UNKNOWN)
    return attention("; ".join(wrong) or f"no trail covers {region}", _RULE, _REMEDY)


def _problem(account: Account, trail: Mapping[str, Any]) -> str:
    status = account.call("cloudtrail:GetTrailStatus", Name=trail["TrailARN"])
    if not status["IsLogging"]:
        return "not logging"
    found = account.call("cloudtrail:GetEventSelectors", TrailName=trail["TrailARN"])
    kinds = recorded(found.get("EventSelectors", ()), found.get("AdvancedEventSelectors", ()))
    if missing := [name for kind, name in _NAMES.items() if kind not in kinds]:
        return f"does not record {' and '.join(missing)} of Secrets Manager"
    failed = [f"cannot deliver {what} ({status[error]})" for error, what in _DELIVERIES.items() if status.get(error)]
    if failed:
        return " and ".join(failed)
    location, log_group = account.location, trail.get("CloudWatchLogsLogGroupArn", "")
    own = f":logs:{location.region}:{location.account}:log-group:{location.log_group}"
    if not location.log_group or log_group.removesuffix(":*").endswith(own):
        return ""
    return f"delivers to {log_group or 'no log group'}, but the alarms read {location.log_group} of {location.region}"


def recorded(basic: Sequence[Mapping[str, Any]], advanced: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return which of READS and WRITES a trail's event selectors record. A trail without selectors records both."""
    found: set[str] = set() if basic or advanced else {READS, WRITES}
    for selector in basic:
        is_excluded = SOURCE in selector.get("ExcludeManagementEventSources", ())
        if selector.get("IncludeManagementEvents", True) and not is_excluded:
            found |= _KINDS.get(selector.get("ReadWriteType", "All"), set())
    for selector in advanced:
        found |= _by_fields(selector["FieldSelectors"])
    return frozenset(found)


def _by_fields(selectors: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return which of READS and WRITES one advanced selector records: none if an unknown field may exclude events."""
    found = {READS, WRITES}
    category = False
    for field in selectors:
        match field["Field"]:
            case "eventCategory":
                category = _matches(field, "Management")
            case "readOnly":
                found = {kind for kind in found if _matches(field, kind)}
            case "eventSource" if _matches(field, SOURCE):
                pass
            case _:
                return set()
    return found if category else set()


def _matches(selector: Mapping[str, Any], value: str) -> bool:
    for operator, test in _OPERATORS.items():
        if (wanted := selector.get(operator)) and not any(test(value, each) for each in wanted):
            return False
        if any(test(value, each) for each in selector.get(f"Not{operator}", ())):
            return False
    return True
