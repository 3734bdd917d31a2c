"""Tokens and secret ids end, renewed or not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.vault.access import APPROLE, ROLES

_HOUR = 3600
_DAY = 24 * _HOUR
_LONGEST = {"tokenTtl": _HOUR, "tokenMaxTtl": _DAY}
_LONGEST_SECRET_ID = 366 * _DAY


def _ends(seconds: Any, longest: int) -> bool:
    return isinstance(seconds, int) and 0 < seconds <= longest


def _look(plan: Plan) -> Iterator[Finding]:
    for role in plan.of_type(*ROLES):
        for key, longest in _LONGEST.items():
            yield from judge(
                role,
                at(role.properties, key),
                partial(_ends, longest=longest),
                f"its {key}",
                f"is unsaid, or longer than {longest} s: a lost token is good so long; shorten it",
            )
        yield from judge(
            role,
            at(role.properties, "tokenPeriod"),
            lambda seconds: not seconds,
            "its tokenPeriod",
            "lets a token be renewed for ever; take it out",
        )
    for role in plan.of_type(APPROLE):
        yield from judge(
            role,
            at(role.properties, "secretIdTtl"),
            lambda seconds: _ends(seconds, _LONGEST_SECRET_ID),
            "its secretIdTtl",
            "is unsaid, or longer than a year: a lost secret id is good so long; shorten it",
        )


RULE = Rule(
    name="vault-logins-end",
    sentence="A token lasts an hour unless it is renewed, and a day at most; a secret id a year at most.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "credentials end by themselves"),
        Control(Framework.SOC_2, "CC6.3", "access that was changed is changed within a day"),
        Control(Framework.PCI_DSS, "8.6.3", "credentials of system accounts are replaced on a schedule"),
        Control(Framework.HIPAA, "164.312(a)(2)(iii)", "a session ends after a time"),
        Control(Framework.GDPR, "32(1)(b)", "what was lost is good for a time that is known"),
    ),
    limitation="That an operator replaces a secret id in time: secretops status says when it ends.",
    applies=lambda plan: any(plan.of_type(*ROLES)),
    across=_look,
)
