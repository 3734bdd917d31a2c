"""In production Pulumi removes nothing that holds secrets, their keys, or the trail."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, each
from policies.plan import Environment, Finding, Plan, Resource
from policies.rule import Control, Framework, Rule

HOLDS = frozenset(
    {
        "aws:secretsmanager/secret:Secret",
        "aws:kms/key:Key",
        "aws:s3/bucket:Bucket",
        "aws:cloudtrail/trail:Trail",
        "azure-native:keyvault:Vault",
        "azure-native:operationalinsights:Workspace",
        "kubernetes:core/v1:Namespace",
        "vault:index/mount:Mount",
        "vault:index/audit:Audit",
    }
)
"""What is lost for good, or for as long as the trail is off, once it is gone."""
TRAIL, LOG = "coreflux-mcp-secrets:aws:Trail", "aws:cloudwatch/logGroup:LogGroup"
DIAGNOSTICS = "azure-native:monitor:DiagnosticSetting"


def _held(plan: Plan) -> Iterator[Resource]:
    """What is of these types, and of logs and what feeds them those of the trail."""
    trails = {one.urn for one in plan.of_type(TRAIL)}
    for one in plan.resources:
        match one.type:
            case kind if kind in HOLDS:
                yield one
            case kind if kind == LOG and one.parent in trails:
                yield one
            case kind if kind == DIAGNOSTICS and any(
                "audit" in (at(log, "categoryGroup"), at(log, "category")) for log in each(one.properties.get("logs"))
            ):
                yield one


def _applies(plan: Plan) -> bool:
    return plan.environment is Environment.PRODUCTION and any(_held(plan))


def _look(plan: Plan) -> Iterator[Finding]:
    for one in _held(plan):
        if not one.protect:
            yield Finding(
                one.urn, "pulumi destroy would remove it: production keeps its secrets, keys and trail; set protect"
            )


RULE = Rule(
    name="stack-is-protected-in-production",
    sentence="In production what holds secrets, keys or the trail is protected from being removed or replaced.",
    controls=(
        Control(Framework.SOC_2, "A1.2", "nothing that is needed is lost by a mistake"),
        Control(Framework.PCI_DSS, "10.3.2", "no deployment takes the audit log away"),
        Control(Framework.HIPAA, "164.312(c)(1)", "nothing is destroyed by a slip"),
        Control(Framework.GDPR, "32(1)(b)", "availability does not hang on a careful hand"),
    ),
    limitation="That nobody removes it past Pulumi: deletion windows, purge protection and object lock are rules of"
    " their own.",
    applies=_applies,
    across=_look,
)
