"""No container has a capability, and only whoever holds the daemon's socket is root."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.containers import drops_all
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.swarm.services import binds, containers, has_services


def _nobody(user: Any) -> bool:
    return isinstance(user, str) and user.partition(":")[0] not in ("", "0", "root")


def _look(plan: Plan) -> Iterator[Finding]:
    for service, container in containers(plan):
        for key, keeps, wrong in (
            ("capDrops", drops_all, "are not all dropped: it needs none; set cap_drops to [ALL]"),
            ("capAdds", lambda adds: not adds, "have some added: it needs none; take cap_adds out"),
        ):
            yield from judge(service, at(container, key), keeps, "the capabilities of its containers", wrong)
        mounts = binds(container)
        if not mounts:
            yield from judge(
                service,
                at(container, "user"),
                _nobody,
                "the user of its containers",
                "is root, or the image's: one step from root on the node; name a user",
            )


RULE = Rule(
    name="swarm-services-gain-nothing",
    sentence="Every container drops all capabilities, and is not root unless it holds the daemon's socket.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "no program has more rights than its work takes"),
        Control(Framework.PCI_DSS, "7.2.5", "system accounts have the least privileges"),
        Control(Framework.HIPAA, "164.312(a)(1)", "a broken program reaches no other's secrets on its node"),
        Control(Framework.GDPR, "32(1)(b)", "the readers of secrets are kept apart"),
    ),
    limitation="That a process can't gain a privilege by a setuid file: a Swarm's services have no such option.",
    applies=has_services,
    across=_look,
)
