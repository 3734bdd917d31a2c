"""A function's variables say where things are, and are no credential: whoever sees its settings sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.containers import in_plain_sight
from policies.matchers import at, judge
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule

FUNCTION = "aws:lambda/function:Function"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(FUNCTION))


def _names(variables: Any) -> Any:
    """Of variables; their texts may be known later, as the name of a service is."""
    if variables is UNKNOWN:
        return UNKNOWN
    return sorted(variables or ()) if variables is None or isinstance(variables, Mapping) else None


def _look(plan: Plan) -> Iterator[Finding]:
    for function in plan.of_type(FUNCTION):
        variables = at(function.properties, "environment", "variables")
        wrong = "are no names and texts that could be looked at; write them so"
        yield from judge(function, _names(variables), lambda told: told is not None, "its variables", wrong)
        for name, text in sorted(variables.items()) if isinstance(variables, Mapping) else ():
            if in_plain_sight(name, text):
                wrong = f"its variable {name} is a credential's: everybody who sees its settings reads it"
                yield Finding(function.urn, f"{wrong}; have it read the secret by its ARN")


RULE = Rule(
    name="aws-functions-hold-no-value",
    sentence="No variable of a function is a credential's.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "credentials are kept in one store"),
        Control(Framework.PCI_DSS, "8.6.2", "no password in a configuration"),
        Control(Framework.HIPAA, "164.312(a)(1)", "a value is read by whoever may read its secret"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality"),
    ),
    limitation="What a variable of another name holds: the leak gate of the tests looks for real values.",
    applies=_applies,
    across=_look,
)
