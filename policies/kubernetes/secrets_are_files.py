"""Pods find secrets in files: a variable is inherited by each child process, and lies in what a crash leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

from policies.containers import carries_value
from policies.kubernetes.objects import containers
from policies.matchers import at, each, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_REMEDY = "comes from a Secret: a variable never changes in a running pod; mount it as files"


def _look(plan: Plan) -> Iterator[Finding]:
    for one, _, container, what in containers(plan):
        for entry in each(at(container, "env")):
            secret = at(entry, "valueFrom", "secretKeyRef")
            yield from judge(one, secret, lambda ref: ref is None, f"{what}: a variable", _REMEDY)
            yield from carries_value(one, what, at(entry, "name"), at(entry, "value"))
        for source in each(at(container, "envFrom")):
            yield from judge(
                one, at(source, "secretRef"), lambda ref: ref is None, f"{what}: every variable of a source", _REMEDY
            )


RULE = Rule(
    name="kubernetes-secrets-are-files",
    sentence="No container has a secret in a variable.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "a value is where its reader opens it, and nowhere beside"),
        Control(Framework.PCI_DSS, "8.6.3", "an account's password can change while its holder runs"),
        Control(Framework.HIPAA, "164.312(a)(1)", "only the process that asks for a value has it"),
        Control(Framework.GDPR, "32(1)(b)", "values do not leak by a log of the environment"),
    ),
    limitation="What the programs in the container do with a value once they have read it.",
    applies=lambda plan: any(containers(plan)),
    across=_look,
)
