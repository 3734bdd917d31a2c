"""A folder of values is one stack's: another's server would be given the wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from policies.dotenv.folders import OF_VALUES, folders, is_dotenv
from policies.matchers import at, judge, known, listed
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule


def _own(root: Any) -> bool:
    path = PurePosixPath(str(root))
    return path.is_absolute() and len(path.parts) > len(("/", "top")) and ".." not in path.parts


def _look(plan: Plan) -> Iterator[Finding]:
    for folder in folders(plan):
        yield from judge(
            folder,
            at(folder.properties, "root"),
            _own,
            "where it is",
            "is the machine's own, or hangs on where pulumi is run: name a folder by its whole path",
        )
        within = at(folder.properties, "folders")
        if not known(within) or OF_VALUES in listed(within):
            yield from judge(
                folder,
                (at(folder.properties, "stack"), within),
                lambda said: said[0] == plan.stack,
                "whose values lie in it",
                "is not this stack: two stacks in one folder give each other's values away; name another root",
            )


RULE = Rule(
    name="dotenv-folder-is-one-stacks",
    sentence="The folder of the values is the stack's own, and nobody else's.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "values of one environment are not another's"),
        Control(Framework.PCI_DSS, "6.5.3", "environments are separated"),
        Control(Framework.HIPAA, "164.312(c)(1)", "no other stack's rotation writes over a value"),
        Control(Framework.GDPR, "32(1)(b)", "values stay confidential between stacks"),
    ),
    limitation="That nobody copies the folder.",
    applies=is_dotenv,
    across=_look,
)
