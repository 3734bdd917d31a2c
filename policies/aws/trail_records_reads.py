"""CloudTrail records who reads which secret, in every region, and is on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.aws.logs import STORE, TRAIL, keeps_trail
from policies.matchers import at, judge, listed, require
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

SWITCHES = {
    "enableLogging": (None, True),
    "isMultiRegionTrail": (True,),
    "includeGlobalServiceEvents": (None, True),
}
"""Property -> what it may be; None is AWS' own default."""


def _applies(plan: Plan) -> bool:
    return keeps_trail(plan) or any(plan.of_type(TRAIL))


def _management(selector: Any) -> bool:
    """Whether it takes management events, of which a read of a secret is one: all of them, and reads too."""
    fields = [(at(one, "field"), at(one, "equals")) for one in listed(at(selector, "fieldSelectors"))]
    return fields == [("eventCategory", ["Management"])]


def _basic(selector: Any) -> bool:
    """The same, of the older kind of selector."""
    told = [
        at(selector, what) for what in ("includeManagementEvents", "readWriteType", "excludeManagementEventSources")
    ]
    return told[0] in (None, True) and told[1] in (None, "All") and not told[2]


def _all(selectors: Any) -> bool:
    advanced, basic = selectors
    if not advanced and not basic:
        return True
    return any(map(_management, listed(advanced))) or any(map(_basic, listed(basic)))


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE) if keeps_trail(plan) else ():
        wrong = "no read is recorded; add it, or name one by store.existing_trail"
        yield from require(store, list(plan.of_type(TRAIL)), "trail", wrong)
    for trail in plan.of_type(TRAIL):
        told = trail.properties
        for what, wanted in SWITCHES.items():
            wrong = "leaves reads unrecorded: a trail is on, in all regions; leave it on"
            yield from judge(trail, at(told, what), wanted.__contains__, what, wrong)
        selectors = (at(told, "advancedEventSelectors"), at(told, "eventSelectors"))
        wrong = "leave out management events or reads of them: a read of a secret is one; select all of them"
        yield from judge(trail, selectors, _all, "its selectors", wrong)
        log = at(told, "cloudWatchLogsGroupArn")
        yield from judge(trail, log, bool, "its log group", "is none: no alarm hears of a read; name one")


RULE = Rule(
    name="aws-trail-records-reads",
    sentence="A trail of the stack's own is on, in every region, takes reads too, and sends them to a log with alarms.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "access is recorded"),
        Control(Framework.PCI_DSS, "10.2.1", "audit logs are on"),
        Control(Framework.PCI_DSS, "10.2.1.1", "each access of a user is recorded"),
        Control(Framework.PCI_DSS, "10.2.1.2", "each action of an administrator is recorded"),
        Control(Framework.PCI_DSS, "10.2.1.5", "each change of a credential is recorded"),
        Control(Framework.PCI_DSS, "10.2.2", "a record says who, what, when, from where and whether it was allowed"),
        Control(Framework.HIPAA, "164.312(b)", "a mechanism records activity"),
        Control(Framework.GDPR, "32(1)(d)", "who read what can be looked at"),
    ),
    limitation="Which version was read, or what a server does with a value: CloudTrail knows neither.",
    applies=_applies,
    across=_look,
)
