"""A folder of plain files is for one machine and one person."""

from __future__ import annotations

from collections.abc import Iterator

from policies.dotenv.folders import is_dotenv
from policies.plan import Environment, Finding, Plan
from policies.rule import Control, Enforcement, Framework, Rule


def _look(plan: Plan) -> Iterator[Finding]:
    if plan.environment is Environment.PRODUCTION:
        yield Finding(
            plan.urn,
            "the store of a production stack is a folder of plain files: that is for development; name another store, "
            "or the environment that it is of",
        )


RULE = Rule(
    name="dotenv-is-for-development",
    sentence="No production stack keeps its secrets in a folder of plain files.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "secrets of production are in a store that encrypts and records"),
        Control(Framework.PCI_DSS, "6.5.3", "what is before production is separated from it"),
        Control(Framework.HIPAA, "164.312(a)(2)(iv)", "what lies unencrypted is known, and no patient's"),
        Control(Framework.GDPR, "32(1)(a)", "what lies unencrypted is known"),
    ),
    limitation="That the disk under the folder is encrypted.",
    applies=is_dotenv,
    across=_look,
    enforcement=Enforcement.ADVISORY,  # the guide itself draws a production server's folder
)
