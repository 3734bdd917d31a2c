"""Files of values are read by their owner alone, and no file of the store is written by others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from policies.dotenv.folders import folders, is_dotenv
from policies.matchers import at, judge
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule

_OF_VALUES = ("config/.env", "certs/client.key")
_OTHERS = 0o077
_OTHERS_WRITE = 0o022


def _without(mode: Any, bits: int) -> bool:
    try:
        return not int(mode, 8) & bits
    except (TypeError, ValueError):
        return False


def _look(plan: Plan) -> Iterator[Finding]:
    for folder in folders(plan):
        modes = at(folder.properties, "modes")
        if modes is UNKNOWN:
            yield from judge(folder, modes, bool, "the modes of its files", "")
        for path, mode in modes.items() if isinstance(modes, Mapping) else ():
            bits = _OTHERS_WRITE if path.endswith(".crt") else _OTHERS
            yield from judge(
                folder,
                mode,
                partial(_without, bits=bits),
                f"the mode of {path}",
                "lets others read or write it: a value is its owner's alone; write 600, and 644 for a certificate",
            )
    kept = [path for folder in folders(plan) for path in _paths(at(folder.properties, "modes"))]
    for path in _OF_VALUES:
        yield from judge(
            plan,
            True if path in kept else kept,
            lambda said: said is True,
            f"the mode of {path}",
            "is kept by no folder: whoever changes it by hand is not noticed; add it to modes",
        )


def _paths(modes: Any) -> list[Any]:
    return [UNKNOWN] if modes is UNKNOWN else [*modes] if isinstance(modes, Mapping) else []


RULE = Rule(
    name="dotenv-files-are-the-owners",
    sentence="Files of values have mode 600, and each pulumi up repairs one that has not.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "values are read by the account that they are for"),
        Control(Framework.PCI_DSS, "7.2.2", "access by what the account is for, and the least of it"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only those read who have been granted it"),
        Control(Framework.GDPR, "32(1)(b)", "values stay confidential on a machine of several accounts"),
    ),
    limitation="What root, and other programs of the same account, read.",
    applies=is_dotenv,
    across=_look,
)
