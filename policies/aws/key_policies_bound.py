"""A key's policy keeps those who administer it from using it, and lets nobody use it but for what it is there for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.aws.documents import Statement, judge_document, wildcard
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

KEY = "aws:kms/key:Key"
USES = ("kms:decrypt", "kms:encrypt", "kms:generatedatakey", "kms:reencrypt")
"""What actions begin with that open or make what is encrypted."""

TIED = ("kms:encryptioncontext:", "kms:viaservice", "aws:sourcearn")
"""What conditions begin with that say what for."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(KEY))


def _wrong(found: Sequence[Statement]) -> Iterator[str]:
    for one in found:
        if not one.allows:
            continue
        if one.negated or any(wildcard(action) or action == "kms:creategrant" for action in one.actions):
            yield "its policy lets others use it on somebody's word; name actions, without kms:CreateGrant"
        if any(action.startswith(USES) for action in one.actions) and not one.is_bound_by(*TIED):
            yield "its policy lets it be used for anything; bind it by kms:ViaService or kms:EncryptionContext"


def _look(plan: Plan) -> Iterator[Finding]:
    for key in plan.of_type(KEY):
        yield from judge_document(key, "policy", _wrong)


RULE = Rule(
    name="aws-key-policies-bound",
    sentence="A key's policy has who administers it apart from who uses it, and binds each use to what it is for.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "keys are protected while they are used"),
        Control(Framework.SOC_2, "CC6.3", "duties are segregated: to administer is not to use"),
        Control(Framework.PCI_DSS, "3.6.1", "access to keys is for the fewest who need it"),
        Control(Framework.PCI_DSS, "3.7.7", "nobody substitutes a key unseen: no grant, no key of somebody's choice"),
        Control(Framework.HIPAA, "164.312(a)(2)(iv)", "decryption is for who may read"),
    ),
    limitation="That an administrator does not write himself into the policy: aws-tampering-is-told tells of it.",
    applies=_applies,
    across=_look,
)
