"""A CA's key is made in Vault, and no answer has it. What it signs below itself is no further CA."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_ROOT = "vault:pkiSecret/secretBackendRootCert:SecretBackendRootCert"
_REQUEST = "vault:pkiSecret/secretBackendIntermediateCertRequest:SecretBackendIntermediateCertRequest"
_SIGNED = "vault:pkiSecret/secretBackendRootSignIntermediate:SecretBackendRootSignIntermediate"
_FEWEST_BITS = {"ec": 256, "rsa": 3072}


def _strong(key: tuple[Any, Any]) -> bool:
    kind, bits = key
    return isinstance(kind, str) and isinstance(bits, int) and bits >= _FEWEST_BITS.get(kind, math.inf)


def _look(plan: Plan) -> Iterator[Finding]:
    for made in plan.of_type(_ROOT, _REQUEST):
        yield from judge(
            made,
            at(made.properties, "type"),
            lambda kind: kind in ("internal", "kms"),
            "its key",
            "is given out, and the state would keep it; set type to internal",
        )
        yield from judge(
            made,
            (at(made.properties, "keyType"), at(made.properties, "keyBits")),
            _strong,
            "the strength of its key",
            "is unsaid, or below 128 bits: say ec with 256 bits, or rsa with 3072",
        )
    for signed in plan.of_type(_SIGNED):
        yield from judge(
            signed,
            at(signed.properties, "maxPathLength"),
            lambda length: length == 0,
            "what the intermediate signs",
            "may be a CA: it signs clients alone; set max_path_length to 0",
        )


RULE = Rule(
    name="vault-ca-keys-stay",
    sentence="Each CA's key is strong, made in Vault, and given to nobody.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "keys are made and kept where they can't be taken from"),
        Control(Framework.PCI_DSS, "3.6.1.4", "a private key is where it was made, and nowhere else"),
        Control(Framework.PCI_DSS, "3.7.1", "strong keys are made"),
        Control(Framework.HIPAA, "164.312(d)", "nobody else can make a client that the broker takes"),
        Control(Framework.GDPR, "32(1)(a)", "what is sent is encrypted between ends that know each other"),
    ),
    limitation="How Vault seals what it keeps: whoever runs it says so.",
    applies=lambda plan: any(plan.of_type(_ROOT, _REQUEST)),
    across=_look,
)
