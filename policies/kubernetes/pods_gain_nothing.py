"""No container has a privilege, and none can get one."""

from __future__ import annotations

from collections.abc import Iterator

from policies.containers import drops_all
from policies.kubernetes.objects import containers
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule


def _look(plan: Plan) -> Iterator[Finding]:
    for one, _, container, what in containers(plan):
        context = at(container, "securityContext")
        for key, keeps, wrong in (
            (
                "allowPrivilegeEscalation",
                lambda said: said is False,
                "is left open; set allowPrivilegeEscalation: false",
            ),
            ("privileged", lambda said: said in (None, False), "is that of the node; take privileged out"),
        ):
            yield from judge(one, at(context, key), keeps, f"the privilege of {what}", f"{wrong}: it needs none")
        for key, keeps, wrong in (
            ("drop", drops_all, "are not all dropped; set capabilities.drop to [ALL]"),
            ("add", lambda adds: not adds, "have some added; take capabilities.add out"),
        ):
            yield from judge(
                one, at(context, "capabilities", key), keeps, f"the capabilities of {what}", f"{wrong}: it needs none"
            )


RULE = Rule(
    name="kubernetes-pods-gain-nothing",
    sentence="Every container drops all capabilities and can't gain a privilege.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "no program has more rights than its work takes"),
        Control(Framework.PCI_DSS, "7.2.5", "system accounts have the least privileges"),
        Control(Framework.HIPAA, "164.312(a)(1)", "a broken program reaches no other's secrets on its node"),
        Control(Framework.GDPR, "32(1)(b)", "the readers of secrets are kept apart"),
    ),
    limitation="That the node's kernel has no hole that needs no capability.",
    applies=lambda plan: any(containers(plan)),
    across=_look,
)
