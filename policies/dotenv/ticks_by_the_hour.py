"""A machine that rotates has a timer for it, of each hour, and a service that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from policies.dotenv.folders import entries, folders, is_dotenv
from policies.matchers import at, contains, judge
from policies.plan import UNKNOWN, Finding, Plan, Resource
from policies.rule import Control, Framework, Rule

_VAULT = "coreflux-mcp-secrets:vault:SecretStore"
_PODS = "coreflux-mcp-secrets:kubernetes:McpServer"

_OF_A_TIMER = {
    "OnCalendar=hourly": "it is not each hour: what is due, or near its end, waits",
    "Persistent=yes": "an hour in which the machine was off is never made up for",
}
_OF_A_SERVICE = {
    " tick --scheduled ": "it does not rotate",
    "NoNewPrivileges=yes": "what it starts could gain a privilege",
    "UMask=0077": "others could read what it writes",
    "LimitCORE=0": "a core dump would have values in it",
}


def _rotates(plan: Plan) -> bool:
    """Whether this machine is to: Vault runs no program, so what it keeps is rotated where the server is."""
    beside_vault = any(plan.of_type(_VAULT)) and not any(plan.of_type(_PODS))
    return beside_vault or is_dotenv(plan) or bool(_units(plan))


def _units(plan: Plan) -> list[tuple[Resource, str, Any]]:
    """Each unit of systemd: whose it is, its path, its text."""
    return [
        (folder, path, text)
        for folder in folders(plan)
        for path, text in entries(at(folder.properties, "files"))
        if path is not UNKNOWN and path.endswith((".timer", ".service"))
    ]


def _has(line: str, unit: Any) -> bool:
    return contains(unit, line)


def _look(plan: Plan) -> Iterator[Finding]:
    for folder, path, text in _units(plan):
        for line, wrong in (_OF_A_TIMER if path.endswith(".timer") else _OF_A_SERVICE).items():
            yield from judge(
                folder,
                text,
                partial(_has, line),
                f"the unit {path}",
                f"lacks{'' if line.startswith(' ') else ' '}{line.rstrip()}: {wrong}; write it",
            )
    unknown = any(at(folder.properties, "files") is UNKNOWN for folder in folders(plan))
    kinds = [path.rpartition(".")[2] for _, path, _ in _units(plan)]
    yield from judge(
        plan,
        UNKNOWN if unknown else kinds,
        lambda said: sorted(said) == ["service", "timer"],
        "what rotates on this machine",
        "is not one timer with its service: nothing, or two, would tick; write both units",
    )


RULE = Rule(
    name="dotenv-ticks-by-the-hour",
    sentence="What rotates on a machine is one hourly timer, whose service leaves no value behind.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "credentials are replaced by a schedule that nobody has to remember"),
        Control(Framework.PCI_DSS, "8.6.3", "passwords of system accounts change periodically"),
        Control(Framework.HIPAA, "164.312(d)", "who logs in has a credential that is not older than it may be"),
        Control(Framework.GDPR, "32(1)(d)", "that rotation works is seen each hour"),
    ),
    limitation="That the timer is turned on: an operator does that, and the output gaps says so.",
    applies=_rotates,
    across=_look,
)
