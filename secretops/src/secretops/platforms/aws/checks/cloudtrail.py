"""Check that reads of values are on record: which trails there are, what they log, and where they deliver it.

GetSecretValue is a management event that reads. A trail may leave those out, or AWS services' own, or be of another
kind of event alone: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_GetEventSelectors.html
A trail that logs may still fail to deliver: then records are missing, or alarms do not ring.
https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_GetTrailStatus.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secretops.check import Level, Result, attention, ok
from secretops.errors import SecretopsError
from secretops.platforms.aws.checks.account import Account

SERVICE = "secretsmanager.amazonaws.com"
"""Secrets Manager as CloudTrail calls it: an event's source."""

READS, WRITES = "true", "false"
"""An event's field readOnly."""

_TOLD = {READS: "reads", WRITES: "changes"}
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


@dataclass(frozen=True)
class TrailOn:
    """A trail covers the stack's region, records what Secrets Manager does, and delivers it to the alarms' log."""

    account: Account
    name: str = "audit"

    def look(self) -> Result:
        self.account.reach()
        region = self.account.location.region
        with self.account.told("cloudtrail:DescribeTrails"):
            trails = self.account.client("cloudtrail").describe_trails()["trailList"]
        covering = [trail for trail in trails if trail.get("IsMultiRegionTrail") or trail.get("HomeRegion") == region]
        recording, wrong, unseen = [], [], list[SecretopsError]()
        for trail in covering:
            try:
                lacks = self._lacks(trail)
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

    def _lacks(self, trail: Mapping[str, Any]) -> str:
        """Return why a trail does not record and deliver all that Secrets Manager does; empty if it does."""
        client, arn = self.account.client("cloudtrail"), trail["TrailARN"]
        with self.account.told("cloudtrail:GetTrailStatus"):
            status = client.get_trail_status(Name=arn)
        if not status["IsLogging"]:
            return "not logging"
        with self.account.told("cloudtrail:GetEventSelectors"):
            found = client.get_event_selectors(TrailName=arn)
        kinds = recorded(found.get("EventSelectors", ()), found.get("AdvancedEventSelectors", ()))
        if missing := [told for kind, told in _TOLD.items() if kind not in kinds]:
            return f"does not record {' and '.join(missing)} of Secrets Manager"
        failed = [f"{status[error]} from {where}" for error, where in _DELIVERIES.items() if status.get(error)]
        return " and ".join(failed) or self._delivers_elsewhere(trail.get("CloudWatchLogsLogGroupArn", ""))

    def _delivers_elsewhere(self, log_group: str) -> str:
        """Return why the alarms do not see what a trail writes to `log_group`; empty if they do, or are not known."""
        location = self.account.location
        own = f":logs:{location.region}:{location.account}:log-group:{location.log_group}"
        if not location.log_group or log_group.removesuffix(":*").endswith(own):
            return ""
        return f"delivers to {log_group or 'no log group'}, and the alarms read {location.log_group} of this region"


def recorded(basic: Sequence[Mapping[str, Any]], advanced: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Which management events of Secrets Manager are recorded by a trail with these selectors: READS, WRITES.

    Without any a trail records all management events.
    """
    if not basic and not advanced:
        return frozenset({READS, WRITES})
    found: set[str] = set()
    for selector in basic:
        if selector.get("IncludeManagementEvents", True) and not _leaves_out(selector):
            found |= _KINDS.get(selector.get("ReadWriteType", "All"), set())
    for selector in advanced:
        found |= _by_fields(selector["FieldSelectors"])
    return frozenset(found)


def _leaves_out(selector: Mapping[str, Any]) -> bool:
    return SERVICE in selector.get("ExcludeManagementEventSources", ())


def _by_fields(selectors: Iterable[Mapping[str, Any]]) -> set[str]:
    """Of one advanced selector, whose fields all have to fit. One of a field that we do not know may leave out any."""
    found = {READS, WRITES}
    category = False
    for field in selectors:
        match field["Field"]:
            case "eventCategory":
                category = _fits(field, "Management")
            case "readOnly":
                found = {kind for kind in found if _fits(field, kind)}
            case "eventSource" if _fits(field, SERVICE):
                pass
            case _:
                return set()
    return found if category else set()


def _fits(selector: Mapping[str, Any], value: str) -> bool:
    """Whether `value` is let through: by one of what is asked for, and by none of what is refused."""
    for operator, test in _OPERATORS.items():
        if (wanted := selector.get(operator)) and not any(test(value, each) for each in wanted):
            return False
        if any(test(value, each) for each in selector.get(f"Not{operator}", ())):
            return False
    return True
