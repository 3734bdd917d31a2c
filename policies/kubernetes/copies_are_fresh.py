"""What External Secrets copies into the cluster follows the store, and goes with what asked for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.kubernetes.objects import of_kind
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_LONGEST = 600
"""Seconds between two looks: well below the shortest grace after which an old password is taken away."""

_UNITS = {"s": 1, "m": 60, "h": 3600}


def _often(interval: Any) -> bool:
    parts = re.findall(r"(\d+)([smh])", interval) if isinstance(interval, str) else []
    seconds = sum(int(count) * _UNITS[unit] for count, unit in parts)
    return 0 < seconds <= _LONGEST and "".join(map("".join, parts)) == interval


def _look(plan: Plan) -> Iterator[Finding]:
    for one in of_kind(plan, "ExternalSecret"):
        spec = at(one.properties, "spec")
        yield from judge(
            one,
            at(spec, "refreshInterval"),
            _often,
            "how often it looks for a new version",
            "is never, or seldom: pods keep a password that ends; write 1m",
        )
        yield from judge(
            one,
            at(spec, "target", "creationPolicy"),
            lambda policy: policy == "Owner",
            "its Secret",
            "stays when it goes: a copy that nobody renews; set creationPolicy: Owner",
        )
        yield from judge(
            one,
            at(spec, "target", "deletionPolicy"),
            lambda policy: policy == "Retain",
            "its Secret",
            "goes when the store can't be asked: an outage would take it from the pods; set deletionPolicy: Retain",
        )
        yield from judge(
            one,
            at(spec, "secretStoreRef", "kind"),
            lambda kind: kind == "SecretStore",
            "the store that it reads by",
            "is for every namespace: who makes one elsewhere reads the same; name a SecretStore",
        )


RULE = Rule(
    name="kubernetes-copies-are-fresh",
    sentence="Every ExternalSecret looks for a new version within ten minutes, by a store of its own namespace.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "a reader has the credential that is current"),
        Control(Framework.PCI_DSS, "8.6.3", "a changed password reaches the system that uses it"),
        Control(Framework.HIPAA, "164.312(a)(1)", "a copy lies in one namespace, for its readers"),
        Control(Framework.GDPR, "32(1)(b)", "the server stays available through a rotation"),
    ),
    limitation="That External Secrets is there and runs, and that the cluster encrypts the copies at rest.",
    applies=lambda plan: any(of_kind(plan, "ExternalSecret")),
    across=_look,
)
