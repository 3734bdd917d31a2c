"""What runs before the program has no identity, and the platform's identity is no container's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge, listed
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

RUN = ("azure-native:app:ContainerApp", "azure-native:app:Job")


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(*RUN))


def _kept(settings: Any) -> bool:
    """One identity is the program's; any other is no container's."""
    lives = sorted(str(at(one, "lifecycle")) for one in listed(settings))
    return lives[:1] == ["Main"] and set(lives[1:]) <= {"None"}


def _look(plan: Plan) -> Iterator[Finding]:
    for one in plan.of_type(*RUN):
        settings = at(one.properties, "configuration", "identitySettings")
        wrong = "let more than the program be who reads; give one to Main, all others to None"
        yield from judge(one, _lives(settings), _kept, "its identities", wrong)
        kind = at(one.properties, "identity", "type")
        wrong = "is its own: it has to be there before roles are assigned; use UserAssigned"
        yield from judge(one, kind, lambda kind: kind == "UserAssigned", "its identity", wrong)


def _lives(settings: Any) -> Any:
    """When each is there; which it is is known later."""
    entries = settings if isinstance(settings, list) else []
    return [{"lifecycle": at(one, "lifecycle")} for one in entries] if isinstance(settings, list) else settings


RULE = Rule(
    name="azure-identities-kept-to-program",
    sentence="The identity that reads secrets is the program's alone, of all that runs in an app or a job.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "access by least privilege"),
        Control(Framework.PCI_DSS, "7.2.5", "an application account is for the program that needs it"),
        Control(Framework.HIPAA, "164.312(d)", "who seeks access is the one claimed"),
    ),
    limitation="That nobody opens a shell in the container: an alert tells of the token that it takes.",
    applies=_applies,
    across=_look,
)
