"""Whatever opens a secret to others, takes one away or blinds the trail is told to the alerts' topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policies.aws.alarms import told_of_event
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule

STORE = "coreflux-mcp-secrets:aws:SecretStore"
EVENTS: Mapping[str, tuple[str, ...]] = {
    "a secret": ("DeleteSecret", "PutResourcePolicy", "DeleteResourcePolicy", "CancelRotateSecret"),
    "a key": ("DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy", "CreateGrant"),
    "a role": ("UpdateAssumeRolePolicy", "PutRolePolicy", "AttachRolePolicy"),
    "a function": ("UpdateFunctionCode", "UpdateFunctionConfiguration"),
    "the trail": ("StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"),
    "its log": ("DeleteLogGroup", "DeleteMetricFilter", "PutRetentionPolicy"),
    "an alarm": ("DeleteAlarms", "DisableAlarmActions", "DisableRule", "RemoveTargets"),
    "the topic": ("DeleteTopic", "Unsubscribe"),
}
"""What -> events of CloudTrail by which it is changed."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE))


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE):
        for what, events in EVENTS.items():
            told = {event: told_of_event(plan, f'"{event}') for event in events}
            if unheard := [event for event, found in told.items() if found == []]:
                wrong = f"nobody is told that {what} is changed by {', '.join(unheard)}"
                yield Finding(store.urn, f"{wrong}; add a filter over the trail's log, and an alarm on what it counts")
            elif UNKNOWN in told.values():
                yield Finding(store.urn, f"whether a change of {what} is told is known after pulumi up", unknown=True)


RULE = Rule(
    name="aws-tampering-is-told",
    sentence="Somebody is told when a secret, a key, a role, a function, the trail or an alarm is changed or taken away.",
    controls=(
        Control(Framework.SOC_2, "CC7.1", "a change of the configuration that weakens it is noticed"),
        Control(Framework.SOC_2, "CC7.2", "what is malicious is looked for"),
        Control(Framework.PCI_DSS, "10.2.1.6", "that records were stopped is recorded, and told"),
        Control(Framework.PCI_DSS, "10.3.4", "a change of what is recorded makes an alert"),
        Control(Framework.PCI_DSS, "10.7.2", "failures of a control are detected and told"),
        Control(Framework.HIPAA, "164.312(b)", "activity is examined"),
        Control(Framework.HIPAA, "164.312(c)(1)", "no improper alteration or destruction unseen"),
    ),
    limitation="That somebody hears it, or that the pattern matches: tests run it over records as AWS documents them.",
    applies=_applies,
    across=_look,
)
