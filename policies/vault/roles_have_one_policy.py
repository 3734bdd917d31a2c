"""Who logs in has the stack's own policy of that role, and no other beside it."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge, listed
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.vault.access import POLICY, ROLES


def _look(plan: Plan) -> Iterator[Finding]:
    own = [at(policy.properties, "name") for policy in plan.of_type(POLICY)]
    for role in plan.of_type(*ROLES):
        yield from judge(
            role,
            (at(role.properties, "tokenPolicies"), own),
            lambda both: len(listed(both[0])) == 1 and both[0][0] in both[1],
            "what its token may",
            "is not one policy of the stack's own: another one adds what nobody reviews here; name that one alone",
        )
        yield from judge(
            role,
            at(role.properties, "tokenNoDefaultPolicy"),
            lambda said: said is True,
            "the policy default",
            "is added to its token: it has more than the role needs; set token_no_default_policy to true",
        )


RULE = Rule(
    name="vault-roles-have-one-policy",
    sentence="Every role gives its own policy of the stack, and nothing beside it.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "a role has what was reviewed, and no more"),
        Control(Framework.PCI_DSS, "7.2.5", "system accounts have the least privileges"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only what was granted is given"),
        Control(Framework.GDPR, "32(1)(b)", "values are confidential between programs of one Vault"),
    ),
    limitation="What Vault's identities and groups add to a token: whoever runs Vault gives those.",
    applies=lambda plan: any(plan.of_type(*ROLES)),
    across=_look,
)
