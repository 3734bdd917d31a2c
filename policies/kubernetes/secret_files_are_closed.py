"""The file of a secret or a token is read by its pod's own user and group, and by no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.kubernetes.objects import pods
from policies.matchers import at, each, judge
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule

_ELSE = 0o227
"""Bits that no secret's file has: to write or run it, and anything for others."""


def _closed(mode: Any) -> bool:
    return isinstance(mode, int) and not mode & _ELSE


def _look(plan: Plan) -> Iterator[Finding]:
    for one, pod in pods(plan):
        holders = [(at(volume, "name"), _sources(volume)) for volume in each(at(pod, "volumes"))]
        names = [name for name, sources in holders if sources]
        for name, sources in holders:
            for source in sources:
                yield from judge(
                    one,
                    at(source, "defaultMode"),
                    _closed,
                    f"the mode of files in the volume {name}",
                    "lets others read them, or anybody write: a secret is its reader's alone; set defaultMode to 0440",
                )
        for container in [*each(at(pod, "containers")), *each(at(pod, "initContainers"))]:
            for mount in each(at(container, "volumeMounts")):
                name = at(mount, "name")
                if name in names or UNKNOWN in (name, *names):
                    yield from judge(
                        one,
                        (at(mount, "subPath"), name),
                        lambda said: said[0] is None,
                        f"a mount of the volume {name}",
                        "is by subPath: kubelets never renew that; mount the folder",
                    )


def _sources(volume: Any) -> list[Any]:
    """What of the volume has secrets or tokens in it."""
    projected = at(volume, "projected")
    of_secrets = any(
        source is UNKNOWN or at(source, "secret") is not None or at(source, "serviceAccountToken") is not None
        for source in each(at(projected, "sources"))
    )
    secret = at(volume, "secret")
    return [*([secret] if secret is not None else []), *([projected] if of_secrets else [])]


RULE = Rule(
    name="kubernetes-secret-files-are-closed",
    sentence="A secret's file is read by its pod's user and group, written by nobody, and renewed in place.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "the least that a reader needs: to read"),
        Control(Framework.PCI_DSS, "7.2.5", "a system account has no more than its work takes"),
        Control(Framework.HIPAA, "164.312(c)(1)", "nobody in a pod changes a secret"),
        Control(Framework.GDPR, "32(1)(b)", "values stay confidential and whole within a pod"),
    ),
    limitation="Who may run a command in the pod, and so be its user.",
    applies=lambda plan: any(bool(_sources(volume)) for _, pod in pods(plan) for volume in each(at(pod, "volumes"))),
    across=_look,
)
