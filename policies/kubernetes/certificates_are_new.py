"""A client certificate of cert-manager's is short, for clients alone, and never has an old key again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.kubernetes.objects import of_kind
from policies.matchers import at, judge, listed
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_LONGEST_HOURS = 90 * 24
_OF_A_CLIENT = ("client auth", "digital signature")


def _short(duration: Any) -> bool:
    hours = re.fullmatch(r"(\d+)h(0m)?(0s)?", duration) if isinstance(duration, str) else None
    return hours is not None and 0 < int(hours[1]) <= _LONGEST_HOURS


def _look(plan: Plan) -> Iterator[Finding]:
    for one in of_kind(plan, "Certificate"):
        spec = at(one.properties, "spec")
        yield from judge(
            one,
            at(spec, "privateKey", "rotationPolicy"),
            lambda policy: policy == "Always",
            "its key",
            "stays the same through every renewal; set privateKey.rotationPolicy: Always",
        )
        yield from judge(
            one,
            at(spec, "duration"),
            _short,
            "its life",
            "is longer than 90 days, the guide's longest, or unsaid; write 2160h or less",
        )
        yield from judge(
            one,
            at(spec, "usages"),
            lambda usages: bool(listed(usages)) and all(usage in _OF_A_CLIENT for usage in usages),
            "what it is good for",
            "is more than to log in as a client; write usages: [client auth, digital signature]",
        )


RULE = Rule(
    name="kubernetes-certificates-are-new",
    sentence="A client certificate lasts 90 days at most, has a new key each time, and is for clients alone.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "keys are replaced through their life"),
        Control(Framework.PCI_DSS, "3.7.4", "a key is changed at the end of its cryptoperiod"),
        Control(Framework.PCI_DSS, "4.2.1", "certificates of a transmission are valid, and not expired"),
        Control(Framework.HIPAA, "164.312(d)", "the broker knows its client by a key that is new"),
        Control(Framework.GDPR, "32(1)(a)", "what is sent is encrypted between ends that know each other"),
    ),
    limitation="That the broker refuses a certificate that was revoked.",
    applies=lambda plan: any(of_kind(plan, "Certificate")),
    across=_look,
)
