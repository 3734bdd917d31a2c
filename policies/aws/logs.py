"""The log that a trail writes, as rules find it."""

from __future__ import annotations

from policies.matchers import at, contains, related
from policies.plan import UNKNOWN, Plan, Resource, Unknown

STORE = "coreflux-mcp-secrets:aws:SecretStore"
TRAIL, LOG = "aws:cloudtrail/trail:Trail", "aws:cloudwatch/logGroup:LogGroup"


def keeps_trail(plan: Plan) -> bool:
    """Whether the stack has to have a trail of its own: one of somebody else's is told of by its ARN."""
    records = at(plan.outputs, "trail", "records")
    return any(plan.of_type(STORE)) and not (isinstance(records, str) and records.startswith("arn:"))


def log_of(plan: Plan, trail: Resource) -> list[Resource] | Unknown:
    """The log group of the stack that `trail` names by its ARN."""
    arn = at(trail.properties, "cloudWatchLogsGroupArn")
    return (
        UNKNOWN if arn is UNKNOWN else related(plan, LOG, "name", ok=lambda name: contains(arn, f":log-group:{name}:"))
    )
