"""The stack's CA signs one name, for clients, and not for long."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from operator import is_
from typing import Any

from policies.matchers import at, judge, listed
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_ROLE = "vault:pkiSecret/secretBackendRole:SecretBackendRole"
_LONGEST = 90 * 24 * 3600
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

_WIDENS = (
    "allowAnyName",
    "allowSubdomains",
    "allowGlobDomains",
    "allowWildcardCertificates",
    "allowLocalhost",
    "allowIpSans",
    "serverFlag",
    "codeSigningFlag",
    "emailProtectionFlag",
    "noStore",
)
"""Vault's own defaults of some of these are on. What is not stored can't be revoked."""

_NARROWS = ("clientFlag", "enforceHostnames", "requireCn")


def _short(life: Any) -> bool:
    said = re.fullmatch(r"(\d+)([smhd]?)", str(life))
    return said is not None and 0 < int(said[1]) * _UNITS[said[2]] <= _LONGEST


def _look(plan: Plan) -> Iterator[Finding]:
    for role in plan.of_type(_ROLE):
        said: Mapping[str, Any] = role.properties
        for wanted, keys in ((False, _WIDENS), (True, _NARROWS)):
            for key in keys:
                yield from judge(
                    role,
                    at(said, key),
                    partial(is_, wanted),
                    f"its {key}",
                    f"is not {str(wanted).lower()}: it would sign more than one client's name; say it",
                )
        yield from judge(
            role,
            at(said, "allowedDomains"),
            lambda names: len(listed(names)) == 1 and "*" not in str(names[0]),
            "what it signs",
            "is not one name: the stack has one client; name that in allowed_domains",
        )
        yield from judge(
            role,
            at(said, "maxTtl"),
            _short,
            "how long a certificate is good",
            "is unsaid, or longer than 90 days, the guide's longest; set max_ttl",
        )


RULE = Rule(
    name="vault-ca-signs-clients-alone",
    sentence="The CA signs one name of a client, for 90 days at most, and can take it back.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "who logs in to the broker is the one client"),
        Control(Framework.PCI_DSS, "3.7.4", "a key is changed at the end of its cryptoperiod"),
        Control(Framework.PCI_DSS, "4.2.1", "certificates of a transmission are valid, and can be revoked"),
        Control(Framework.HIPAA, "164.312(d)", "the broker knows its client"),
        Control(Framework.GDPR, "32(1)(a)", "what is sent is encrypted between ends that know each other"),
    ),
    limitation="That the broker trusts this CA alone, and asks for the list of what was revoked.",
    applies=lambda plan: any(plan.of_type(_ROLE)),
    across=_look,
)
