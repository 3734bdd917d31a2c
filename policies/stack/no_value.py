"""Pulumi is given no value: not as an input, not as an output, encrypted or not."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.stack.values import names, values

NAMES = (("secretops", "store", "readers"), ("trail", "records"))
"""The outputs that say who reads and where that is recorded: as people, clouds and their tools call them."""


def _look(plan: Plan) -> Iterator[Finding]:
    own = names([at(plan.outputs, *path) for path in NAMES])
    told = [(plan.urn, f"output {place}", known) for place, known in values(plan.outputs, own)]
    asked = [
        (one.urn, place, known)
        for one in (*plan.resources, *plan.others)
        for place, known in values(one.properties, own)
    ]
    for urn, place, known in [*told, *asked]:
        if known:
            yield Finding(
                urn,
                f"{place} looks like a value: Pulumi keeps what it is given in its state; let secretops write a value,"
                " or rename what only looks like one",
            )
        else:
            yield Finding(urn, f"{place}: what will be there is known after pulumi up", unknown=True)


RULE = Rule(
    name="stack-holds-no-value",
    sentence="No input and no output of the stack is a secret's value, encrypted or not.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "who reads the state or a preview reads no credential"),
        Control(Framework.PCI_DSS, "8.6.2", "no password of an application is in configuration or source"),
        Control(Framework.PCI_DSS, "8.3.2", "no credential lies readable in a state file"),
        Control(Framework.HIPAA, "164.312(a)(1)", "a value is where access to it is granted, and nowhere else"),
        Control(Framework.GDPR, "32(1)(a)", "what opens the data is not kept beside its description"),
    ),
    limitation="A password that looks like a name, an address or a path, or one in a list of texts or among those who"
    " read; what is in the files of an archive.",
    applies=lambda _: True,
    across=_look,
)
