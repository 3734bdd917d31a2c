"""What Key Vault says of an expiry is delivered by the topic's own identity, and by no key."""

from __future__ import annotations

from collections.abc import Iterator

from policies.looking import at, judge
from policies.rule import Control, Finding, Framework, Plan, Rule

TOPIC = "azure-native:eventgrid:SystemTopic"
SUBSCRIPTION = "azure-native:eventgrid:SystemTopicEventSubscription"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(SUBSCRIPTION))


def _look(plan: Plan) -> Iterator[Finding]:
    for topic in plan.of_type(TOPIC):
        kind = at(topic.properties, "identity", "type")
        yield from judge(topic, kind, bool, "its identity", "is none: it would deliver by a key; give it one")
    for subscription in plan.of_type(SUBSCRIPTION):
        told = subscription.properties
        wrong = "is by a key of the account; set delivery_with_resource_identity"
        by = at(told, "deliveryWithResourceIdentity", "identity", "type")
        yield from judge(subscription, by, bool, "its delivery", wrong)
        yield from judge(subscription, at(told, "destination"), lambda given: not given, "its destination", wrong)


RULE = Rule(
    name="azure-events-by-identity",
    says="Events of an expiry are delivered by an identity with a role, and by no key.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "who writes into the queue is identified and authorized"),
        Control(Framework.PCI_DSS, "8.6.2", "no key in a configuration"),
        Control(Framework.HIPAA, "164.312(d)", "who seeks access is the one claimed"),
    ),
    shows_not="That an event arrives: the hourly tick does not depend on one.",
    applies=_applies,
    look=_look,
)
