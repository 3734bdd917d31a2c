"""Nothing that is a value, or brings one into the state, is a resource: its inputs or outputs would lie there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_OF_VALUES = re.compile(
    "|".join(
        (
            r"aws:iam/(accessKey:AccessKey|userLoginProfile:UserLoginProfile)",
            r"aws:iam/serviceSpecificCredential:ServiceSpecificCredential",
            r"aws:secretsmanager/secretVersion:SecretVersion",
            r"aws:ssm/parameter:Parameter",
            r"aws:kms/ciphertext:Ciphertext",
            r"aws:lightsail/keyPair:KeyPair",
            r"aws-native:secretsmanager:Secret",
            r"azure-native:keyvault(/v\w+)?:(Secret|Key)",
            r"azure:keyvault/(secret:Secret|key:Key|certificate:Certificate)",
            r"azuread:index/\w+Password:\w+Password",
            r"azuread:index/user:User",
            r"docker:index/secret:Secret",
            r"kubernetes:(core/)?v1:Secret(Patch|List)?",
            r"random:index/random(Password|String|Bytes):\w+",
            r"tls:index/privateKey:PrivateKey",
            r"vault:(kv|generic)/secret(V2)?:SecretV?2?",
            r"vault:generic/endpoint:Endpoint",
            r"vault:index/token:Token",
            r"vault:appRole/authBackend(RoleSecretId|Login):\w+",
            r"vault:pkiSecret/(secretBackendCert:SecretBackendCert|secretBackendConfigCa:SecretBackendConfigCa)",
            r"vault:pkiSecret/backendExportKey:BackendExportKey",
        )
    )
)
"""A secret's text, a password, a token, a secret id, a login, a private key; in any version of a provider's API."""


def _look(plan: Plan) -> Iterator[Finding]:
    for one in (*plan.resources, *plan.others):
        kind = one.properties.get("kind") if one.type.startswith("kubernetes:") else None
        if _OF_VALUES.fullmatch(one.type) or kind == "Secret":
            yield Finding(
                one.urn,
                "is a value, or has one: the engine keeps it in its state; declare what guards it, and let secretops or"
                " an operator write it",
            )


RULE = Rule(
    name="stack-declares-no-value",
    sentence="No secret's text, password, token, login or private key is a resource of the stack.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "values are in the store alone, and in no state file"),
        Control(Framework.PCI_DSS, "8.6.2", "no password of an account is in the program's text or configuration"),
        Control(Framework.PCI_DSS, "3.6.1.4", "a private key is where it was made, and nowhere else"),
        Control(Framework.HIPAA, "164.312(a)(1)", "who reads the state reads no secret"),
        Control(Framework.GDPR, "32(1)(b)", "values stay confidential, whoever has the state"),
    ),
    limitation="Types of other providers, and what others than the stack keep in the same place.",
    applies=lambda _: True,
    across=_look,
)
