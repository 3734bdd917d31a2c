"""Containers find secrets in files of their own user: a variable is shown by docker inspect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.containers import carries_value
from policies.matchers import at, each, judge
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.swarm.services import containers, has_services

_ELSE = 0o377
"""Bits that no secret's file has: all but to be read by its owner."""


def _closed(secret: tuple[Any, Any, Any]) -> bool:
    mode, uid, user = secret
    return isinstance(mode, int) and not mode & _ELSE and str(uid) == str(user).partition(":")[0]


def _look(plan: Plan) -> Iterator[Finding]:
    for service, container in containers(plan):
        variables = at(container, "env")
        if variables is UNKNOWN:
            yield from carries_value(service, "a container", UNKNOWN, UNKNOWN)
        for name, text in variables.items() if isinstance(variables, Mapping) else ():
            yield from carries_value(service, "a container", name, text)
        for secret in each(at(container, "secrets")):
            yield from judge(
                service,
                (at(secret, "fileMode"), at(secret, "fileUid"), at(container, "user")),
                _closed,
                "a secret's file",
                "is another user's, or read by others: set its uid to the container's user, and its mode to 0400",
            )


RULE = Rule(
    name="swarm-secrets-are-files",
    sentence="No service has a secret in a variable, and each secret's file is read by its container's user alone.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "a value is where its reader opens it, and nowhere beside"),
        Control(Framework.PCI_DSS, "8.6.2", "no password is in a service's description"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only the process that asks for a value has it"),
        Control(Framework.GDPR, "32(1)(b)", "values do not leak by what a daemon shows"),
    ),
    limitation="The files of versions that secretops attaches later: it says their modes itself.",
    applies=has_services,
    across=_look,
)
