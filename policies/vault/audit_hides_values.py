"""The audit log has each request, its values only as HMACs, and nobody but Vault reads the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

AUDIT = "vault:index/audit:Audit"
_NO_FILES = ("stdout", "discard")
_OFF = (None, "false", False)


def _closed(options: Any) -> bool:
    """Vault's own default is 0600; 0000 keeps what the file has."""
    path, mode = at(options, "file_path"), at(options, "mode")
    return path in _NO_FILES or (isinstance(mode, str) and mode.lstrip("0") in ("600", "400"))


def _look(plan: Plan) -> Iterator[Finding]:
    for device in plan.of_type(AUDIT):
        options = at(device.properties, "options")
        yield from judge(
            device,
            at(options, "log_raw"),
            lambda raw: raw in _OFF,
            "what it writes",
            "is each value as it is: the log would be another store; take log_raw out",
        )
        if at(device.properties, "type") == "file":
            for wanted, what, wrong in (
                (_closed, "the mode of its file", "lets others than Vault read it; set the option mode to 0600"),
                (
                    lambda said: at(said, "file_path") not in (None, "", "discard"),
                    "its file",
                    "is none: nothing is recorded; set the option file_path",
                ),
            ):
                yield from judge(device, options, wanted, what, wrong)


RULE = Rule(
    name="vault-audit-hides-values",
    sentence="Each audit device writes values as HMACs, into a file that Vault alone reads.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "requests are recorded, so that what is unusual is found"),
        Control(Framework.PCI_DSS, "10.3.1", "audit logs are read by those who need them"),
        Control(Framework.PCI_DSS, "8.3.2", "no credential is stored in plain text"),
        Control(Framework.HIPAA, "164.312(b)", "activity is recorded, and no value with it"),
        Control(Framework.GDPR, "32(1)(b)", "values stay confidential, whoever reads the log"),
    ),
    limitation="Who ships and keeps the log: whoever runs Vault does.",
    applies=lambda plan: any(plan.of_type(AUDIT)),
    across=_look,
)
