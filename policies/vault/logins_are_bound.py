"""A role is taken by one workload: whatever it shows names it, and no pattern does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge, listed
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.vault.access import APPROLE, JWT, KUBERNETES, ROLES, is_an_address


def _named(entry: Any) -> bool:
    """One name, or a list of names: no pattern is one."""
    names = listed(entry) or [entry]
    return all(isinstance(name, str) and name and "*" not in name for name in names)


def _look(plan: Plan) -> Iterator[Finding]:
    for role in plan.of_type(JWT):
        for key in ("boundSubject", "boundAudiences"):
            yield from judge(
                role,
                at(role.properties, key),
                _named,
                f"its {key}",
                "is open: any token of that issuer would do; name the one workload, and whom its token is for",
            )
        yield from judge(
            role,
            at(role.properties, "boundAudiences"),
            lambda said: not any(is_an_address(one) for one in listed(said)),
            "its boundAudiences",
            "has the API server's or another's own: any token for that would do; name an audience of Vault's alone",
        )
    for role in plan.of_type(KUBERNETES):
        for key in ("boundServiceAccountNames", "boundServiceAccountNamespaces"):
            yield from judge(
                role,
                at(role.properties, key),
                _named,
                f"its {key}",
                "is open: pods of others could take the role; name the one account and its namespace",
            )
    for role in plan.of_type(APPROLE):
        yield from judge(
            role,
            at(role.properties, "bindSecretId"),
            lambda said: said in (None, True),
            "its secret id",
            "is not asked for: its role id is no secret, and would be enough; take bind_secret_id out",
        )


RULE = Rule(
    name="vault-logins-are-bound",
    sentence="Every role is bound to one workload, by its subject, its account or a secret id of its own.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "who logs in is identified before anything is read"),
        Control(Framework.PCI_DSS, "8.3.1", "all access is authenticated by what only that workload has"),
        Control(Framework.HIPAA, "164.312(d)", "who seeks access is the one claimed"),
        Control(Framework.GDPR, "32(1)(b)", "values are read by those they are for"),
    ),
    limitation="Who may make a token of that account, or lays the secret id where it is found.",
    applies=lambda plan: any(plan.of_type(*ROLES)),
    across=_look,
)
