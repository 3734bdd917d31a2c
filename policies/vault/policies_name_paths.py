"""Server and rotator have rights on named paths: to list shows every secret, and a wildcard is those to come, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.vault.access import POLICY, has_wildcard, rights, taken

_NEVER = frozenset({"list", "sudo", "root"})
_FOREIGN = ("sys/", "identity/", "auth/")
"""What begins like this is of the whole Vault, or makes logins."""

_ITS_OWN = frozenset(f"auth/token/{what}-self" for what in ("lookup", "renew", "revoke"))
"""What any token may be let do with itself."""


def _narrow(policy: Any) -> bool:
    said = rights(policy)
    if not said:
        return False
    return not any(
        has_wildcard(path) or _NEVER & set(may) or (path.startswith(_FOREIGN) and path not in _ITS_OWN)
        for path, may in said.items()
    )


def _look(plan: Plan) -> Iterator[Finding]:
    of_roles = taken(plan)
    for policy in plan.of_type(POLICY):
        name = at(policy.properties, "name")
        if name in of_roles or UNKNOWN in (name, *of_roles):
            yield from judge(
                policy,
                (at(policy.properties, "policy"), name, of_roles),
                lambda said: _narrow(said[0]),
                "what a role may",
                "has a wildcard, list, sudo, a path of the whole Vault or of its logins, or is more than paths with "
                "capabilities: who logs in has one path for each right",
            )


RULE = Rule(
    name="vault-policies-name-paths",
    sentence="What server and rotator may in Vault is one named path for each right, without list or sudo.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "each role reads the secrets that it uses, and no other"),
        Control(Framework.PCI_DSS, "7.2.2", "access by what the account is for, and the least of it"),
        Control(Framework.PCI_DSS, "7.3.3", "all access is denied but what a path allows"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only those read who have been granted it"),
        Control(Framework.GDPR, "32(1)(b)", "values are confidential between programs of one Vault"),
    ),
    limitation="Policies that others give away: who may write policies can let himself read any.",
    applies=lambda plan: any(plan.of_type(POLICY)) and bool(taken(plan)),
    across=_look,
)
