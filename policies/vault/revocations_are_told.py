"""What was revoked is on a list that is made anew in time, and a certificate says where that is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge, listed, require, with_name
from policies.plan import Finding, Plan, Resource
from policies.rule import Control, Framework, Rule
from policies.vault.access import MOUNT

_LIST = "vault:pkiSecret/secretBackendCrlConfig:SecretBackendCrlConfig"
_URLS = "vault:pkiSecret/secretBackendConfigUrls:SecretBackendConfigUrls"
_LONGEST_HOURS = 72


def _soon(expiry: Any) -> bool:
    hours = re.fullmatch(r"(\d+)h", str(expiry))
    return hours is not None and 0 < int(hours[1]) <= _LONGEST_HOURS


def _is_a_ca(mount: Resource) -> bool:
    return bool(at(mount.properties, "type") == "pki")


def _look(plan: Plan) -> Iterator[Finding]:
    for mount in plan.of_type(MOUNT):
        if _is_a_ca(mount):
            for kind, wrong in (
                (_LIST, "what it revokes is on a list that ends unrenewed; add one"),
                (_URLS, "who checks a certificate finds no list; add one"),
            ):
                found = with_name(plan, kind, "backend", name=at(mount.properties, "path"))
                yield from require(mount, found, kind.rpartition(":")[2], wrong)
    for one in plan.of_type(_LIST):
        for key, keeps, wrong in (
            ("disable", lambda said: said in (None, False), "is on: nobody learns what was revoked; take it out"),
            ("autoRebuild", lambda said: said is True, "is off: the list ends unrenewed; set auto_rebuild to true"),
            ("expiry", _soon, "is unsaid, or longer than three days: a revoked certificate is taken so long"),
        ):
            yield from judge(one, at(one.properties, key), keeps, f"its {key}", wrong)
    for urls in plan.of_type(_URLS):
        yield from judge(
            urls,
            at(urls.properties, "crlDistributionPoints"),
            lambda said: bool(listed(said)),
            "where the list is",
            "is in no certificate: who checks one finds no list; set crl_distribution_points",
        )


RULE = Rule(
    name="vault-revocations-are-told",
    sentence="Each CA has a list of what was revoked, renewed by itself, that its certificates name.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "access is taken away when it has to be"),
        Control(Framework.PCI_DSS, "3.7.5", "a key that is suspected is retired"),
        Control(Framework.PCI_DSS, "4.2.1", "certificates of a transmission are valid, and not revoked"),
        Control(Framework.HIPAA, "164.312(d)", "a lost certificate proves nobody"),
        Control(Framework.GDPR, "32(1)(b)", "what was lost is good for a time that is known"),
    ),
    limitation="That the broker asks for the list.",
    applies=lambda plan: any(plan.of_type(_LIST)) or any(_is_a_ca(mount) for mount in plan.of_type(MOUNT)),
    across=_look,
)
