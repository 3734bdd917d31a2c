"""No pod runs as root."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.kubernetes.objects import containers
from policies.looking import at, judge
from policies.rule import Control, Finding, Framework, Plan, Rule


def _said(pod: Any, container: Any, key: str) -> Any:
    """As the container says, else as its pod does."""
    own = at(container, "securityContext", key)
    return at(pod, "securityContext", key) if own is None else own


def _look(plan: Plan) -> Iterator[Finding]:
    for one, pod, container, what in containers(plan):
        yield from judge(
            one,
            _said(pod, container, "runAsNonRoot"),
            lambda said: said is True,
            f"whether {what} may be root",
            "is left open: root in a pod is one step from root on its node; set runAsNonRoot: true",
        )
        yield from judge(
            one,
            _said(pod, container, "runAsUser"),
            lambda user: user is None or (isinstance(user, int) and user > 0),
            f"the user of {what}",
            "is root; set runAsUser to a number above 0, or take it out where the platform assigns one",
        )


RULE = Rule(
    name="kubernetes-pods-are-nobody",
    says="Every container runs as a user that is not root.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "no program has more rights than its work takes"),
        Control(Framework.PCI_DSS, "7.2.5", "system accounts have the least privileges"),
        Control(Framework.HIPAA, "164.312(a)(1)", "a broken program reaches no other's secrets on its node"),
        Control(Framework.GDPR, "32(1)(b)", "the readers of secrets are kept apart"),
    ),
    shows_not="Which user that is where the stack names none, and that no other pod of the node runs as it.",
    applies=lambda plan: any(containers(plan)),
    look=_look,
)
