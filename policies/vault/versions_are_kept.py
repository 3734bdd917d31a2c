"""Secrets lie in a KV v2 mount: each write is a version, who writes says what he has seen, and none ends in use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from operator import eq

from policies.matchers import at, judge, related, require
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.vault.access import MOUNT, STORE

_VERSIONS = "vault:kv/secretBackendV2:SecretBackendV2"
_FEWEST, _MOST = 3, 100
"""The next, the current and the previous one; and as many as the stack file takes."""


def _look(plan: Plan) -> Iterator[Finding]:
    if not any(at(mount.properties, "type") in ("kv", UNKNOWN) for mount in plan.of_type(MOUNT)):
        yield Finding(plan.urn, "the stack has no mount of secrets: they would lie in another's; add a Mount of KV v2")
    for mount in plan.of_type(MOUNT):
        kind, path = (at(mount.properties, key) for key in ("type", "path"))
        yield from judge(mount, (kind, path), lambda _: True, "what it is and where", "")
        if kind != "kv":
            continue
        yield from judge(
            mount,
            at(mount.properties, "options", "version"),
            lambda version: str(version) == "2",
            "its version",
            "is not 2: the first has no versions, and a write takes the old value away; set options.version to 2",
        )
        kept = related(plan, _VERSIONS, "mount", ok=partial(eq, path))
        yield from require(mount, kept, "SecretBackendV2", "how many versions are kept is left to Vault; add one")
    for one in plan.of_type(_VERSIONS):
        for key, keeps, wrong in (
            ("maxVersions", lambda count: isinstance(count, int) and _FEWEST <= count <= _MOST, "is not from 3 to 100"),
            ("casRequired", lambda said: said is True, "is off: of two who write at a time, one is lost unseen"),
            ("deleteVersionAfter", lambda seconds: not seconds, "ends versions that are in use"),
        ):
            yield from judge(one, at(one.properties, key), keeps, f"its {key}", wrong)


RULE = Rule(
    name="vault-versions-are-kept",
    sentence="The mount of the secrets is KV v2, keeps three versions or more, and takes no write unseen.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "what is stored is replaced, and not lost"),
        Control(Framework.PCI_DSS, "3.7.5", "an old value is destroyed when it has to be, and not before"),
        Control(Framework.HIPAA, "164.312(c)(1)", "a value is not overwritten by mistake"),
        Control(Framework.GDPR, "32(1)(c)", "the previous value can be had again"),
    ),
    limitation="That Vault's storage is backed up.",
    applies=lambda plan: any(plan.of_type(_VERSIONS, MOUNT, STORE)),
    across=_look,
)
