"""A role that may use a key may use it through Secrets Manager, and for the secrets that are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.aws.documents import Statement, judge_document, wildcard
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

OF_ROLE = "aws:iam/rolePolicy:RolePolicy"
SUFFIX = "-??????"
"""AWS ends an ARN with six characters of its own."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(OF_ROLE))


def _wrong(found: Sequence[Statement]) -> Iterator[str]:
    for one in found:
        if not one.allows or not any(action.startswith(("kms:", "*")) for action in one.actions):
            continue
        through = one.compared("StringEquals", "kms:ViaService")
        if not through or not all(service.startswith("secretsmanager.") for service in through):
            yield "a role may use a key by itself; bind it by kms:ViaService to Secrets Manager"
        secrets = one.compared("StringLike", "kms:EncryptionContext:SecretARN")
        if not secrets or any(wildcard(secret.removesuffix(SUFFIX)) for secret in secrets):
            yield "a role may open any secret of a key; name them by kms:EncryptionContext:SecretARN"


def _look(plan: Plan) -> Iterator[Finding]:
    for policy in plan.of_type(OF_ROLE):
        yield from judge_document(policy, "policy", _wrong)


RULE = Rule(
    name="aws-keys-open-named-secrets",
    sentence="A role uses a key through Secrets Manager alone, and for secrets that are named.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "a key opens what its user is authorized to read"),
        Control(Framework.PCI_DSS, "3.6.1", "keys are protected against misuse"),
        Control(Framework.PCI_DSS, "7.2.5", "application accounts have the least that they need"),
        Control(Framework.HIPAA, "164.312(a)(2)(iv)", "decryption is for who may read"),
    ),
    limitation="Who else may use the key by its own policy: aws-key-policies-bound shows that.",
    applies=_applies,
    across=_look,
)
