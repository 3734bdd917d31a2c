"""What Pulumi writes into a folder is public: a value among it would lie in the state."""

from __future__ import annotations

from collections.abc import Iterator

from policies.containers import carries_value
from policies.dotenv.folders import entries, folders
from policies.matchers import at, contains, judge
from policies.plan import CONCEALED, Finding, Plan
from policies.rule import Control, Framework, Rule


def _outside(path: str) -> bool:
    return path.startswith("/") or ".." in path.split("/")


def _look(plan: Plan) -> Iterator[Finding]:
    for folder in folders(plan):
        for path, text in entries(at(folder.properties, "files")):
            yield from judge(
                folder,
                (path, text),
                lambda said: said[1] is not CONCEALED and not contains(said[1], "PRIVATE KEY-----"),
                f"the file {path}",
                "has a value in it: it would lie in the state; secretops writes values",
            )
            yield from judge(
                folder,
                path,
                lambda said: not _outside(str(said)),
                f"the file {path}",
                "is outside of its folder: name it from there",
            )
        for name, text in entries(at(folder.properties, "lines")):
            yield from carries_value(folder, "config/.env", name, text)


RULE = Rule(
    name="dotenv-public-files-are-public",
    sentence="Nothing that Pulumi writes into a folder is a value.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "values are in the store alone, and in no state file"),
        Control(Framework.PCI_DSS, "8.6.2", "no password of an account is in the program's text or configuration"),
        Control(Framework.HIPAA, "164.312(a)(1)", "who reads the state reads no secret"),
        Control(Framework.GDPR, "32(1)(b)", "values stay confidential, whoever has the state"),
    ),
    limitation="What a person writes into config/.env himself.",
    applies=lambda plan: any(folders(plan)),
    across=_look,
)
