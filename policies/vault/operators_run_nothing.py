"""An operator keeps the stack's secrets, and does not run the Vault that they are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.matchers import at, judge, known
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.vault.access import POLICY, has_wildcard, rights, taken

_CHANGES = frozenset({"create", "update", "patch", "delete", "sudo", "root"})
_MAY_BE_ASKED = ("sys/audit-hash/",)
"""A question that is a write: which line of the audit log has a value that somebody shows."""

_NEEDS_SUDO = "sys/audit"
"""Vault itself asks for sudo to list its audit devices."""


def _wrong(path: str, may: set[str]) -> bool:
    if path.startswith("sys/"):
        allowed = {"sudo"} if path == _NEEDS_SUDO else set()
        return bool(may & _CHANGES - allowed) and not path.startswith(_MAY_BE_ASKED)
    return "sudo" in may or "root" in may or (has_wildcard(path) and ("/data/" in path or path.endswith("*")))


def _keeps(said: Mapping[str, list[str]] | None) -> bool:
    return said is not None and not any(_wrong(path, set(may)) for path, may in said.items())


def _of_people(plan: Plan) -> Iterator[tuple[Any, Any]]:
    of_roles = taken(plan)
    for policy in plan.of_type(POLICY):
        name = at(policy.properties, "name")
        if not known((name, of_roles)) or name not in of_roles:
            yield policy, (at(policy.properties, "policy"), name, of_roles)


def _look(plan: Plan) -> Iterator[Finding]:
    for policy, said in _of_people(plan):
        yield from judge(
            policy,
            said,
            lambda said: _keeps(rights(said[0])),
            "what an operator may",
            "changes Vault itself, reads values by a wildcard, or is more than paths with capabilities: "
            "an operator keeps the secrets of one stack",
        )


RULE = Rule(
    name="vault-operators-run-nothing",
    sentence="An operator changes nothing of Vault itself, and reads no value by a wildcard.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "who keeps secrets and who runs Vault are two duties"),
        Control(Framework.PCI_DSS, "7.2.2", "access by what the person is for, and the least of it"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only those read who have been granted it"),
        Control(Framework.GDPR, "32(4)", "who acts for the controller acts within what he is asked to"),
    ),
    limitation="Who is given that policy: an auth method of whoever runs Vault says so.",
    applies=lambda plan: any(_of_people(plan)),
    across=_look,
)
