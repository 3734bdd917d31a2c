"""What a role may is said action by action and resource by resource, and nothing of it lists secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.aws.documents import Statement, judge_document, wildcard
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

ROLE, OF_ROLE = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"
ELSEWHERE = ("Policy", "PolicyAttachment", "RolePolicyAttachment", "UserPolicy", "UserPolicyAttachment", "GroupPolicy")
"""Other ways to a right, of which a plan does not say what it is, or which are no role's."""

EVERYWHERE = frozenset(
    {
        "ecr:getauthorizationtoken",
        *("ec2:createnetworkinterface", "ec2:deletenetworkinterface", "ec2:describenetworkinterfaces"),
        *("ec2:describesubnets", "ec2:assignprivateipaddresses", "ec2:unassignprivateipaddresses"),
    }
)
"""Actions for which AWS takes nothing narrower than `*`, or which Lambda asks for before it knows what it makes."""

OVER_RIGHTS = (
    *("iam:", "sts:assume", "kms:creategrant", "kms:putkeypolicy"),
    *("secretsmanager:putresourcepolicy", "secretsmanager:deleteresourcepolicy", "lambda:addpermission"),
)
"""What actions begin with that make a right, or take somebody else's."""

MANY = "secretsmanager:batchgetsecretvalue"
"""It finds secrets by a filter, as a list does."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(ROLE, OF_ROLE))


def _wrong(found: Sequence[Statement]) -> Iterator[str]:
    for one in found:
        if not one.allows:
            continue
        if one.negated:
            yield "a role is allowed all but what is named; name what it may, by Action and Resource"
        for action in one.actions:
            if wildcard(action):
                yield f"a role is allowed {action}: none has a wildcard; name each action"
            if action.startswith(OVER_RIGHTS):
                yield f"a role is allowed {action}: it could give itself more; leave that to who deploys"
            if action.partition(":")[2].startswith("list") or action == MANY:
                yield f"a role is allowed {action}: none lists; give it the ARNs that it needs"
        for resource in one.resources:
            if resource == "*" and not EVERYWHERE.issuperset(one.actions):
                yield f"a role is allowed {', '.join(one.actions)} on everything; name the resource's ARN"
            elif resource != "*" and wildcard(resource.removesuffix(":*" if ":log-group:" in resource else "")):
                yield f"a role is allowed {', '.join(one.actions)} on a pattern of ARNs; name the resource's ARN"


def _look(plan: Plan) -> Iterator[Finding]:
    for policy in plan.of_type(OF_ROLE):
        yield from judge_document(policy, "policy", _wrong)
    for role in plan.of_type(ROLE):
        for more in ("managedPolicyArns", "inlinePolicies"):
            wrong = "say what no rule reads; grant by a role policy of its own"
            yield from judge(role, at(role.properties, more), lambda told: not told, f"its {more}", wrong)
    for one in plan.resources:
        if one.type.startswith("aws:iam/") and one.type.rpartition(":")[2] in ELSEWHERE:
            yield Finding(one.urn, "it grants beside the roles' own policies; grant by a role policy")


RULE = Rule(
    name="aws-least-privilege",
    sentence="What a role may is named: no wildcard in an action or an ARN, no list, no policy that others write.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "access by least privilege"),
        Control(Framework.PCI_DSS, "7.2.2", "privileges are the least that a function needs"),
        Control(Framework.PCI_DSS, "7.2.5", "application accounts have the least that they need"),
        Control(Framework.HIPAA, "164.312(a)(1)", "programs have the access that they have been granted, and no more"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality"),
    ),
    limitation="That each action named is needed: tests/unit/golden/aws-roles.txt tells a reviewer what each is for.",
    applies=_applies,
    across=_look,
)
