"""A secret's own policy denies it to whoever is not named, whatever his own policies allow him."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.aws.documents import Statement, judge_document, wildcard
from policies.aws.secrets import of_secrets
from policies.matchers import at, require
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

STORE = "coreflux-mcp-secrets:aws:SecretStore"
SECRET, POLICY = "aws:secretsmanager/secret:Secret", "aws:secretsmanager/secretPolicy:SecretPolicy"
GUARDED = ("GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage", "UpdateSecret")
WHO = "aws:PrincipalArn"
SERVICE = "aws:PrincipalIsAWSService"
BESIDE = {("ArnNotEquals", WHO.lower()), ("Bool", SERVICE.lower())}
"""All that such a denial may depend on: with any other condition it would leave a gap."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE, SECRET))


def _denies(statement: Statement, action: str) -> bool:
    """To everybody but principals that are named in full."""
    named = statement.compared("ArnNotEquals", WHO)
    depends = {(operator, name) for operator, names in statement.conditions.items() for name in names}
    return (
        not (statement.allows or statement.negated)
        and statement.is_of(f"secretsmanager:{action}")
        and statement.is_for_everybody
        and statement.resources == ("*",)
        and bool(named)
        and not any(map(wildcard, named))
        and statement.compared("Bool", SERVICE) in ((), ("false",))
        and depends <= BESIDE
    )


def _wrong(found: Sequence[Statement]) -> Iterator[str]:
    for action in GUARDED:
        if not any(_denies(one, action) for one in found):
            yield f"its policy does not deny {action} to all but named principals; add that denial, by {WHO}"


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE):
        yield from require(
            store, list(plan.of_type(SECRET)), "secret", "values are kept where no policy denies them; add one"
        )
    policy_of = of_secrets(plan, POLICY, "secretArn")
    for secret in plan.of_type(SECRET):
        found = policy_of(at(secret.properties, "name"))
        yield from require(secret, found, "policy of its own", "anybody of the account may be let in; add one")
    for policy in plan.of_type(POLICY):
        yield from judge_document(policy, "policy", _wrong)


RULE = Rule(
    name="aws-secrets-deny-others",
    sentence="Every secret has a policy that denies reading and writing it to all but principals named in full.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "access to credentials is restricted to who is authorized"),
        Control(Framework.SOC_2, "CC6.3", "who reads and who writes are kept apart, secret by secret"),
        Control(Framework.PCI_DSS, "7.2.1", "access follows a model: readers and writers of each secret"),
        Control(Framework.PCI_DSS, "7.3.3", "all that is not named is denied"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only those who have been granted access have it"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality"),
    ),
    limitation="That those who are named should be: a reviewer of the stack file decides that.",
    applies=_applies,
    across=_look,
)
