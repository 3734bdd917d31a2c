"""Whether reads of values are on record: which trails there are, whether they log, and what of.

GetSecretValue is a management event that reads. A trail may leave those out, or AWS services' own, or be of another
kind of event alone: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_GetEventSelectors.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secretops.errors import SecretopsError
from secretops.operations.doctor.account import Account
from secretops.operations.doctor.check import Level, Result, attention, ok

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
_RULE = "every read and every change of the stack's secrets is on record in CloudTrail, in the bucket that keeps it"
_REMEDY = (
    "pulumi up makes one and turns it on; or name one in the stack file (existing_trail) whose log group is in this "
    "account and region, which an organisation's seldom is: its own is in the management account"
)


@dataclass(frozen=True)
class TrailOn:
    """Reads are on record: a trail covers the stack's region, is logging, and records what Secrets Manager does."""

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
                lacks = self._lacks(trail["TrailARN"])
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

    def _lacks(self, trail: str) -> str:
        """What keeps a trail from recording all that Secrets Manager does; nothing does if it is empty."""
        client = self.account.client("cloudtrail")
        with self.account.told("cloudtrail:GetTrailStatus"):
            if not client.get_trail_status(Name=trail)["IsLogging"]:
                return "not logging"
        with self.account.told("cloudtrail:GetEventSelectors"):
            found = client.get_event_selectors(TrailName=trail)
        kinds = recorded(found.get("EventSelectors", ()), found.get("AdvancedEventSelectors", ()))
        missing = [told for kind, told in _TOLD.items() if kind not in kinds]
        return f"does not record {' and '.join(missing)} of Secrets Manager" if missing else ""


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
