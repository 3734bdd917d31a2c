"""A pod sees nothing of its node, and the kernel answers it no more calls than the runtime's profile lets by."""

from __future__ import annotations

from collections.abc import Iterator

from policies.kubernetes.objects import containers, pods
from policies.matchers import at, each, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule


def _look(plan: Plan) -> Iterator[Finding]:
    for one, pod in pods(plan):
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            yield from judge(
                one,
                at(pod, key),
                lambda said: said in (None, False),
                f"{key} of its pods",
                "is on: a pod has its own; take it out",
            )
        for volume in each(at(pod, "volumes")):
            yield from judge(
                one,
                at(volume, "hostPath"),
                lambda path: path is None,
                "a volume of its pods",
                "is a folder of the node: others' values lie there; mount a volume of the pod's own",
            )
    for one, pod, container, what in containers(plan):
        own = at(container, "securityContext", "seccompProfile", "type")
        yield from judge(
            one,
            at(pod, "securityContext", "seccompProfile", "type") if own is None else own,
            lambda profile: profile in ("RuntimeDefault", "Localhost"),
            f"the seccomp profile of {what}",
            "lets every system call by: set seccompProfile.type to RuntimeDefault",
        )


RULE = Rule(
    name="kubernetes-pods-are-apart",
    sentence="No pod shares its node's network, processes or folders, and each has a seccomp profile.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "pods are kept apart from their node and from each other"),
        Control(Framework.PCI_DSS, "2.2.6", "a container is configured so that it can't be misused"),
        Control(Framework.HIPAA, "164.312(a)(1)", "a broken program reaches no other's secrets on its node"),
        Control(Framework.GDPR, "32(1)(b)", "the readers of secrets are kept apart"),
    ),
    limitation="What the runtime's profile lets by: it is the container runtime's own.",
    applies=lambda plan: any(containers(plan)),
    across=_look,
)
