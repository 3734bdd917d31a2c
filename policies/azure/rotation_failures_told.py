"""A tick that failed, that does not run, or that finds a rotation overdue, is told; so is a secret past its day."""

from __future__ import annotations

from collections.abc import Iterator

from policies.azure.alerts import told_of_query
from policies.matchers import require
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

STORE = "coreflux-mcp-secrets:azure:SecretStore"


# Key Vault's own event, as a query of the log names it.
_EVENT = "Secret{}EventGridNotification"

WATCHED = {
    "ticks that failed": ("ContainerAppConsoleLogs", '"stderr"'),
    "secrets past their day": ("ContainerAppConsoleLogs", '"overdue since"', f'"{_EVENT.format("Expired")}"'),
    "secrets that a person has to renew": (f'"{_EVENT.format("NearExpiry")}"',),
}
"""What -> words of a query that finds it."""

SILENCE = "LessThan"
"""The operator of the alert that rings where there is nothing."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE))


def _look(plan: Plan) -> Iterator[Finding]:
    wrong = "add a scheduled query with an action group"
    for store in plan.of_type(STORE):
        for what, words in WATCHED.items():
            yield from require(store, told_of_query(plan, *words), f"alert on {what}", wrong)
        silent = told_of_query(plan, "ContainerAppConsoleLogs", operator=SILENCE)
        yield from require(store, silent, "alert on a tick that does not run", wrong)


RULE = Rule(
    name="azure-rotation-failures-told",
    sentence="Somebody is told of a tick that failed or does not run, and of a secret that is overdue.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "what fails is monitored"),
        Control(Framework.PCI_DSS, "8.6.3", "that passwords are changed in time is watched"),
        Control(Framework.PCI_DSS, "10.7.2", "failures of a control are detected and told"),
        Control(Framework.HIPAA, "164.312(b)", "activity is examined"),
        Control(Framework.GDPR, "32(1)(d)", "whether a measure works is looked at again and again"),
    ),
    limitation="That somebody hears it: an action group without alert_emails tells nobody until one is added.",
    applies=_applies,
    across=_look,
)
