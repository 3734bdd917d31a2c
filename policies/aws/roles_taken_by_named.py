"""A role is taken by one service, on behalf of the stack's own account, or by one account of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.aws.documents import Statement, judge_document, narrow, wildcard
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

ROLE = "aws:iam/role:Role"
# Services that assume a role without aws:SourceAccount and aws:SourceArn; of CloudTrail, for CloudWatch Logs:
# https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-required-policy-for-cloudwatch-logs.html
UNBOUND = {"lambda.amazonaws.com", "cloudtrail.amazonaws.com"}


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(ROLE))


def _wrong(found: Sequence[Statement]) -> Iterator[str]:
    for one in (statement for statement in found if statement.allows):
        if one.is_for_everybody or not one.principals or "AWS" in one.principals:
            yield "more than a service takes it; name one service, or a cluster's provider, as its principal"
        by_source = one.compared("ArnLike", "aws:SourceArn") or one.compared("ArnEquals", "aws:SourceArn")
        bound = one.compared("StringEquals", "aws:SourceAccount") and by_source and all(map(narrow, by_source))
        if set(one.principals.get("Service", ())) - UNBOUND and not bound:
            yield "a service takes it on anybody's behalf; bind it by aws:SourceAccount and aws:SourceArn"
        for provider in one.principals.get("Federated", ()):
            issuer = provider.partition(":oidc-provider/")[2]
            said = {name: one.compared("StringEquals", f"{issuer}:{name}") for name in ("sub", "aud")}
            for name in sorted(name for name, wanted in said.items() if len(wanted) != 1 or wildcard(wanted[0])):
                yield f"any token of its provider takes it; bind it by StringEquals to one {name}"


def _look(plan: Plan) -> Iterator[Finding]:
    for role in plan.of_type(ROLE):
        yield from judge_document(role, "assumeRolePolicy", _wrong)


RULE = Rule(
    name="aws-roles-taken-by-named",
    sentence="Every role is taken by one service for the stack's account, or by one service account of a cluster.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "who takes an identity is identified and authorized"),
        Control(Framework.PCI_DSS, "7.2.5", "an application account is for the system that needs it"),
        Control(Framework.PCI_DSS, "8.6.1", "an application account is not for persons"),
        Control(Framework.HIPAA, "164.312(d)", "who seeks access is the one claimed"),
    ),
    limitation="Who may pass a role to Lambda or CloudTrail: their principals can't be bound; iam:PassRole decides.",
    applies=_applies,
    across=_look,
)
