"""The workspace of the trail keeps its records for a year in production, and takes none by a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge, require
from policies.plan import Environment, Finding, Plan
from policies.rule import Control, Framework, Rule

STORE = "coreflux-mcp-secrets:azure:SecretStore"
WORKSPACE = "azure-native:operationalinsights:Workspace"
SETTING = "azure-native:monitor:DiagnosticSetting"
DAYS = {Environment.PRODUCTION: 365}
"""How long at least; elsewhere Log Analytics' own 30 days do."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE, WORKSPACE))


def _look(plan: Plan) -> Iterator[Finding]:
    least = DAYS.get(plan.environment, 30)

    def long(days: Any) -> bool:
        return isinstance(days, int) and days >= least

    for store in plan.of_type(STORE):
        # A workspace of an organization is no resource of the stack, and its retention is not seen.
        settings = (one for one in plan.of_type(SETTING) if at(one.properties, "workspaceId"))
        found = [*plan.of_type(WORKSPACE), *settings]
        yield from require(store, found, "workspace", "the trail is kept nowhere; add it")
    for workspace in plan.of_type(WORKSPACE):
        told = workspace.properties
        wrong = f"is below {least} days; set store.retention_days"
        yield from judge(workspace, at(told, "retentionInDays"), long, "its retention", wrong)
        purged = at(told, "features", "immediatePurgeDataOn30Days")
        wrong = "throws records away; leave it off"
        yield from judge(workspace, purged, lambda on: not on, "its purge after 30 days", wrong)
        by_role = at(told, "features", "disableLocalAuth")
        wrong = "are on: who has one writes records that never were; set disable_local_auth"
        yield from judge(workspace, by_role, lambda on: on is True, "its keys", wrong)


RULE = Rule(
    name="azure-trail-kept",
    sentence="The trail's workspace keeps records for 365 days or more in production, and no key of its own writes any.",
    controls=(
        Control(Framework.SOC_2, "CC7.3", "what happened can be evaluated afterwards"),
        Control(Framework.PCI_DSS, "10.3.2", "nobody writes records but Azure"),
        Control(Framework.PCI_DSS, "10.5.1", "records are kept for 12 months, three of them at hand"),
        Control(Framework.HIPAA, "164.312(b)", "activity that is recorded can be examined"),
        Control(Framework.HIPAA, "164.312(c)(1)", "no improper alteration"),
    ),
    limitation="That nobody who may manage the workspace purges it: azure-tampering-is-told tells of it.",
    applies=_applies,
    across=_look,
)
