"""Customer managed keys are renewed by AWS every year."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import require
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule

STORE = "coreflux-mcp-secrets:aws:SecretStore"
KEY = "aws:kms/key:Key"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE, KEY))


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE):
        yield from require(
            store, list(plan.of_type(KEY)), "key of its own", "AWS' common one is not the stack's to rotate; add one"
        )
    for key in plan.of_type(KEY):
        rotates = key.properties.get("enableKeyRotation")
        if rotates is UNKNOWN:
            yield Finding(key.urn, "whether it rotates is known after pulumi up", unknown=True)
        elif rotates is not True:
            yield Finding(key.urn, "the key does not rotate: a key is renewed every year; set enable_key_rotation")


RULE = Rule(
    name="aws-keys-rotate",
    sentence="Every key of the stack's own is renewed by AWS each year.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "keys that protect stored secrets are managed through their life"),
        Control(Framework.PCI_DSS, "3.7.4", "a key is changed at the end of its cryptoperiod"),
        Control(Framework.HIPAA, "164.312(a)(2)(iv)", "the mechanism that encrypts is kept up"),
        Control(Framework.GDPR, "32(1)(a)", "encryption"),
    ),
    limitation="That what was encrypted by an older key is encrypted anew: AWS keeps the older material for that.",
    applies=_applies,
    across=_look,
)
