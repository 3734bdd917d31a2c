"""A function is called by one service, for one secret of the stack's own account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.aws.documents import narrow
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

FUNCTION, PERMISSION = "aws:lambda/function:Function", "aws:lambda/permission:Permission"
URL = "aws:lambda/functionUrl:FunctionUrl"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(FUNCTION))


def _service(name: Any) -> bool:
    return isinstance(name, str) and name.endswith(".amazonaws.com")


def _look(plan: Plan) -> Iterator[Finding]:
    for let in plan.of_type(PERMISSION):
        told = let.properties
        yield from judge(let, at(told, "principal"), _service, "who calls", "is no service of AWS; name one")
        for path in ("sourceArn", "sourceAccount"):
            yield from judge(let, at(told, path), narrow, path, "is not said: any account's could call; set it")
    for url in plan.of_type(URL):
        yield Finding(url.urn, "a function has an address in the internet; remove it: AWS' services need none")


RULE = Rule(
    name="aws-functions-called-by-named",
    sentence="Nobody calls a function but services of AWS, each for one resource of the stack's account.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "who calls is identified and authorized"),
        Control(Framework.SOC_2, "CC6.6", "nothing is open to the internet"),
        Control(Framework.PCI_DSS, "7.2.5", "what a program may call is limited to what needs it"),
        Control(Framework.HIPAA, "164.312(d)", "who seeks access is the one claimed"),
    ),
    limitation="Who of the account may call a function by a policy of his own.",
    applies=_applies,
    across=_look,
)
