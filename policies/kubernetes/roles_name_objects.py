"""A Role names what it touches, and only the rotator's changes it: list and watch show every Secret of a namespace,
whatever names they are given."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from policies.kubernetes.objects import ROTATOR, of_kind
from policies.matchers import at, each, judge, listed
from policies.plan import Finding, Plan, type_of
from policies.rule import Control, Framework, Rule

_READS = ("get",)
_ROTATES = ("get", "update", "patch")
"""All other verbs take away what is in use, are not limited by a name, or give more than themselves."""


def _only(verbs: Any, *, may: tuple[str, ...]) -> bool:
    return bool(listed(verbs)) and all(verb in may for verb in verbs)


def _names(entry: Any) -> bool:
    return bool(listed(entry)) and "*" not in entry


def _look(plan: Plan) -> Iterator[Finding]:
    for role in of_kind(plan, "Role", "ClusterRole"):
        may = _ROTATES if type_of(role.parent) == ROTATOR else _READS
        for rule in each(at(role.properties, "rules")):
            yield from judge(
                role,
                at(rule, "verbs"),
                partial(_only, may=may),
                "what it lets do",
                f"is more than its account needs: the server gets, the rotator updates, too; name {', '.join(may)}",
            )
            for key in ("apiGroups", "resources", "resourceNames"):
                yield from judge(
                    role,
                    at(rule, key),
                    _names,
                    f"one of its {key}",
                    "is open: a reader has the objects that it reads; name each",
                )


RULE = Rule(
    name="kubernetes-roles-name-objects",
    sentence="Every Role names the objects it is for, and lets its account get them; the rotator's lets it update them.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "each account reads the Secrets that it uses, and no other"),
        Control(Framework.PCI_DSS, "7.2.2", "access by what the account is for, and the least of it"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only those read who have been granted it"),
        Control(Framework.GDPR, "32(1)(b)", "values are confidential between programs of one namespace"),
    ),
    limitation="Roles of others in the cluster: secretops doctor and the audit look at who else may read.",
    applies=lambda plan: any(of_kind(plan, "Role", "ClusterRole")),
    across=_look,
)
