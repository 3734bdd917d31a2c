"""A private endpoint is found by the name that clients know, or they would go by the internet, which is closed."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge, require, with_name
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

ENDPOINT, NAME = "azure-native:network:PrivateEndpoint", "azure-native:network:PrivateDnsZoneGroup"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(ENDPOINT))


def _look(plan: Plan) -> Iterator[Finding]:
    for endpoint in plan.of_type(ENDPOINT):
        found = with_name(plan, NAME, "privateEndpointName", name=at(endpoint.properties, "privateEndpointName"))
        yield from require(endpoint, found, "name in a private zone", "clients don't find it; add a DNS zone group")
    for name in plan.of_type(NAME):
        zones = at(name.properties, "privateDnsZoneConfigs")
        yield from judge(name, zones, bool, "its zone", "is none: nobody finds the endpoint; name one")


RULE = Rule(
    name="azure-private-endpoints-named",
    sentence="Every private endpoint has a name in a private DNS zone.",
    controls=(
        Control(Framework.SOC_2, "CC6.6", "clients reach the vault within the network"),
        Control(Framework.PCI_DSS, "1.4.1", "what is trusted is apart from what is not"),
        Control(Framework.HIPAA, "164.312(e)(1)", "what is transmitted stays within the network"),
    ),
    limitation="That the zone is linked to the networks of clients: whoever runs the network does that.",
    applies=_applies,
    across=_look,
)
