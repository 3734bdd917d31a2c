"""What a pod runs can't be changed in it."""

from __future__ import annotations

from collections.abc import Iterator

from policies.kubernetes.objects import containers
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule


def _look(plan: Plan) -> Iterator[Finding]:
    for one, _, container, what in containers(plan):
        yield from judge(
            one,
            at(container, "securityContext", "readOnlyRootFilesystem"),
            lambda said: said is True,
            f"the root file system of {what}",
            "can be written: what runs is what the image has; set readOnlyRootFilesystem: true",
        )


RULE = Rule(
    name="kubernetes-root-is-read-only",
    sentence="No container writes its root file system.",
    controls=(
        Control(Framework.SOC_2, "CC6.8", "nobody brings a program into a running container"),
        Control(Framework.PCI_DSS, "2.2.6", "a container is configured so that it can't be misused"),
        Control(Framework.HIPAA, "164.312(c)(1)", "what reads secrets is what was deployed"),
        Control(Framework.GDPR, "32(1)(b)", "the readers of secrets stay whole"),
    ),
    limitation="That nothing runs from a folder that is mounted to be written, as /tmp.",
    applies=lambda plan: any(containers(plan)),
    across=_look,
)
