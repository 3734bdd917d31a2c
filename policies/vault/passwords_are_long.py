"""A password that Vault makes for an operator is as good as those that secretops makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.vault.access import STORE

_POLICY = "vault:index/passwordPolicy:PasswordPolicy"
_SHORTEST = 32
_OF_EACH = ("a", "A", "0")
"""One of each charset that has to be in it."""


def _long(policy: Any) -> bool:
    text = str(policy)
    length = re.search(r"(?m)^\s*length\s*=\s*(\d+)", text)
    asked = [
        charset for charset, least in re.findall(r'charset\s*=\s*"([^"]+)"\s*min-chars\s*=\s*(\d+)', text) if int(least)
    ]
    return (
        length is not None
        and int(length[1]) >= _SHORTEST
        and all(any(one in each for each in asked) for one in _OF_EACH)
    )


def _look(plan: Plan) -> Iterator[Finding]:
    if not any(plan.of_type(_POLICY)):
        yield Finding(
            plan.urn, "Vault has no policy for passwords: an operator thinks up his own; add a PasswordPolicy"
        )
    for policy in plan.of_type(_POLICY):
        yield from judge(
            policy,
            at(policy.properties, "policy"),
            _long,
            "what it makes",
            "is shorter than 32 characters, or has no lower case, upper case or digit: say length and min-chars",
        )


RULE = Rule(
    name="vault-passwords-are-long",
    sentence="Vault makes passwords of 32 characters or more, with letters of both cases and digits.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "credentials can't be guessed"),
        Control(Framework.PCI_DSS, "8.3.6", "a password is 12 characters or longer, of letters and digits"),
        Control(Framework.HIPAA, "164.312(d)", "a password proves who has it"),
        Control(Framework.GDPR, "32(1)(b)", "values are not guessed"),
    ),
    limitation="That an operator uses it, and not one of his own.",
    applies=lambda plan: any(plan.of_type(_POLICY, STORE)),
    across=_look,
)
