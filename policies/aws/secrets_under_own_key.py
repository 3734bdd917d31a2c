"""Each secret is encrypted by a key of the stack, and not by the one that AWS has for everybody of the account."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.matchers import at, each, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

STORED = "aws:secretsmanager/secret:Secret"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORED))


def _own(key: Any) -> bool:
    return isinstance(key, str) and re.fullmatch(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/.+", key) is not None


def _look(plan: Plan) -> Iterator[Finding]:
    wrong = "is none of the stack's own: AWS' common one has a policy that nobody can change; set kms_key_id"
    for secret in plan.of_type(STORED):
        yield from judge(secret, at(secret.properties, "kmsKeyId"), _own, "its key", wrong)
        for copy in each(at(secret.properties, "replicas")):
            yield from judge(secret, at(copy, "kmsKeyId"), _own, "the key of its replica", wrong)


RULE = Rule(
    name="aws-secrets-under-own-key",
    sentence="Every secret, and every replica of one, is encrypted by a KMS key of its own account.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "credentials are encrypted where they are stored"),
        Control(Framework.PCI_DSS, "3.5.1", "what is stored is unreadable without its key"),
        Control(Framework.PCI_DSS, "8.3.2", "authentication factors are encrypted in storage"),
        Control(Framework.HIPAA, "164.312(a)(2)(iv)", "a mechanism encrypts and decrypts what is stored"),
        Control(Framework.GDPR, "32(1)(a)", "encryption"),
    ),
    limitation="Who may use the key: aws-key-policies-bound shows that.",
    applies=_applies,
    across=_look,
)
